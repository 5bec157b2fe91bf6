"""Go on from the files of an earlier attempt: what ``restart=("CONTCAR -> POSCAR", "WAVECAR")`` asks for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simcelery.worker import folders
from simcelery.worker.waiting import wait_within
from simcelery.workflows.paths import inside

if TYPE_CHECKING:
    from simcelery.board.values import Claim


def parsed(restart: Sequence[str]) -> list[tuple[str, str]]:
    """For each file its name in the earlier folder, and the one here.

    Raises:
        ValueError: one is not a file's name, or two with an arrow between them.
    """
    found = []
    for text in restart:
        before, arrow, after = (part.strip() for part in text.partition("->"))
        try:
            found.append((inside(before), inside(after if arrow else before)))
        except ValueError as error:
            raise ValueError(f"restart {text!r}: {error}") from None
    return found


def continued(
    claim: Claim | None, wanted: Sequence[tuple[str, str]]
) -> tuple[int, Path, list[tuple[str, str]]] | None:
    """The last attempt that has left any of these files: its number, its folder, and which it left.

    An empty file is as good as none.
    """
    if claim is None or claim.attempt == 1 or not wanted:
        return None
    from simcelery.board import attempts_before  # not before: clients import this package, too

    earlier = wait_within(
        claim.job_id,
        "to learn where its last attempt ran",
        lambda: attempts_before.folders(claim.job_id, claim.attempt),
    )
    for attempt, claim_id, workdir in earlier:
        # Of one whose worker was lost nobody may have looked; but its path is known.
        folder = Path(workdir or folders.of_attempt(claim.job_id, attempt, claim_id).path)
        folders.unpacked(claim.job_id, folder)
        if left := [(old, new) for old, new in wanted if _is_there(folder / old)]:
            return attempt, folder, left
    return None


def go_on(claim: Claim, attempt: int, source: Path, files: Sequence[tuple[str, str]], folder: Path) -> None:
    """Say that it goes on from an earlier attempt, on the board and in the log, and copy these files."""
    from simcelery.board import attempts_before  # as above

    words = ", ".join(old if old == new else f"{old} -> {new}" for old, new in files)
    wait_within(
        claim.job_id,
        "to say what it continues",
        lambda: attempts_before.continues(claim, attempt, words),
    )
    said = f"attempt {claim.attempt} continues attempt {attempt}: {words}"
    print(f"simcelery: {said}", file=sys.stderr, flush=True)
    for old, new in files:
        target = folder / new
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / old, target)


def _is_there(file: Path) -> bool:
    try:
        return file.is_file() and file.stat().st_size > 0
    except OSError:
        return False
