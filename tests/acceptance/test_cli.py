"""The command line end to end: its own servers, one real worker, every verb with its exit codes and JSON."""

from __future__ import annotations

import csv
import gzip
import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from simcelery.describe.job import KEYS
from tests.conftest import BIN, Project
from tests.waiting import wait_until, within

FAST = {"SIMCELERY_LEASE": "5", "SIMCELERY_RENEW_EVERY": "1", "SIMCELERY_TICK_EVERY": "0.5"}


# Each call is a process of its own, forked from a clean one that has imported everything: that saves minutes.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["tests.acceptance.test_cli", "simcelery.cli.root", "simcelery.submission.manage"]
)


def begin_in_child(folder: Path, environment: dict[str, str], streams: list[Path]) -> None:
    """In the forked process: what a program finds when it begins, with its streams in files."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, (path, mode) in enumerate(zip(streams, ("r", "w", "w"), strict=True)):
        with path.open(mode) as file:
            os.dup2(file.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering=how, closefd=False)  # noqa: SIM115
        for number, mode, how in ((0, "r", -1), (1, "w", -1), (2, "w", 1))
    )


def run_in_child(
    arguments: list[str], folder: Path, environment: dict[str, str], streams: list[Path]
) -> None:
    """In the forked process: what the entry point does."""
    begin_in_child(folder, environment, streams)
    from simcelery.cli.root import run

    code = run(arguments)
    sys.stdout.flush()
    sys.exit(code)


class Cli:
    """``simcelery`` in a project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            streams = [Path(folder) / name for name in ("in", "out", "err")]
            streams[0].write_text(stdin)
            given = (list(arguments), self.project.folder, self.project.environment, streams)
            process = FORKS.Process(target=run_in_child, args=given)
            process.start()
            process.join(60)
            assert process.exitcode is not None, f"{arguments} hangs"
            out, err = streams[1].read_text(), streams[2].read_text()
        assert process.exitcode == code, f"{arguments}: {process.exitcode}\n{out}\n{err}"
        assert "Traceback" not in err
        assert "Warning" not in err
        if code >= 2:
            assert err.count("\n") == 1
        return subprocess.CompletedProcess(arguments, code, out, err)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The real entry point, in the background."""
        return subprocess.Popen(
            [str(BIN / "simcelery"), *arguments],
            cwd=self.project.folder,
            env=self.project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *arguments: str, code: int = 0, stdin: str = "") -> Any:
        """The same with ``-o json``, decoded. Options go before a command's ``--``."""
        at = arguments.index("--") if "--" in arguments else len(arguments)
        done = self(*arguments[:at], "-o", "json", *arguments[at:], code=code, stdin=stdin)
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """``simcelery up`` in a home of its own, one worker that serves the queue ``default``."""
    folder = tmp_path_factory.mktemp("cli")
    source = Path(__file__).parent.parent / "workflows_for_tests.py"
    (folder / "sims.py").write_text(source.read_text())
    (folder / "simcelery.toml").write_text('workflows = ["sims"]\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIMCELERY_")}
    environment |= {"SIMCELERY_HOME": str(tmp_path_factory.mktemp("home")), **FAST}
    project = Project(folder, environment)
    made = Cli(project)
    try:
        made("list", code=3)
        assert "next: celery -A simcelery worker" in made("up").stdout
        project.worker("-c", "2", "-Q", "default")
        yield made
    finally:
        project.stop()
        made("down")
        made("list", code=3)


def test_servers(cli: Cli) -> None:
    again = cli.json("up")
    assert [one["started"] for one in again["servers"]] == [False, False]
    assert all(one["running"] for one in again["servers"])
    cli("db", "check")
    current = cli.json("db", "current")
    assert current["current"] == current["wanted"]
    assert "nothing to do" in cli("db", "upgrade").stdout
    found = cli.json("doctor")
    assert found["ok"]
    assert {"settings", "board", "postgres", "schema", "redis", "workers", "clock"} - {"board"} <= {
        check["name"] for check in found["checks"]
    }
    text = cli("doctor").stdout
    url = json.loads((Path(cli.project.environment["SIMCELERY_HOME"]) / "services.json").read_text())
    assert "***" in text
    assert url["database_url"].partition("@")[0].rpartition(":")[2] not in text


def test_one_job(cli: Cli) -> None:
    done = cli("submit", "sims.add", "a=1", "b=2")
    number = done.stdout.split()[1]
    assert done.stdout == f"job {number}\n"
    assert cli("wait", number).stdout == "3\n"
    assert cli("result", number).stdout == "3\n"
    assert cli("result", "last").stdout == "3\n"
    job = cli.json("show", number)
    assert tuple(job)[: len(KEYS)] == KEYS
    assert (job["id"], job["state"], job["result"], job["error"]) == (int(number), "succeeded", 3, None)
    assert job["parameters"] == {"a": 1, "b": 2}
    assert job["worker"].startswith("w0@")
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["succeeded"]
    for text in ("sims.add", "succeeded", "parameters", "attempts"):
        assert text in cli("show", number).stdout
    assert cli("list", "-n", "1", "-o", "quiet").stdout == f"{number}\n"
    assert tuple(cli.json("list", "-n", "1")[0])[: len(KEYS)] == KEYS
    assert cli.json("status", number)[0]["state"] == "succeeded"


def test_submit_and_wait(cli: Cli) -> None:
    done = cli("submit", "sims.relaxed", "energy=-1.5", "--wait")
    assert json.loads(done.stdout) == {"energy": -1.5, "positions": [[0.0, 1.0, 2.0]]}
    job = cli.json("submit", "sims.echo", 'value={"x": [1, null]}', "--wait", "-t", "echo")
    assert job["result"] == {"x": [1, None]}
    assert job["tags"] == ["echo"]
    done = cli("submit", "sims.misbehave", "how=sys.exit", "--wait", code=1)
    assert done.stdout == ""
    assert "failed: SystemExit" in done.stderr
    assert cli.json("submit", "sims.misbehave", "how=sys.exit", "--wait", code=1)["state"] == "failed"


def test_a_command(cli: Cli) -> None:
    done = cli("submit", "--wait", "-t", "shell", "--", "sh", "-c", "echo $SIMCELERY_JOB_ID --wait -o json")
    number = cli("list", "-t", "shell", "-o", "quiet").stdout.strip()
    assert json.loads(done.stdout)["output"] == f"{number} --wait -o json\n"
    done = cli("submit", "--wait", "--", "sh", "-c", "echo oops; exit 3", code=1)
    assert "exit code 3: oops" in done.stderr


def test_many_jobs(cli: Cli) -> None:
    done = cli("submit", "sims.add", "--grid", "a=1:5:1", "--grid", "b=10,20", "-t", "grid")
    assert done.stdout.startswith("10 jobs (ids ")
    assert cli("wait", "-t", "grid").stdout == "10 jobs: 10 succeeded\n"
    found = cli.json("results", "-t", "grid")
    assert [job["result"] for job in found] == [a + b for a in range(1, 6) for b in (10, 20)]
    rows = list(csv.DictReader(io.StringIO(cli("results", "-t", "grid", "--format", "csv").stdout)))
    assert rows[0] == {
        "id": str(found[0]["id"]),
        "workflow": "sims.add",
        "parameters.a": "1",
        "parameters.b": "10",
        "result": "11",
    }
    ids = cli("submit", "sims.add", "--each", "-", "-o", "quiet", stdin='{"a": 1}\n{"a": 2, "b": 2}\n').stdout
    assert [job["result"] for job in cli.json("wait", "-", stdin=ids)] == [2, 4]
    (cli.project.folder / "points.csv").write_text("a,b\n1,\n2,5\n")
    assert [job["parameters"] for job in cli.json("submit", "sims.add", "--each", "points.csv")] == [
        {"a": 1, "b": 1},
        {"a": 2, "b": 5},
    ]
    status = cli.json("status", "-t", "grid")
    assert status["states"]["succeeded"] == 10
    assert status["workflows"]["sims.add"]["succeeded"] == 10
    assert len(status["states"]) == 8


def test_dedupe(cli: Cli) -> None:
    grid = ("submit", "sims.echo", "--grid", "value=101,102,103", "--dedupe", "-t", "dedupe")
    assert cli(*grid).stdout.endswith(": 3 new\n")
    assert cli(*grid).stdout.endswith(": 3 existing\n")
    cli("wait", "-t", "dedupe")
    cli("submit", "sims.misbehave", "how=sys.exit", "--key", "k", "--wait", code=1)
    cli("submit", "sims.misbehave", "how=sys.exit", "--key", "k", "--on-failed", "error", code=2)
    assert (
        "(existing)"
        in cli("submit", "sims.misbehave", "how=sys.exit", "--key", "k", "--on-failed", "keep").stdout
    )
    assert "(retried)" in cli("submit", "sims.misbehave", "how=sys.exit", "--key", "k").stdout


def test_dedupe_finds_what_was_submitted_without_it(cli: Cli) -> None:
    numbers = range(700, 750)
    (cli.project.folder / "twice.csv").write_text("a,b\n" + "".join(f"{n},7\n" for n in numbers))
    lines = "".join(f'{{"b": 7, "a": {n}}}\n' for n in numbers)
    submit, dedupe = ("submit", "sims.add", "-t", "twice"), ("submit", "sims.add", "-t", "twice", "--dedupe")
    cli(*submit, "--each", "twice.csv")
    for given in (("--each", "twice.csv"), ("--grid", "a=700:749:1", "b=7"), ("--each", "-")):
        assert cli(*dedupe, *given, stdin=lines).stdout.endswith(": 50 existing\n")
    one = cli(*submit, "a=750", "b=7", "-o", "quiet").stdout.strip()
    assert cli(*dedupe, "b=7", "a=750").stdout == f"job {one} (existing)\n"
    found = cli.json(*dedupe, "--grid", "a=740:751:1", "b=7")
    assert [job["how"] for job in found] == ["existing"] * 11 + ["new"]
    assert sum(cli.json("status", "-t", "twice")["states"].values()) == 52


def test_nothing_is_written_unless_everything_is_valid(cli: Cli) -> None:
    before = cli.json("status")
    (cli.project.folder / "bad.jsonl").write_text('{"a": 1}\n{"a": 2}\n{"a": "x"}\n')
    done = cli("submit", "sims.add", "--each", "bad.jsonl", code=2)
    assert "bad.jsonl line 3: sims.add: parameter 'a'" in done.stderr
    planned = cli.json("submit", "sims.add", "--grid", "a=1,2", "--dry-run")
    assert [job["id"] for job in planned] == [None, None]
    assert "2 jobs would be submitted" in cli("submit", "sims.add", "--grid", "a=1,2", "--dry-run").stdout
    cli("submit", "sims.add", "a=1", "--after", "999999", code=2)
    assert cli.json("status") == before


def test_parents_cancel_and_retry(cli: Cli) -> None:
    parent = cli("submit", "sims.elsewhere", "-o", "quiet").stdout.strip()  # nobody serves its queue
    child = cli.json("submit", "sims.add", "a=1", "--after", parent)
    assert child["state"] == "blocked"
    assert cli.json("show", str(child["id"]))["parents"] == [int(parent)]
    done = cli("result", parent, code=1)
    assert f"job {parent} is pending" in done.stderr
    done = cli("wait", parent, "--timeout", "0.5", code=1)
    assert "1 job not finished" in done.stderr
    unserved = [check for check in cli.json("doctor")["checks"] if check["name"] == "queues"]
    assert unserved[0]["verdict"] == "warn"
    assert "-Q other" in unserved[0]["advice"]

    assert cli("cancel", parent).stdout == f"cancelled job {parent}\n"
    assert "nothing to cancel" in cli("cancel", parent).stdout
    cli("wait", str(child["id"]), code=1)
    assert cli.json("status", str(child["id"]))[0]["state"] == "upstream_failed"
    done = cli("retry", str(child["id"]), code=2)
    assert "--with-parents" in done.stderr
    assert cli.json("retry", str(child["id"]), "--with-parents") == {"retried": [int(parent), child["id"]]}
    done = cli("cancel", "-q", "other", "-w", "sims.elsewhere", "-y")
    assert done.stdout == f"cancelled job {parent}\n"
    cli("retry", "999999", code=2)


def test_many_are_cancelled_only_when_said(cli: Cli) -> None:
    cli("submit", "sims.elsewhere", "--grid", "x=1", code=2)
    cli("submit", "sims.echo", "--grid", "value=1:5:1", "-q", "nowhere", "-t", "away")
    done = cli("cancel", "-t", "away", code=2)
    assert "this would cancel 5 jobs (5 pending; ids " in done.stderr
    cli("cancel", code=2)
    assert len(cli.json("cancel", "-t", "away", "-y")["cancelled"]) == 5
    assert "nothing to cancel" in cli("cancel", "-", stdin="").stdout
    assert len(cli.json("retry", "-t", "away", "-n", "2", "-y")["retried"]) == 2
    ids = cli("list", "-t", "away", "-s", "pending", "-o", "quiet").stdout
    assert len(cli.json("cancel", "-", "-y", stdin=ids)["cancelled"]) == 2


def test_a_failed_job_is_retried(cli: Cli) -> None:
    cli("submit", "sims.flaky", "succeed_at=2", "--max-attempts", "1", "--wait", code=1)
    assert "ValueError: attempt 1 diverged" in cli("show", "last").stdout
    assert "ValueError" in cli.json("show", "last")["traceback"]
    done = cli("retry", "last", "--wait")
    assert (done.stdout, "retried job " in done.stderr) == ("2\n", True)
    done = cli("retry", "last", code=2)
    assert "succeeded" in done.stderr


def test_errors_in_groups_are_retried_by_number_or_type(cli: Cli) -> None:
    cli(
        "submit",
        "sims.flaky",
        "--each",
        "-",
        "--max-attempts",
        "1",
        "-t",
        "err",
        stdin='{"succeed_at": 2}\n' * 3,
    )
    cli("submit", "sims.misbehave", "how=sys.exit", "-t", "err")
    cli("wait", "-t", "err", code=1)
    diverged, left = cli.json("errors", "-t", "err")
    assert (diverged["number"], diverged["count"], diverged["error_type"]) == (1, 3, "ValueError")
    assert diverged["message"] == "attempt # diverged"
    assert diverged["workflows"] == ["sims.flaky"]
    assert len(diverged["hosts"]) == 1
    assert cli.json("show", str(diverged["example"]))["error_type"] == "ValueError"
    assert (left["number"], left["count"], left["error_type"]) == (2, 1, "SystemExit")
    assert "ValueError: attempt # diverged" in cli("errors", "-t", "err").stdout
    examples = cli("errors", "-t", "err", "-o", "quiet").stdout.split()
    assert examples == [str(diverged["example"]), str(left["example"])]

    done = cli("retry", "--error", "1", "-t", "err", code=2)
    assert "this would retry 3 jobs (3 with ValueError: attempt # diverged; ids " in done.stderr
    assert "the list has 2 groups" in cli("retry", "--error", "3", "-t", "err", code=2).stderr
    assert "nothing to retry" in cli("retry", "--error", "OSError", "-t", "err").stdout
    for error in ("1", "ValueError", "/^ValueError: attempt [0-9]+ diver/", "/1 DIVERGED$|diverged/"):
        found = cli.json("retry", "--error", error, "-t", "err", "--dry-run")
        assert (
            found["would_retry"] == cli.json("retry", "--error", "1", "-t", "err", "--dry-run")["would_retry"]
        )
        assert len(found["would_retry"]) == 3
    assert "would retry 3 jobs" in cli("retry", "--error", "/diverged/", "-t", "err", "--dry-run").stdout
    assert cli.json("retry", "--error", "/no such/", "-t", "err", "--dry-run") == {"would_retry": []}
    refused = cli("retry", "--error", "/(/", "-t", "err", code=2).stderr
    assert "'(' is not a regular expression" in refused
    assert refused.count("\n") == 1
    assert len(cli.json("errors", "-t", "err")) == 2  # nothing has been retried
    done = cli("retry", "--error", "1", "-t", "err", "-y")
    assert "retried 3 jobs" in done.stdout
    assert "3 jobs with ValueError: attempt # diverged" in done.stderr
    cli("wait", "-t", "err", "-w", "sims.flaky")
    assert [group["error_type"] for group in cli.json("errors", "-t", "err")] == ["SystemExit"]
    assert cli.json("retry", "--error", "SystemExit", "-t", "err") == {"retried": [left["example"]]}
    assert cli("errors", "-t", "nosuch").stdout == "no failures\n"


def test_stats(cli: Cli) -> None:
    cli("submit", "sims.add", "--grid", "a=1:6:1", "-t", "fast")
    cli("wait", "-t", "fast")
    found = cli.json("stats", "-t", "fast", "--since", "10m")
    assert (found["finished"], found["window_seconds"], found["interval_seconds"]) == (6, 600, 60)
    assert sum(interval["finished"] for interval in found["intervals"]) == 6
    [(name, times)] = found["workflows"].items()
    assert (name, times["finished"], times["states"]) == ("sims.add", 6, {"succeeded": 6})
    for spread in (times["waiting"], times["running"]):
        assert 0 <= spread["median"] <= spread["p90"] <= spread["max"] < 60
    assert found["finished_per_hour"] == pytest.approx(6 / found["worked_seconds"] * 3600)
    assert 0 < found["worked_seconds"] < 60
    text = cli("stats", "-t", "fast").stdout
    assert re.match(r"6 jobs finished in the last 1d, from \S+ to \S+: \S+/(s|min) over these \S+\n", text)
    assert "sims.add" in text
    assert cli("stats", "-t", "fast", "-o", "quiet").stdout == "6\n"
    done = cli("stats", "-t", "nosuch", "--since", "1h")
    assert (done.stdout, done.stderr) == ("", "no job has finished in the last 1h\n")


def test_watch_ends_when_nothing_is_left(cli: Cli) -> None:
    cli("submit", "sims.echo", "--grid", "value=1:5:1", "-q", "nowhere", "-t", "watched")
    process = cli.start("watch", "-t", "watched", "--every", "1s", "-o", "json")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert (first["total"], first["finished"], first["states"]) == (5, 0, {"pending": 5})
    assert first["workflows"]["sims.echo"]["total"] == 5
    assert first["seconds_left"] is None
    cli("cancel", "-t", "watched", "-y")
    output, errors = process.communicate(timeout=within(20))
    last = json.loads(output.splitlines()[-1])
    assert (last["total"], last["finished"], last["states"]) == (5, 5, {"cancelled": 5})
    assert last["rate_per_second"] > 0
    assert (process.returncode, errors) == (0, "")
    assert "5/5 finished: 5 cancelled\n" in cli("watch", "-t", "watched").stdout


def test_the_watching_is_interrupted_and_that_is_fine(cli: Cli) -> None:
    cli("submit", "sims.echo", "value=1", "-q", "nowhere", "-t", "for ever")
    process = cli.start("watch", "-q", "nowhere", "-t", "for ever")
    assert process.stdout is not None
    assert process.stdout.readline().endswith("0/1 finished: 1 pending\n")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=within(40)) == ("", "")
    assert process.returncode == 0
    cli("cancel", "-t", "for ever", "-y")
    process = cli.start("watch", "-t", "for ever", "--forever", "--every", "1")
    assert process.stdout is not None
    for _ in range(2):  # nothing is left, and it goes on
        assert process.stdout.readline().endswith("1/1 finished: 1 cancelled\n")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=within(40))
    assert process.returncode == 0


