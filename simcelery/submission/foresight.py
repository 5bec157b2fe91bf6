"""What a submission would find on the board: what is there already, and what comes close. Writes no job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from simcelery.board import engine, fingerprints
from simcelery.board.reads import same
from simcelery.board.reads.same import Holder, Known
from simcelery.board.states import UNSUCCESSFUL
from simcelery.board.transitions.record import check_found
from simcelery.board.values import NewJob
from simcelery.submission.bulk import chunks
from simcelery.submission.near import Near
from simcelery.submission.options import Options


@dataclass(frozen=True)
class Foreseen:
    """What would become of a job to submit.

    Attributes:
        how: as for `Recorded`.
        holder: the job that is found, unless it is an earlier one of the same submission.
        like: of a new job, the one that comes closest.
        looked: whether such a one was looked for.
    """

    job: NewJob
    how: Literal["new", "existing", "retried"]
    holder: Holder | None = None
    like: Known | None = None
    looked: bool = False


def foresee(new: Iterable[NewJob], options: Options) -> Iterator[Foreseen]:
    """What would become of jobs of one workflow, one after the other.

    Raises:
        StateError: what `check_found` refuses, as the submission itself would be.
    """
    fingerprints.catch_up()
    earlier: set[int] = set()
    near: Near | None = None
    for chunk in chunks(iter(new)):
        with engine.begin() as connection:
            holders = same.holders(connection, chunk)
        for job in chunk:
            key = job.idempotency_key or ""
            if (holder := holders.get(key)) is not None:
                yield Foreseen(job, _found(job, holder, options), holder)
            elif hash(key) in earlier:
                yield Foreseen(job, "existing")
            else:
                earlier.add(hash(key))
                if near is None and job.dedupe:
                    near = _near(job)
                looked = near is not None and not near.is_spent
                like = near.to(job.version, job.parameters) if near and looked else None
                yield Foreseen(job, "new", like=like, looked=looked)


def _found(job: NewJob, holder: Holder, options: Options) -> Literal["existing", "retried"]:
    check_found(holder.id, holder.state, holder.workflow, job, options.on_failed)
    return "retried" if holder.state in UNSUCCESSFUL and options.on_failed == "retry" else "existing"


def _near(job: NewJob) -> Near:
    def read(most: int) -> list[Known]:
        with engine.begin() as connection:
            return same.newest(connection, job.workflow, most)

    return Near(list(job.parameters), read)
