"""Store files, in a process of its own: whatever a store's client starts, or waits for, ends with it.

Such clients hang or refuse to work in a process that was forked after they had been made, and leave threads
and connections behind. A process that is started anew knows nothing of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from simcelery.pauses import growing
from simcelery.storing import store
from simcelery.storing.store import StoreError
from simcelery.urls import folder_of_store

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


@dataclass(frozen=True)
class ToStore:
    """A file, where it is to be stored, and its size in bytes."""

    source: str
    url: str
    size: int


def put_all(files: Sequence[ToStore], timeout: float) -> None:
    """Store files, for other stores than folders through a process of its own.

    Parameters:
        timeout: seconds for which an outage is waited out.

    Raises:
        StoreError: one cannot be stored.
        OSError: one cannot be read.
    """
    if all(folder_of_store(one.url) for one in files):
        _put_all(files, timeout)
        return
    asked = json.dumps([timeout, *map(asdict, files)])
    argv = [sys.executable, "-P", "-m", __name__]
    done = subprocess.run(argv, input=asked, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or lines[-1:] != ["stored"]:
        said = lines[-1] if lines else f"the process that stores them ended with {done.returncode}"
        raise StoreError(said)


def _put_all(files: Sequence[ToStore], timeout: float) -> None:
    until = time.monotonic() + timeout
    for one in files:
        pauses = growing(_FIRST_PAUSE, _LONGEST_PAUSE, factor=2)
        while True:
            try:
                store.put(Path(one.source), one.url, one.size)
                break
            except StoreError as error:
                pause = next(pauses)
                if isinstance(error.__cause__, ImportError) or time.monotonic() + pause > until:
                    raise
                print(f"simcelery: {error}; trying again", file=sys.stderr, flush=True)
                time.sleep(pause)


def main() -> int:
    """Read what is to be stored from stdin; the last line of stdout says what became of it."""
    timeout, *files = json.load(sys.stdin)
    try:
        _put_all([ToStore(**one) for one in files], timeout)
    except (StoreError, OSError) as error:
        print(" ".join(str(error).split()))
        return 1
    print("stored")
    return 0


if __name__ == "__main__":
    sys.exit(main())
