"""This host as a scheduler, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simcelery import settings
from simcelery.cluster.controller import scheduler_of
from simcelery.cluster.environment import folder_of
from simcelery.cluster.profile import Profile
from simcelery.schedulers import asking, local
from simcelery.schedulers.asking import Refused, Unknown
from simcelery.schedulers.local import Local
from simcelery.schedulers.local_start import members, started, write
from simcelery.schedulers.request import Request
from simcelery.schedulers.seen import Cause, End, Seen, State
from tests.processes import command_alive, sleeper
from tests.waiting import wait_until

NAME = "simcelery-here-1f2e3d4c"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "accounts é"
    folder.mkdir()
    yield folder
    end = Local(folder, grace=0)
    end.cancel([path.stem for path in folder.glob("*.json")])
    for path in folder.glob("*.begun"):
        session = json.loads(path.read_text()).get("session")
        wait_until(lambda session=session: not session or not members(session))


@pytest.fixture
def here(folder: Path) -> Local:
    return Local(folder)


def asked(folder: Path, script: str, **more: object) -> Request:
    path = folder / "job.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    return Request(NAME, path, folder, **more)


def only(here: Local) -> Seen:
    [seen] = here.look()
    return seen


def wait_for_end(here: Local) -> End:
    wait_until(lambda: only(here).state is State.ENDED)
    end = only(here).end
    assert end is not None
    assert here.ends({NAME: NAME, "other": "other"}) == {NAME: end}
    return end


def submit_in_another_process(folder: Path, failpoint: str) -> int:
    """By a process that dies there; its exit code."""
    code = (
        "from pathlib import Path; from simcelery.schedulers.local import Local\n"
        "from simcelery.schedulers.request import Request\n"
        f"folder = Path({str(folder)!r}); Local(folder).submit(Request({NAME!r}, folder / 'job.sh', folder))"
    )
    environment = {**os.environ, "SIMCELERY_FAILPOINTS": failpoint}
    return subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode


def begun(folder: Path) -> dict[str, Any]:
    return json.loads((folder / f"{NAME}.begun").read_text())


def test_a_script_runs_apart_from_who_submits_it_and_its_end_is_told(here: Local, folder: Path) -> None:
    before = Path.cwd()
    assert here.missing() == []
    assert here.look() == []
    go = folder / "go"
    os.mkfifo(go)
    request = asked(
        folder, f"echo out; echo err >&2; pwd; ps -o sid= -p $$; cat; read go < {go.name!r}; exit 3"
    )
    assert here.submit(request) == NAME
    seen = only(here)
    assert (seen.id, seen.name, seen.state, seen.end) == (NAME, NAME, State.RUNNING, None)
    assert seen.submitted_at is not None
    assert seen.starts_at is not None
    assert seen.submitted_at <= seen.starts_at
    assert seen.ends_at is None
    go.write_text("\n")
    assert wait_for_end(here) == End(Cause.FAILED, 3, "exit code 3")
    out, err, cwd, session = request.output.read_text().split("\n")[:4]
    assert (out, err, cwd) == ("out", "err", str(folder))
    assert int(session) == begun(folder)["session"] != os.getsid(0)
    assert Path.cwd() == before
    ended = only(here)
    assert ended.ends_at is not None
    assert ended.ends_at >= ended.starts_at


def test_a_script_that_succeeds_has_finished(here: Local, folder: Path) -> None:
    here.submit(asked(folder, "true"))
    assert wait_for_end(here) == End(Cause.FINISHED, 0, "exit code 0")


def test_a_script_that_a_signal_ends_has_the_code_that_a_shell_would_give(here: Local, folder: Path) -> None:
    here.submit(asked(folder, "kill -KILL $$"))
    assert wait_for_end(here) == End(Cause.FAILED, 137, "exit code 137")


def test_a_script_that_cannot_be_started_has_failed_and_says_why(here: Local, folder: Path) -> None:
    script = folder / "job.sh"
    script.write_text("#!/no/such/program\n")
    script.chmod(0o755)
    here.submit(Request(NAME, script, folder))
    end = wait_for_end(here)
    assert (end.cause, end.exit_code) == (Cause.FAILED, 127)
    assert end.told == f"cannot start {script}: No such file or directory"


def test_an_executable_script_runs_by_its_first_line(here: Local, folder: Path) -> None:
    script = folder / "job.sh"
    script.write_text(f"#!{sys.executable}\nprint(6 * 7)\n")
    script.chmod(0o755)
    here.submit(Request(NAME, script, folder))
    assert wait_for_end(here).cause is Cause.FINISHED
    assert (folder / f"{NAME}.out").read_text() == "42\n"


def test_a_cancel_ends_all_of_its_session_gently(here: Local, folder: Path) -> None:
    seconds = sleeper()
    script = (
        f"(trap 'echo told; exit' TERM; touch ready; while :; do sleep 0.1; done) &\nexec sleep {seconds}"
    )
    here.submit(asked(folder, script))
    wait_until((folder / "ready").exists)
    wait_until(lambda: command_alive(f"sleep {seconds}"))
    here.cancel([NAME, "no-such-one"], ["nor-this"])
    assert wait_for_end(here) == End(Cause.CANCELLED, 143, "exit code 143")
    assert "told\n" in (folder / f"{NAME}.out").read_text()
    assert command_alive(f"sleep {seconds}") == 0
    here.cancel([NAME])
    assert wait_for_end(here).cause is Cause.CANCELLED


def test_what_does_not_heed_it_is_killed_after_the_grace(folder: Path) -> None:
    here = Local(folder, grace=0.2)
    here.submit(asked(folder, "trap '' TERM; touch ready; while :; do sleep 0.1; done"))
    wait_until((folder / "ready").exists)
    here.cancel(names=[NAME])
    assert wait_for_end(here) == End(Cause.CANCELLED, 137, "exit code 137")


def test_a_script_that_ends_well_during_the_grace_was_cancelled_all_the_same(
    here: Local, folder: Path
) -> None:
    here.submit(asked(folder, "trap 'exit 0' TERM; touch ready; while :; do sleep 0.1; done"))
    wait_until((folder / "ready").exists)
    here.cancel([NAME])
    assert wait_for_end(here) == End(Cause.CANCELLED, 0, "exit code 0")


def test_the_walltime_ends_it(here: Local, folder: Path) -> None:
    here.submit(asked(folder, f"exec sleep {sleeper()}", walltime=0.3))
    seen = only(here)
    assert seen.starts_at is not None
    assert seen.ends_at is not None
    assert seen.ends_at > seen.starts_at
    assert wait_for_end(here) == End(Cause.WALLTIME, 143, "exit code 143")


def test_what_a_script_leaves_behind_ends_with_it(here: Local, folder: Path) -> None:
    seconds = sleeper()
    here.submit(asked(folder, f"sleep {seconds} &"))
    assert wait_for_end(here).cause is Cause.FINISHED
    assert command_alive(f"sleep {seconds}") == 0


def test_a_name_is_started_once_whoever_submits_it_at_the_same_time(folder: Path) -> None:
    request = asked(folder, "echo run")
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(Local(folder).submit(request))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [NAME] * 4
    wait_for_end(Local(folder))
    assert Local(folder).submit(request) == NAME
    assert wait_for_end(Local(folder)).cause is Cause.FINISHED
    assert request.output.read_text() == "run\n"


def test_whoever_dies_before_it_starts_has_started_nothing_and_nobody_will(here: Local, folder: Path) -> None:
    request = asked(folder, "touch started")
    assert submit_in_another_process(folder, "local_intended=kill") == -signal.SIGKILL
    assert not (folder / f"{NAME}.begun").exists()
    seen = only(here)
    assert seen.state is State.ENDED
    assert seen.end == End(Cause.FAILED, None, "it was never started: whoever submitted it died before")
    assert here.submit(request) == NAME
    # The process that would start it comes too late.
    here._run(str(folder), NAME, folder=folder)
    assert not (folder / "started").exists()
    assert not (folder / f"{NAME}.exit").exists()


def test_whoever_dies_after_it_has_started_leaves_it_running_and_found_by_name(
    here: Local, folder: Path
) -> None:
    seconds = sleeper()
    asked(folder, f"exec sleep {seconds}")
    assert submit_in_another_process(folder, "local_started=kill") == -signal.SIGKILL
    assert only(here).state is State.RUNNING
    wait_until(lambda: command_alive(f"sleep {seconds}") == 1)
    here.cancel(names=[NAME])
    assert wait_for_end(here).cause is Cause.CANCELLED
    assert command_alive(f"sleep {seconds}") == 0


def test_while_it_is_about_to_start_it_waits(
    here: Local, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    real = Local._run
    monkeypatch.setattr(Local, "_run", lambda *a, **k: states.append(only(here).state) or real(*a, **k))
    here.submit(asked(folder, "true"))
    assert states == [State.WAITING]
    assert wait_for_end(here).cause is Cause.FINISHED


def test_what_is_cancelled_before_it_has_begun_never_does(
    here: Local, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Local._run
    monkeypatch.setattr(Local, "_run", lambda *a, **k: here.cancel([NAME]) or real(*a, **k))
    assert here.submit(asked(folder, "touch started")) == NAME
    assert wait_for_end(here) == End(Cause.CANCELLED, None, "cancelled before it began")
    assert not (folder / "started").exists()


def test_if_the_process_that_watches_is_killed_the_rest_still_runs_and_can_be_cancelled(
    here: Local, folder: Path
) -> None:
    seconds = sleeper()
    here.submit(asked(folder, f"touch ready; exec sleep {seconds}"))
    wait_until(lambda: command_alive(f"sleep {seconds}"))
    os.kill(begun(folder)["pid"], signal.SIGKILL)
    wait_until(lambda: not started(begun(folder)["pid"]))
    assert only(here).state is State.RUNNING
    here.cancel([NAME])
    end = wait_for_end(here)
    assert (end.cause, end.exit_code) == (Cause.FAILED, None)
    assert "by force" in end.told
    assert command_alive(f"sleep {seconds}") == 0


def test_a_pid_that_went_to_another_process_is_not_it(here: Local, folder: Path) -> None:
    here.submit(asked(folder, "exec sleep 60"))
    account = begun(folder)
    os.kill(account["pid"], signal.SIGKILL)
    for pid in members(account["session"]):
        os.kill(pid, signal.SIGKILL)
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as stranger:
        theirs = {**account, "pid": stranger.pid, "session": stranger.pid}
        (folder / f"{NAME}.begun").write_text(json.dumps(theirs))
        assert only(here).state is State.ENDED
        here.cancel([NAME])
        assert stranger.poll() is None
        stranger.kill()


def test_of_those_of_another_host_nothing_is_known(
    here: Local, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.submit(asked(folder, "exec sleep 60"))
    with monkeypatch.context() as patched:
        patched.setattr(local, "place", lambda: "elsewhere|4026531836")
        seen = only(here)
        assert (seen.state, seen.end) == (None, None)
        assert seen.hosts == (os.uname().nodename,)
        here.cancel([NAME])
    assert only(here).state is State.RUNNING
    assert not here.ends({NAME: NAME})


def test_an_account_that_cannot_be_read_is_unknown_alone(
    here: Local, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here.submit(asked(folder, "true"))
    wait_for_end(here)
    for name, text in (("a", ""), ("b", "[]"), ("c", "{}"), ("d", "\x00")):
        (folder / f"{name}.json").write_text(text)
    for _ in range(2):
        assert [(seen.id, seen.state) for seen in here.look()] == [
            *((name, None) for name in "abcd"),
            (NAME, State.ENDED),
        ]
    assert len(caplog.records) == 4
    assert here.ends({name: name for name in ("a", "b", NAME)}).keys() == {NAME}
    other = f"{NAME}x"
    here.submit(replace(asked(folder, f"exec sleep {sleeper()}"), name=other))
    with pytest.raises(Unknown, match="cannot cancel a: "):
        here.cancel(["a", "b", other])
    wait_until(lambda: here.ends({other: other}))
    assert here.ends({other: other})[other].cause is Cause.CANCELLED
    for name in "abcd":
        (folder / f"{name}.json").unlink()


def test_what_ended_long_ago_is_only_told_if_asked(
    here: Local, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.submit(asked(folder, "true"))
    end = wait_for_end(here)
    monkeypatch.setattr(local, "_LISTED", -1)
    assert here.look() == []
    assert here.ends({NAME: NAME}) == {NAME: end}


def test_signals_that_are_ignored_here_are_not_in_the_script(here: Local, folder: Path) -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    try:
        here.submit(asked(folder, "exec grep -E '^Sig(Blk|Ign)' /proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, former)
    assert wait_for_end(here).cause is Cause.FINISHED
    found = dict(line.split() for line in (folder / f"{NAME}.out").read_text().splitlines())
    assert int(found["SigBlk:"], 16) == 0
    assert int(found["SigIgn:"], 16) & (1 << signal.SIGINT - 1) == 0


def test_it_gets_the_environment_but_not_the_mark_of_the_attempt(
    here: Local, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMCELERY_ATTEMPT", "5.1@token")
    monkeypatch.setenv("OTHER", "two words")
    here.submit(asked(folder, 'echo "$OTHER|$SIMCELERY_ATTEMPT|$LC_ALL"'))
    wait_for_end(here)
    assert (folder / f"{NAME}.out").read_text() == f"two words||{os.environ.get('LC_ALL', '')}\n"


def test_what_one_host_cannot_do_is_refused(here: Local, folder: Path, tmp_path: Path) -> None:
    request = asked(folder, "true")
    for more in ({"nodes": 2}, {"options": ("--qos=x",)}):
        with pytest.raises(Refused):
            here.submit(asked(folder, "true", **more))
    with pytest.raises(Refused, match="cannot write in"):
        Local(tmp_path / "gone").submit(request)
    with pytest.raises(Refused, match="cannot start"):
        here.submit(Request("simcelery-here-2", request.script, tmp_path / "gone"))
    assert [seen.end.cause for seen in here.look() if seen.end] == [Cause.FAILED]


def test_a_start_that_hangs_is_given_up_for_good(
    here: Local, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 0.2)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    (folder / "python").write_text(f"#!/bin/sh\nexec sleep {sleeper()}\n")
    (folder / "python").chmod(0o755)
    with pytest.raises(Refused, match="has not answered within"):
        here.submit(asked(folder, "touch started"))
    assert only(here).end == End(Cause.FAILED, None, "it could not be started")


def test_a_folder_that_cannot_be_looked_at_is_unknown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "listdir", away)
    with pytest.raises(Unknown, match="Input/output error"):
        Local(folder).look()
    monkeypatch.undo()
    assert Local(folder / "none").look() == []


def test_whoever_is_interrupted_while_it_starts_has_given_it_up_or_started_it(
    here: Local, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Local, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        here.submit(asked(folder, "true"))
    assert only(here).end == End(Cause.FAILED, None, "it could not be started")


def test_a_disk_that_is_full_when_it_starts_is_unknown(
    here: Local, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, values: Any) -> bool:
        if path.suffix == ".begun":
            raise OSError(28, "No space left on device")
        return write(path, values)

    monkeypatch.setattr(local, "write", full)
    monkeypatch.setattr(Local, "_run", lambda *_, **__: "it cannot write either")
    with pytest.raises(Unknown, match="No space left on device"):
        here.submit(asked(folder, "true"))
    monkeypatch.undo()
    assert only(here).state is State.WAITING
    here.cancel(names=[NAME])
    assert wait_for_end(here).cause is Cause.CANCELLED


def test_a_worker_has_the_time_to_hand_its_jobs_back(tmp_path: Path) -> None:
    """Killed sooner, its jobs would count a loss, and wait for lease and patience."""
    patient = replace(settings.get_settings(), home=tmp_path, shutdown_grace=300.0, kill_grace=20.0)
    profile = Profile(name="c", launcher="local", python=sys.executable, folder=str(tmp_path), environment={})
    folder = folder_of(patient, profile.name)
    folder.mkdir(parents=True)
    scheduler_of(patient, profile).submit(asked(folder, "exit"))
    [account] = folder.glob("*.json")
    assert json.loads(account.read_text())["grace"] > 320
    wait_for_end(Local(folder))
