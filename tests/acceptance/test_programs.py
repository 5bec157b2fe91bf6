"""Commands with files of their own, and what tells whether they worked, on a real worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simcelery
from simcelery.errors import JobFailedError
from simcelery.services import Services
from tests import programs
from tests.conftest import Project, empty, make_project
from tests.waiting import within

INPUT = "temperature {T:.1f}\nsteps {steps}\nprint ${T} {{T}}\n"
# What stands for a simulation: it reads its input, prints, and writes a result.
ENGINE = """
import json, sys
lines = dict(line.split(" ", 1) for line in sys.stdin.read().splitlines())
if lines["steps"] == "0":
    sys.exit("ERROR: no steps")
print("energy", float(lines["temperature"]) * 2)
json.dump({"energy": float(lines["temperature"]) * 2, "echo": lines["print"]}, open("result.json", "w"))
if lines["steps"] != "1":
    print("Total wall time: 0:00:01")
"""

# What stands for the environment modules of a cluster.
MODULES = """
module() {
    [ "$2" = engine/1.2 ] || { echo "ERROR: Unable to locate a modulefile for '$2'" >&2; return 1; }
    export PATH="$MODULESHOME/bin:$PATH" ENGINE_HOME=/opt/engine/1.2 OMP_NUM_THREADS=8
}
"""


@pytest.fixture(scope="module")
def project(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One worker for all of these tests."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("programs"))
    (made.folder / "in.melt.tmpl").write_text(INPUT)
    (made.folder / "engine.py").write_text(ENGINE)
    (made.folder / "bin").mkdir()
    (made.folder / "bin" / "engine").write_text('#!/bin/sh\necho "$ENGINE_HOME with $OMP_NUM_THREADS"\n')
    (made.folder / "bin" / "engine").chmod(0o755)
    (made.folder / "init").mkdir()
    (made.folder / "init" / "bash").write_text(MODULES)
    made.worker("-c", "1", MODULESHOME=str(made.folder))
    yield made
    made.end()


OPTIONS = ("--file", "in.melt.tmpl", "--stdin", "in.melt", "--json", "result.json", "--ok", "Total wall time")


def submitted(project: Project, *words: str, program: str = "engine.py") -> list[simcelery.Job]:
    argv = ("python3", str(project.folder / program))
    done = project.run("simcelery", "submit", *words, *OPTIONS, "-o", "quiet", "--", *argv)
    assert done.returncode == 0, done.stderr
    return [simcelery.get_job(int(number)) for number in done.stdout.split()]


def test_a_sweep_of_a_program_fills_its_input_and_reads_its_result(project: Project) -> None:
    jobs = submitted(project, "--grid", "T=300,310.25", "steps=10", "-t", "sweep")
    results = [job.result(timeout=within(60)) for job in jobs]
    assert [result["energy"] for result in results] == [600.0, 620.4]  # as the input said: one decimal
    assert results[0]["echo"] == "${T} {T}"
    assert results[0]["output"] == "energy 600.0\nTotal wall time: 0:00:01\n"
    assert results[0]["files"] == {
        "result.json": (Path(results[0]["workdir"]) / "result.json").stat().st_size
    }
    assert 0 < results[0]["elapsed"] < 60
    assert results[0]["cpu_seconds"] > 0
    assert results[0]["peak_memory"] > 1 << 20
    assert (Path(results[0]["workdir"]) / "in.melt").read_text().startswith("temperature 300.0\nsteps 10\n")
    shown = project.run("simcelery", "results", "-t", "sweep", "--fields", "result.energy", "-o", "json")
    assert [row["result.energy"] for row in json.loads(shown.stdout)] == [600.0, 620.4]
    some = project.run("simcelery", "list", "-t", "sweep", "--where", "energy > 610", "-o", "quiet")
    assert some.stdout.split() == [str(jobs[1].id)]


def test_a_result_is_typed_where_the_workflow_is_known(project: Project) -> None:
    known = project.python(
        f"""
        import sims
        result = sims.melt.submit(350).result(timeout={within(60)})
        print(type(result).__name__, result["energy"], result.values, sorted(result.files), result.exit_code)
        """
    )
    assert known.stdout == (
        "CommandResult -3.5 {'energy': -3.5, 'stress': 700.0} ['log.engine', 'out.json'] 0\n"
    ), known.stderr


def failure(job: simcelery.Job) -> str:
    with pytest.raises(JobFailedError) as failed:
        job.result(timeout=within(60))
    return str(failed.value)


def test_each_way_to_fail_is_told_in_one_line(project: Project) -> None:
    [aborted] = submitted(project, "T=300", "steps=0")
    assert "CommandError: exit code 1: ERROR: no steps\n" in failure(aborted)
    [unfinished] = submitted(project, "T=300", "steps=1")
    assert "CommandError: there is no 'Total wall time' in output.txt or result.json\n" in failure(unfinished)
    (project.folder / "silent.py").write_text("print('Total wall time')")
    [silent] = submitted(project, "T=300", "steps=1", program="silent.py")
    assert "CommandError: it did not write result.json\n" in failure(silent)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{'a'}", "result.json is not JSON: "),
        ("[1]", "result.json is not a JSON object"),
        ('{"output": 1}', "result.json has 'output', which every result has already"),
    ],
)
def test_a_result_that_cannot_be_used_is_told(project: Project, written: str, said: str) -> None:
    program = f"print('Total wall time'); open('result.json', 'w').write({written!r})"
    (project.folder / "writes.py").write_text(program)
    [job] = submitted(project, "T=300", "steps=1", program="writes.py")
    assert said in failure(job)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("T=300",), "in.melt has {steps}, but there is no value of that name (only: T)"),
        (("T=300", "steps=1", "P=2"), "nothing in the command takes 'P'"),
        (("T=hot", "steps=1"), "T: 'hot' cannot be written in the form {T:.1f}"),
        (
            ("T=1", "steps=1", "--file", "nowhere.in"),
            "--file: cannot read nowhere.in: No such file or directory",
        ),
        (("T=1", "steps=1", "--file", "engine.py:in.melt"), "--file: two files are to be called 'in.melt'"),
        (
            ("T=1", "steps=1", "--file", "engine.py:../x"),
            "'../x' is not the name of a file in the attempt's folder",
        ),
        (
            ("T=1", "steps=1", "--expect", "/tmp/x"),
            "'/tmp/x' is not the name of a file in the attempt's folder",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    project: Project, words: tuple[str, ...], said: str
) -> None:
    before = len(simcelery.jobs())
    done = project.run("simcelery", "submit", *words, *OPTIONS, "--", "python3", "engine.py")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr
    assert len(simcelery.jobs()) == before


def test_a_file_for_stdin_is_one_that_is_written(project: Project) -> None:
    done = project.run("simcelery", "submit", "--stdin", "nope", "--dry-run", "--", "cat")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "--stdin: no file is to be called 'nope': name it with --file nope" in done.stderr


def test_of_a_workflow_nothing_of_it_can_be_said(project: Project) -> None:
    done = project.run("simcelery", "submit", "sims.add", "a=1", "--ok", "done")
    assert done.returncode == 2
    assert "--ok is for commands, after --; a workflow takes its own parameters" in done.stderr


def test_without_values_braces_in_a_file_mean_nothing_special(project: Project) -> None:
    (project.folder / "plain.json").write_text('{"T": {x}}')
    [job] = submitted_plain(project, "--file", "plain.json:sub/in.json", "--", "cat", "sub/in.json")
    assert job.result(timeout=within(60))["output"] == '{"T": {x}}'


def submitted_plain(project: Project, *words: str) -> list[simcelery.Job]:
    done = project.run("simcelery", "submit", "-o", "quiet", *words)
    assert done.returncode == 0, done.stderr
    return [simcelery.get_job(int(number)) for number in done.stdout.split()]


def test_a_program_of_an_environment_module(project: Project) -> None:
    words = ("--module", "engine/1.2", "--env", "OMP_NUM_THREADS=2", "--", "engine")
    [job] = submitted_plain(project, *words)
    assert job.result(timeout=within(60))["output"] == "/opt/engine/1.2 with 2\n"
    [missing] = submitted_plain(project, "--max-attempts", "3", "--module", "engine/9", "--", "engine")
    said = "module load engine/9: ERROR: Unable to locate a modulefile for 'engine/9'"
    assert said in failure(missing)
    assert len(missing.attempts()) == 1
    [without] = submitted_plain(project, "--", "engine")
    assert "cannot run 'engine' here" in failure(without)
    refused = project.run("simcelery", "submit", "--module", "-f", "--", "engine")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    assert "'-f' is not the name of an environment module, such as gcc/12.2" in refused.stderr
    echoed = project.run("simcelery", "submit", *words[:4], "--echo", *words[4:])
    assert 'module = "engine/1.2"' in echoed.stdout or 'module = [\n    "engine/1.2"' in echoed.stdout


def test_a_job_file_says_the_same(project: Project) -> None:
    argv = ("python3", str(project.folder / "engine.py"))
    echoed = project.run("simcelery", "submit", "T=300", "steps=10", *OPTIONS, "--echo", "--", *argv)
    assert echoed.returncode == 0, echoed.stderr
    (project.folder / "elsewhere").mkdir()
    (project.folder / "elsewhere" / "job.toml").write_text(echoed.stdout)
    [job] = submitted_plain(project, str(project.folder / "elsewhere" / "job.toml"))
    assert job.result(timeout=within(60))["energy"] == 600.0


def test_it_runs_here_as_well(project: Project) -> None:
    here = project.folder / "here"
    here.mkdir()
    files = {"in.melt": INPUT.replace("{T:.1f}", "250.0").replace("{steps}", "5")}
    texts = [f"files={json.dumps(files)}", "stdin=in.melt", "json=result.json"]
    argv = json.dumps(["python3", str(project.folder / "engine.py")])
    done = project.run("simcelery", "run", "command", f"argv={argv}", *texts)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["energy"] == 500.0


# --- codes, and programs within workflows ---


def test_a_code_prepares_runs_checks_and_parses(project: Project) -> None:
    [job] = submitted_plain(project, "sims.melt", "temperature=300")
    result = job.result(timeout=within(60))
    assert (result["energy"], result["stress"]) == (-3.0, 600.0)
    folder = Path(result["workdir"])
    assert (folder / "in.json").read_text() == '{"temperature": 300.0, "steps": 10, "scaled": 600.0}'
    assert result["files"].keys() == {"log.engine", "out.json"}
    shown = json.loads(project.run("simcelery", "result", str(job.id)).stdout)
    assert (shown["energy"], shown["stress"], shown["exit_code"]) == (-3.0, 600.0, 0)


def test_a_code_that_fails_says_why_in_its_own_words(project: Project) -> None:
    [job] = submitted_plain(project, "sims.melt", "temperature=300", "steps=0", "--max-attempts", "1")
    assert "CommandError: exit code 1: ERROR: no steps\n" in failure(job)


def test_a_code_is_validated_like_any_workflow(project: Project) -> None:
    done = project.run("simcelery", "submit", "sims.melt", "temperature=hot")
    assert done.returncode == 2
    assert "parameter 'temperature': 'hot' is not a number" in done.stderr
    shown = project.run("simcelery", "workflows", "sims.melt").stdout
    assert "Melt something." in shown
    assert "temperature" in shown


def test_its_input_can_be_written_without_running_it(project: Project) -> None:
    here = project.folder / "setup"
    here.mkdir()
    command = ["simcelery", "run", "sims.melt", "temperature=250", "--setup-only"]

    def run(*more: str) -> Any:
        environment = {**project.environment, "PYTHONPATH": str(project.folder)}
        return programs.run([*command, *more], here, environment, within(60))

    for _ in range(2):
        done = run()
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("engine.py -t 250.0\n")
        assert "wrote engine.py, in.json; the command would be:" in done.stderr
        assert sorted(path.name for path in here.iterdir()) == ["engine.py", "in.json"]
    (here / "in.json").write_text("a year's work")
    (here / "engine.py").unlink()
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "'in.json' in this folder would be overwritten: run in another folder, or add --force" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1
    assert [(path.name, path.read_text()) for path in here.iterdir()] == [("in.json", "a year's work")]
    assert run("--force").returncode == 0
    assert (here / "in.json").read_text().startswith('{"temperature": 250.0')


def test_a_command_finds_what_its_parents_have_written(project: Project) -> None:
    scripts = ("echo 1 > out.txt", "echo 2 > out.txt", "echo 3 > out.txt; exit 1")
    first, second, failed = (submitted_plain(project, "--", "sh", "-c", script)[0] for script in scripts)
    script = """
        echo $SIMCELERY_PARENT_STATES
        IFS=:; for folder in $SIMCELERY_PARENT_DIRS; do cat "$folder/out.txt"; done
    """
    after, any_end = f"--after={first.id},{second.id}", f"--after-any={failed.id}"
    [child] = submitted_plain(project, after, any_end, "--", "sh", "-c", script)
    states = f"{first.id}=succeeded {second.id}=succeeded {failed.id}=failed"
    assert child.result(timeout=within(60))["output"] == f"{states}\n1\n2\n3\n"
