"""Whatever comes from outside is a value or an error of ours in one line, and never anything else.

Some hundred examples of each here; `make fuzz` tries each test for minutes.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from simcelery import urls
from simcelery.broker import incoming
from simcelery.broker.incoming import Plain, Unusable
from simcelery.cli import selectors, sources
from simcelery.conditions import reading
from simcelery.errors import SettingsError, SimceleryError, UsageError
from simcelery.monitor.wanted import of_arguments
from simcelery.settings import FIELDS, get_settings
from simcelery.workflows import encoding, registry
from simcelery.workflows import reading as words
from tests.unit.test_hostile_input import TARGETS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


def in_one_line(error: Exception) -> None:
    """What is said of it is a line."""
    assert str(error)
    assert str(error).isprintable(), str(error)


# --- messages ----------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    "headers body properties content-type content-encoding task id method arguments destination reply_to "  # noqa: SIM905
    "ticket exchange routing_key eta expires retries lang delivery_info delivery_tag priority "
    "correlation_id body_encoding kwargsrepr argsrepr".split()
)
NAMES = st.sampled_from(["celery.ping", "w", "command", "celery.map", "", "\x00"]) | st.text(max_size=10)
IDS = st.uuids().map(str) | st.text(max_size=40)
TIMES = st.datetimes().map(str)
ANYTHING = JSON | st.dictionaries(KEYS, JSON | NAMES | IDS, max_size=8)


def as_bytes(message: Any) -> bytes:
    return json.dumps(message).encode()


def in_base64(body: Any) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any] = ANYTHING) -> st.SearchStrategy[Any]:
    """What is expected, and now and then something else: else nothing would come past the first question."""
    return st.integers(0, 9).flatmap(lambda n: usual if n else odd)


ARGUMENTS = st.tuples(st.lists(JSON, max_size=2), st.dictionaries(KEYS, JSON, max_size=2), ANYTHING)
COMMANDS = st.fixed_dictionaries(
    {"method": mostly(NAMES)},
    optional={
        "arguments": mostly(st.dictionaries(KEYS, JSON, max_size=2)),
        "destination": mostly(st.none() | st.lists(NAMES, max_size=2)),
        "reply_to": mostly(st.fixed_dictionaries({"exchange": NAMES, "routing_key": IDS})),
        "ticket": mostly(IDS),
    },
)
HEADERS = st.fixed_dictionaries(
    {"task": mostly(st.sampled_from(["celery.ping", "command", "w"]), NAMES), "id": mostly(IDS)},
    optional=dict.fromkeys(("eta", "expires", "retries", "timelimit"), ANYTHING | TIMES),
)


def messages(bodies: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Messages as they are in Redis, with bodies such as these."""
    base64ed = st.just({"body_encoding": "base64"})
    whole = st.fixed_dictionaries(
        {
            "body": mostly(bodies.map(in_base64), bodies.map(json.dumps) | BASE64 | ANYTHING),
            "headers": mostly(HEADERS),
            "properties": mostly(base64ed, ANYTHING | st.just({"body_encoding": "x"})),
            "content-type": mostly(st.just("application/json"), st.just("application/x-python-serialize")),
            "content-encoding": mostly(st.just("utf-8"), st.sampled_from(["binary", "utf-16"]) | ANYTHING),
        }
    )
    return mostly(
        whole.map(json.dumps).map(str.encode), ANYTHING.map(json.dumps).map(str.encode) | st.binary()
    )


BASE64 = st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode())


