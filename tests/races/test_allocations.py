"""Allocations: recorded before they are submitted, and never believed to be over because nobody answered."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest

from simcelery.board import allocations, clusters, engine, retention
from simcelery.board.allocations import AllocationRow, Observed
from simcelery.board.clusters import ClusterRow, NewCluster
from simcelery.board.reads import clusters as reads
from simcelery.cluster import rounds
from simcelery.describe import clusters as describe
from simcelery.errors import UsageError
from simcelery.schedulers.seen import Cause, End, Seen, State
from simcelery.schedulers.slurm import Slurm
from tests.board_helpers import sql, worker

pytestmark = pytest.mark.usefixtures("board")

_numbers = count(1)


def new_name() -> str:
    return f"simcelery-c-{next(_numbers):08x}"


def start(wanted: int = 2, **about: Any) -> None:
    new = NewCluster(
        name="c", launcher="slurm", host=None, profile={}, wanted=wanted, started_by="me", **about
    )
    do(clusters.start, new)


def do(act: Callable[..., Any], *args: Any, **more: Any) -> Any:
    with engine.begin() as connection:
        return act(connection, *args, **more)


def plan() -> list[str]:
    names: list[str] = do(allocations.plan, "c", new_name)
    return names


def cluster() -> ClusterRow:
    [row] = do(clusters.listed, "c")
    assert isinstance(row, ClusterRow)
    return row


def rows() -> dict[str, AllocationRow]:
    return {row.name: row for row in do(allocations.listed, "c", ended_within=3600.0)}


def states() -> list[str]:
    return [row.state for row in rows().values()]


def look(*seen: Observed) -> list[str]:
    return [row.name for row in do(allocations.observe, "c", seen)]


def sees(name: str, state: str | None = "waiting", **more: Any) -> Observed:
    return Observed(name=name, scheduler_id=f"id-{name}", state=state, **more)


def submitted(wanted: int = 2) -> list[str]:
    """So many that the scheduler has taken."""
    start(wanted)
    names = plan()
    for name in names:
        assert do(allocations.may_submit, name)
        do(allocations.submitted, name, f"id-{name}")
    return names


def later(seconds: float = 100) -> None:
    """As if so much time had gone by since all that has happened."""
    for table, columns in (
        ("allocations", ("recorded_at", "seen_at", "starts_at", "ended_at")),
        ("clusters", ("next_at",)),
    ):
        for column in columns:
            sql(f"UPDATE {table} SET {column} = {column} - make_interval(secs => :s)", s=seconds)


def test_what_is_wanted_is_recorded_once_however_many_plan() -> None:
    start(wanted=5)
    barrier = threading.Barrier(4)

    def both() -> list[str]:
        barrier.wait()
        return plan()

    with ThreadPoolExecutor(4) as pool:
        found = [one.result() for one in [pool.submit(both) for _ in range(4)]]
    assert sorted(map(len, found)) == [0, 0, 0, 5]
    assert states() == ["submitting"] * 5
    do(clusters.scale, "c", 7)
    assert len(plan()) == 2


def test_an_allocation_goes_its_way() -> None:
    [name] = submitted(1)
    assert rows()[name].scheduler_id == f"id-{name}"
    look(sees(name, reason="Priority", word="PENDING"))
    assert (rows()[name].state, rows()[name].reason) == ("waiting", "Priority")
    look(sees(name, "running", hosts=("n1", "n2")))
    worker(allocation=name)
    assert (rows()[name].state, rows()[name].hosts, rows()[name].workers) == ("running", ["n1", "n2"], 1)
    later()
    look(sees(name, "ended", word="TIMEOUT", cause="walltime", told="TIMEOUT"))
    assert (rows()[name].state, rows()[name].cause, rows()[name].told) == ("ended", "walltime", "TIMEOUT")
    assert (cluster().failed, cluster().state) == (0, "active")
    assert len(plan()) == 1


def test_a_reply_that_is_lost_is_found_by_the_name() -> None:
    start(1)
    [name] = plan()
    assert do(allocations.may_submit, name)
    look(sees(name))
    assert (rows()[name].state, rows()[name].scheduler_id) == ("waiting", f"id-{name}")
    assert plan() == []


def test_what_was_recorded_and_never_submitted_makes_room_for_another() -> None:
    """Whoever recorded it has died. Nobody submits it any more: another has taken its place."""
    start(1)
    [name] = plan()
    for _ in range(5):
        assert look() == [name]  # a scheduler may list late what it has taken
    later()
    assert look() == []
    assert (rows()[name].cause, cluster().failed) == ("not_submitted", 0)
    assert not do(allocations.may_submit, name)
    later()
    assert len(plan()) == 1


def test_what_is_withdrawn_was_never_there_unless_it_was_submitted() -> None:
    start(3)
    names = plan()
    do(allocations.submitted, names[0], "7")
    do(allocations.withdraw, names)
    assert list(rows()) == names[:1]
    assert len(plan()) == 2


def test_what_is_not_listed_is_not_over_until_it_was_looked_for_long_and_often() -> None:
    [name] = submitted(1)
    look(sees(name, "running"))
    later()
    look()
    look()
    assert states() == ["running"]
    look(sees(name, "running"))
    later()
    for _ in range(2):
        look()
    assert states() == ["running"]
    look()
    assert (states(), rows()[name].cause, cluster().failed) == (["ended"], "gone", 1)


def test_what_cannot_be_told_changes_nothing() -> None:
    [name] = submitted(1)
    look(sees(name, "running"))
    for _ in range(10):
        later()
        assert look(sees(name, None, word="STRANGE")) == []
    assert (rows()[name].state, rows()[name].word) == ("running", "STRANGE")
    look(sees(name, "ended", word="C"))  # how, is asked for
    assert rows()[name].state == "running"
    do(allocations.ended, name, "finished", "COMPLETED")
    assert rows()[name].cause == "finished"


def test_one_that_was_believed_gone_and_lives_counts_again() -> None:
    names = submitted(2)
    later()
    for _ in range(3):
        look(sees(names[1], "running"))
    assert states() == ["ended", "running"]
    later()
    [other] = plan()
    assert names[0] in do(allocations.remembered, "c")
    look(*(sees(name, "running") for name in names), sees(other))
    assert states() == ["running", "running", "waiting"]
    assert [row.name for row in do(allocations.too_many, "c")] == [other]


def test_what_is_too_much_is_cancelled_the_newest_of_those_that_wait_first() -> None:
    names = submitted(4)
    look(*(sees(name, "running" if name == names[3] else "waiting") for name in names))
    do(clusters.scale, "c", 2)
    assert [row.name for row in do(allocations.too_many, "c")] == names[1:3]
    assert plan() == []
    do(clusters.scale, "c", 3)
    assert len(plan()) == 1  # what is to end does not count
    do(clusters.stop, "c")
    assert len(do(allocations.too_many, "c")) == 5
    look(*(sees(name, "ended", cause="cancelled", told="CANCELLED") for name in names))
    assert cluster().failed == 0
    assert plan() == []


def test_what_is_to_end_is_not_submitted_any_more() -> None:
    start(1)
    [name] = plan()
    do(clusters.stop, "c")
    do(allocations.too_many, "c")
    assert not do(allocations.may_submit, name)


@pytest.mark.parametrize("how", ["refused", "died", "never starts", "failed at once"])
def test_three_of_no_use_in_a_row_pause_it_and_one_at_a_time_is_tried(how: str) -> None:
    start(wanted=4)

    def fails(name: str) -> None:
        do(allocations.submitted, name, f"id-{name}")
        if how == "died":
            look(sees(name, "ended", cause="failed", told="exit code 1"))
        elif how == "never starts":
            look(sees(name, reason="PartitionTimeLimit", never_starts=True))
            look(sees(name, reason="PartitionTimeLimit", never_starts=True))
            look(sees(name, "ended", cause="cancelled", told="CANCELLED"))
        else:
            sql("UPDATE allocations SET starts_at = now() - interval '3 s' WHERE name = :name", name=name)
            worker(allocation=name)
            look(sees(name, "ended", cause="failed", told="exit code 1", starts_at=rows()[name].starts_at))

    for number in range(1, 4):
        later(61)
        names = plan()
        assert len(names) == 4, number
        if how == "refused":
            do(allocations.refused, names[0], "Invalid account")
        else:
            fails(names[0])
        assert cluster().failed == number
        assert plan() == []  # not at once
        sql("UPDATE allocations SET state = 'ended', ended_at = now(), cause = 'x' WHERE state <> 'ended'")
    assert cluster().state == "paused"
    note = cluster().note
    assert note is not None
    assert {"refused": "Invalid account", "never starts": "PartitionTimeLimit"}.get(
        how, "exit code 1"
    ) in note
    later(40)
    assert plan() == []
    later(21)
    [probe] = plan()
    do(allocations.refused, probe, "Invalid account")
    later(90)
    assert plan() == []
    later(31)
    [probe] = plan()
    do(allocations.submitted, probe, "7")
    worker(allocation=probe)
    look(sees(probe, "running"))
    assert cluster().state == "paused"  # it may fail yet
    sql("UPDATE allocations SET starts_at = now() - interval '61 s' WHERE name = :name", name=probe)
    look(sees(probe, "running", starts_at=rows()[probe].starts_at))
    assert (cluster().state, cluster().failed, cluster().note) == ("active", 0, None)
    assert len(plan()) == 3


def test_what_fails_together_counts_once() -> None:
    """Ten with a mistake in their setup: the next is not tried in an hour, but at once."""
    names = submitted(10)
    look(*(sees(name, "ended", cause="failed", told="exit code 127") for name in names[:9]))
    look(sees(names[9], "ended", cause="failed", told="exit code 127"))
    assert (cluster().failed, cluster().state, plan()) == (1, "active", [])
    later(11)
    assert len(plan()) == 10


def test_one_that_has_run_for_long_ends_no_pause_and_is_not_in_the_way_of_the_next() -> None:
    """Its worker says nothing of those that failed after it had come."""
    [healthy] = submitted(1)
    worker(allocation=healthy)
    sql("UPDATE allocations SET starts_at = now() - interval '2 min'")
    runs = sees(healthy, "running", starts_at=rows()[healthy].starts_at)
    look(runs)
    do(clusters.scale, "c", 5)
    for number in range(1, 4):
        names = plan()
        assert len(names) == 4
        for name in names:
            do(allocations.submitted, name, f"id-{name}")
        look(runs, *(sees(name, "ended", cause="failed", told="exit code 127") for name in names))
        look(runs)
        assert cluster().failed == number
        sql("UPDATE clusters SET next_at = now()")
    assert cluster().state == "paused"
    [probe] = plan()
    assert plan() == []
    do(allocations.submitted, probe, "7")
    worker(allocation=probe)
    look(runs, sees(probe, "running", starts_at=rows()[healthy].starts_at))
    assert (cluster().state, cluster().failed) == ("active", 0)
    assert len(plan()) == 3


def test_one_that_runs_for_long_without_a_worker_does_not_count_until_one_comes() -> None:
    """Its setup hangs: another is submitted beside it, somebody says so, and it is a failure."""
    [name] = submitted(1)
    sql("UPDATE allocations SET starts_at = now() - interval '9 min'")
    runs = sees(name, "running", starts_at=rows()[name].starts_at)
    look(runs)
    assert (plan(), troubled()) == ([], [])
    runs = replace(runs, starts_at=rows()[name].starts_at - dt.timedelta(minutes=2))
    look(runs)
    look(runs)
    assert cluster().failed == 1
    assert troubled() == ["1 allocation of cluster c runs without a worker"]
    assert describe.why(rows()[name]) == "has no worker"
    sql("UPDATE clusters SET next_at = now()")
    [other] = plan()
    assert do(allocations.too_many, "c") == []  # it may be of use yet
    do(allocations.submitted, other, "7")
    worker(allocation=name)
    look(runs, sees(other))
    assert (troubled(), cluster().failed) == ([], 0)
    assert [row.name for row in do(allocations.too_many, "c")] == [other]


def test_what_has_no_worker_goes_when_nothing_is_wanted_and_before_what_has() -> None:
    names = submitted(3)
    for name in names:
        look(*(sees(name, "running") for name in names))
    worker(allocation=names[0])
    worker(allocation=names[2])
    sql("UPDATE allocations SET no_worker_at = now() WHERE name = :name", name=names[1])
    assert do(allocations.too_many, "c") == []
    do(clusters.scale, "c", 1)
    assert [row.name for row in do(allocations.too_many, "c")] == [names[1]]
    do(clusters.stop, "c")
    assert len(do(allocations.too_many, "c")) == 3


def troubled() -> list[str]:
    return [text for text, _ in describe.troubles(do(reads.troubled))]


def test_what_only_a_host_that_is_gone_could_tell_of_is_given_up() -> None:
    names = submitted(2)
    look(*(sees(name, "running") for name in names))
    mine = worker(allocation=names[0])
    give_up = partial(do, allocations.give_up, "c", "n1", 300.0)
    for silent in (
        "UPDATE clusters SET round_at = now() - interval '4 min'",
        "UPDATE clusters SET round_at = now() - interval '6 min'",
        f"UPDATE workers SET lease_expires_at = now() - interval '4 min' WHERE id = {mine}",
    ):
        sql(silent)
        assert not give_up()
        assert states() == ["running", "running"]
    sql("UPDATE workers SET lease_expires_at = now() - interval '6 min'")
    assert give_up()
    assert {row.cause for row in rows().values()} == {"gone"}


def test_what_ended_long_ago_is_forgotten_once_it_cannot_turn_out_to_live() -> None:
    names = submitted(3)
    look(*(sees(name, "ended", cause="finished", told="COMPLETED") for name in names[:2]), sees(names[2]))
    later(6 * 86400)
    assert do(retention.forget_allocations, 86400.0, 10) == 0
    assert do(allocations.remembered, "c") == set(names)
    later(2 * 86400)
    assert do(allocations.remembered, "c") == {names[2]}
    assert do(retention.forget_allocations, 30 * 86400.0, 10) == 0
    assert do(retention.forget_allocations, 86400.0, 1) == 1
    assert do(retention.forget_allocations, 86400.0, 10) == 1
    assert list(rows()) == [names[2]]


def test_pauses_grow_to_an_hour_and_somebody_may_end_them() -> None:
    start(1)
    for _ in range(40):
        do(clusters.failed, "c", "no")
        sql("UPDATE clusters SET next_at = now() WHERE failed < 40")
    [(left,)] = sql("SELECT extract(epoch FROM next_at - now()) FROM clusters")
    assert 3590 < left <= 3600
    do(clusters.resume, "c")
    assert len(plan()) == 1


@pytest.mark.parametrize("cause", ["preempted", "cancelled"])
def test_what_others_ended_is_no_failure(cause: str) -> None:
    [name] = submitted(1)
    look(sees(name, "ended", cause=cause, told=cause.upper()))
    assert cluster().failed == 0
    assert len(plan()) == 1


def test_a_cluster_is_started_once_and_again_when_it_is_over() -> None:
    [name] = submitted(1)
    with pytest.raises(UsageError, match="there is a cluster 'c' already: scale it"):
        start(1)
    do(clusters.stop, "c")
    with pytest.raises(UsageError, match="already"):
        start(1)
    with pytest.raises(UsageError, match="cluster 'c': it is stopped"):
        do(clusters.scale, "c", 3)
    look(sees(name, "ended", cause="cancelled", told="CANCELLED"))
    assert do(clusters.listed) == []
    start(3)
    assert len(plan()) == 3
    with pytest.raises(UsageError, match="there is no cluster 'd'"):
        do(clusters.stop, "d")


def test_as_many_as_there_is_work_for_between_two_bounds() -> None:
    start(0, least=1, most=5)
    for wanted, then in ((0, 1), (3, 3), (9, 5), (0, 1)):
        do(clusters.adapt, "c", wanted)
        assert cluster().wanted == then
    do(clusters.scale, "c", 2)
    assert not do(clusters.adapt, "c", 5)
    assert cluster().wanted == 2


def test_of_all_that_can_one_asks_in_each_interval() -> None:
    start()
    barrier = threading.Barrier(4)

    def turn(who: int) -> bool:
        barrier.wait()
        return bool(do(clusters.take_round, "c", 10.0, f"n{who}"))

    with ThreadPoolExecutor(4) as pool:
        found = [one.result() for one in [pool.submit(turn, who) for who in range(4)]]
    assert sorted(found) == [False, False, False, True]
    assert cluster().round_by == f"n{found.index(True)}"
    sql("UPDATE clusters SET round_at = round_at - interval '10 s'")
    assert do(clusters.take_round, "c", 10.0, "n5")
    sql("UPDATE clusters SET round_at = now() + interval '1 h'")
    assert do(clusters.take_round, "c", 10.0, "n6")
    assert not do(clusters.take_round, "c", 10.0, "n7")


# --- when it ran -----------------------------------------------------------------------------------


def ran(name: str) -> tuple[float | None, float | None]:
    """So many seconds ago it began to run, and ended."""
    columns = (f"round(extract(epoch FROM now() - {column}))" for column in ("ran_from", "ran_until"))
    [row] = sql(f"SELECT {', '.join(columns)} FROM allocations WHERE name = :name", name=name)
    first, last = (None if ago is None else float(ago) for ago in row)
    return first, last


def ago(seconds: float) -> dt.datetime:
    """By Postgres's clock."""
    [(moment,)] = sql("SELECT now() - make_interval(secs => :s)", s=seconds)
    assert isinstance(moment, dt.datetime)
    return moment


