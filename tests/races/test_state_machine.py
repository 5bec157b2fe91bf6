"""Whatever happens to jobs, in whatever order: a machine that drives every transition on real Postgres."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, text

from simcelery.board import engine, gates, leases, limits, reads, retention, transitions
from simcelery.board.gates import Behind, NewGate
from simcelery.board.reads import Filter
from simcelery.board.states import TERMINAL, WAITING
from simcelery.board.values import Claim, Revision
from simcelery.errors import StateError
from simcelery.maintenance import hold
from simcelery.maintenance.effects import BY_HAND
from simcelery.submission import holding
from simcelery.worker.outcomes import gone_on
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    SUCCESS,
    claim,
    finish,
    lapse,
    new_job,
    registration,
    settle,
    sql,
    worker,
)

# The diagram of states.py. Several steps may lie between two looks (a retry revives and a settle fails
# again), so each rule below looks before and after.
ALLOWED = {
    "blocked": {
        "pending",
        "scheduled",
        "upstream_failed",
        "cancelled",
        "succeeded",
    },  # succeeded: has gone on
    "scheduled": {
        "pending",
        "blocked",
        "cancelled",
        "succeeded",
    },  # succeeded: a late success; pending: also handed back
    "pending": {"running", "cancelled", "succeeded", "blocked"},  # blocked: held, or throttled
    "running": {"succeeded", "failed", "cancelled", "scheduled", "pending", "blocked"},  # blocked: goes on
    "succeeded": set(),
    "failed": {"pending", "blocked"},
    "cancelled": {"pending", "blocked"},
    "upstream_failed": {"pending", "blocked"},
}
index = st.integers(0, 5)
REPORTS = {
    "success": SUCCESS,
    "error": ERROR,
    "again": AGAIN,
    "lost": LOST,
    "then": replace(SUCCESS, then=new_job()),
}


class Board(RuleBasedStateMachine):
    """Two workers, duplicates, zombies, cancels, retries, dependencies and a limit."""

    @initialize(most=st.sampled_from([None, 0, 1, 1]))
    def empty(self, most: int | None) -> None:
        """An empty board with two workers, perhaps with a limit."""
        with engine.begin() as connection:
            # Quicker than TRUNCATE for a handful of rows, and there are hundreds of runs.
            for table in ("dependencies", "jobs", "gates", "workers", "limits"):
                connection.execute(text(f"DELETE FROM {table}"))
            fuse = gates.create(connection, NewGate("w", (), "test", max_fails=0))
            closed = gates.create(connection, NewGate("w", (), "test", canary=1, max_fails=1))
        self.gates = [None, fuse, closed]
        self.workers = [worker(), worker()]
        self.tasks: dict[int, uuid.UUID] = {}
        self.claimed: dict[int, list[int]] = {}
        self.claims: list[Claim] = []
        self.before: dict[int, str] = {}
        self.ended: set[int] = set()
        self.gone_on: set[int] = set()
        self.limit(most)
        self.record([], attempts=1, losses=1, delayed=False, gate=2, canary=True)
        self.record([0], attempts=1, losses=2, delayed=False)

    def job(self, index: int) -> int:
        """One of the jobs recorded so far: 0 is the first."""
        return list(self.tasks)[index % len(self.tasks)]

    @precondition(lambda self: len(self.tasks) < 5)
    @rule(
        parents=st.lists(index, max_size=2),
        after_any=st.lists(index, max_size=2),
        attempts=st.integers(1, 3),
        losses=st.integers(0, 2),
        delayed=st.booleans(),
        gate=st.integers(0, 2),
        limited=st.sampled_from([True, True, False]),
    )
    def record(
        self,
        parents: list[int],
        attempts: int,
        losses: int,
        delayed: bool,
        gate: int = 0,
        canary: bool = False,
        after_any: list[int] | None = None,
        limited: bool = True,
    ) -> None:
        """A new job, perhaps with parents in any state, for later, behind a gate or with a limit."""
        new = new_job(
            parents=[self.job(parent) for parent in parents],
            after_any=frozenset(self.job(parent) for parent in after_any or ()),
            max_attempts=attempts,
            max_losses=losses,
            delay=0.01 if delayed else None,
            tags=["limited"] if limited else [],
        )
        with engine.begin() as connection:
            behind = None
            if number := self.gates[gate]:
                behind = Behind(number, gates.is_closed(connection, number), frozenset([0] if canary else []))
            [found] = transitions.record(connection, [new], behind=behind)
            if number and canary:
                gates.add_canaries(connection, number, [found.id])
        self.tasks[found.id] = found.task_id

    @rule(index=index, who=st.integers(0, 1), timely=st.sampled_from([True, True, False]))
    def message(self, index: int, who: int, timely: bool) -> None:
        """A message arrives: for a job that waits, or a duplicate or outdated one."""
        pending = [job for job, state in self.before.items() if state == "pending"]
        self.message_of(pending[index % len(pending)] if timely and pending else self.job(index), who)

    def message_of(self, job: int, who: int) -> None:
        """A message of this job arrives."""
        was = self.before[job]
        held_back = bool(sql(HELD_BACK + " AND j.id = :job", job=job))
        full = bool(
            sql(IS_FULL + " AND 'limited' = ANY ((SELECT tags FROM jobs WHERE id = :job)::text[])", job=job)
        )
        throttled = {
            one
            for (one,) in sql(
                "SELECT id FROM jobs JOIN throttled ON job_id = id WHERE state = 'blocked' AND unmet = 0"
            )
        }
        found = claim(self.tasks[job], self.workers[who], pid=100 + who)
        assert (found is not None) == (was == "pending" and not held_back and not full)
        if was == "pending" and not held_back and full:
            assert sql(
                "SELECT id FROM jobs JOIN throttled ON job_id = id WHERE id = :job AND state = 'blocked'",
                job=job,
            )
        if found:
            assert found.job_id == job or not sql(HELD_BACK + " AND j.id = :job", job=found.job_id)
            if found.job_id in throttled:
                self.before[found.job_id] = "pending"  # the claim has let it in: it comes before newer ones
            self.claimed.setdefault(found.job_id, []).append(found.attempt)
            self.claims.append(found)

    @precondition(lambda self: len(self.tasks) < 4)
    @rule(who=st.integers(0, 1), how=st.sampled_from(sorted(REPORTS)))
    def rush(self, who: int, how: str) -> None:
        """Two jobs of the limit come, and all messages: what is one too many waits until another one ends."""
        for _ in range(2):
            self.record([], attempts=1, losses=1, delayed=False)
        self.holds()
        for job in [job for job, state in self.before.items() if state == "pending"]:
            if self.before[job] == "pending":  # the one before may have led to it
                self.message_of(job, who)
                self.holds()
        if self.claims:
            self.outcome(0, how)

    @precondition(lambda self: "pending" in self.before.values())
    @rule(index=index, who=st.integers(0, 1), how=st.sampled_from(sorted(REPORTS)))
    def run_one(self, index: int, who: int, how: str) -> None:
        """A job is claimed and its outcome arrives: what happens most of the time."""
        self.message(index, who, timely=True)
        self.holds()
        if self.claims:
            self.outcome(0, how)

    @rule(back=st.integers(0, 3), how=st.sampled_from(sorted(REPORTS)), killed=st.booleans())
    @precondition(lambda self: self.claims)
    def outcome(self, back: int, how: str, killed: bool = False) -> None:
        """An outcome arrives: in time, twice, or from a zombie; who wrote it may be killed then."""
        claimed = self.claims[-1 - back % len(self.claims)]
        newest = self.claimed[claimed.job_id][-1] == claimed.attempt
        was = self.before[claimed.job_id]
        report = REPORTS[how]
        if report.then is not None:
            report = replace(report, then=report.then.alike())
        ended = finish(claimed, report)
        if ended is not None and ended.state == "blocked":
            self.gone_on.add(ended.id)
            for following in ended.unblocked:
                self.tasks[following.id] = following.task_id
        if ended is not None and not killed:
            gone_on.settle(ended)
        if not newest:
            assert ended is None, "a zombie's outcome was accepted"
        if how not in ("success", "then"):
            assert (ended is not None) == (newest and was == "running")

    @precondition(lambda self: self.zombies())
    @rule(which=index, how=st.sampled_from(sorted(REPORTS)))
    def zombie(self, which: int, how: str) -> None:
        """A worker that was thought dead reports, after somebody else has claimed the job."""
        zombies = self.zombies()
        assert finish(zombies[which % len(zombies)], REPORTS[how]) is None

    def zombies(self) -> list[Claim]:
        """Claims that are no longer their job's newest."""
        return [claimed for claimed in self.claims if self.claimed[claimed.job_id][-1] != claimed.attempt]

    @rule(index=index, who=st.integers(0, 1), how=st.sampled_from(["lost", "again"]))
    def child_died(self, index: int, who: int, how: str) -> None:
        """The parent process reports a dead child, perhaps of a job that another worker has."""
        guard = transitions.by_child(self.tasks[self.job(index)], registration(self.workers[who]), 100 + who)
        with engine.begin() as connection:
            transitions.finish(connection, guard, REPORTS[how])

    @rule(index=index)
    def cancel(self, index: int) -> None:
        """Cancel by hand."""
        job = self.job(index)
        was = self.before[job]
        with engine.begin() as connection:
            at_once, requested = transitions.cancel(connection, [job], by="test")
        assert (job in at_once) == (was in ("blocked", "scheduled", "pending"))
        assert (job in requested) == (was == "running")
        assert {job} >= {*at_once, *requested} or job in self.gone_on

    @rule(
        index=index,
        with_parents=st.booleans(),
        other=st.booleans(),
        parent=st.none() | index,
        from_scratch=st.booleans(),
    )
    def retry(
        self, index: int, with_parents: bool, other: bool, parent: int | None, from_scratch: bool
    ) -> None:
        """Retry by hand, perhaps with other parameters, perhaps with the result of another job."""
        job = self.job(index)
        was = self.before[job]
        try:
            with engine.begin() as connection:
                revisions = [self.revision(connection, job, parent)] if other else []
                back = transitions.retry(
                    connection,
                    [job],
                    with_parents=with_parents,
                    revisions=revisions,
                    from_scratch=from_scratch,
                    by="test",
                )
                revived = [one.id for one in back]
        except StateError as error:
            said = str(error)
        else:
            said = ""
        if said:
            assert not with_parents or "would wait for its own result" in said
            return
        assert (job in revived) == (was in ("failed", "cancelled", "upstream_failed"))

    def revision(self, connection: Connection, job: int, parent: int | None) -> Revision:
        """Another value, and perhaps one more parent."""
        [row] = reads.revisable(connection, [job])
        return Revision(
            job_id=job,
            workflow="w",
            version="1",
            seen=row.seen,
            before=row.parameters,
            changes={"n": row.parameters.get("n", 0) + 1},
            added=frozenset() if parent is None else frozenset({self.job(parent)}),
        )

    @rule()
    def tick(self) -> None:
        """The time of scheduled jobs comes, and one level of descendants is settled."""
        with engine.begin() as connection:
            connection.execute(text("UPDATE jobs SET run_at = now() WHERE state = 'scheduled'"))
            transitions.stage(connection, 1000)
            transitions.settle(connection, 1000)

    @rule()
    def settle_all(self) -> None:
        """All descendants are settled: every job waits for exactly those that it has to."""
        settle()
        assert not sql(
            f"""SELECT j.id FROM jobs j WHERE j.state = 'blocked'
            AND j.unmet <> CASE WHEN {GOES_ON} THEN 1 ELSE ({TO_WAIT_FOR}) END"""
        )
        assert not sql(f"SELECT j.id FROM jobs j WHERE j.state = 'blocked' AND {GOES_ON} AND {HAS_GONE_ON}")

    @rule(most=st.sampled_from([None, 0, 1, 1, 2]))
    def limit(self, most: int | None) -> None:
        """So many jobs of the limit may run from now on; None: as many as want to."""
        with engine.begin() as connection:
            if most is None:
                limits.remove(connection, [LIMIT])
            else:
                limits.put(connection, {LIMIT: most}, "test")
        self.most, self.used = most, used()

    @rule()
    def admit(self) -> None:
        """What a limit has kept waiting is woken where there is room for it; nothing is forgotten."""
        with engine.begin() as connection:
            transitions.admit(connection, 10)
        [waiting] = sql(
            """SELECT count(*) FILTER (WHERE state = 'blocked' AND unmet = 0 AND woken_at IS NULL) AS left,
                count(*) FILTER (WHERE state = 'pending') AS woken
            FROM throttled JOIN jobs ON jobs.id = job_id"""
        )
        assert not waiting.left or (self.most is not None and used() + waiting.woken >= self.most)

    @rule()
    def hold(self) -> None:
        """What waits at a closed gate is held, and what an open one has held is let go."""
        hold.tick(BY_HAND)
        assert not sql(HELD_BACK + " AND j.state IN ('pending', 'scheduled')")
        assert not sql(
            """SELECT j.id FROM jobs j JOIN gates g ON g.id = j.gate_id
            WHERE j.state = 'blocked' AND j.unmet = 0 AND g.closed_by IS NULL
            AND NOT EXISTS (SELECT FROM throttled t WHERE t.job_id = j.id AND t.woken_at IS NULL)"""
        )

    @rule(index=index)
    def hold_by_hand(self, index: int) -> None:
        """Somebody holds a job, or, where it is all that waits behind its gate, that gate."""
        job = self.job(index)
        held = holding.hold(Filter(ids=[job]), by="test")
        self.gates = [None, *(number for (number,) in sql("SELECT id FROM gates ORDER BY id"))]
        behind = dict(
            sql(
                "SELECT j.id, j.state FROM jobs j JOIN gates g ON g.id = j.gate_id "
                "WHERE g.closed_by = 'hand' OR g.closed_by IS NOT NULL AND j.attempt = 0"
            )
        )
        assert {behind.get(number) for number in held} <= {"blocked"}
        assert job in behind or self.before[job] not in WAITING

    @rule()
    def release(self) -> None:
        """The gates are opened in spite of everything."""
        with engine.begin() as connection:
            transitions.release_gates(connection, [number for number in self.gates if number])

    @rule(who=st.integers(0, 1), how=st.sampled_from(["gracefully", "lapsed", "dead"]))
    def stop(self, who: int, how: str) -> None:
        """A worker releases its jobs; or its lease ends, they are rescued, it is back; or it is replaced."""
        me = self.workers[who]
        if how == "lapsed":
            lapse(me)
        with engine.begin() as connection:
            if how == "gracefully":
                transitions.release(connection, registration(me))
            elif how == "lapsed":
                transitions.rescue(connection, grace=0.0, limit=1000)
                assert leases.renew(connection, registration(me), 3600.0)
            else:
                leases.bury(connection, [me])
                transitions.rescue_now(connection, [me], 1000)
                assert not leases.renew(connection, registration(me), 3600.0)
        assert not sql("SELECT id FROM jobs WHERE state = 'running' AND worker_id = :id", id=me)
        if how == "dead":
            self.workers[who] = worker()

    @rule(index=index, who=st.integers(0, 1))
    def hand_back(self, index: int, who: int) -> None:
        """A worker in quarantine hands back a failure, if the last one of the job was its own."""
        failures = [job for job, state in self.before.items() if state in ("failed", "scheduled")]
        job = failures[index % len(failures)] if failures else self.job(index)
        me = self.workers[who]
        theirs = sql(
            """SELECT failures FROM jobs j JOIN attempts a ON a.job_id = j.id AND a.attempt = j.attempt
            WHERE j.id = :job AND j.state IN ('failed', 'scheduled') AND j.worker_id = :me
            AND a.outcome = 'failed'""",
            job=job,
            me=me,
        )
        sql("UPDATE workers SET quarantined_at = now() WHERE id = :me", me=me)
        with engine.begin() as connection:
            back = [one.id for one in transitions.hand_back(connection, [self.tasks[job]], registration(me))]
        sql("UPDATE workers SET quarantined_at = NULL")
        assert (job in back) == bool(theirs)
        if theirs:
            now = sql("SELECT state, failures FROM jobs WHERE id = :job", job=job)
            # It may wait for the end of one that was handed back before it, and that runs again.
            waits = sql(
                """SELECT FROM dependencies d JOIN jobs p ON p.id = d.parent_id
                WHERE d.job_id = :job AND p.finished_at IS NULL""",
                job=job,
            )
            assert now == [("blocked" if waits else "pending", theirs[0].failures - 1)]

    @rule(limit=st.integers(1, 2))
    def prune(self, limit: int) -> None:
        """Some of the finished jobs that nobody needs are deleted."""
        needed = sql(
            """SELECT d.parent_id FROM dependencies d JOIN jobs c ON c.id = d.job_id
            WHERE c.finished_at IS NULL
            UNION SELECT job_id FROM canaries JOIN gates ON gates.id = gate_id WHERE closed_by = 'canary'"""
        )
        over = {job for job, state in self.before.items() if state in TERMINAL} - {one for (one,) in needed}
        with engine.begin() as connection:
            deleted = retention.delete_finished(connection, 0.0, limit)
        left = {one for (one,) in sql("SELECT id FROM jobs")}
        gone = self.tasks.keys() - left
        assert gone <= over
        assert deleted == len(gone) == min(limit, len(over))
        for claimed in [claimed for claimed in self.claims if claimed.job_id in gone]:
            assert finish(claimed, SUCCESS) is None
        self.claims = [claimed for claimed in self.claims if claimed.job_id in left]
        for job in gone:
            del self.tasks[job], self.before[job]
            self.claimed.pop(job, None)
        if not self.tasks:
            self.record([], attempts=1, losses=1, delayed=False)

    @invariant()
    def holds(self) -> None:
        """Looked at after every rule, in one transaction."""
        with engine.begin() as connection:
            now = {row.id: row.state for row in connection.execute(text("SELECT id, state FROM jobs"))}
            broken = connection.execute(ANY_BROKEN).all()
            edges = connection.execute(ENDS_WAITED_FOR).all()
        for job, state in now.items():
            was = self.before.get(job, state)
            assert state == was or state in ALLOWED[was], f"{was} → {state}"
        running, self.used = self.used, used()
        assert self.most is None or self.used <= max(self.most, running), "one too many of the limit run"
        # An attempt may have succeeded without a result: its job went on in another one.
        assert [
            (job, what) for job, what in broken if job not in self.gone_on or what not in OF_SUCCESS
        ] == []
        self.before = now
        self.ended |= {job for job, state in now.items() if state in TERMINAL}
        too_early = {(child, parent) for child, parent in edges if parent not in self.ended}
        assert not too_early, "a job runs before the end of one that it waits for"
        for attempts in self.claimed.values():
            assert attempts == list(range(1, len(attempts) + 1)), "an attempt was claimed twice"