@given(messages(ARGUMENTS), st.sampled_from(["q:command", "q:w", "q", "%"]), st.integers(0, 9), st.booleans())
@fuzz
def test_a_message(raw: bytes, queue: str, priority: int, plain: bool) -> None:
    """A message is clean or dropped; what is kept of it is of our own making."""
    try:
        kept = incoming.task(raw, queue, priority, Plain({"celery.ping"} if plain else ()))
    except Unusable as error:
        in_one_line(ValueError(error.reason))
        return
    args, kwargs, attached = json.loads(base64.b64decode(kept["body"]))
    assert attached == {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    name = kept["headers"]["task"]
    assert name == "celery.ping" or registry.find(name)
    assert (args, kwargs) == ([], {}) or kept["headers"]["task"] == "celery.ping"
    assert not {"timelimit", "group", "reply_to"} & kept["headers"].keys()


@given(messages(COMMANDS))
@fuzz
def test_a_remote_command(raw: bytes) -> None:
    try:
        clean = incoming.command(raw)
    except Unusable as error:
        in_one_line(ValueError(error.reason))
        return
    command = incoming.command_of(base64.b64decode(clean["body"]))
    assert command.method
    assert isinstance(command.arguments, dict)


# --- parameters --------------------------------------------------------------------------------------------

TAGS = st.sampled_from(
    "$float $complex $bytes $ndarray $dict $job $unreadable $tuple $set $frozenset $date $datetime "  # noqa: SIM905
    "$time $timedelta $decimal $uuid $path $x".split()
)
DTYPES = st.sampled_from(["<f8", "|O", "?", "x", "<U9999999999"])
TAGGED = (
    st.sampled_from(["nan", "-0.0", "1e400", "2026-11-29", "12:00", "PT1H", "Zm9v", "/a", "1", "", "\x00"])
    | st.datetimes().map(str)
    | st.uuids().map(str)
    | st.integers()
)
STORED = st.recursive(
    JSON | TAGGED,
    lambda inner: (
        st.dictionaries(TAGS, inner | st.lists(inner, max_size=3), min_size=1, max_size=1)
        | st.fixed_dictionaries({"$ndarray": inner, "dtype": DTYPES, "shape": inner})
        | st.dictionaries(TAGS | st.text(max_size=8), inner, max_size=3)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


@given(STORED)
@fuzz
def test_stored_parameters(value: Any) -> None:
    """Of a row that anybody wrote something is made, or it is said that it cannot be read."""
    try:
        found = encoding.decode(value, job=lambda number: number)
        encoding.job_refs(value)
    except SimceleryError as error:
        in_one_line(error)
        return
    try:
        again = encoding.encode(found)
    except SimceleryError as error:
        in_one_line(error)
        return
    encoding.decode(json.loads(json.dumps(again)))


@given(st.text(max_size=60) | JSON.map(json.dumps))
@fuzz
def test_a_parameter_that_was_typed(text: str) -> None:
    for read in (words.strict, words.number, words.is_word):
        try:
            read(text)
        except ValueError as error:
            in_one_line(error)
    for target in TARGETS:
        for name in ("x", "n", "label", "when", "any"):
            try:
                sources.read_values(target, [(name, text)])
            except UsageError as error:
                in_one_line(error)


# --- selectors, filters, conditions ------------------------------------------------------------------------

SELECTED = st.text("0123456789-, ;last+.:~#\n", max_size=30) | st.text(max_size=30)
PIECES = st.sampled_from(
    "a b.c `k-points`.0 s[0] x in not and or is null ( ) = != < >= 1 -1e400 nan inf 'it''s' \" ' , true "  # noqa: SIM905
    "state elapsed submitted_at '1h' '2026-11-29' 0x1 1_000 -- ; %s %(a)s :a \\ \0 é tags result.0 `".split(
        " "
    )
)
CONDITIONS = st.lists(PIECES, max_size=14).map(" ".join) | st.text(max_size=60)


@given(st.lists(SELECTED, max_size=4), SELECTED)
@fuzz
def test_selectors(texts: list[str], stdin: str) -> None:
    try:
        found = selectors.parse(texts, lambda: stdin)
    except UsageError as error:
        in_one_line(error)
        return
    assert found is None or isinstance(found.text, str)


@given(CONDITIONS)
@fuzz
def test_conditions_and_fields(text: str) -> None:
    for read in (reading.condition, reading.fields):
        try:
            read(text)
        except ValueError as error:
            in_one_line(error)


QUERIES = st.dictionaries(
    st.sampled_from(["state", "workflow", "queue", "tag", "since", "where", "before", "after", "x"]),
    st.lists(
        SELECTED | CONDITIONS | st.sampled_from(["failed", "held", "2d", "99999999999999999999d", "-1", "١"]),
        max_size=3,
    ),
    max_size=6,
)


@given(QUERIES)
@example({"before": ["0"]})
@fuzz
def test_the_address_of_a_page_of_the_board(arguments: dict[str, list[str]]) -> None:
    """It means some jobs, or nothing; and as written again it means the same."""
    try:
        wanted = of_arguments(arguments)
        which = wanted.which()
    except UsageError as error:
        in_one_line(error)
        return
    again = of_arguments(parse_qs(wanted.query().removeprefix("?"), keep_blank_values=True))
    assert again == wanted
    assert isinstance(wanted.narrows(), bool)
    assert which is not None


# --- files and settings ------------------------------------------------------------------------------------

CELLS = st.sampled_from(
    ["x", "n", "label", "1", "nan", "", '"', '""', "a,b", "\t", "#", "\ufeffx", "\x00", "x=1"]
)
ROWS = st.lists(st.lists(CELLS | st.text(max_size=8), max_size=4).map(",".join), max_size=5)
TABLES = ROWS.map("\n".join).map(str.encode) | st.binary(max_size=60)
LINES = st.lists((JSON | st.dictionaries(st.sampled_from("xn"), JSON)).map(json.dumps), max_size=4)
JSON_LINES = LINES.map("\n".join).map(str.encode) | st.binary(max_size=60)


@given(st.sampled_from([".csv", ".tsv", ".jsonl"]), TABLES | JSON_LINES)
@fuzz
def test_a_file_of_jobs(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"each{suffix}"
    path.write_bytes(content)
    for target in TARGETS:
        try:
            for item in sources.read_each(target, str(path)):
                assert isinstance(item.values, dict)
        except UsageError as error:
            in_one_line(error)


@given(st.lists(st.text("xn=,:.0123456789-e", max_size=20) | st.text(max_size=20), max_size=3))
@fuzz
def test_a_grid(texts: list[str]) -> None:
    if any(text.count(":") > 0 for text in texts):
        return  # a range may be long on purpose
    try:
        sources.grid_axes(TARGETS[0], texts)
    except UsageError as error:
        in_one_line(error)


NAMED = st.sampled_from(sorted(FIELDS)) | st.text(max_size=10)
SAID = st.text(max_size=30) | st.sampled_from(
    [
        "5",
        "1h",
        "8G",
        "true",
        "-1",
        "nan",
        "redis://a",
        "postgresql://a/b",
        "a=1",
        "[]",
        "{}",
        "é",
        "1e400",
        "٣",
    ]
)


@given(NAMED, SAID)
@fuzz
def test_a_setting_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    with monkeypatch.context() as patched:
        if "\x00" in text or "\x00" in name or "=" in name or not _is_unicode(name + text):
            return  # no environment has these
        patched.setenv(f"SIMCELERY_{name.upper()}", text)
        _read_settings()


@given(st.dictionaries(NAMED, JSON, max_size=3) | st.binary(max_size=80))
@fuzz
def test_a_file_of_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: Any) -> None:
    if isinstance(content, dict):
        try:
            content = tomli_w.dumps(content).encode()
        except (TypeError, UnicodeEncodeError, ValueError):
            return  # TOML has no null
    with monkeypatch.context() as patched:
        patched.chdir(tmp_path)
        (tmp_path / "simcelery.toml").write_bytes(content)
        _read_settings()


def _read_settings() -> None:
    get_settings.cache_clear()
    try:
        get_settings()
    except SettingsError as error:
        in_one_line(error)
    finally:
        get_settings.cache_clear()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


URLS = st.lists(
    st.sampled_from(
        ["redis", "rediss", "postgresql", "sentinel", "://", ":", "@", "/", "?", "&", "=", ";", ",", "[::1]"]
    )
    | st.sampled_from(
        ["localhost", "5432", "0", "sslmode", "verify-full", "ssl_cert_reqs", "none", "%40", "%", "é", " "]
    ),
    max_size=14,
).map("".join) | st.text(max_size=40)


@given(URLS)
@fuzz
def test_a_url(text: str) -> None:
    """It is fit to be used, or why not is said in a line."""
    for check in (urls.check_postgres, urls.check_redis, urls.check_mail, urls.check_relay, urls.check_store):
        try:
            check(text)
        except ValueError as error:
            in_one_line(error)
        else:
            urls.masked(text)
            if check is urls.check_postgres:
                urls.postgres_arguments(text)