def old(number: int = 1) -> list[str]:
    """Allocations that were submitted ten hours ago."""
    names = submitted(number)
    sql("UPDATE allocations SET recorded_at = now() - interval '10 h'")
    return names


def about(*seconds: float | None) -> Any:
    return pytest.approx(seconds, abs=5)


def test_it_ran_as_the_scheduler_told() -> None:
    [name] = old()
    look(sees(name, starts_at=ago(7200)))  # an estimate, which has passed
    assert ran(name) == (None, None)
    look(sees(name, "running", starts_at=ago(3600)))
    assert ran(name) == about(3600, 0)
    look(sees(name, "ended", starts_at=ago(3600), ends_at=ago(1800), cause="walltime"))
    # It was seen running just now, so the scheduler's clock is late.
    assert ran(name) == about(3600, 0)


def test_it_ended_when_the_scheduler_says_though_nobody_looked_for_long() -> None:
    first, second = old(2)
    look(sees(first, "running", starts_at=ago(7200)), sees(second, "running", starts_at=ago(7200)))
    sql("UPDATE allocations SET ran_until = now() - interval '100 min'")
    look(sees(first, "ended", starts_at=ago(7200), ends_at=ago(3600), cause="failed"))
    do(allocations.ended, second, "failed", "FAILED", ago(7200), ago(3600))
    assert ran(first) == ran(second) == about(7200, 3600)


