"""What clusters cost: each core-hour that was granted is told once, as what became of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from simcelery.board import engine, retention
from simcelery.board.reads import costs
from simcelery.board.reads.costs import Cost
from simcelery.board.states import Cause, Outcome
from simcelery.board.values import Claim, EndedAttempt
from simcelery.cli.root import run
from simcelery.needs import Needs, Room
from tests.board_helpers import ERROR, LOST, SUCCESS, finish, lapse, must_claim, record, sql, worker

pytestmark = pytest.mark.usefixtures("board")

HOUR, DAY = 3600.0, 86_400.0
ABOUT = 0.02  # core-hours: the time for which a test runs


@pytest.fixture(autouse=True)
def _clusters(board: object) -> None:
    cluster("c")


def cluster(name: str, launcher: str = "slurm") -> None:
    values = "(name, launcher, profile, wanted, started_by) VALUES (:name, :launcher, '{}', 1, 'me')"
    sql(f"INSERT INTO clusters {values}", name=name, launcher=launcher)


def past(hours: float | None) -> str:
    """So many hours ago; None: not yet."""
    return "NULL" if hours is None else f"now() - interval '{hours * 3600:.3f} s'"


def allocation(
    first: float | None,
    last: float | None = None,
    *,
    cores: int | None = 4,
    cause: str = "finished",
    name: str = "a",
    of: str = "c",
    came: float | None = None,
    **about: Any,
) -> int:
    """An allocation that ran from so many hours ago until so many, and its worker, which came then.

    Parameters:
        first, last: None: it never began, or runs.
        came: by default at once.
    """
    over = last is not None or first is None
    state, why = ("ended", f"'{cause}'") if over else ("running", "NULL")
    recorded = past((first or 0.0) + 1)
    ran_until, ended = past(last if over else 0.0), past(last or 0.0) if over else "NULL"
    sql(
        "INSERT INTO allocations "
        "(cluster, name, state, cause, cores, recorded_at, ran_from, ran_until, ended_at) VALUES "
        f"(:of, :name, '{state}', {why}, :cores, {recorded}, {past(first)}, {ran_until}, {ended})",
        of=of,
        name=name,
        cores=cores,
    )
    me = worker(allocation=name, room=Room(1000, 2**40, ()), **about)
    began, seen = past((first or 0.0) if came is None else came), past(last or 0.0)
    sql(f"UPDATE workers SET started_at = {began}, renewed_at = {seen} WHERE id = :id", id=me)
    return me


def running(me: int, first: float, *, cores: int | None = None, pid: int = 100, **about: Any) -> Claim:
    """A job that has run there since so many hours ago."""
    job = record(needs=None if cores is None else Needs(cores=cores), **about)
    claimed = must_claim(job.task_id, me, pid=pid)
    sql(f"UPDATE jobs SET started_at = {past(first)} WHERE id = :id", id=claimed.job_id)
    return claimed


def attempt(
    me: int,
    first: float,
    last: float,
    report: EndedAttempt = SUCCESS,
    *,
    cores: int | None = None,
    **about: Any,
) -> Claim:
    """An attempt that ran there from so many hours ago until so many."""
    claimed = running(me, first, cores=cores, **about)
    assert finish(claimed, report) is not None
    sql(
        f"UPDATE attempts SET finished_at = {past(last)} WHERE job_id = :id AND attempt = :number",
        id=claimed.job_id,
        number=claimed.attempt,
    )
    return claimed


def found(since: float = 7 * DAY, until: float = 0.0, name: str | None = None) -> list[Cost]:
    with engine.begin() as connection:
        listed = costs.report(connection, since, until, name).costs
    for cost in listed:
        assert cost.granted + cost.too_much == pytest.approx(cost.unknown + cost.busy + cost.lost + cost.idle)
    return listed


def cost(since: float = 7 * DAY, until: float = 0.0) -> Cost:
    [one] = found(since, until)
    return one


def labels(by: str, most: int = 10, since: float = 7 * DAY) -> dict[str | None, tuple[int, float, float]]:
    with engine.begin() as connection:
        told = costs.report(connection, since, 0.0, None, by, most)
    assert told.number_of_labels >= len(told.labels)
    return {one.label: (one.attempts, round(one.busy, 2), round(one.lost, 2)) for one in told.labels}


def about(value: float) -> Any:
    return pytest.approx(value, abs=ABOUT)


def losses(of: Cost) -> dict[str, tuple[int, Any]]:
    return {cause: (loss.attempts, round(loss.core_hours, 2)) for cause, loss in of.losses.items()}


def test_what_was_granted_is_busy_lost_or_idle() -> None:
    me = allocation(10, 2)
    attempt(me, 9, 5)
    attempt(me, 8, 6, cores=3)
    attempt(me, 5, 4, ERROR)
    attempt(me, 4, 2, LOST)
    one = cost()
    assert (one.name, one.allocations) == ("c", 1)
    assert (one.granted, one.unknown, one.too_much) == (about(32), 0, 0)
    assert (one.succeeded, one.failed, one.running) == (about(10), about(1), 0)
    assert (one.lost, one.idle) == (about(2), about(32 - 13))


def test_what_runs_counts_until_now() -> None:
    me = allocation(3)
    running(me, 2, cores=2)
    one = cost()
    assert (one.granted, one.running, one.busy, one.idle) == (about(12), about(4), about(4), about(8))


def test_of_what_a_process_has_claimed_together_one_runs() -> None:
    me = allocation(3)
    for pid in (7, 7, 7, 8):
        running(me, 1, pid=pid, tags=("x",))
    assert cost().running == about(2)
    assert labels("tag") == {"x": (2, 2.0, 0.0)}


def test_what_lies_across_the_edges_of_the_window_is_cut() -> None:
    me = allocation(30, 4)
    attempt(me, 28, 20, cores=2)
    attempt(me, 12, 6, LOST)
    attempt(me, 29, 28)
    one = cost(24 * HOUR, 8 * HOUR)
    assert (one.granted, one.succeeded) == (about(4 * 16), about(2 * 4))
    assert losses(one) == {"worker_lost": (1, about(4))}
    assert cost(3 * DAY).granted == about(4 * 26)
    assert found(3 * HOUR) == found(3 * DAY, 40 * HOUR) == []


def test_windows_that_adjoin_add_up() -> None:
    for number, (first, last) in enumerate(((20, 3), (12, 6), (9, None))):
        me = allocation(first, last, name=f"a{number}")
        attempt(me, first, 4 if last is None else last + 1, cores=2)
        if last is None:
            running(me, 3)
    whole, early, late = cost(), cost(7 * DAY, 7 * HOUR), cost(7 * HOUR)
    for name in ("granted", "busy", "idle", "starting"):
        assert getattr(early, name) + getattr(late, name) == about(getattr(whole, name)), name
    assert (whole.allocations, early.allocations, late.allocations) == (3, 3, 3)


def test_before_the_first_worker_came_nothing_could_run() -> None:
    attempt(allocation(5, 1, came=4), 4, 1)
    one = cost()
    assert (one.granted, one.starting, one.idle) == (about(16), about(4), about(13))
    allocation(5, 3, cause="failed", name="b")
    sql("DELETE FROM workers WHERE allocation = 'b'")
    assert cost().starting == about(4 + 8)


def test_what_was_noticed_late_counts_until_the_allocation_ended() -> None:
    """The rescue of a worker that was lost, days later."""
    attempt(allocation(50, 40, cause="node_failure"), 45, 1, LOST)
    one = cost()
    assert losses(one) == {"node_failure": (1, 5.0)}
    assert one.idle == about(35)


def test_more_slots_than_cores_are_told_and_nothing_is_idle_for_it() -> None:
    me = allocation(2, 1, cores=1)
    for pid in (1, 2, 3):
        attempt(me, 2, 1, pid=pid)
    one = cost()
    assert (one.granted, one.busy, one.idle, one.too_much) == (about(1), about(3), about(0), about(2))
    allocation(2, 1, name="b")  # what is idle elsewhere does not make up for it
    assert (cost().idle, cost().too_much) == (about(4), about(2))


CAUSES = [
    (replace(LOST, cause=Cause.WORKER_LOST), "failed", "worker_lost"),
    (replace(LOST, cause=Cause.WORKER_LOST), "cancelled", "worker_lost"),
    (replace(LOST, cause=Cause.WORKER_LOST), "preempted", "preempted"),
    (replace(LOST, cause=Cause.WORKER_LOST), "node_failure", "node_failure"),
    (replace(LOST, cause=Cause.WORKER_LOST), "walltime", "walltime"),
    (replace(LOST, cause=Cause.WALLTIME), "walltime", "walltime"),
    (replace(LOST, cause=Cause.OUT_OF_MEMORY), "finished", "out_of_memory"),
    (replace(ERROR, cause=Cause.OUT_OF_MEMORY), "finished", "out_of_memory"),
    (EndedAttempt(outcome=Outcome.CANCELLED, cause=Cause.CANCELLED), "finished", "cancelled"),
    (EndedAttempt(outcome=Outcome.RELEASED, cause=Cause.SHUTDOWN), "cancelled", "shutdown"),
    (EndedAttempt(outcome=Outcome.RELEASED, cause=Cause.SHUTDOWN), "preempted", "preempted"),
    (EndedAttempt(outcome=Outcome.RELEASED), "finished", "released"),
]


@pytest.mark.parametrize(("report", "end", "expected"), CAUSES)
def test_every_cause(report: EndedAttempt, end: str, expected: str) -> None:
    me = allocation(5, 1, cause=end)
    attempt(me, 3, 1, report, cores=2)
    assert losses(cost()) == {expected: (1, 4.0)}
    assert cost().busy == 0


@pytest.mark.parametrize("cause", [Cause.ERROR, Cause.TIME_LIMIT])
def test_what_failed_by_itself_was_no_loss_of_the_cluster(cause: Cause) -> None:
    attempt(allocation(5, 1), 3, 1, replace(ERROR, cause=cause))
    assert (cost().failed, cost().lost) == (about(2), 0)


def test_a_worker_that_was_lost_long_before_the_end_was_not_preempted() -> None:
    attempt(allocation(5, 1, cause="preempted"), 4, 3, LOST)
    assert losses(cost()) == {"worker_lost": (1, 1.0)}


def test_earlier_attempts_of_a_job_that_was_rescued_are_lost() -> None:
    me, other = allocation(9, 5, name="a"), allocation(5, 1, name="b")
    claimed = attempt(me, 8, 5, LOST)
    again = must_claim(claimed.task_id, other)
    sql(f"UPDATE jobs SET started_at = {past(4)} WHERE id = :id", id=again.job_id)
    finish(again, SUCCESS)
    sql(f"UPDATE attempts SET finished_at = {past(2)} WHERE attempt = 2")
    one = cost()
    assert (one.allocations, one.lost, one.succeeded) == (2, about(3), about(2))


def test_workers_that_no_cluster_started_are_not_in_it() -> None:
    attempt(worker(), 3, 1)
    assert found() == []
    allocation(2, 1)
    assert cost().busy == 0


def test_cpu_time_is_told_of_what_it_was_measured_for() -> None:
    me = allocation(9, 1)
    attempt(me, 8, 4, replace(SUCCESS, cpu_seconds=2 * HOUR))
    attempt(me, 3, 1)
    one = cost()
    assert (one.cpu, one.measured, one.busy) == (about(2), about(4), about(6))
    cut = cost(6 * HOUR)
    assert (cut.cpu, cut.measured) == (about(1), about(2))


def test_cores_that_nobody_asked_for_are_those_that_workers_have_found() -> None:
    me = allocation(3, 1, cores=None)
    sql("UPDATE workers SET cores = 8 WHERE id = :id", id=me)
    for host, cores in (("test", 8), ("n2", 16)):  # two on one node see the same cores
        more = worker(allocation="a", host=host)
        sql("UPDATE workers SET cores = :cores WHERE id = :id", id=more, cores=cores)
    assert cost().granted == about(2 * 24)


def test_on_this_host_which_grants_nothing_the_slots_count() -> None:
    cluster("here", "local")
    allocation(3, 1, cores=None, of="here", concurrency=3)
    worker(allocation="a", concurrency=3)  # it has registered anew
    assert [(one.name, one.granted) for one in found()] == [("here", about(6))]


def test_what_nobody_knows_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    allocation(3, 1, cores=None)
    sql("UPDATE workers SET cores = NULL")
    for number, cause in enumerate(("failed", "gone", "cancelled", "refused", "not_submitted")):
        allocation(None, None, cause=cause, name=f"b{number}")
    sql("UPDATE allocations SET ran_from = NULL, ran_until = NULL WHERE name LIKE 'b%'")
    one = cost()
    assert (one.allocations, one.granted, one.without_cores, one.timeless) == (0, 0, 1, 2)
    assert run(["cluster", "report"]) == 0
    said = capsys.readouterr().err
    assert "1 allocation left out: no cores were asked for" in said
    assert "2 allocations left out: nobody has told when they ran" in said


def test_what_nobody_looks_after_counts_until_its_last_sign_of_life(
    capsys: pytest.CaptureFixture[str],
) -> None:
    me = allocation(9)
    running(me, 8)
    sql(f"UPDATE allocations SET ran_until = {past(6)}")
    sql(f"UPDATE workers SET renewed_at = {past(5)}")
    sql(f"UPDATE clusters SET round_at = {past(5)}")
    one = cost()
    assert (one.granted, one.running, one.neglected) == (about(16), about(3), 1)
    assert run(["cluster", "report"]) == 0
    assert "nobody looks after 1 allocation" in capsys.readouterr().err


def test_what_was_pruned_is_unknown_and_not_idle(capsys: pytest.CaptureFixture[str]) -> None:
    me, old = allocation(10, 1), allocation(20, 12, name="b")
    gone, stays = attempt(me, 9, 6), attempt(me, 5, 2)
    attempt(old, 18, 15)
    sql("UPDATE jobs SET finished_at = now() - interval '5 h 30 min' WHERE id <> :id", id=stays.job_id)
    for each in (me, old):
        lapse(each, 12 * HOUR)
    assert cost().unknown == 0
    with engine.begin() as connection:
        assert retention.delete_finished(connection, 5.25 * HOUR, 10) == 2
        retention.forget_workers(connection, 5.25 * HOUR, 10)
    assert sql("SELECT allocation FROM workers") == [("a",)]
    assert sql("SELECT count(*) FROM jobs WHERE id = :id", id=gone.job_id) == [(0,)]
    one = cost()
    assert (one.granted, one.unknown) == (about(4 * 17), about(4 * (8 + 4.75)))
    assert (one.busy, one.idle) == (about(3), about(4 * 4.25 - 3))
    assert cost(5 * HOUR).unknown == 0
    assert run(["cluster", "report"]) == 0
    printed = capsys.readouterr()
    assert (
        "have been pruned: what they held of 51 of the core-hours that were granted is not known"
        in printed.err
    )
    assert "UNKNOWN" in printed.out
    assert run(["cluster", "report", "--since", "5h"]) == 0
    assert "pruned" not in capsys.readouterr().err


def test_several_clusters_and_all_of_them_together(capsys: pytest.CaptureFixture[str]) -> None:
    cluster("d")
    attempt(allocation(3, 1), 3, 2, LOST)
    attempt(allocation(4, 1, name="b", of="d", cores=2), 4, 3, LOST, cores=2)
    assert [(one.name, one.granted) for one in found()] == [("c", about(8)), ("d", about(6))]
    assert [one.name for one in found(name="d")] == ["d"]
    assert run(["cluster", "report"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[3:6]] == [
        ["c", "1", "8"],
        ["d", "1", "6"],
        ["(all)", "2", "14"],
    ]
    assert [line.split() for line in lines[-1:]] == [["(all)", "worker", "lost", "2", "3"]]
    assert max(map(len, lines)) <= 80


def test_one_that_had_no_allocations_is_told_if_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert found() == []
    assert [(one.name, one.allocations, one.granted) for one in found(name="c")] == [("c", 0, 0)]
    assert run(["cluster", "report"]) == 0
    assert capsys.readouterr().err.startswith("no allocation of a cluster has run from 20")


def test_what_jobs_held_by_tag_workflow_and_submitter(capsys: pytest.CaptureFixture[str]) -> None:
    me = allocation(9, 1)
    attempt(me, 8, 4, tags=("a", "b"))
    attempt(me, 8, 7, LOST, tags=("b",))
    attempt(me, 3, 2)
    assert labels("tag") == {"b": (2, 4.0, 1.0), "a": (1, 4.0, 0.0), None: (1, 1.0, 0.0)}
    assert list(labels("tag", 1)) == ["b"]
    assert labels("workflow") == {"w": (3, 5.0, 1.0)}
    assert labels("submitter") == {"test": (3, 5.0, 1.0)}
    assert run(["cluster", "report", "c", "--by", "tag", "-n", "2"]) == 0
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines()[-3:]] == [
        ["TAG", "ATTEMPTS", "BUSY", "FAILED", "LOST"],
        ["b", "2", "4", "0", "1"],
        ["a", "1", "4", "0", "0"],
    ]
    assert "the first 2 of 3; -n shows more" in printed.err


def test_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    attempt(allocation(9, 1), 8, 4, tags=("a",))
    assert run(["cluster", "report", "--by", "tag", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["clusters"][0]["core_hours"]["busy"] == about(4)
    assert told["total"]["core_hours"] == told["clusters"][0]["core_hours"]
    assert [(one["label"], one["attempts"]) for one in told["labels"]] == [("a", 1)]
    assert told["known_since"] == told["since"]
    assert run(["cluster", "report", "-o", "quiet"]) == 0
    assert capsys.readouterr().out == "c\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nosuch",), "there is no cluster 'nosuch'"),
        (("--since", "soon"), "--since: 'soon' is not a duration"),
        (("--since", "0"), "--since must be longer than 0"),
        (("--until", "8d"), "--until must be a shorter time ago than --since"),
        (("--until", "x"), "--until: 'x' is not a duration"),
        (("--by", "colour"), "'colour' is not one of"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    assert run(["cluster", "report", *words]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert expected in said.err


# Of 60,000 attempts one ended every 30 s, on a worker of an allocation that runs; each third had two cores.
_MANY = """
INSERT INTO needs (cores) VALUES (2);
INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,
    submitted_by, finished_at, needs_id)
