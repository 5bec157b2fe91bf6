"""The command line: parse → call → render, and nothing else.

Owns selectors, filters, output and exit codes. Every verb is a module in `verbs`: a thin function that calls
the board's queries, the submission, the services or `describe`. What several verbs share is in this folder.
Only the entry point imports this package. Heavy packages are imported inside the functions, so that
``simcelery --help`` answers at once.
"""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """The entry point ``simcelery``.

    Imports create more than a hundred thousand long-lived objects. Searching them for garbage, during the run
    and again at exit, would take a third of a short command's time.
    """
    gc.set_threshold(200_000, 20, 20)
    try:
        from simcelery.cli.root import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # so early that nothing has been done yet
        code = 130
    gc.freeze()
    sys.exit(code)