@pytest.mark.parametrize("renewed", [None, 4000.0])
def test_of_an_end_that_nobody_tells_the_last_sign_of_life_counts(renewed: float | None) -> None:
    [name] = old()
    look(sees(name, "running", starts_at=ago(7200)))
    sql("UPDATE allocations SET ran_until = now() - interval '5000 s'")
    if renewed is not None:
        me = worker(allocation=name)
        sql(
            "UPDATE workers SET renewed_at = now() - make_interval(secs => :s) WHERE id = :id",
            s=renewed,
            id=me,
        )
    for _ in range(3):
        sql("UPDATE allocations SET seen_at = now() - interval '5000 s'")
        look()
    assert rows()[name].cause == "gone"
    assert ran(name) == about(7200, renewed or 5000)


def test_a_clock_that_is_wrong_adds_nothing_to_what_the_board_has_seen() -> None:
    early, late = old(2)
    sql("UPDATE allocations SET recorded_at = now() - interval '2 h'")
    look(sees(early, "running", starts_at=ago(36_000)), sees(late, "running", starts_at=ago(-36_000)))
    assert ran(early) == about(7200, 0)
    assert ran(late) == about(0, 0)
    for name, off in ((early, 36_000), (late, -36_000)):
        look(sees(name, "ended", starts_at=ago(36_000 + off), ends_at=ago(off), cause="finished"))
    assert ran(early) == about(7200, 0)
    assert ran(late) == about(0, 0)


