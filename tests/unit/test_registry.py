"""The registry: names, and modules that import or do not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The package's own entry points: imported here, they are registered for good and not in a test's registry.
import simcelery.demo
import simcelery.worker.builtin  # noqa: F401
from simcelery.errors import DefinitionError, UnknownWorkflowError
from simcelery.settings import Settings, get_settings
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition
from tests.waiting import within

GOOD = """
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition
def {name}(x: int) -> int: return x
{name} = registry.register(Definition({name}))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty registry that has loaded nothing yet, and an empty folder as the current one."""
    for name, empty in (("_definitions", {}), ("_listeners", []), ("_failures", {}), ("_loaded", False)):
        monkeypatch.setattr(registry, name, empty)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if module.partition(".")[0].endswith("_wf"):
            del sys.modules[module]


def relax(x: int) -> int:
    return x


def other(x: int) -> int:
    return x


def load(*modules: str) -> dict[str, str]:
    return {name: str(error) for name, error in registry.load(Settings(workflows=list(modules))).items()}


def names() -> list[str]:
    return [definition.name for definition in registry.definitions()]


def test_two_functions_of_one_name_are_refused_and_both_are_named(project: Path) -> None:
    registry.register(Definition(relax, name="mine"))
    with pytest.raises(
        DefinitionError, match=r"two workflows are called 'mine': .*\.relax and .*\.other; give one"
    ):
        registry.register(Definition(other, name="mine"))
    assert registry.get("mine").function is relax


def test_the_same_function_defined_again_replaces_itself(project: Path) -> None:
    registry.register(Definition(relax, name="mine"))
    again = registry.register(Definition(relax, name="mine", priority=9))
    assert registry.get("mine") is again
    assert names() == ["mine"]


def test_a_script_and_the_module_it_is_imported_as_are_one(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(
        GOOD.format(name="relax")
        + "if __name__ == '__main__':\n    import study\n    print(registry.get('study.relax'))"
    )
    run = subprocess.run(
        [sys.executable, "study.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=within(60),
    )
    assert (run.stdout, run.stderr) == ("<workflow study.relax>\n", "")


def test_modules_of_the_settings_are_imported_from_the_current_folder(project: Path) -> None:
    (project / "one_wf.py").write_text(GOOD.format(name="a"))
    (project / "pack_wf").mkdir()
    (project / "pack_wf" / "two.py").write_text(GOOD.format(name="b"))
    assert load("one_wf", "pack_wf.two", "one_wf") == {}
    assert names() == ["one_wf.a", "pack_wf.two.b"]


def test_modules_are_imported_from_the_folder_of_the_settings_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "simcelery.toml").write_text('workflows = ["beside_wf"]')
    (project / "beside_wf.py").write_text(GOOD.format(name="a"))
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")
    assert registry.load(get_settings.__wrapped__()) == {}
    assert names() == ["beside_wf.a"]


def test_modules_of_the_environment_are_imported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "env_wf.py").write_text(GOOD.format(name="a"))
    monkeypatch.setenv("SIMCELERY_WORKFLOWS", "env_wf, ")
    assert registry.load(get_settings.__wrapped__()) == {}
    assert names() == ["env_wf.a"]


def test_modules_of_entry_points_are_imported(project: Path) -> None:
    about = project / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[simcelery.workflows]\na = theirs_wf\nb = theirs_too_wf:a\nc = absent_wf\n"
    )
    (project / "theirs_wf.py").write_text(GOOD.format(name="a"))
    (project / "theirs_too_wf.py").write_text(GOOD.format(name="a"))
    sys.path.insert(0, str(project))
    assert list(load()) == ["absent_wf"]
    assert names() == ["theirs_too_wf.a", "theirs_wf.a"]


BROKEN = {
    "syntax_wf": ("x = 1\ndef f(:\n", r"SyntaxError: invalid syntax \(.*syntax_wf\.py, line 2\)$"),
    "raises_wf": ("1 / 0", r"ZeroDivisionError: division by zero \(.*raises_wf\.py, line 1\)$"),
    "silent_wf": ("raise RuntimeError", r"RuntimeError \(.*silent_wf\.py, line 1\)$"),
    "lines_wf": ("raise ValueError('a\\nb')", r"ValueError: a b \("),
    "exits_wf": ("import sys\nsys.exit(3)", r"SystemExit: 3 \(.*exits_wf\.py, line 2\)$"),
    "needs_wf": (
        "import not_installed_anywhere",
        r"ModuleNotFoundError: No module named 'not_installed_anywhere'",
    ),
    "names_wf": ("from json import nothing", r"ImportError: cannot import name 'nothing' from 'json'"),
}


@pytest.mark.parametrize("module", BROKEN)
def test_a_module_that_does_not_import_is_one_line_with_file_and_line(project: Path, module: str) -> None:
    source, message = BROKEN[module]
    (project / f"{module}.py").write_text(source)
    error = load(module)[module]
    assert error.startswith(f"workflows: module {module!r} does not import: ")
    assert "\n" not in error
    with pytest.raises(DefinitionError, match=message):
        raise DefinitionError(error)


def test_one_broken_module_does_not_hide_the_others(project: Path) -> None:
    for module, (source, _) in BROKEN.items():
        (project / f"{module}.py").write_text(source)
    (project / "fine_wf.py").write_text(GOOD.format(name="a"))
    assert list(load(*BROKEN, "absent_wf", "fine_wf")) == [*BROKEN, "absent_wf"]
    assert names() == ["fine_wf.a"]


@pytest.mark.parametrize("module", ["absent_wf", "absent_wf.relax", "here_wf.relax", "relax.py/x"])
def test_a_module_that_is_not_there_says_where_it_was_named_and_looked_for(
    project: Path, module: str
) -> None:
    (project / "here_wf.py").write_text("")
    error = load(module)[module]
    assert error.startswith(
        f"workflows: there is no module {module!r} (from simcelery.toml, SIMCELERY_WORKFLOWS"
    )
    assert str(project) in error


def test_a_workflow_that_cannot_be_defined_is_told_with_its_module(project: Path) -> None:
    (project / "bad_wf.py").write_text(GOOD.format(name="a").replace("x: int", "x"))
    assert load("bad_wf")["bad_wf"].startswith(
        "workflows: module 'bad_wf': workflow bad_wf.a: parameter 'x' has no"
    )


def test_modules_are_imported_once(project: Path) -> None:
    (project / "once_wf.py").write_text("raise ValueError")
    assert list(load("once_wf")) == ["once_wf"]
    (project / "once_wf.py").write_text(GOOD.format(name="a"))
    assert list(load("once_wf")) == ["once_wf"]


def test_an_unknown_name_gets_the_one_that_was_meant(project: Path) -> None:
    registry.register(Definition(relax, name="emt.relax"))
    with pytest.raises(
        UnknownWorkflowError, match=r"^no workflow is called 'emt.relx'; did you mean 'emt.relax'\?$"
    ):
        registry.get("emt.relx")
    assert registry.find("emt.relx") is None
    registry.register(Definition(relax, name="mine.relax"))
    with pytest.raises(UnknownWorkflowError, match=r"did you mean 'emt.relax' or 'mine.relax'\?$"):
        registry.get("relax")


def test_an_unknown_name_without_likeness_says_where_workflows_are_named(project: Path) -> None:
    with pytest.raises(
        UnknownWorkflowError, match=r"'zzz'; 'simcelery workflows' lists them; name your modules in"
    ):
        registry.get("zzz")


def test_an_unknown_name_of_a_broken_module_says_why_it_is_unknown(project: Path) -> None:
    registry.register(Definition(relax, name="raises_wf.relxa"))
    (project / "silent_wf.py").write_text("raise RuntimeError")
    (project / "raises_wf.py").write_text("1 / 0")
    load("silent_wf", "raises_wf")
    with pytest.raises(
        UnknownWorkflowError, match=r"'raises_wf\.relax'; workflows: module 'raises_wf' does not import"
    ):
        registry.get("raises_wf.relax")
    with pytest.raises(UnknownWorkflowError, match=r"'zzz'; workflows: module 'silent_wf' does not import"):
        registry.get("zzz")


def test_a_broken_module_does_not_hide_what_was_probably_meant(project: Path) -> None:
    registry.register(Definition(relax, name="emt.relax"))
    (project / "raises_wf.py").write_text("1 / 0")
    load("raises_wf")
    with pytest.raises(
        UnknownWorkflowError, match=r"did you mean 'emt.relax'\? \(workflows: module 'raises_wf'"
    ):
        registry.get("emt.relx")


def test_a_subscriber_hears_of_workflows_of_now_and_of_later(project: Path) -> None:
    first = registry.register(Definition(relax, name="a"))
    heard: list[Any] = []
    registry.subscribe(heard.append)
    second = registry.register(Definition(other, name="b"))
    assert heard == [first, second]
    again = registry.register(Definition(relax, name="a"))
    assert heard == [first, second, again]
