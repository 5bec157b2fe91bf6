"""Revise: give jobs other parameters, in the transaction that retries them.

Nothing is overwritten: the parameters that a job had so far are kept, with the number of the last attempt
that ran with them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from simcelery.board import engine, fingerprints, saved, sql
from simcelery.board.models import Dependency, Job
from simcelery.board.reads.revisions import SEEN
from simcelery.board.sql_helpers import among
from simcelery.board.states import UNSUCCESSFUL
from simcelery.board.values import Revision
from simcelery.errors import JobNotFoundError, StateError
from simcelery.failpoints import failpoint


def revise(connection: Connection, revisions: Sequence[Revision], by: str) -> None:
    """Write what changes in the parameters of unsuccessful jobs; others are left as they are.

    The caller holds the lock of `fingerprints.hold_searches`, and has locked the jobs and all parents.

    Parameters:
        by: who wants it.

    Raises:
        StateError: a job's parameters are no longer those that were seen; another job has the new ones, and
            this one was submitted with dedupe; or it would wait for itself.
        JobNotFoundError: a job whose result is wanted is not on the board.
    """
    mine = {one.job_id: one for one in _as_seen(connection, revisions) if one.changes}
    _check_keys(connection, list(mine.values()))
    failpoint("revise_checked")
    _write(connection, {number: (one.changes, one.key) for number, one in mine.items()}, by)
    failpoint("revise_forgotten")
    fingerprints.renew(connection, mine)
    failpoint("revise_fingerprinted")
    _change_parents(connection, mine)
    failpoint("revise_done")


def begin_anew(connection: Connection, ids: Collection[int], by: str) -> None:
    """Let jobs go on from nothing that their attempts have left: a revision that changes no parameter.

    Parameters:
        by: who wants it.
    """
    if ids:
        _write(connection, dict.fromkeys(ids, ({}, None)), by)
        failpoint("begun_anew")


def _write(connection: Connection, mine: Mapping[int, tuple[Mapping[str, Any], str | None]], by: str) -> None:
    """Write revisions, each with what changes and the new key, and forget what the jobs have saved."""
    sql.execute(
        connection,
        "revise",
        ids=list(mine),
        changes=engine.as_json({str(number): changes for number, (changes, _) in mine.items()}),
        keys=engine.as_json({str(number): key for number, (_, key) in mine.items()}),
        by=by,
    )
    failpoint("revise_written")
    saved.forget(connection, mine)


def _as_seen(connection: Connection, revisions: Sequence[Revision]) -> list[Revision]:
    """Those of jobs that are unsuccessful."""
    given = {one.job_id: one for one in revisions}
    rows = connection.execute(
        select(Job.id, literal_column(SEEN, BigInteger).label("seen")).where(
            among(Job.id, given), Job.state.in_(UNSUCCESSFUL)
        )
    )
    found = []
    for row in sorted(rows):
        if row.seen != given[row.id].seen:
            raise StateError(
                f"somebody else has just given job {row.id} other parameters: nothing was changed; look at "
                "them, and repeat this if it is still wanted"
            )
        found.append(given[row.id])
    return found


def _check_keys(connection: Connection, revisions: Sequence[Revision]) -> None:
    """No two jobs with dedupe may have the same parameters."""
    wanted: dict[str, Revision] = {}
    for one in revisions:
        if one.key is None:
            continue
        if (other := wanted.setdefault(one.key, one)) is not one:
            raise StateError(
                f"jobs {other.job_id} and {one.job_id} would have the same parameters: nothing was changed; "
                "they were submitted with dedupe, so retry only one of them like this"
            )
    if not wanted:
        return
    taken = fingerprints.by_key(connection, wanted.keys()) | fingerprints.same(connection, wanted)
    for key, number in taken.items():
        state = connection.scalar(select(Job.state).where(Job.id == number))
        raise StateError(
            f"job {number} has these parameters already and is {state}: nothing was changed; job "
            f"{wanted[key].job_id} was submitted with dedupe and may not become the same"
        )


def _change_parents(connection: Connection, mine: Mapping[int, Revision]) -> None:
    dropped = [(number, parent) for number, one in mine.items() for parent in one.dropped]
    if dropped:
        sql.execute(
            connection,
            "drop_edges",
            ids=[number for number, _ in dropped],
            parents=[parent for _, parent in dropped],
        )
    added = [
        {"job_id": number, "parent_id": parent}
        for number, one in mine.items()
        for parent in sorted(one.added)
    ]
    if not added:
        return
    wanted = sorted({edge["parent_id"] for edge in added})
    there = set(connection.scalars(select(Job.id).where(among(Job.id, wanted))))
    for parent in wanted:
        if parent not in there:
            raise JobNotFoundError(f"there is no job {parent} to wait for")
    itself = [edge["job_id"] for edge in added if edge["job_id"] == edge["parent_id"]]
    if not itself:
        needed = insert(Dependency).on_conflict_do_update(
            index_elements=["job_id", "parent_id"], set_={"kind": None}
        )
        connection.execute(needed, added)
        children = [edge["job_id"] for edge in added]
        itself = list(sql.execute(connection, "waits_for_itself", ids=children, parents=wanted).scalars())
    for number in itself:
        raise StateError(
            f"job {number} would wait for its own result: nothing was changed; name a job that does not "
            f"depend on {number}"
        )