def test_a_worker_that_has_come_tells_that_it_runs_before_the_scheduler_does() -> None:
    [name] = old()
    worker(allocation=name)
    assert ran(name) == about(0, 0)
    sql("UPDATE allocations SET ran_from = now() - interval '1 h'")
    worker(allocation=name)
    assert ran(name) == about(3600, 0)
    look(sees(name, "running", starts_at=ago(3660)))
    assert ran(name) == about(3660, 0)


def test_what_never_began_never_ran() -> None:
    one, other, third = old(3)
    look(sees(one, starts_at=ago(7200)), sees(other), sees(third))
    do(allocations.ended, one, "cancelled", "CANCELLED")
    look(sees(other, "ended", cause="cancelled"))
    do(allocations.ended, third, "failed", "FAILED", ago(600), ago(500))
    assert ran(one) == ran(other) == (None, None)
    assert ran(third) == about(600, 500)  # between two looks


def test_the_cores_are_those_that_were_asked_for() -> None:
    start(1)
    do(allocations.plan, "c", new_name, 32)
    assert sql("SELECT cores FROM allocations") == [(32,)]


def test_who_is_patient_leaves_rounds_to_others_and_keeps_its_own() -> None:
    start()
    assert do(clusters.take_round, "c", 10.0, "n1")
    sql("UPDATE clusters SET round_at = now() - interval '1 s'")
    assert not do(clusters.take_round, "c", 10.0, "n2", 60.0)
    assert do(clusters.take_round, "c", 10.0, "n1", 60.0)
    for since in ("now() - interval '61 s'", "now() + interval '1 h'"):
        sql(f"UPDATE clusters SET round_at = {since}")
        assert do(clusters.take_round, "c", 10.0, "n2", 60.0), since


