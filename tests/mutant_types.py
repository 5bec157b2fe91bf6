"""What mypy says of the changes that `make mutants` makes: one that it notices needs no test.

mutmut can ask mypy too, but reads all changed files anew each time, which takes minutes.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import defaultdict
from contextlib import redirect_stdout
from pathlib import Path

from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants  # type: ignore[attr-defined]
from mutmut.mutation.data import MutantLineSpans, SourceFileMutationData
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import get_mutant_name

# What mutmut notes of a change that a type checker has noticed.
CAUGHT = 37
# Left out is what mypy says only because a file holds many versions of each function.
MYPY = [sys.executable, "-m", "mypy", "--output=json", "--no-warn-unused-ignores"]
MYPY += ["--disable-error-code=no-redef", "--disable-error-code=has-type"]


def note() -> None:
    """Make the changes that are not made yet, and note those that mypy notices."""
    Path("mutants").mkdir(exist_ok=True)
    with redirect_stdout(io.StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(2)
    errors = _errors()
    for path in walk_mutatable_files():
        if spans := MutantLineSpans.load(path):
            caught = {
                get_mutant_name(path, function)
                for function, span in spans.span_by_function_name.items()
                if any(span.start <= line <= span.end for line in errors[str(path)])
            }
            known = SourceFileMutationData(path=path)
            known.load()
            for name, said in known.exit_code_by_key.items():
                if name in caught:
                    known.exit_code_by_key[name] = CAUGHT
                elif said == CAUGHT:
                    known.exit_code_by_key[name] = None
            known.save()


def _errors() -> dict[str, list[int]]:
    """The lines of each file that are wrong."""
    told = subprocess.run(MYPY, cwd="mutants", capture_output=True, text=True, check=False)
    if told.returncode not in (0, 1):
        raise RuntimeError(f"mypy has failed: {told.stdout}{told.stderr}")
    lines: defaultdict[str, list[int]] = defaultdict(list)
    for said in map(json.loads, told.stdout.splitlines()):
        if said["severity"] == "error":
            lines[said["file"]].append(said["line"])
    return lines
