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


def restart(claim: Claim | None, wanted: Sequence[tuple[str, str]], folder: Path) -> None:
    """Copy what the last attempt that got so far has left; an empty file is as good as none."""
    if claim is None or claim.attempt == 1 or not wanted:
        return
    from simcelery.board import attempts_before  # not before: clients import this package, too

    earlier = wait_within(
        claim.job_id,
        "to learn where its last attempt ran",
        lambda: attempts_before.folders(claim.job_id, claim.attempt),
    )
    for attempt, claim_id, workdir in earlier:
        # Of one whose worker was lost nobody may have looked; but its path is known.
        source = Path(workdir or folders.of_attempt(claim.job_id, attempt, claim_id).path)
        folders.unpacked(claim.job_id, source)
        copied = [f"{old} -> {new}" for old, new in wanted if _copied(source / old, folder / new)]
        if copied:
            said = f"attempt {claim.attempt} continues attempt {attempt}: {', '.join(copied)}"
            print(f"simcelery: {said}", file=sys.stderr, flush=True)
            return


def _copied(source: Path, target: Path) -> bool:
    try:
        if not source.is_file() or not source.stat().st_size:
            return False
    except OSError:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    return True