def test_pages(cli: Cli) -> None:
    cli("submit", "sims.echo", "--grid", "value=1:25:1", "-q", "nowhere", "-t", "page")
    ids = [int(line) for line in cli("list", "-t", "page", "-o", "quiet").stdout.split()]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 25
    done = cli("list", "-t", "page")
    assert [int(line.split()[0]) for line in done.stdout.splitlines()[1:]] == ids[:20]
    assert f"for more, add --before {ids[19]}," in done.stderr
    done = cli("list", "-t", "page", "--before", str(ids[19]))
    assert [int(line.split()[0]) for line in done.stdout.splitlines()[1:]] == ids[20:]
    assert done.stderr == ""
    done = cli("list", "-t", "page", "--after", str(ids[24]), "-n", "3")
    assert [int(line.split()[0]) for line in done.stdout.splitlines()[1:]] == ids[21:24]
    assert f"--after {ids[21]}," in done.stderr
    assert [job["id"] for job in cli.json("list", "-t", "page", "--after", str(ids[5]))] == ids[:5]
    assert [job["id"] for job in cli.json("list", "-t", "page", "--after", str(ids[5]), "-n", "1")] == ids[
        4:5
    ]
    assert cli.json("list", "-t", "page", "--before", str(ids[-1])) == []
    cli("cancel", "-t", "page", "-y")