def test_of_all_workers_that_see_a_cluster_neglected_one_starts_a_controller() -> None:
    """As after a time without the board, when none has been looked after."""
    start()
    sql("UPDATE clusters SET round_at = now() - interval '2 min'")
    barrier = threading.Barrier(4)

    def replaces() -> bool:
        barrier.wait()
        return bool(do(clusters.replace, "c", 60.0))

    with ThreadPoolExecutor(4) as pool:
        found = [one.result() for one in [pool.submit(replaces) for _ in range(4)]]
    assert sorted(found) == [False, False, False, True]
    assert do(clusters.neglected, 60.0) == []
    sql("UPDATE clusters SET replaced_at = now() - interval '61 s'")
    assert [row.name for row in do(clusters.neglected, 60.0)] == ["c"]
    assert do(clusters.replace, "c", 60.0)
    sql("UPDATE clusters SET replaced_at = NULL, round_at = now()")
    assert not do(clusters.replace, "c", 60.0)


def test_what_has_a_worker_runs_whatever_the_last_look_said() -> None:
    start(2, least=0, most=5)
    names = plan()
    for name in names:
        do(allocations.submitted, name, f"id-{name}")
    worker(allocation=names[0])
    do(clusters.adapt, "c", 0)
    assert [row.name for row in do(allocations.too_many, "c")] == [names[1]]
    assert [rows()[name].state for name in names] == ["running", "waiting"]


