"""`module load` for a program: with the modules of Debian, and with functions as sites have them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from simcelery.execution.environment_modules import ModulesError, loaded, named


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a worker whose site has the module toy/1.2."""
    modules = tmp_path / "modules"
    (modules / "toy").mkdir(parents=True)
    (modules / "toy" / "1.2").write_text(
        "#%Module1.0\nprepend-path PATH /opt/toy/bin\nsetenv TOY {two words}\n"
    )
    kept = {name: value for name, value in os.environ.items() if "MODULE" not in name and "LMOD" not in name}
    return kept | {"MODULEPATH": str(modules), "OTHER": "é=\n1", "PWD": "/as/it/was"}


def site(environment: dict[str, str], tmp_path: Path, function: str) -> dict[str, str]:
    """The environment of a site whose `module` is this."""
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "bash").write_text(f"module() {{ {function}\n}}\n")
    return environment | {"MODULESHOME": str(tmp_path)}


real = pytest.mark.skipif(shutil.which("modulecmd") is None, reason="needs Debian's environment-modules")


@real
def test_a_module_adds_to_the_environment_and_leaves_the_rest(environment: dict[str, str]) -> None:
    found = loaded(["toy"], environment)
    assert found["PATH"] == f"/opt/toy/bin:{environment['PATH']}"
    assert found["TOY"] == "two words"
    assert found["LOADEDMODULES"] == "toy/1.2"
    assert {name: found.get(name) for name in environment if name != "PATH"} == {
        name: value for name, value in environment.items() if name != "PATH"
    }
    assert found.keys() & {"_", "SHLVL", "OLDPWD"} == environment.keys() & {"_", "SHLVL", "OLDPWD"}


@real
@pytest.mark.parametrize("name", ["toy/9", "$(touch pwned)", "toy;touch pwned"])
def test_a_module_that_is_not_there_is_named(
    environment: dict[str, str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModulesError) as caught:
        loaded(["toy/1.2", name], environment)
    assert str(caught.value).startswith(f"module load toy/1.2 {name}: ")
    assert "Unable to locate a modulefile" in str(caught.value)
    assert not Path("pwned").exists()


def test_modules_are_loaded_in_their_order_by_the_function_of_the_site(
    environment: dict[str, str], tmp_path: Path
) -> None:
    of_site = site(environment, tmp_path, 'echo talks; shift; for one; do export ALL="$ALL[$one]"; done')
    assert loaded(["b", "a/1"], of_site)["ALL"] == "[b][a/1]"


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("echo 'x(1):ERROR:105: Unable to locate a modulefile' >&2", "Unable to locate"),  # and succeeds
        ("echo first >&2; printf '\\n\\n2\\n3\\n4\\n5\\n' >&2; return 1", "first\n2\n3\n4"),
        ("return 3", "exit code 3"),
        ("exit 2", "exit code 2"),
    ],
)
def test_what_a_site_says_is_the_reason(
    environment: dict[str, str], tmp_path: Path, function: str, told: str
) -> None:
    with pytest.raises(ModulesError, match=r"^module load toy: ") as caught:
        loaded(["toy"], site(environment, tmp_path, function))
    assert str(caught.value).endswith(told) or told in str(caught.value)
    assert "5" not in str(caught.value).partition("ERROR")[0]


def test_a_machine_without_bash_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ModulesError, match="cannot run bash here"):
        loaded(["toy"], environment | {"PATH": str(tmp_path)})


@pytest.mark.parametrize("name", ["", "-f", "--help", "two words", "a\nb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of an environment module"):
        named(name)