def test_results_of_named_jobs_that_failed(cli: Cli) -> None:
    number = cli("submit", "sims.misbehave", "how=sys.exit", "-o", "quiet").stdout.strip()
    cli("wait", number, code=1)
    done = cli("results", number, code=1)
    assert "1 of 1 jobs did not succeed (yet)" in done.stderr
    assert cli.json("results", "-w", "sims.misbehave") == []


def test_later(cli: Cli) -> None:
    job = cli.json("submit", "sims.add", "a=1", "--run-at", "+2h", "--priority", "9")
    assert (job["state"], job["priority"]) == ("scheduled", 9)
    assert job["run_at"] > job["submitted_at"]
    cli("cancel", "last")


def test_the_waiting_is_interrupted_not_the_job(cli: Cli) -> None:
    number = cli("submit", "sims.echo", "value=1", "-q", "nowhere", "-o", "quiet").stdout.strip()
    process = cli.start("wait", number)
    # Its hint that nobody serves the queue tells that it waits.
    assert process.stderr is not None
    assert "no live worker serves queue 'nowhere'" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=within(10))
    assert process.returncode == 130
    assert rest == f"simcelery: no longer waiting; the jobs continue (simcelery wait {number})\n"
    assert cli.json("show", number)["state"] == "pending"
    cli("cancel", number)


