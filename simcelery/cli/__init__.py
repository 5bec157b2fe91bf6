"""The command line: parse → call → render, and nothing else.

Owns selectors, filters, output and exit codes. Every verb is a thin function that calls the board's
queries, the submission or the services; nobody imports this package but its entry point. The heavy
packages are imported inside the functions, so that ``simcelery --help`` answers at once.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point ``simcelery``."""
    from simcelery.cli.root import run

    sys.exit(run(sys.argv[1:]))
