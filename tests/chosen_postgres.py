"""The Postgres that the tests' servers run: the embedded one, or another that is installed on this machine.

The board promises to work on older versions than the embedded one. TEST_POSTGRES_BIN names the folder of the
`initdb` and `postgres` to be used instead, such as /usr/lib/postgresql/15/bin.
"""

from __future__ import annotations

import os
from pathlib import Path

from simcelery.services import postgres, programs

BIN = "TEST_POSTGRES_BIN"


def choose() -> None:
    """Have the servers that this process starts run the Postgres of the environment, if that names one."""
    if folder := os.environ.get(BIN):
        programs._POSTGRES_BIN = Path(folder).absolute()
        # The builtin locale is new in 17; the system's own sorts and folds as it does.
        postgres._LOCALE = ("-E", "UTF8", "--locale=C.UTF-8")
