"""Input files that are templates in Jinja2."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import simcelery
from simcelery.cli import programs, sources
from simcelery.cli.recording import prepared
from simcelery.cli.targets import Here
from simcelery.errors import DefinitionError, ParametersError, UsageError
from simcelery.submission.options import Options
from simcelery.worker import builtin
from simcelery.workflows import jinja

TEMPLATE = """\
{% for n in range(steps) %}
run {{ n }} at {{ T }} K, {{ '%.1f' | format(T * 2) }}
{% endfor %}
{% if dry is defined %}
dry
{% endif %}
"""
FILLED = "run 0 at 3.0e2 K, 600.0\nrun 1 at 3.0e2 K, 600.0\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def submitted(*pairs: str, file: str = "in.melt.j2", text: str = TEMPLATE) -> list[Any]:
    """The parameters of ``submit --file FILE pairs -- lmp -in in.melt``."""
    Path(file).write_text(text)
    one = dict.fromkeys(["stdin", "ok", "json_"])
    chosen: dict[str, Any] = {**dict.fromkeys(programs._OPTIONS, ()), **one, "files": [file]}
    program = programs.asked(chosen, of_command=True)
    target = program.target(Here(builtin.command), ["lmp", "-in", "in.melt"], filled=bool(pairs))
    jobs = prepared(target, sources.items(target, pairs, None, ()), Options())
    return [job.parameters["files"] for job in jobs]


def test_a_command_gets_its_file_filled_and_without_the_ending() -> None:
    assert submitted("steps=2", "T=3.0e2") == [{"in.melt": FILLED}]  # the number as it was given
    assert submitted("steps=0", "T=1", "dry=yes") == [{"in.melt": "dry\n"}]
    assert submitted(text="no values\n") == [{"in.melt": "no values\n"}]


@pytest.mark.parametrize(
    ("pairs", "text", "said"),
    [
        (["steps=2"], TEMPLATE, "in.melt: 'T' is undefined (given: steps)"),
        (["steps=2", "T=300", "P=1"], TEMPLATE, "nothing in the command takes 'P'"),
        (["steps=many", "T=300"], TEMPLATE, "in.melt: TypeError: 'str' object cannot be interpreted as an"),
        (["T=1"], "{{ T / 0 }}", "in.melt: ZeroDivisionError: "),
        (["T=1"], "x\n{% if T %}", "in.melt, line 2: Unexpected end of template"),
        (["T=1"], "{{ T.__class__.__mro__ }}", "in.melt: SecurityError: access to attribute '__class__'"),
        (["T=1"], "{% include '/etc/passwd' %}{{ T }}", "in.melt: TypeError: no loader for this environment"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_written(pairs: list[str], text: str, said: str) -> None:
    with pytest.raises(UsageError) as wrong:
        submitted(*pairs, text=text)
    assert str(wrong.value).startswith(said)
    assert "\n" not in str(wrong.value)


def test_without_jinja_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    jinja._environment.cache_clear()
    for name in ("jinja2", "jinja2.sandbox"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"pip install 'simcelery\[jinja\]'"):
        submitted("T=1", "steps=1")


def test_texts_that_are_no_numbers_stay_texts() -> None:
    for text in ("nan", "1_000", "Cu", "", "1e", "0x10", "١"):
        assert jinja.as_number(text) is text
    assert [jinja.as_number(text) * 2 for text in ("007", "-1.50", "2.", ".5", "1E3")] == [14, -3, 4, 1, 2000]


# --- codes ---


@dataclass
class Found:
    cell: dict[str, list[float]]
    site: Site


@dataclass
class Site:
    symbol: str


def code(text: str, **options: Any) -> Any:
    Path("in.j2").write_text(text)

    @simcelery.code(command=["cat", "in"], inputs={"in": Path.cwd() / "in.j2"}, name="test.jinja", **options)
    def run(elements: list[str], a: float = 3.6) -> None: ...

    return run


def test_a_code_takes_lists_and_parse_may_give_what_is_nested() -> None:
    run = code(
        "{% for one in elements %}\n{{ loop.index }} {{ one }} {{ a }}\n{% endfor %}\n",
        parse=lambda folder: Found({"a": [3.6, 3.7]}, Site("Cu")),
    )
    result = run(["Cu", "Ag"])
    assert result.output == "1 Cu 3.6\n2 Ag 3.6\n"
    from simcelery.workflows.encoding import encode

    stored = encode(result, "result")
    assert (stored["cell"], stored["site"]) == ({"a": [3.6, 3.7]}, {"symbol": "Cu"})


def test_a_code_with_a_template_that_is_none_is_not_defined() -> None:
    with pytest.raises(DefinitionError, match=r"code: .*run: in, line 1: "):
        code("{% for %}")
    with pytest.raises(ParametersError, match=r"in: 'b' is undefined \(given: elements, a\)"):
        code("{{ b }}")(["Cu"])
