"""Break lines on purpose, one at a time, and name the changes that no test notices: `make mutants`.

What is broken, and the tests that have to notice, stand in pyproject.toml (tool.mutmut). A run ends after
twenty minutes at the latest, and the next one goes on from there.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant

LIMIT = 20 * 60.0
MUTMUT = [str(Path(sys.executable).parent / "mutmut")]
WORDS = re.compile(r"f?\"[^\"]*\"|f?'[^']*'")


def main() -> int:
    """Run, and name the survivors; 2: something that is to be broken, or a test, is not there."""
    config = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
    named = config["only_mutate"] + config["pytest_add_cli_args_test_selection"]
    if missing := [path for path in named if not Path(path).exists()]:
        print(f"tool.mutmut in pyproject.toml names what is not there: {', '.join(missing)}")
        return 2
    with subprocess.Popen([*MUTMUT, "run", *sys.argv[1:]]) as run:
        try:
            run.wait(LIMIT)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)
            print(f"\n{LIMIT / 60:g} minutes are over; the next run goes on from here")
    names = survivors()
    changes = {name: change for name in names if not is_only_words(*(change := replaced(name)))}
    for name, (before, after) in changes.items():
        print(f"{name}\n  - {before}\n  + {after}")
    print(f"{len(names):,} survived; {len(names) - len(changes):,} of them change only words")
    return 0


def survivors() -> list[str]:
    """The changes that no test has noticed."""
    results = subprocess.run([*MUTMUT, "results"], capture_output=True, text=True, check=True).stdout
    return [line.split(":")[0].strip() for line in results.splitlines() if line.endswith(": survived")]


def replaced(name: str) -> tuple[str, str]:
    """What a change replaces, and by what."""
    lines = get_diff_for_mutant(name).splitlines()[2:]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in ("-", "+")
    )
    return before, after


def is_only_words(before: str, after: str) -> bool:
    """Whether only what people read changes."""
    return before.startswith("log.") or WORDS.sub("", before) == WORDS.sub("", after)


if __name__ == "__main__":
    sys.exit(main())