def test_a_client_without_the_code(cli: Cli, tmp_path: Path) -> None:
    client = Cli(Project(tmp_path, cli.project.environment))
    done = client("submit", "sims.add", "a=20", "--wait")
    assert done.stdout == "21\n"
    assert "sims.add cannot be imported here" in done.stderr
    listed = {one["name"]: one for one in client.json("workflows")}
    assert listed["sims.add"]["known"] == ["board"]
    assert listed["sims.add"]["description"] == "Add two numbers."
    assert client.json("workflows", "sims.add")["parameters"]["required"] == ["a"]
    assert "integer" in client("workflows", "sims.add").stdout
    assert cli.json("workflows", "sims.add")["known"] == ["here", "board"]
    cli("workflows", "sims.ad", code=2)


def test_without_redis_a_job_is_recorded_and_runs_later(cli: Cli) -> None:
    done = cli(
        "--broker-url", "redis://127.0.0.1:9/0", "submit", "sims.add", "a=1", "-t", "lonely", "-o", "quiet"
    )
    number = done.stdout.strip()
    assert f"job {number} is recorded and will be published later" in done.stderr
    assert done.stderr.count("\n") == 1
    assert cli("wait", number, "--timeout", "30").stdout == "2\n"


def test_waiting_and_watching_outlive_a_restart_of_the_servers(cli: Cli) -> None:
    away = cli("submit", "sims.echo", "value=1", "-q", "nowhere", "-o", "quiet").stdout.strip()
    watching = cli.start("watch", away, "--every", "1s")
    assert watching.stdout is not None
    assert watching.stderr is not None
    assert watching.stdout.readline().endswith("0/1 finished: 1 pending\n")
    trace = cli.project.folder / "trace.txt"
    given = (f"path={trace}", f"pause={within(8)}")
    number = cli("submit", "sims.trace", *given, "-o", "quiet").stdout.strip()
    process = cli.start("wait", number)
    wait_until(lambda: psutil.Process(process.pid).net_connections("tcp"))  # it has asked the board
    wait_until(trace.exists)
    time.sleep(within(1))  # by now it waits
    assert "simcelery: 1 worker and 1 running job will wait until 'simcelery up'" in cli("down").stderr
    while "cannot be reached" not in (line := watching.stderr.readline()):
        assert line  # what came before is the hint that nobody serves the queue
    cli("up")
    output, _ = process.communicate(timeout=within(40))
    assert (process.returncode, output) == (0, '"ran"\n')
    cli("cancel", away)
    output, _ = watching.communicate(timeout=within(40))
    assert "1/1 finished: 1 cancelled" in output.splitlines()[-1]
    assert watching.returncode == 0


def test_old_jobs_are_archived_and_deleted(cli: Cli) -> None:
    finished = ("-s", "succeeded", "-s", "failed", "-s", "cancelled", "-s", "upstream_failed")
    before = cli.json("list", *finished)
    assert cli.json("prune", "--older-than", "1ms", "--dry-run") == {
        "dry_run": True,
        "pruned": len(before),
        "files": [],
    }
    folder = cli.project.folder / "archive"
    old = ("prune", "--older-than", "1ms", "--archive", str(folder))
    done = cli(*old, code=2)
    assert (
        f"this would delete {len(before):,} jobs that finished more than 1ms ago, after archiving them in"
        in done.stderr
    )
    assert cli.json("list", *finished) == before
    assert cli("prune", "--older-than", "1d").stdout == "deleted 0 jobs that finished more than 1d ago\n"
    pruned = cli.json(*old, "-y")
    assert pruned["pruned"] == len(before)
    with gzip.open(pruned["files"][0], "rt") as file:
        kept = {job["id"]: job for job in map(json.loads, file)}
    assert set(kept) == {job["id"] for job in before}
    assert cli.json("list", *finished) == []
