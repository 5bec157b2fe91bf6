"""`make fuzz`: each test of tests/unit/test_fuzz.py for minutes, with other examples each time.

What it finds stays in .hypothesis: an ordinary run of the tests then tries it first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

TESTS = "tests/unit/test_fuzz.py"
_EXAMPLES = "500"  # of one run of a test, which has a time limit as every test


def main() -> int:
    """Whether any of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long each test is repeated")
    parser.add_argument("-k", default="test", help="only these tests, as of pytest")
    chosen = parser.parse_args()
    listed = _pytest("--collect-only", "-k", chosen.k, TESTS, capture_output=True, text=True).stdout
    failed = [test for test in listed.split() if "::" in test and not _holds(test, 60 * chosen.minutes)]
    print("\n".join(["found something:", *failed]) if failed else "found nothing")
    return int(bool(failed))


def _holds(test: str, seconds: float) -> bool:
    """Whether a test holds for that long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        print(test, flush=True)
        if _pytest(test, env={**os.environ, "FUZZ_EXAMPLES": _EXAMPLES}).returncode:
            return False
    return True


def _pytest(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "0", *words], **more)  # type: ignore[call-overload, no-any-return]


if __name__ == "__main__":
    sys.exit(main())
