"""Whatever people, scripts and attackers write: a value or one line, in time that grows with its length."""

from __future__ import annotations

import datetime as dt
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simcelery import settings
from simcelery.cli import selectors, sources
from simcelery.cli.error_groups import in_group
from simcelery.cli.options import Filters, duration
from simcelery.cli.targets import Here, OnBoard
from simcelery.cli.verbs.submit import parse_run_at
from simcelery.errors import SettingsError, SimceleryError, UsageError
from simcelery.quantities import LONGEST, parse_duration, parse_size
from simcelery.readable import csv_cell
from simcelery.settings import FIELDS, Settings, get_settings
from simcelery.submission.options import Options
from simcelery.submission.submit import preparation
from simcelery.urls import check_postgres, check_redis, masked
from simcelery.worker.parent.announced import entry
from simcelery.workflows.definition import Definition
from simcelery.workflows.outcomes import Retry
from simcelery.workflows.parameters import readings
from simcelery.workflows.reading import strict
from tests import programs
from tests.waiting import within


def _energy(
    x: float = 0.0, n: int = 0, label: str = "", when: dt.timedelta | None = None, any: Any = None
) -> float:
    return x


ENERGY = Definition(_energy, name="t.energy")
TARGETS = (Here(ENERGY), OnBoard(entry(ENERGY, Settings())))


