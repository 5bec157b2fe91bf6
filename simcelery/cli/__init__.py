"""The command line: parse → call → render, and nothing else.

Owns selectors, filters, output and exit codes. Every verb is a file in `verbs`, with a thin function that
calls the board's queries, the submission, the services or `describe`; what verbs share lies beside them.
Nobody imports this package but its entry point. The heavy packages are imported inside the functions, so
that ``simcelery --help`` answers at once.
"""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """The entry point ``simcelery``.

    Imports make hundreds of thousands of objects that stay. To look for garbage among them, meanwhile and
    again at the end, would be a third of a short command's time.
    """
    gc.set_threshold(50_000, 20, 20)
    try:
        from simcelery.cli.root import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # so early that nothing has been done
        code = 130
    gc.freeze()
    sys.exit(code)
