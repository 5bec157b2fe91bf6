"""Go on from the files of an earlier attempt: what ``restart=("CONTCAR -> POSCAR", "WAVECAR")`` asks for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simcelery.worker import folders
from simcelery.worker.programs import begun
from simcelery.worker.programs.begun import Pairs
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


def continued(claim: Claim | None, wanted: Pairs) -> tuple[int, Path, Pairs] | None:
    """The last attempt that left any of these files, or began with it: its number, its folder, and which."""
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
        if left := begun.left(folder, wanted):
            return attempt, folder, left
    return None


def with_corrected(source: Path, given: Iterable[str], files: Pairs) -> tuple[Pairs, Sequence[str]]:
    """The files to copy if the input there was corrected, and which of it handlers are known to have changed.

    Parameters:
        given: the names of the input files; all are taken: a handler may have been killed before its note.
    """
    corrected = begun.corrected(source)
    taken = {new for _, new in files}
    own = [name for name in dict.fromkeys([*given, *corrected]) if name not in taken]
    return [*((name, name) for name in own if (source / name).is_file()), *files], corrected


def go_on(
    claim: Claim, attempt: int, source: Path, files: Pairs, folder: Path, corrected: Sequence[str]
) -> None:
    """Say that it goes on from an earlier attempt, on the board and in the log, and copy these files.

    Parameters:
        corrected: what handlers had changed there; of these, what they had removed is removed here, too.
    """
    from simcelery.board import attempts_before  # as above

    words = ", ".join(old if old == new else f"{old} -> {new}" for old, new in files)
    wait_within(
        claim.job_id,
        "to say what it continues",
        lambda: attempts_before.continues(claim, attempt, words),
    )
    said = f"attempt {claim.attempt} continues attempt {attempt}: {words}"
    print(f"simcelery: {said}", file=sys.stderr, flush=True)
    begun.copying(folder, files, corrected)
    for name in corrected:
        if not (source / name).exists():
            (folder / name).unlink(missing_ok=True)
    copy(source, files, folder)


def copy(source: Path, files: Pairs, folder: Path) -> None:
    for old, new in files:
        target = folder / new
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / old, target)
