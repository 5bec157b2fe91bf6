"""Definitions: options that are refused at once, retries, back-off, names and keys."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcelery.errors import DefinitionError, ParametersError
from simcelery.workflows.definition import MAX_BACKOFF, Definition, default_name, idempotency_key
from simcelery.workflows.encoding import JobRef
from simcelery.workflows.outcomes import Fail, Retry
from tests.unit.names import stable
from tests.waiting import within


def relax(structure: str, fmax: float = 0.05, bins: dict[int, float] | None = None) -> float:
    """Relax a structure.

    More words.
    """
    return fmax * 2


def define(**options: Any) -> Definition:
    return Definition(relax, **options)


def test_a_definition_is_still_the_function() -> None:
    definition = define()
    assert definition("Cu", fmax=1) == 2.0
    assert isinstance(definition("Cu", fmax=1), float)
    assert getattr(definition, "__name__", "") == "relax"
    assert definition.description == "Relax a structure."
    assert repr(definition) == f"<workflow {__name__}.relax>"


def test_a_plain_call_checks_its_parameters_too() -> None:
    with pytest.raises(ParametersError, match=r"relax: there is no parameter 'fmx'; did you mean 'fmax'\?"):
        define()("Cu", fmx=1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("priority", value) for value in (-1, 10, 2.5, "4", True, None)],
        *[("max_attempts", value) for value in (0, -1, 10_001, "3", False)],
        *[("max_losses", value) for value in (-1, 10_001, 1.0)],
        *[("time_limit", value) for value in (0, -5, "soon", "-5", float("nan"), float("inf"), True, [1])],
        *[("soft_time_limit", value) for value in (0, "", timedelta(0))],
        *[("time_request", value) for value in (0, "", -5, timedelta(0), float("inf"))],
        *[("retry_delay", value) for value in (-1, "x", timedelta(seconds=-1), {})],
        *[("retry_on", value) for value in ("ValueError", ValueError("x"), (ValueError, "KeyError"), (int,))],
        *[("queue", value) for value in ("", "a b", "a\0", 3)],
        *[("name", value) for value in ("", "my relax", "a\n", 3)],
        *[("version", value) for value in ("", 2, None)],
        ("slices", "no"),
    ],
    ids=stable,
)
def test_an_option_out_of_range_is_one_line_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(DefinitionError, match=rf"^workflow .*{option}") as caught:
        define(**{option: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (90, 90.0),
        ("1h30m", 5400.0),
        ("24h", 86400.0),
        ("00:01:30", 90.0),
        (timedelta(minutes=2), 120.0),
        (0.5, 0.5),
    ],
)
def test_durations_may_be_seconds_text_or_timedelta(given: Any, seconds: float) -> None:
    assert define(time_limit=given).time_limit == seconds
    assert define(time_request=given).time_request == seconds
    assert define(retry_delay=given).retry_delay == seconds


def test_extreme_options_are_taken_as_they_are() -> None:
    definition = define(priority=9, max_attempts=10_000, max_losses=0, retry_delay=0)
    assert (definition.priority, definition.max_attempts, definition.max_losses) == (9, 10_000, 0)
    assert definition.backoff(3) == 0.0


@pytest.mark.parametrize("soft", [60, "2m"])
def test_the_soft_time_limit_must_come_before_the_hard_one(soft: Any) -> None:
    with pytest.raises(
        DefinitionError, match=r"soft_time_limit must be below time_limit, and \d+ s is not below 60 s$"
    ):
        define(time_limit="1m", soft_time_limit=soft)
    assert define(time_limit="1m", soft_time_limit=59).soft_time_limit == 59.0
    assert define(soft_time_limit="2m").time_limit is None


def test_any_error_is_retried_unless_retry_on_says_which() -> None:
    assert define().retries(RuntimeError())
    for retry_on in (OSError, (OSError, KeyError), [OSError, KeyError], {OSError}):
        definition = define(retry_on=retry_on)
        assert definition.retries(FileNotFoundError())
        assert not definition.retries(RuntimeError())
    assert not define(retry_on=()).retries(RuntimeError())


def test_retry_and_fail_win_over_retry_on() -> None:
    assert define(retry_on=OSError).retries(Retry("again"))
    assert not define(retry_on=Exception).retries(Fail("never"))


def test_backoff_doubles_up_to_an_hour_with_up_to_a_tenth_more() -> None:
    definition = define(retry_delay=10)
    for failures, delay in ((1, 10), (2, 20), (5, 160), (9, 2560), (10, MAX_BACKOFF), (10_000, MAX_BACKOFF)):
        found = [definition.backoff(failures) for _ in range(200)]
        assert delay <= min(found)
        assert max(found) <= delay * 1.1
    assert len({definition.backoff(1) for _ in range(10)}) > 1


def test_a_first_delay_of_more_than_an_hour_is_kept() -> None:
    definition = define(retry_delay="2h")
    assert 7200 <= definition.backoff(1) <= 7920
    assert 7200 <= definition.backoff(4) <= 7920


@pytest.mark.parametrize(
    ("delay", "seconds"), [(7, 7.0), (timedelta(minutes=1), 60.0), ("1m30s", 90.0), (-3, 0.0), (0, 0.0)]
)
def test_the_delay_of_a_retry_is_taken_to_the_second(delay: Any, seconds: float) -> None:
    assert define().backoff(5, Retry("diverged", delay=delay)) == seconds


def test_a_retry_without_delay_backs_off_as_usual() -> None:
    assert 5.0 <= define().backoff(1, Retry("diverged")) <= 5.5


def test_a_retry_with_a_malformed_delay_says_so() -> None:
    with pytest.raises(ValueError, match="'soon' is not a duration"):
        Retry("diverged", delay="soon")


async def coroutine(x: int) -> None: ...
async def async_generator(x: int) -> AsyncIterator[int]:
    yield x


def generator(x: int) -> Iterator[int]:
    yield x


class Callee:
    def __call__(self, x: int) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        coroutine,
        async_generator,
        generator,
        Callee,
        Callee(),
        functools.partial(relax, "Cu"),
        None,
        3,
        "relax",
    ],
    ids=stable,
)
def test_only_an_ordinary_function_can_be_a_workflow(function: Any) -> None:
    with pytest.raises(
        DefinitionError, match=r" cannot be a workflow; decorate an ordinary function"
    ) as caught:
        Definition(function, name="w")
    assert "\n" not in str(caught.value)


def test_a_local_function_or_lambda_needs_a_name_of_its_own() -> None:
    def local(x: int) -> int:
        return x

    anonymous = lambda: 1  # noqa: E731
    for function in (local, anonymous):
        with pytest.raises(DefinitionError, match=r"a worker could not import it; .* @workflow\(name=…\)$"):
            Definition(function)
    assert Definition(local, name="mine.local").name == "mine.local"
    assert Definition(anonymous, name="mine.one")() == 1


def test_attributes_of_the_function_do_not_become_options() -> None:
    def decorated(x: int) -> int:
        return x

    decorated.queue = "theirs"  # type: ignore[attr-defined]
    decorated.name = "theirs"  # type: ignore[attr-defined]
    definition = Definition(decorated, name="mine")
    assert (definition.name, definition.queue) == ("mine", None)


SCRIPT = """
from simcelery.workflows.definition import Definition
def relax(x: int) -> int: return x
print(Definition(relax).name)
"""


def python(*command: str, folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=within(60),
    )


def test_a_workflow_of_a_script_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(SCRIPT)
    assert python("study.py", folder=tmp_path).stdout == "study.relax\n"
    package = tmp_path / "project"
    package.mkdir()
    (package / "study.py").write_text(SCRIPT)
    assert python("-m", "project.study", folder=tmp_path).stdout == "project.study.relax\n"


def test_a_workflow_typed_at_a_prompt_needs_a_name(tmp_path: Path) -> None:
    refused = python("-c", SCRIPT, folder=tmp_path)
    assert "__main__.relax: a worker could not import it; define the workflow at the top" in refused.stderr
    named = python("-c", SCRIPT.replace("(relax)", "(relax, name='mine')"), folder=tmp_path)
    assert named.stdout == "mine\n"


def test_a_function_of_a_module_is_named_by_both() -> None:
    assert default_name(relax) == f"{__name__}.relax"


def test_the_code_version_changes_with_the_code_and_with_the_declared_version() -> None:
    def one(x: int) -> int:
        return x

    def other(x: int) -> int:
        return x + 1

    versions = [
        Definition(f, name="w", version=v).code_version for f, v in ((one, "1"), (other, "1"), (one, "2"))
    ]
    assert len(set(versions)) == 3
    assert versions[0].startswith("1+")
    assert Definition(one, name="v").code_version == versions[0]


DECORATED = '''
import functools
import hashlib
import importlib
import inspect

def counted(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

@counted
@functools.lru_cache(
    maxsize=3,
)
def relax(x: int) -> int:
    """Its docstring."""
    def inner():
        return x
    # a comment at its end

    return inner()
    # another one

def plain(x: int) -> int: return x  # in one line
'''


def imported(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def test_the_code_that_counts_is_what_python_shows_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = imported(tmp_path, "decorated", DECORATED, monkeypatch)
    for function in (module.relax, module.plain):
        shown = hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:10]
        for keep in (False, True):
            defined = Definition(function, name="w")
            if keep:
                defined.keep_code()
            assert defined.code_version == f"1+{shown}"


def test_the_code_that_was_kept_counts_whatever_becomes_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = imported(tmp_path, "changing", DECORATED, monkeypatch)
    kept, gone, late = (Definition(module.plain, name="w") for _ in range(3))
    before = Definition(module.plain, name="w").code_version
    kept.keep_code()
    gone.keep_code()
    (tmp_path / "changing.py").write_text(DECORATED.replace(": return x", ": return x + 1"))
    assert kept.code_version == before
    assert late.code_version != before
    (tmp_path / "changing.py").unlink()
    assert gone.code_version == before


def test_code_without_source_goes_by_its_declared_version() -> None:
    scope: dict[str, Any] = {"__name__": "typed"}
    exec("def f(x: int) -> int: return x", scope)
    for keep in (False, True):
        defined = Definition(scope["f"], version="7")
        if keep:
            defined.keep_code()
        assert defined.code_version == "7"


class Handle(JobRef):
    id = 9


def key(definition: Definition, *args: Any, **given: Any) -> str:
    values = definition.parameters.validate(definition.parameters.bind(args, given))
    encoded = definition.parameters.encode(values, lambda ref: ref.id)
    return idempotency_key(definition.name, definition.version, encoded)


def test_equal_parameters_have_one_key_however_they_are_written() -> None:
    definition = define()
    expected = key(definition, "Cu")
    assert key(definition, structure="Cu", fmax=0.05) == expected
    assert key(definition, fmax=np.float64(0.05), structure="Cu", bins=None) == expected
    assert key(definition, "Cu", 1) == key(definition, "Cu", 1.0)
    assert key(definition, "Cu", bins={1: 0, 10: 1, 2: 2}) == key(definition, "Cu", bins={2: 2, 10: 1, 1: 0})


def test_different_jobs_have_different_keys() -> None:
    keys = [
        key(define(), "Cu"),
        key(define(), "Ag"),
        key(define(), "Cu", 0.06),
        key(define(), Handle()),
        key(define(version="2"), "Cu"),
        key(define(name="other"), "Cu"),
        key(define(), "Cu", bins={1: 2}),
        key(define(), "Cu", bins={2: 1}),
    ]
    assert len(set(keys)) == len(keys)