def test_of_two_batch_jobs_of_one_name_the_one_that_lives_counts() -> None:
    """Slurm may list one that it refused as failed; it was submitted again without what was refused."""
    [name] = submitted(1)
    twin = Seen("7", name, State.ENDED, "FAILED", end=End(Cause.FAILED, 1, "FAILED"))
    ours = Seen("8", name, State.WAITING, "PENDING")
    for listed in ([twin, ours], [ours, twin]):
        rounds._note("c", Slurm(), lambda listed=listed: listed)
        assert (rows()[name].state, rows()[name].scheduler_id, cluster().failed) == ("waiting", "8", 0)


def test_a_no_that_reads_as_if_nothing_were_known_is_told_and_counts() -> None:
    start(1)
    [name] = plan()
    assert do(allocations.may_submit, name)
    do(allocations.unclear, name, "sbatch: the plugin cannot resolve your account")
    assert "cannot resolve your account" in describe.why(rows()[name])
    later()
    for _ in range(3):
        look()
    assert (cluster().failed, rows()[name].cause) == (1, "gone")
    assert "and had said: sbatch: the plugin cannot resolve your account" in str(rows()[name].told)


@pytest.mark.parametrize(
    ("began", "worker_came", "asked", "fails"),
    [(True, False, False, 1), (True, True, False, 0), (True, False, True, 0), (False, False, False, 0)],
)
def test_what_was_killed_counts_unless_somebody_has_cancelled_it(
    began: bool, worker_came: bool, asked: bool, fails: int
) -> None:
    """PBS and Grid Engine tell no difference: a limit of memory ends it with a signal, as qdel does."""
    [name] = submitted(1)
    if began:
        look(sees(name, "running"))
    if worker_came:
        worker(allocation=name)
    if asked:
        do(clusters.stop, "c")
        do(allocations.too_many, "c")
    do(allocations.ended, name, "cancelled", "exit status 265")
    assert cluster().failed == fails
