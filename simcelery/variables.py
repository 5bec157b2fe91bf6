"""Environment variables that begin with ``SIMCELERY_`` but mean nothing: most are misspelt settings."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator

from simcelery.settings import FIELDS, PREFIX, SETTINGS_FILE

_SETTINGS = tuple(PREFIX + name.upper() for name in FIELDS)
# Read by the package, but no settings.
_SWITCHES = (SETTINGS_FILE, "SIMCELERY_DEBUG", "SIMCELERY_FAILPOINTS", "SIMCELERY_FAILPOINTS_ONCE")
# Set by workers for their pool children, jobs and commands.
_OF_WORKERS = (
    "BOARD",
    "WORKER_ID",
    "REGISTRATION",
    "JOB_ID",
    "PARENT_DIRS",
    "PARENT_STATES",
    "ATTEMPT",
    "COMMAND",
)
# Set by the script that starts the workers of a cluster.
_OF_CLUSTERS = ("ALLOCATION",)
# Read by docker-compose.yml and flower.conf.
_OF_SERVICES = ("BIND_ADDRESS", "FLOWER_ADDRESS", "FLOWER_AUTH", "FLOWER_PORT", "PROJECT")
_OTHERS = (*_OF_WORKERS, *_OF_CLUSTERS, *_OF_SERVICES)
KNOWN = frozenset((*_SETTINGS, *_SWITCHES, *(PREFIX + name for name in _OTHERS)))


def unknown() -> Iterator[str]:
    """A line for each variable that is set but not known, with the setting that was probably meant."""
    for name in sorted(os.environ):
        # Settings are read in capitals or not, and an empty variable counts as unset.
        if name.upper().startswith(PREFIX) and name.upper() not in KNOWN and os.environ[name]:
            close = difflib.get_close_matches(name.upper(), (*_SETTINGS, *_SWITCHES), 1, 0.75)
            yield f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else "")
