"""The help costs nothing, every verb is there, and every fault is one line with the right exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from simcelery import errors
from simcelery.board.states import State
from simcelery.cli import root
from simcelery.cli.root import SECTIONS, VERBS
from tests import programs
from tests.waiting import within

HEAVY = ("sqlalchemy", "celery", "pydantic", "rich", "psycopg", "alembic", "kombu", "redis", "numpy")


def simcelery(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real thing, in a process of its own."""
    return programs.run(["simcelery", *arguments], Path.cwd(), {**os.environ, **environment}, within(60))


def loaded_after(*arguments: str) -> set[str]:
    """The packages that a command line has imported."""
    code = (
        "import sys; from simcelery.cli.root import run; run(sys.argv[1:]);"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=within(60),
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments", [("--help",), (), ("--version",), ("submit", "--help"), ("spool", "push", "-h")]
)
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not loaded_after(*arguments) & set(HEAVY)


def test_help_imports_no_verb() -> None:
    code = (
        "import sys; from simcelery.cli.root import run; run(['--help']);"
        "print(*[n for n in sys.modules if n.startswith(('simcelery.cli.', 'simcelery.describe.'))],"
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=within(60), check=True
    )
    own = {f"simcelery.cli.{name}" for name in ("root", "options", "output", "fit")}
    assert set(done.stderr.split()) == own | {"simcelery.describe.words"}


def test_help_lists_all_verbs_by_section() -> None:
    text = simcelery("--help").stdout
    for title, section in SECTIONS.items():
        assert f"{title}:" in text
        for name, line in section.items():
            assert name in text
            assert line in " ".join(text.split())


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_has_help_with_examples(name: str) -> None:
    verb = root.root.get_command(click.Context(root.root), name)
    assert verb is not None
    assert verb.name == name
    verbs = list(verb.commands.values()) if isinstance(verb, click.Group) else [verb]
    for each in verbs:
        text = each.get_help(click.Context(each, info_name=each.name))
        assert "Examples:\n  " in text
        assert each.help


@pytest.mark.parametrize(
    "name", ["list", "status", "watch", "wait", "results", "errors", "stats", "cancel", "retry"]
)
def test_the_help_of_a_filter_names_all_states(name: str) -> None:
    verb = root.root.get_command(click.Context(root.root), name)
    assert verb is not None
    text = " ".join(verb.get_help(click.Context(verb, info_name=name)).split())
    assert ", ".join(State) in text


def test_the_readme_has_all_verbs_and_no_others() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    table = text[text.index("| verb | does |") :].partition("\n\n")[0].splitlines()[2:]
    rows = [set(re.findall(r"`(?:simcelery )?([a-z]+)", row.split("|")[1])) for row in table]
    assert sorted(name for names in rows for name in names if name != "celery") == sorted(VERBS)