LIMIT = "tag:limited"
IS_FULL = f"SELECT FROM limits WHERE name = '{LIMIT}' AND most <= limit_used(name)"


def used() -> int:
    """How many jobs of the limit are running."""
    return int(sql("SELECT count(*) FROM jobs WHERE state = 'running' AND 'limited' = ANY (tags)")[0][0])


# What waits at a closed gate: it has not begun, and is no canary. Of what somebody holds all waits.
HELD_BACK = """
    SELECT j.id FROM jobs j JOIN gates g ON g.id = j.gate_id
    WHERE g.closed_by IS NOT NULL AND (g.closed_by = 'hand' OR j.attempt = 0
        AND NOT EXISTS (SELECT FROM canaries c WHERE c.gate_id = g.id AND c.job_id = j.id))"""

# How many jobs one has to wait for. It may not have been told yet of one that ended and need not succeed.
TO_WAIT_FOR = """
    SELECT count(*) FROM dependencies d JOIN jobs p ON p.id = d.parent_id
    WHERE d.job_id = j.id AND p.state <> 'succeeded' AND (d.kind IS NULL OR p.finished_at IS NULL)"""
GOES_ON = "EXISTS (SELECT FROM dependencies d WHERE d.job_id = j.id AND d.kind = 'then')"
HAS_GONE_ON = """EXISTS (SELECT FROM dependencies d JOIN jobs p ON p.id = d.parent_id
    WHERE d.job_id = j.id AND d.kind = 'then' AND p.state = 'succeeded')"""