def long_texts(n: int) -> dict[str, str]:
    """Texts of about `n` characters, which something that goes back and forth would need n² steps for."""
    return {
        "digits": "9" * n,
        "digits x": "9" * n + "x",
        "zeros x": "0" * n + "x",
        "digits dots": "1." * (n // 2),
        "digits :x": "9" * n + ":1:x",
        "1:digits:1": f"1:{'9' * n}:1",
        "pieces": "1h" * (n // 2),
        "pieces x": "1h" * (n // 2) + "x",
        "spaces": " " * n,
        "1 spaces x": "1" + " " * n + "x",
        "commas": "," * n,
        "x commas": "x" + "," * n,
        "colons": ":" * n,
        "formula": "-" + "9" * n + "x",
        "minus": "-" * n,
        "ids": "1," * (n // 2),
        "ranges": "1-9," * (n // 4),
        "at": "@" * n,
        "slashes": "/" * n,
        "quotes": '"' * n,
        "backslashes": '"' + "\\" * n,
        "open": "[" * n,
        "open and close": "[" * (n // 2) + "]" * (n // 2),
        "objects": '{"a":' * (n // 5),
        "equals": "=" * n,
        "percent": "%" * n,
        "letters": "a" * n,
        "stars": "*" * n,
        "exponent": "1e" + "9" * n,
        "fraction": "0." + "0" * n + "1",
        "surrogates": "\udcff" * n,
        "wide": "١" * n,
    }


SHORT = {
    text: text
    for text in (
        *(
            "",
            " ",
            "\n",
            "\t",
            "\0",
            "\ufeff",
            "-",
            "--",
            "+",
            ".",
            ":",
            "::",
            ",",
            "=",
            "/",
            "@",
            "[",
            "{",
            '"',
        ),
        *("x", "'", "null", "true", "[]", "{}", '{"a":1,"a":2}', '{"$job": 1}', '{"$float": "abc"}'),
        *("NaN", "nan", "inf", "-inf", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "1e999999"),
        *("1e9999999999999999999", "1e-9999999999999999999", "0e9999999999999999999", "9" * 400, "9" * 5000),
        *("-1", "-0", "-5m", "+5m", "1e3s", "0x10", "1_000", "1__0", "０", "١٢", "²", "½", "٣m", "1ｈ", "1K"),
        *("\ud800", "\udcff", "a\0b", "1\0", "1\n", "\r\n1", "\x1b[2J", "\u202e1", "é", "💥", "1\u00a0h"),
        *(
            "1:1e999999:1",
            "1e999999:1:1",
            "1:2:1e-999999",
            "1:2:0",
            "0:0:0",
            "-:-:-",
            "1:2:3:4",
            ".:.:.",
            "e:e:e",
        ),
        *("1:9e99:1", "0:1:1e-300", "1e308:1e308:1", "0e99999999:1:1", "1:1e40:1e40", "NaN:1:1", "1:inf:1"),
        *(
            "1-1000000000000",
            "5-1",
            "1-",
            "-1-",
            "0-0",
            "9223372036854775807",
            "9223372036854775808",
            "last-1",
        ),
        *("999999999999999d", "999999999999999-99:99:99", "99:99", "1:2", "-1:00:00", "1d-00:00:00"),
        *("0001-01-01", "9999-12-31", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2030-13-01"),
        *("2030-01-31T08:00+99:00", "2030-W01-1", "+", "+-5", "+9999999d", "20300131T08"),
        *(
            "8E",
            "8e",
            "99999999T",
            "1.5.5G",
            ".5G",
            "1e9G",
            "8G8G",
            "K",
            "iB",
            "-8G",
            "8 GiB",
            "9223372036854775808",
        ),
        *(
            "a=1",
            "a=",
            "=1",
            "a==",
            "1a=1",
            "x" * 300 + ".csv",
            "/" + "x" * 5000,
            "*" * 100,
            "[!",
            "**/**/**",
        ),
        *("postgresql://h:abc/d", "postgresql://h:99999/d", "postgresql://h:/d", "postgresql://h:0/d"),
        *(
            "postgresql://h:-1/d",
            "postgresql://h:٥٤٣٢/d",
            "postgresql://h:" + "9" * 5000,
            "postgresql://a@b@c/d",
        ),
        *(
            "postgresql://u:p@ss@h/d",
            "postgresql://[::1/d",
            "postgresql://[::1]:x/d",
            "postgresql://h1:1,,h2:2/d",
            "postgresql://h1:1,h2:x/d",
            "postgresql://h1,h2/d?target_session_attrs=standby",
        ),
        *(
            "postgresql://h/\0",
            "postgresql://\n",
            "postgresql://\udcff",
            "postgresql://:::",
            "postgresql://?x=%zz",
        ),
        *("redis://h:99999", "redis://h:abc/0", "redis://h:-1", "redis://h:0", "redis://h:" + "9" * 5000),
        *("postgresql://a..b/d", "redis://.h/0", f"redis://{'h' * 64}/0", "redis+socket:///s?virtual_host=x"),
        *("redis://h/0?foo=bar", "redis://h/0?socket_timeout=x", "redis://h/0?virtual_host=²"),
        *("redis://h/abc", "redis://h/0/1", "redis://h/" + "9" * 5000, "redis://[::1", "redis://[x]:1/0"),
        *(
            "redis://:p#w@h/0",
            "redis://:p/w@h/0",
            "redis://h/0?ssl_cert_reqs=maybe",
            "redis://h/-1",
            "redis://h\n",
        ),
        *("rediss://h/0?ssl_ca_certs=/nowhere", "redis+socket://", "redis+socket:///\0", "redis://\udcff"),
    )
}


def _filters(text: str) -> object:
    Filters(since=text).to_board()
    return Filters(tags=(text,), workflow=text, queue=text).to_board()


def _each(text: str) -> object:
    return [list(sources.read_each(target, text)) for target in TARGETS]


def _each_line(text: str) -> object:
    return [list(sources._json_lines("stdin", io.StringIO(text)))]


def _each_row(text: str) -> object:
    return [list(sources._table(TARGETS[0], "t.csv", io.StringIO(f"label\n{text}\n"), ","))]


def _value(name: str) -> Callable[[str], object]:
    def parse(text: str) -> object:
        for target in TARGETS:
            target.preparation(Options())(target.parse([(name, text)]))
        return None

    return parse


def _option(name: str, *types: Any) -> Callable[[str], object]:
    def make(text: str) -> object:
        return preparation(ENERGY, Options(**{name: text}))({})

    return make


def _run_at(text: str) -> object:
    moment, delay = parse_run_at(text)
    return Options(run_at=moment, delay=delay)


def _definition(name: str) -> Callable[[str], object]:
    return lambda text: Definition(_energy, name="t.other", **{name: text})


PARSERS: dict[str, Callable[[str], object]] = {
    "a duration": parse_duration,
    "a size": parse_size,
    "--timeout": lambda text: duration("--timeout", text),
    "filters": _filters,
    "selectors": lambda text: selectors.parse([text], lambda: text),
    "selectors from stdin": lambda text: selectors.parse(["-"], lambda: text),
    "--run-at": _run_at,
    "NAME=VALUE": lambda text: sources.pairs([text]),
    "--grid": lambda text: sources.grid_axes(TARGETS[0], [f"label={text}"]),
    "--grid of numbers": lambda text: sources.grid_axes(TARGETS[0], [f"x={text}"]),
    "--each": _each,
    "--each FILE": lambda text: _each(f"{text}.csv"),
    "a JSON line": _each_line,
    "a JSON value": lambda text: _each_line(f'{{"a": {text}}}'),
    "a row": _each_row,
    "JSON": strict,
    "readings": readings,
    "a float": _value("x"),
    "an int": _value("n"),
    "a str": _value("label"),
    "a timedelta": _value("when"),
    "anything": _value("any"),
    **{f"option {name}": _option(name) for name in Options.__dataclass_fields__},
    "option tags[]": lambda text: preparation(ENERGY, Options(tags=[text]))({}),
    **{
        f"workflow({name}=)": _definition(name)
        for name in (
            "queue",
            "priority",
            "max_attempts",
            "time_limit",
            "retry_delay",
            "retry_on",
            "version",
            "cwd",
        )
    },
    "Retry(delay=)": lambda text: Retry(delay=text),
    "a URL of Postgres": check_postgres,
    "a URL of Redis": check_redis,
    "postgresql://": lambda text: check_postgres(f"postgresql://{text}"),
    "redis://": lambda text: check_redis(f"redis://{text}"),
    "a masked URL": masked,
    "a cell of CSV": csv_cell,
}


def attempt(parse: Callable[[str], object], text: str) -> str:
    """What a parser says: its error's message, or nothing. Anything but the classes of errors gets out."""
    try:
        parse(text)
    except UnicodeError as error:
        pytest.fail(f"a text that is no text needs words of its own: {error!r}")
    except (SimceleryError, ValueError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_gives_a_value_or_one_short_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (*SHORT.values(), *long_texts(3000).values()):
        said = attempt(PARSERS[name], text)
        assert len(said) < 2 * len(text) + 1000, (name, text[:40])


def _seconds(parse: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    attempt(parse, text)
    return time.process_time() - began


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_takes_time_in_proportion(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parse = PARSERS[name]
    for (kind, text), longer in zip(long_texts(25_000).items(), long_texts(100_000).values(), strict=True):
        took = _seconds(parse, longer)
        if took > 0.5:  # else it is fast enough whatever the law
            assert took < 8 * max(_seconds(parse, text), 0.05), (kind, took)


@pytest.mark.parametrize("text", ["1:1e999999:1", "1:1000000000000:1", "0:1:1e-300", "1:2:1e-999999"])
def test_a_range_of_too_many_values_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError, match=r"--grid: .*(more than|too large|too small)"):
        sources.grid_values(text)
    assert time.process_time() - began < 1


def test_a_range_is_exact_whatever_its_numbers() -> None:
    assert sources.grid_values("1e30:1.0000000000000000000000000000001e30:0.1") == [
        f"1{'0' * 30}.0",
        f"1{'0' * 29}0.1",
    ]
    assert sources.grid_values("1e-34:3e-34:1e-34") == [f"0.{'0' * 33}{i}" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    "value",
    [
        dt.timedelta.max,
        dt.timedelta.min,
        10**400,
        -(10**400),
        1e300,
        float("inf"),
        float("nan"),
        True,
        None,
        [],
        {},
    ],
    ids=lambda value: str(value)[:10],
)
def test_what_is_no_duration_is_no_number_of_seconds(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|longer than a hundred years"):
        parse_duration(value)


@pytest.mark.parametrize("value", [10**30, True, None, 1.5, [], "1" * 20, "K", "1\u212a", "8388608T"])
def test_what_is_no_size(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a size|no computer has as many bytes"):
        parse_size(value)


def test_the_longest_duration_can_be_added_to_today() -> None:
    assert dt.datetime.now() + dt.timedelta(seconds=parse_duration(LONGEST))
    assert parse_size("9223372036854775807") == 2**63 - 1


# --- settings --------------------------------------------------------------------------------------


@pytest.fixture
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(settings, "_overrides", {})
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def read_settings() -> str:
    """What reading the settings says: one line, or nothing."""
    get_settings.cache_clear()
    said = ""
    try:
        get_settings()
    except SettingsError as error:
        said = str(error)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", FIELDS)
def test_a_variable_of_the_environment_is_read_or_refused(
    name: str, nothing_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in (*SHORT.values(), *long_texts(20_000).values()):
        if "\0" in text or "\ud800" in text:
            continue  # no environment can hold it
        monkeypatch.setenv(f"SIMCELERY_{name.upper()}", text)
        assert len(read_settings()) < 2500


WRONG_KINDS = (
    *(
        "5",
        "-5",
        "0",
        "1.5",
        "nan",
        "inf",
        "-inf",
        "true",
        "''",
        "'x'",
        "'\\u0000'",
        "[]",
        "[[]]",
        "[5]",
        "['a', 5]",
    ),
    *(
        "{}",
        "{a = 1}",
        "[{}]",
        "2020-01-01",
        "2020-01-01T00:00:00Z",
        "08:00:00",
        "1e400",
        "9" * 400,
        "'" + "9" * 400 + "'",
    ),
    "99999999999999999999",
)


@pytest.mark.parametrize("name", [*FIELDS, "nosuch", "Lease", '"a\\nb"', '""', "lease.x"])
def test_a_value_of_a_wrong_kind_in_the_file_is_refused(name: str, nothing_set: Path) -> None:
    for value in WRONG_KINDS:
        (nothing_set / "simcelery.toml").write_text(f"{name} = {value}\n")
        said = read_settings()
        assert "Traceback" not in said
        if name not in FIELDS:
            assert "simcelery.toml" in said


@pytest.mark.parametrize(
    "raw",
    [
        b"lease = " + b"9" * 5000,
        b"lease = " + b"[" * 50_000,
        b"a" + b".a" * 2000 + b" = 1",
        b"\xff\xfe",
        b"\0",
        b"lease",
        b"lease = 1\nlease = 2",
        b"[lease]\nx = 1",
        b"[[lease]]",
        b"lease = '",
        b"\xef\xbb\xbf\xef\xbb\xbf",
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_a_file_that_is_no_toml_is_named(raw: bytes, nothing_set: Path) -> None:
    (nothing_set / "simcelery.toml").write_bytes(raw)
    assert "simcelery.toml" in read_settings()


# --- URLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/d",
        "postgres://u:p@h:5432/d",
        "postgresql+psycopg://u:p%40s%2Fs@h:5432/d?sslmode=require&x=a@b",
        "postgresql://u:p/a?s#s:x@h:5432/d",
        "postgresql://[::1]:5432/d",
        "postgresql:///d?host=/run/postgresql",
        "postgresql://u@/d?host=a:1&host=b:2",
        "postgresql://[fe80::1%25eth0]/d",
    ],
)
def test_a_url_of_postgres_that_works_is_taken(url: str) -> None:
    from sqlalchemy.engine import make_url

    check_postgres(url)
    assert make_url(url).port in (None, 5432)


@pytest.mark.parametrize(
    "url", ["redis://", "redis://h", "redis://h/", "redis://:pw@h:6379/0", "rediss://u:p%2F@[::1]:6380/15"]
)
def test_a_url_of_redis_that_works_is_taken(url: str) -> None:
    check_redis(url)
    check_redis("redis+socket:///run/redis.sock?virtual_host=1")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:{}@h:5432/d",
        "postgresql://me:a/{}@h/d",
        "postgresql://me:a#{}@h/d",
        "postgresql://me:a?{}@h/d",
        "postgresql://me:a@{}@h/d",
        "postgresql://me:a:{}@h/d",
        "postgresql://me@h/d?password={}",
        "redis://:{}@h/0",
        "redis://:a#{}@h/0",
        "redis://:a/{}@h/0",
        "redis://:a?{}@h/0",
        "redis://:a@{}@h/0",
        "redis://:a[{}@h/0",
        "redis://:12?{}@h/0",
        "redis://:12?{}=1@h/0",
        "redis://:12?ssl_cert_reqs={}@h/0",
        "redis://:12?a&ssl_{}@h/0",
        "rediss://h/0?ssl_password={}",
    ],
)
def test_no_password_is_told(url: str, nothing_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cr3t"
    url = url.format(secret)
    name = "SIMCELERY_BROKER_URL" if url.startswith("redis") else "SIMCELERY_DATABASE_URL"
    monkeypatch.setenv(name, url)
    assert secret not in read_settings()
    assert secret not in masked(url)


# --- the real command line -------------------------------------------------------------------------

NINES = "9" * 20_000
WORST: list[tuple[tuple[str, ...], str]] = [
    (("list", "--since", f"{NINES}x"), "is not a duration"),
    (("list", "--since", "999999999999999d"), "longer than a hundred years"),
    (("wait", "1", "--timeout", "9" * 400), "is not a duration"),
    (("wait", "1", "--timeout", "inf"), "is not a duration"),
    (("wait", "1", "--timeout", "-5"), "is not a duration"),
    (("stats", "--since", "0"), "must be longer than 0"),
    (("watch", "--every", "0"), "must be at least 1s"),
    (("prune", "--older-than", NINES), "is not a duration"),
    (("cancel", "1", "--wait", "--timeout", "١٢m"), "is not a duration"),
    (("list", "9" * 5000), "is not a job id"),
    (("show", "²"), "is not a job id"),
    (("show", "9223372036854775808"), "no job has an id this large"),
    (("status", "1-99999999999999999999"), "is not a job id"),
    (("list", os.fsdecode(b"\xff")), "is not a job id"),
    (("list", "-n", "9" * 5000), "not a valid integer range"),
    (("list", "-n", "99999999999999999999"), "is not in the range"),
    (("list", "--before", "9" * 19), "is not in the range"),
    (("errors", "-n", "1e3"), "'1e3' is not a whole number"),
    (("submit", "-p", NINES, "--", "true"), "not a valid integer range"),
    (("submit", "--max-attempts", "99999999999", "--", "true"), "is not in the range"),
    (("submit", "--time-limit", "0", "--", "true"), "time_limit must be more than 0"),
    (("submit", "--time-limit", f"{NINES}h", "--", "true"), "is not a duration"),
    (("submit", "--run-at", "9999-12-31T23:59:59-23:59", "--", "true"), "is not a time"),
    (("submit", "--run-at", "0001-01-01", "--", "true"), "--run-at"),
    (("submit", "--run-at", "+999999999d", "--", "true"), "longer than a hundred years"),
    (("submit", "-t", os.fsdecode(b"\xff"), "--", "true"), "is not printable text"),
    (("submit", "-q", NINES, "--", "true"), "queue"),
    (("submit", "--key", "a\nb", "--", "true"), "key"),
    (("submit", "--", os.fsdecode(b"\xff")), "parameter argv"),
    (("submit", "command", "--grid", f"argv={NINES}:1:1"), "at most 40 characters"),
    (("submit", "command", "--grid", "argv=1:1e999999:1"), "too large or too small"),
    (("submit", "command", "x" * 5000), "is not of the form NAME=VALUE"),
    (("submit", "command", f"argv={'[' * 50_000}"), "parameter 'argv'"),
    (("submit", "command", f"argv=[{'9' * 5000}]"), "has more than 4,000 digits"),
    (("submit", "command", "argv=[1e999999]"), "too large"),
    (("submit", "command", "--each", "x" * 5000 + ".csv"), "File name too long"),
    (("submit", "x" * 20_000), "no workflow"),
    (("run", "command", "argv=[]", "--seed", NINES), "not a valid integer range"),
    (("--database-url", "postgresql://h:abc/d", "list"), "must have a port from 1 to 65535"),
    (("--database-url", "postgresql://u:p@ss@h/d", "list"), "in a password, write @ as %40"),
    (("--database-url", "postgresql://127.0.0.1:9/d?nosuch=1", "list"), "nosuch"),
    (("--broker-url", "redis://h:99999", "list"), "must have a port from 1 to 65535"),
    (("--database-url", "postgresql://a..b/d", "list"), "has an invalid host"),
    (("--broker-url", f"redis://{'h' * 70_000}/0", "list"), "has an invalid host"),
    (("--broker-url", "redis://h/0?socket_timeout=x", "list"), "has an unknown parameter 'socket_timeout'"),
    (("--broker-url", "redis+socket:///s?virtual_host=x", "list"), "virtual_host must be a database number"),
    (("--broker-url", "redis://h/abc", "list"), "must end with a database number"),
    (("x" * 20_000,), "there is no command"),
]


@pytest.mark.parametrize(("arguments", "expected"), WORST, ids=lambda value: " ".join(value)[:40])
def test_the_command_line_says_it_in_one_line(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "SIMCELERY_HOME": str(tmp_path)}
    done = programs.run(["simcelery", *arguments], tmp_path, environment, within(60))
    assert expected in done.stderr
    assert done.stderr.startswith("simcelery: ")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 2500
    assert done.returncode == 2
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [("list", "-"), ("submit", "command", "--each", "-")])
def test_stdin_that_is_no_text_is_said_so(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code = "import sys; from simcelery.cli.root import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "SIMCELERY_HOME": str(tmp_path), "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"},
        input=b"\xff\xfe1\n",
        capture_output=True,
        timeout=within(60),
        check=False,
    )
    assert b"not UTF-8 text" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert done.returncode == 2


def test_errors_of_a_number_of_thousands_of_digits(board: object) -> None:
    for number in ("9" * 5000, "0", "١٢", "²", "\udcff", "a\0b"):
        said = attempt(lambda text: in_group(Filters().to_board(), text), number)
        assert len(said) < 500


def test_a_tag_is_not_taken_for_a_list_of_letters() -> None:
    from simcelery.submission.manage import jobs

    with pytest.raises(UsageError, match=r"tags must be a list of words: write tags=\['scan'\]"):
        jobs(tags="scan")


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"ids": 5}, r"ids must be a list of job ids, such as \[42\], not 5$"),
        ({"ids": "42"}, "ids must be a list of job ids"),
        ({"ids": ["42"]}, "ids must be a list of job ids"),
        ({"ids": [1.5]}, "ids must be a list of job ids"),
        ({"ids": [None]}, "ids must be a list of job ids"),
        ({"ids": [1, 10**30]}, f"{10**30} is not a job id"),
        ({"ids": [0]}, "0 is not a job id"),
        ({"state": 5}, "state must be a list of words, not 5"),
        ({"state": ["failed", 5]}, "state must be a list of words"),
        ({"tags": 5}, "tags must be a list of words, not 5"),
        ({"tags": [b"scan"]}, "tags must be a list of words"),
        ({"workflow": 5}, "workflow must be a name, not 5"),
        ({"queue": ["cpu"]}, r"queue must be a name, not \['cpu'\]"),
        ({"since": ["2d"]}, "since: .* is not a duration"),
    ],
)
def test_a_filter_of_the_wrong_type_is_one_line(filters: dict[str, Any], said: str) -> None:
    from simcelery.submission.manage import jobs

    with pytest.raises(UsageError, match=said) as caught:
        jobs(**filters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "number",
    ["x", "9" * 5000, 10**30, 10**5000, -1, 0, 1.5, None, b"1", "²"],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_id_names_no_job(number: Any) -> None:
    from simcelery.submission.handle import get_job

    with pytest.raises(UsageError, match="is not a job id") as caught:
        get_job(number)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["\udcff", "a\0b"])
def test_a_filter_that_no_text_column_can_hold_is_one_line(board: object, text: str) -> None:
    from simcelery.submission.manage import jobs

    for query in (jobs(workflow=text), jobs(tags=[text]), jobs(queue=text)):
        with pytest.raises(UsageError, match="the board cannot store this"):
            query.rows()