def test_an_unknown_verb_is_answered_with_the_one_that_was_meant() -> None:
    done = simcelery("cancle")
    assert done.returncode == 2
    assert done.stderr == (
        "simcelery: there is no command 'cancle'; did you mean 'cancel'? (see 'simcelery --help')\n"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("list", "--nosuch"), "no such option"),
        (("list", "-n", "0"), "0 is not in the range"),
        (("submit", "--cores", "1.5", "--", "true"), "'1.5' is not a whole number"),
        (("list", "-s", "done"), "'done' is not one of 'blocked'"),
        (("list", "--since", "soon"), "--since: 'soon' is not a duration"),
        (("list", "abc"), "'abc' is not a job id"),
        (("list", "--before", "0"), "0 is not in the range"),
        (("watch", "-s", "failed"), "watch always shows all jobs in all states"),
        (("watch", "-n", "5"), "leave out --state and --limit"),
        (("watch", "--every", "0.5"), "must be at least 1s"),
        (("stats", "--since", "soon"), "--since: 'soon' is not a duration"),
        (("prune",), "which jobs to prune? Give --older-than 30d"),
        (("prune", "--older-than", "x"), "--older-than: 'x' is not a duration"),
        (("prune", "--older-than", "1d", "--format", "csv"), "'csv' is not one of"),
        (("list", "5-1"), "'5-1' is not a range of ids"),
        (("show",), "missing argument 'IDS'"),
        (("cancel",), "which jobs to cancel? Give ids"),
        (("cancel", "42", "--timeout", "1m"), "--timeout needs --wait"),
        (("cancel", "42", "--wait", "--timeout", "x"), "--timeout: 'x' is not a duration"),
        (("explain",), "which jobs to explain? Give ids"),
        (("spool", "pull"), "no such command 'pull'"),
        (("retry",), "which jobs to retry? Give ids"),
        (("wait",), "which jobs to wait for? Give ids"),
        (("wait", "--timeout", "x", "1"), "--timeout: 'x' is not a duration"),
        (("submit",), "which workflow? Give its name"),
        (("submit", "--"), "there is no command after '--'"),
        (("submit", "a=1"), "'a=1' is where the workflow's name should be"),
        (("submit", "--grid", "a=1", "--", "true"), "nothing in the command takes 'a'"),
        (("submit", "relax", "--", "true"), "'relax' is not of the form NAME=VALUE"),
        (("submit", "command", "argv"), "'argv' is not of the form NAME=VALUE"),
        (("submit", "command", "argv=[]", "argv=[]"), "parameter 'argv' is given twice"),
        (("submit", "command", "nosuch=1"), "there is no parameter 'nosuch'"),
        (("submit", "command", "argv=5"), "parameter 'argv': 5 is not a list"),
        (("submit", "command"), "missing parameter 'argv'"),
        (("submit", "command", "--each", "nosuch.csv"), "--each nosuch.csv: No such file"),
        (("submit", "command", "--each", "argv=*.nosuch"), "no file matches '*.nosuch'"),
        (("submit", "--key", "k", "command", "--grid", "argv=[]"), "--key is for one job"),
        (("submit", "-p", "10", "--", "true"), "10 is not in the range"),
        (("submit", "--run-at", "noon", "--", "true"), "'noon' is not a time"),
        (("submit", "--time-limit", "long", "--", "true"), "--time-limit: 'long' is not a duration"),
        (("submit", "--tag", "", "--", "true"), "tags: '' is not printable text"),
        (("run", "command", "nosuch=1"), "there is no parameter 'nosuch'"),
        (("run", "command"), "missing parameter 'argv'"),
        (("run", "comand"), "did you mean 'command'?"),
        (("--database-url", "nonsense", "list"), "must start with postgresql://"),
        (("completion", "tcsh"), "'tcsh' is not one of"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    done = simcelery(*arguments, SIMCELERY_HOME=str(tmp_path))
    assert expected in done.stderr
    assert done.stderr.startswith("simcelery: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert done.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("status", "42"),
        ("list", "--database-url", "postgresql://me:secret@127.0.0.1:9/sims"),
        ("db", "check"),
        ("doctor",),
    ],
)
def test_an_unreachable_service_is_exit_code_3_and_tells_no_password(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = simcelery(*arguments, SIMCELERY_HOME=str(tmp_path))
    assert done.returncode == 3
    assert "secret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert "simcelery up" in done.stderr + done.stdout


def test_debug_shows_the_traceback_before_and_after_the_verb_and_from_the_environment(tmp_path: Path) -> None:
    home = {"SIMCELERY_HOME": str(tmp_path)}
    for done in (
        simcelery("--debug", "list", **home),
        simcelery("list", "--debug", **home),
        simcelery("list", SIMCELERY_DEBUG="1", **home),
    ):
        assert "Traceback" in done.stderr
        assert done.returncode == 3
    assert "Traceback" not in simcelery("list", SIMCELERY_DEBUG="0", **home).stderr


def _fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def main(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(root.root, "main", main)
    return root.run([])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (TypeError("a\nb"), 70, "simcelery: unexpected TypeError: a b (run again with --debug"),
        (errors.JobFailedError("job 1 failed"), 1, "simcelery: job 1 failed"),
        (errors.BrokerUnreachableError("no Redis"), 3, "simcelery: no Redis"),
        (KeyboardInterrupt(), 130, ""),
        (click.exceptions.Abort(), 130, ""),
    ],
)
def test_faults_become_exit_codes(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _fails_with(error, monkeypatch) == code
    assert capsys.readouterr().err.startswith(line)


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    done = subprocess.run(
        [
            "bash",
            "-c",
            '"$0" -c "from simcelery.cli import main; main()" | true; echo ${PIPESTATUS[0]}',
            sys.executable,
        ],
        capture_output=True,
        text=True,
        timeout=within(60),
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


def test_a_dry_run_of_a_command_needs_no_server(tmp_path: Path) -> None:
    done = simcelery(
        "submit", "--dry-run", "-o", "json", "--", "echo", "--each", SIMCELERY_HOME=str(tmp_path)
    )
    assert done.returncode == 0
    assert '"--each"' in done.stdout
    assert '"id": null' in done.stdout


def test_an_empty_spool_needs_no_server(tmp_path: Path) -> None:
    for arguments, expected in (
        (("spool",), f"no outcomes are waiting in {tmp_path}/spool\n"),
        (("spool", "-o", "json"), "[]\n"),
        (("spool", "push"), f"no outcomes are waiting in {tmp_path}/spool\n"),
        (("spool", "-o", "quiet", "push"), ""),
        (("spool", "push", "-o", "quiet"), ""),
    ):
        done = simcelery(*arguments, SIMCELERY_HOME=str(tmp_path))
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_run_prints_json_and_keeps_stdout_clean(tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(
        "from simcelery import workflow\n"
        "@workflow\n"
        "def talk(x: float) -> dict:\n"
        "    print('talking')\n"
        "    return {'x': x, 'nan': float('nan'), 'z': 1j}\n"
        "@workflow\n"
        "def fail() -> None:\n"
        "    raise ValueError('diverged')\n"
    )
    code = "import sys; from simcelery.cli.root import run; sys.exit(run(sys.argv[1:]))"
    environment = {**os.environ, "SIMCELERY_WORKFLOWS": "talk", "SIMCELERY_HOME": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, "run", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=within(60),
            check=False,
        )

    done = run("talk.talk", "x=2")
    assert done.stdout.split() == [
        "{",
        '"x":',
        "2.0,",
        '"nan":',
        "NaN,",
        '"z":',
        "[",
        "0.0,",
        "1.0",
        "]",
        "}",
    ]
    assert "talking" in done.stderr
    assert re.search(
        r"simcelery: to repeat this run with the same random numbers, add --seed [0-9]+\n", done.stderr
    )
    assert "seed" not in run("talk.talk", "x=2", "--seed", "5").stderr
    done = run("talk.fail")
    assert done.returncode == 1
    assert re.search(r"with --seed [0-9]+ for the same numbers", done.stderr)
    assert done.stderr.startswith("simcelery: talk.fail failed: ValueError: diverged")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    done = simcelery("completion", shell)
    assert done.returncode == 0
    assert "_SIMCELERY_COMPLETE" in done.stdout


def test_completion_knows_workflows_and_parameters(tmp_path: Path) -> None:
    def complete(words: str, at: int) -> list[str]:
        environment = {"COMP_WORDS": words, "COMP_CWORD": str(at), "SIMCELERY_HOME": str(tmp_path)}
        done = simcelery(_SIMCELERY_COMPLETE="bash_complete", **environment)
        return [line.partition(",")[2] for line in done.stdout.split()]

    assert complete("simcelery canc", 1) == ["cancel"]
    assert "command" in complete("simcelery submit comm", 2)
    assert complete("simcelery submit command a", 3) == ["argv=", "artifacts="]
    assert complete("simcelery spool p", 2) == ["push"]
    assert complete("simcelery workers --a", 2) == ["--all"]
    assert complete("simcelery cancel --wa", 2) == ["--wait"]
    assert complete("simcelery watch --fo", 2) == ["--forever"]
    assert complete("simcelery retry --er", 2) == ["--error"]
    assert complete("simcelery show 4", 2) == []
    assert "failed" in complete("simcelery list -s fa", 3)


def test_every_verb_that_is_named_anywhere_exists() -> None:
    top = Path(__file__).parents[2]
    named = re.compile(r"(?:[`']|^ {4}|→ |&& )simcelery ([a-z]+)\b", re.MULTILINE)
    in_hints = re.compile(r": simcelery ([a-z]+)\b")
    for path in [*top.glob("simcelery/**/*.py"), *top.glob("docs/*.md"), top / "README.md"]:
        text = path.read_text()
        found = set(named.findall(text)) | set(
            in_hints.findall(text) if path.parent.name in ("verbs", "cli", "describe", "checks") else ()
        )
        assert found <= set(VERBS), path