ONE_SUCCESS = "a job has one successful attempt if it succeeded, and none otherwise"
NOT_REVISED = "no result is that of parameters that were revised since"
OF_SUCCESS = (ONE_SUCCESS, NOT_REVISED)
ENDS_WAITED_FOR = text(
    """SELECT j.id, d.parent_id FROM jobs j JOIN dependencies d ON d.job_id = j.id
    WHERE d.kind = 'any' AND j.state IN ('pending', 'scheduled', 'running', 'succeeded')"""
)

# What must never be found on the board, each with the promise that it would break.
BROKEN = {
    ONE_SUCCESS: """
        SELECT j.id FROM jobs j LEFT JOIN attempts a ON a.job_id = j.id GROUP BY j.id
        HAVING count(a.*) FILTER (WHERE a.outcome = 'succeeded') <> (j.state = 'succeeded')::int""",
    "every attempt that ended is recorded once": """
        SELECT j.id FROM jobs j WHERE j.attempt - (j.state = 'running')::int
        <> (SELECT count(*) FROM attempts a WHERE a.job_id = j.id)""",
    "a blocked job waits for as many parents as it says": """
        SELECT j.id FROM jobs j WHERE j.state = 'blocked'
        AND CASE WHEN GOES_ON THEN j.unmet <> 1 ELSE j.unmet NOT BETWEEN (TO_WAIT_FOR) AND (
            SELECT count(*) FROM dependencies d JOIN jobs p ON p.id = d.parent_id
            WHERE d.job_id = j.id AND (p.state <> 'succeeded' OR p.settled_at < p.finished_at)
        ) END""".replace("TO_WAIT_FOR", TO_WAIT_FOR).replace("GOES_ON", GOES_ON),
    "no job succeeds before the one in which it goes on": f"""
        SELECT j.id FROM jobs j WHERE j.state = 'succeeded' AND {GOES_ON} AND NOT {HAS_GONE_ON}""",
    "a job goes on in one other": """
        SELECT job_id AS id FROM dependencies WHERE kind = 'then' GROUP BY job_id HAVING count(*) > 1""",
    "no job runs, or waits to run, before its parents have succeeded": """
        SELECT j.id FROM jobs j JOIN dependencies d ON d.job_id = j.id JOIN jobs p ON p.id = d.parent_id
        WHERE j.state IN ('pending', 'scheduled', 'running', 'succeeded') AND p.state <> 'succeeded'
            AND d.kind IS NULL""",
    NOT_REVISED: """
        SELECT a.job_id AS id FROM attempts a JOIN revisions r USING (job_id)
        WHERE a.outcome = 'succeeded' AND a.attempt <= r.last_attempt""",
    "what is blocked waits for a parent or a limit, or behind a gate that will let it go or is closed": """
        SELECT j.id FROM jobs j LEFT JOIN gates g ON g.id = j.gate_id
        WHERE j.state = 'blocked' AND j.unmet = 0
        AND (g.id IS NULL OR (g.closed_by IS NULL AND NOT g.moving))
        AND NOT EXISTS (SELECT FROM throttled t WHERE t.job_id = j.id AND t.woken_at IS NULL)""",
    "a fuse that lets more fail than it may is closed": """
        SELECT g.id FROM gates g WHERE g.closed_by IS NULL AND g.max_fails < (
            SELECT count(*) FROM jobs j
            WHERE j.gate_id = g.id AND j.state = 'failed' AND j.finished_at > g.counts_from)""",
    "errors and losses are bounded": """
        SELECT id FROM jobs WHERE failures > max_attempts OR losses > max_losses + 1
        OR (state NOT IN ('failed', 'cancelled', 'succeeded')
            AND (failures >= max_attempts OR losses > max_losses))""",
}
# In one statement: it is asked thousands of times.
ANY_BROKEN = text(
    " UNION ALL ".join(
        f"SELECT id, '{promise}' AS broken FROM ({by}) AS jobs" for promise, by in BROKEN.items()
    )
)


@pytest.mark.usefixtures("servers")
@pytest.mark.timeout(600)
def test_no_order_of_events_breaks_the_board() -> None:
    run_state_machine_as_test(
        Board,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
