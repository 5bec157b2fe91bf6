"""Crashes on purpose: armed through the environment, and nothing otherwise."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simcelery import failpoints
from simcelery.failpoints import FailpointError, arm, failpoint
from simcelery.testing.attempts import POINTS
from tests.waiting import within


def reach(*names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that passes these failpoints and says after which it still lives."""
    code = "from simcelery.failpoints import failpoint\n"
    code += "".join(f"failpoint({name!r}); print({name!r}, flush=True)\n" for name in names)
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=within(60),
    )


def test_a_failpoint_does_nothing_unless_it_is_armed() -> None:
    failpoint("after_claim")
    passed = reach("after_claim", SIMCELERY_FAILPOINTS="elsewhere=kill")
    assert (passed.returncode, passed.stdout) == (0, "after_claim\n")


def test_kill_ends_the_process_at_once() -> None:
    killed = reach("before", "after_claim", SIMCELERY_FAILPOINTS="after_claim=kill")
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "before\n")


def test_raise_raises() -> None:
    raised = reach("after_claim", SIMCELERY_FAILPOINTS="after_claim=raise")
    assert raised.returncode == 1
    assert raised.stderr.endswith("FailpointError: failpoint after_claim\n")


def test_several_may_be_armed_and_sleep_waits() -> None:
    start = time.monotonic()
    slept = reach("a", "b", SIMCELERY_FAILPOINTS="a=sleep:0.3, b=raise")
    assert time.monotonic() - start >= 0.3
    assert slept.stdout == "a\n"
    assert "failpoint b" in slept.stderr


@pytest.mark.parametrize("empty", [{}, {"SIMCELERY_FAILPOINTS_ONCE": ""}])
def test_a_failpoint_fires_every_time_unless_told_otherwise(empty: dict[str, str]) -> None:
    for _ in range(2):
        assert reach("a", SIMCELERY_FAILPOINTS="a=kill", **empty).returncode == -signal.SIGKILL


def test_once_fires_once_for_all_processes(tmp_path: Path) -> None:
    environment = {"SIMCELERY_FAILPOINTS": "a=kill,b=kill", "SIMCELERY_FAILPOINTS_ONCE": str(tmp_path)}
    assert [reach("a", **environment).returncode for _ in range(3)] == [-signal.SIGKILL, 0, 0]
    assert reach("b", **environment).returncode == -signal.SIGKILL


def test_a_failpoint_may_fire_only_the_third_time() -> None:
    passed = reach("a", "a", "a", SIMCELERY_FAILPOINTS="a=kill@3")
    assert (passed.returncode, passed.stdout) == (-signal.SIGKILL, "a\na\n")


def test_a_failpoint_is_armed_and_disarmed_from_python() -> None:
    arm("here", "raise@2")
    failpoint("here")
    with pytest.raises(FailpointError):
        failpoint("here")
    arm("here", None)
    failpoint("here")


def test_every_failpoint_of_the_package_is_armed_by_a_test() -> None:
    """By a file that starts programs with failpoints, or arms them in this process."""
    package = Path(failpoints.__file__).parent
    named = re.compile(r'\bfailpoint\("([^"]+)"\)')
    names = {
        name
        for path in package.rglob("*.py")
        if path != Path(failpoints.__file__)
        for name in named.findall(path.read_text())
    }
    assert len(names) > 30
    armed = [
        text
        for path in (package.parent / "tests").rglob("*.py")
        if path != Path(__file__)
        and ("FAILPOINTS" in (text := path.read_text()) or "arm(" in text or path.name == "helpers.py")
    ]
    names -= {POINTS["progress"]}  # armed by the name that `crash_after` has for it
    missing = {name for name in names if not any(f'"{name}' in text or f"{name}=" in text for text in armed)}
    assert not missing, f"nothing is killed at {sorted(missing)}"