SELECT gen_random_uuid(), 'w', '{}', 'succeeded', 'default', 4, 1, 5, 'x',
    now() - make_interval(secs => n * 30), CASE WHEN n % 3 = 0 THEN (SELECT max(id) FROM needs) END
FROM generate_series(1, 60000) AS n;
INSERT INTO attempts (job_id, attempt, claim_id, outcome, worker_id, pid, started_at, finished_at, workdir)
SELECT id, 1, gen_random_uuid(), 'succeeded', :me, 1, finished_at - interval '30 s', finished_at,
    repeat('/x', 50)
FROM jobs ORDER BY finished_at;
"""


class Explaining:
    """A connection that gathers the plans of all that it is asked."""

    def __init__(self, connection: Any) -> None:
        self.plans: list[str] = []
        self._connection = connection

    def exec_driver_sql(self, statement: str, parameters: Any = None, /) -> Any:
        found = self._connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        self.plans += [line for (line,) in found]
        return self._connection.exec_driver_sql(statement, parameters)


def test_of_a_large_board_only_the_time_asked_for_is_read() -> None:
    me = allocation(1000)
    for statement in _MANY.split(";\n")[:-1]:
        sql(statement, **({"me": me} if ":me" in statement else {}))
    with engine.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE jobs, attempts")
    with engine.begin() as connection:
        asked = Explaining(connection)
        [day] = costs.report(asked, DAY).costs
    assert day.busy == pytest.approx(24 * 4 / 3, abs=0.1)
    plan = "\n".join(asked.plans)
    assert "Bitmap Index Scan on attempts_ended" in plan
    assert "Seq Scan on attempts" not in plan
    assert cost(30 * DAY).busy == pytest.approx(500 * 4 / 3, abs=0.1)
