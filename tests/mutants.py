"""Break lines on purpose, one at a time, and name the changes that no test notices: `make mutants`.

What is broken, and the tests that have to notice, stand in pyproject.toml (tool.mutmut); the changes of
the statements stand in `sql_changes`. A run ends after twenty minutes at the latest, and the next one goes
on from there.
`ARGS=sql` tries only the statements, `ARGS='simcelery.worker.*'` only the lines of these modules.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mutmut.mutation.diff_apply import get_diff_for_mutant

from tests import kept_servers, mutant_types, sql_mutants
from tests.sql_changes import CHANGES

LIMIT = 20 * 60.0
MUTMUT = [str(Path(sys.executable).parent / "mutmut")]
EXPLAINED = Path("tests/mutants_that_live.toml")
LITERAL = re.compile(r"f?\"[^\"]*\"|f?'[^']*'")
CHILDREN = ["--max-children", "2"]
# Of pytest's plugins only what the tests need: hypothesis' own, for one, takes longer than most tests.
PLUGINS = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": "-p pytest_timeout -p no:unraisableexception",
}
# Of what mutmut says about a change, that no test has failed.
UNNOTICED = ("survived", "no tests")


def main() -> int:
    """Run, and name the survivors; 1: one is not explained or was not tried; 2: nothing of that name."""
    config = settings()
    named = config["only_mutate"] + config["pytest_add_cli_args_test_selection"]
    if missing := [path for path in named if not list(Path().glob(path))]:
        print(f"tool.mutmut in pyproject.toml names what is not there: {', '.join(missing)}")
        return 2
    wanted = sys.argv[1:]
    patterns = [one for one in wanted if one != "sql"] or ["*"]
    began = time.monotonic()
    os.environ |= PLUGINS
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, kept_servers.kept(Path(folder) / "home"):
        if not wanted or "sql" in wanted:
            wrong += statements()
        if wanted != ["sql"]:
            lines(patterns, began + LIMIT)
    if wanted != ["sql"]:
        wrong += report()
        if left := len(untried(patterns)):
            print(f"{left:,} were not tried: the next run goes on from there")
            wrong += left
    return 1 if wrong else 0


def settings(path: Path = Path("pyproject.toml")) -> dict[str, Any]:
    """What is changed, and who has to notice."""
    found: dict[str, Any] = tomllib.loads(path.read_text())["tool"]["mutmut"]
    return found


def statements() -> int:
    """Change the statements, and name the changes that no test noticed; their number."""
    survived = sql_mutants.survivors()
    for change in survived:
        print(f"{change.path}: {change.breaks}\n  - {change.old}\n  + {change.new}")
    print(f"{len(CHANGES):,} changes of statements, {len(survived):,} survived")
    return len(survived)


def lines(patterns: list[str], until: float) -> None:
    """Let mutmut change lines of Python until it is through, or the time is over."""
    forget_if_outdated()
    mutant_types.note()
    left = untried(patterns)
    if not left:
        return
    with subprocess.Popen([*MUTMUT, "run", *CHILDREN, *(left if patterns != ["*"] else [])]) as run:
        try:
            run.wait(until - time.monotonic())
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                run.wait(10.0)
            run.kill()  # in the background of a shell it does not hear of an interrupt
            print(f"\n{LIMIT / 60:g} minutes are over")


def forget_if_outdated() -> None:
    """Begin anew if a statement or another file that is no module has changed: mutmut does not see these.

    If other tests are to notice, mutmut itself forgets what it knows, with what mypy has noticed.
    """
    asked = Path("mutants/pyproject.toml")
    if asked.exists() and settings(asked) != settings():
        shutil.rmtree("mutants", ignore_errors=True)
    for path in Path("simcelery").rglob("*"):
        copy = "mutants" / path
        if path.is_dir() or path.suffix in (".py", ".pyc"):
            continue
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.rmtree("mutants", ignore_errors=True)
            return


def untried(patterns: list[str]) -> list[str]:
    """The changes of these modules that are still to be tried."""
    left = [name for name, said in results().items() if said == "not checked"]
    return [name for name in left if any(fnmatch(name, pattern) for pattern in patterns)]


def report() -> int:
    """Name the changes of lines that no test noticed and nobody has explained; their number."""
    found = results()
    unnoticed = [name for name, said in found.items() if said in UNNOTICED]
    changes = {
        described(name): change for name in unnoticed if not is_only_words(*(change := replaced(name)))
    }
    known = explained()
    for words, (before, after) in changes.items():
        if words not in known:
            print(f"{words.partition(': ')[0]}\n  - {before}\n  + {after}")
    noticed = {described(name) for name, said in found.items() if said not in (*UNNOTICED, "not checked")}
    for words in sorted(known & noticed - changes.keys()):
        print(f"{EXPLAINED} explains what a test notices by now: {words}")
    unexplained = len(changes.keys() - known)
    told = ", ".join(f"{number:,} {said}" for said, number in Counter(found.values()).most_common())
    print(
        f"{len(found):,} changes of lines: {told}; of those that no test noticed "
        f"{len(unnoticed) - len(changes):,} change only words, {len(changes) - unexplained:,} are explained, "
        f"and {unexplained:,} are not"
    )
    return unexplained


def results() -> dict[str, str]:
    """What came of each change, by its name."""
    told = subprocess.run([*MUTMUT, "results", "--all", "true"], capture_output=True, text=True, check=True)
    pairs = (line.strip().split(": ", 1) for line in told.stdout.splitlines() if ": " in line)
    return dict(pairs)


def explained() -> set[str]:
    """The changes that nothing can notice."""
    entries = tomllib.loads(EXPLAINED.read_text())["explained"]
    return {change for entry in entries for change in entry["changes"]}


def described(name: str) -> str:
    """A change in words that stay when others are added: where it is, and what it replaces by what."""
    where = re.sub(r"__mutmut_\d+$", "", name).removeprefix("simcelery.")
    where = re.sub(r"\.x(?:ǁ|_)", ".", where).replace("ǁ", ".")
    before, after = replaced(name)
    return f"{where}: {before} → {after}"


def replaced(name: str) -> tuple[str, str]:
    """What a change replaces, and by what."""
    lines = get_diff_for_mutant(name).splitlines()[2:]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in ("-", "+")
    )
    return before, after


def is_only_words(before: str, after: str) -> bool:
    """Whether only what people read changes."""
    return _without_words(before) == _without_words(after)


def _without_words(line: str) -> str:
    # A literal without a space is a name, an option or a format, which decides something.
    return LITERAL.sub(lambda literal: "" if " " in literal[0] else literal[0], line)


if __name__ == "__main__":
    sys.exit(main())
