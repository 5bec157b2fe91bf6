"""Which functions an executor takes, and which of them a worker calls on the say of a job."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import operator
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simcelery import Executor, settings
from simcelery.errors import DefinitionError, EncodingError, ParametersError
from simcelery.submission.options import Options
from simcelery.workflows import functions, project


def top(x: float, y: int = 2) -> float:
    return x * y


class Thing:
    def method(self) -> int:
        return 1


async def coroutine(x: int) -> int:
    return x


def generator(x: int) -> Iterator[int]:
    yield x


def local() -> Any:
    def inner(x: int) -> int:
        return x

    return inner


REFUSED = [
    (lambda x: x, "a lambda has no name"),
    (local(), "is defined inside another function"),
    (Thing.method, "is a method"),
    (Thing().method, "is a method"),
    (Thing, "is a class"),
    (coroutine, "is a coroutine or a generator"),
    (generator, "is a coroutine or a generator"),
    (functools.lru_cache(local()), "is defined inside another function"),
    (42, "is not a function"),
    ("top", "is not a function"),
    (None, "is not a function"),
    (math.sqrt, 'to allow it: functions = ["math"]'),
    (sys.exit, 'to allow it: functions = ["sys"]'),
    (print, 'to allow it: functions = ["builtins"]'),
    (pytest.raises, "jobs may not call functions of module _pytest"),
]


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings, "_overrides", dict(settings._overrides))
    settings.get_settings.cache_clear()
    yield
    settings.get_settings.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder, in which this process is; what is imported there is forgotten."""
    (tmp_path / "simcelery.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: Path, code: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code))


@pytest.mark.parametrize(("function", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_function_that_no_worker_can_import_or_may_call_is_refused(function: Any, words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        project.name_of(function)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_function_has_the_name_of_its_module() -> None:
    name = project.name_of(top)
    assert name == "tests.unit.test_functions:top"
    assert project.load(name) is top


def test_what_the_settings_name_may_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.override({"functions": ["math", "_operator"]})
    assert project.load(project.name_of(math.sqrt))(4.0) == 2.0
    assert project.load(project.name_of(operator.mul))(2, 3) == 6
    with pytest.raises(DefinitionError, match="jobs may not call functions of module subprocess"):
        project.load("subprocess:run")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("os:system", "jobs may not call functions of module os"),
        ("subprocess:run", "jobs may not call functions of module subprocess"),
        ("builtins:exec", "jobs may not call functions of module builtins"),
        ("installed:f", "jobs may not call functions of module installed"),
        ("simcelery.services:erase", "jobs may not call functions of module simcelery"),
        ("mine:run", "is not a function of that module, but only imported there"),
        ("mine:os.system", "is not of the form module:function"),
        ("mine:Thing", "has no function 'Thing'"),
        ("mine:number", "has no function 'number'"),
        ("mine:gone", "has no function 'gone'"),
        ("mine", "is not of the form module:function"),
        ("mine:", "is not of the form module:function"),
        ("../mine:f", "is not of the form module:function"),
        ("nowhere:f", "there is no module 'nowhere' here"),
        ("mine.deeper:f", "there is no module 'mine.deeper' here"),
        ("__main__:f", "__main__"),
    ],
)
def test_a_row_calls_nothing_but_functions_of_the_project(folder: Path, name: str, words: str) -> None:
    write(folder / "mine.py", "from subprocess import run\nimport os\nnumber = 4\nclass Thing: pass\n")
    write(folder / "lib/python3.11/site-packages/installed.py", "raise SystemExit('imported')")
    sys.path.insert(0, str(folder / "lib/python3.11/site-packages"))
    with pytest.raises(DefinitionError) as refused:
        project.load(name)
    assert words in str(refused.value)
    assert "installed" not in sys.modules


def test_modules_of_packages_below_the_folder_are_the_projects(folder: Path) -> None:
    write(folder / "mine/sims/relax.py", "def f(x): return x + 1\n")
    assert project.load("mine.sims.relax:f")(1) == 2


def test_a_module_that_does_not_import_says_why(folder: Path) -> None:
    write(folder / "broken.py", "import not_installed\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        project.load("broken:f")


def test_a_module_that_submits_while_a_worker_imports_it_is_refused(folder: Path) -> None:
    write(
        folder / "unguarded.py",
        """
        import simcelery
        def f(x): return x
        simcelery.Executor().submit(f, 1)
        """,
    )
    with pytest.raises(DefinitionError, match="line 4 submits a job while it is imported"):
        project.load("unguarded:f")


@pytest.mark.parametrize("option", ["key", "after", "run_at", "canary", "max_workers", "nosuch"])
def test_an_executor_refuses_options_that_it_could_not_keep(option: str) -> None:
    with pytest.raises(ParametersError, match=f"an executor has no option '{option}'"):
        Executor(**{option: 2})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("notify", 2, "notify must be an address or a list of them"),
        ("notify", ["https://h/x", 2], "notify must be an address as text"),
        ("notify_on", 2, "notify: of which events"),
        ("tags", 2, "tags must be a list of words, not 2"),
        ("tags", "scan", r"tags must be a list of words: write tags=\['scan'\]"),
    ],
)
def test_an_executor_refuses_options_of_the_wrong_kind(option: str, given: object, said: str) -> None:
    with pytest.raises(ParametersError, match=said):
        Executor(**{option: given})  # type: ignore[arg-type]


def test_jobs_to_wait_for_are_jobs() -> None:
    with pytest.raises(ParametersError, match=r"after must be jobs or their ids, not 2\.5"):
        Options(after=2.5)  # type: ignore[arg-type]


@dataclasses.dataclass
class Point:
    x: float


def everything(a, b: Point, /, c=1, *more: int, d: float = 2, log=logging.getLogger(), **rest) -> Point:  # noqa: B008
    return Point(a + b.x + c + sum(more) + d + sum(rest.values()))


def odd(x: "no such type", y: logging.Logger | None = None, z: print = 3) -> "nor this":  # type: ignore # noqa: F722
    return x, y, z


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """As a client and a worker do together."""
    given = functions.bind(function, args, kwargs)
    awkward = functions.unstorable_defaults(function)
    here = functions.defined(function, "m:f", awkward.intersection(given))
    encoded = here.parameters.encode(
        here.parameters.validate(here.parameters.bind((), given)), lambda job: job.id
    )
    there = functions.defined(function, "m:f", frozenset(encoded))
    result = there.function(**there.parameters.restore(encoded))
    return here.parameters.restore_result(there.parameters.encode_result(result, 10**6))


def test_parameters_of_every_kind_are_passed_as_they_were() -> None:
    assert call(everything, 1, Point(2)) == Point(6.0)
    assert call(everything, 1, Point(2), 3, 4, 5, d=6, e=7) == Point(28.0)
    assert call(top, 2) == 4.0
    assert call(pow, 2, 3) == 8
    assert call(math.sqrt, 4.0) == 2.0
    assert call(math.hypot, 3, 4) == 5.0


def test_annotations_that_mean_nothing_to_the_board_take_anything() -> None:
    assert call(odd, (1, 2), z={3}) == ((1, 2), None, {3})


def nothing(x):
    return Point(x)


def test_what_would_come_back_as_something_else_is_refused() -> None:
    with pytest.raises(EncodingError, match=r"result is Point\(x=1\) \(Point\) and would come back as"):
        call(nothing, 1)
    with pytest.raises(EncodingError, match="declare its class, or pass plain data"):
        call(nothing, Point(1))


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, r"top\(\): missing a required argument: 'x'"),
        ((1, 2, 3), {}, r"top\(\): too many positional arguments"),
        ((1,), {"z": 3}, r"top\(\): got an unexpected keyword argument 'z'"),
        ((1,), {"x": 3}, r"top\(\): multiple values for argument 'x'"),
        (("one",), {}, "parameter 'x'"),
        ((1, 2.5), {}, "parameter 'y'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(args: Any, kwargs: Any, words: str) -> None:
    with pytest.raises(ParametersError, match=words):
        call(top, *args, **kwargs)
