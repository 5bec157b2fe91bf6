"""Whether a job ends before its worker's allocation does: the claim decides."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from typing import Any

import pytest

from simcelery.board import clusters, engine, reads, shares, transitions
from simcelery.board.clusters import NewCluster
from simcelery.board.states import Cause
from simcelery.board.values import ClaimRequest, Recorded
from simcelery.checks.workers import of_workers
from simcelery.cli.root import run
from simcelery.describe import story
from simcelery.describe.reasons import reasons
from simcelery.maintenance import learn
from simcelery.needs import Needs, Room
from tests.board_helpers import (
    LOST,
    SUCCESS,
    claim,
    finish,
    must_claim,
    new_job,
    record,
    registration,
    sql,
    state,
    worker,
)

pytestmark = pytest.mark.usefixtures("board", "no_queue_stays_shared")

GIB = 2**30
WALLTIME = replace(LOST, cause=Cause.WALLTIME)


def known(p90: float, *tags: str, workflow: str = "w", median: float | None = None) -> None:
    """The board knows how long the jobs of a workflow take, perhaps those with these tags."""
    sql(
        "INSERT INTO durations (workflow, tags, successes, p90, median, newest_at) "
        "VALUES (:w, :tags, 200, :p90, :median, now())",
        w=workflow,
        tags=list(tags),
        p90=p90,
        median=p90 if median is None else median,
    )


def outlasted(workflow: str = "w") -> None:
    """Its time limits are believed, also by a worker that has just begun."""
    sql(
        "INSERT INTO durations (workflow, tags, successes, outlasted_at) VALUES (:w, '{}', 0, now())",
        w=workflow,
    )


def old(left: float) -> int:
    """A worker that began long ago, and has so many seconds left."""
    me = worker(left=left)
    sql("UPDATE workers SET started_at = started_at - interval '1 day' WHERE id = :id", id=me)
    return me


def cut_short(job: Recorded, after: float, left: float, *, began: float = 0.0) -> None:
    """An allocation ends that had so many seconds left when it began the job, and began it so late."""
    me = worker(left=left)
    claimed = must_claim(job.task_id, me)
    sql("UPDATE jobs SET started_at = now() - make_interval(secs => :s) WHERE id = :id", s=after, id=job.id)
    sql(
        "UPDATE workers SET started_at = now() - make_interval(secs => :s), "
        "ends_at = now() + make_interval(secs => :left - :s) WHERE id = :id",
        s=after + began,
        left=left + began,
        id=me,
    )
    finish(claimed, WALLTIME)


def wanted(job: Recorded | None, me: int, more: int = 0) -> ClaimRequest:
    task_id = job.task_id if job else uuid.uuid4()
    return ClaimRequest(task_id, "w", uuid.uuid4(), registration(me), 100, "default", 0, more)


def wake(me: int, more: int = 0) -> list[int]:
    """The jobs that a message brings whose own job is gone."""
    return [one.job_id for one in transitions.claim(wanted(None, me, more))]


@pytest.mark.parametrize(
    ("about", "left", "fits"),
    [
        ({}, 1, True),  # nobody knows
        ({"time_request": 100}, 99, False),
        ({"time_request": 100}, 101, True),
        ({"time_limit": 100}, 99, False),
        ({"time_limit": 100}, 101, True),
        ({"time_limit": 200, "soft_time_limit": 100}, 99, False),
        ({"time_limit": 200, "soft_time_limit": 100}, 101, True),
        ({"time_request": 100, "time_limit": 1000}, 101, True),
        ({"time_request": 1000, "time_limit": 100}, 101, False),
    ],
)
def test_a_job_is_claimed_where_it_ends_in_time(about: dict[str, float], left: float, fits: bool) -> None:
    job = record(**about)
    me = old(left)
    assert bool(claim(job.task_id, me)) == fits
    assert transitions.waits_for_room(wanted(job, me)) == (None if fits else "time")
    if not fits:
        must_claim(job.task_id, worker())  # nothing ends this one


@pytest.mark.parametrize(
    ("about", "left", "fits"),
    [
        ({}, 99, False),
        ({}, 101, True),
        ({"time_limit": 1000}, 101, True),
        ({"time_limit": 50}, 51, True),  # it cannot take longer
        ({"time_request": 50}, 51, True),
        ({"time_request": 1000}, 101, False),
        ({"tags": ["small"]}, 11, True),
        ({"tags": ["small"]}, 9, False),
        ({"tags": ["small", "red"]}, 11, False),
        ({"tags": ["unknown"]}, 101, True),
        ({"tags": ["unknown"]}, 99, False),
    ],
)
def test_what_earlier_jobs_took_is_expected_of_the_next(
    about: dict[str, object], left: float, fits: bool
) -> None:
    known(100)
    known(10, "small")
    known(1, workflow="another")
    assert bool(claim(record(**about).task_id, old(left))) == fits


def test_what_the_end_of_an_allocation_has_cut_short_is_expected_to_take_longer() -> None:
    known(600, median=600)
    job = record()
    cut_short(job, 720, left=720)
    assert claim(job.task_id, old(700)) is None
    must_claim(job.task_id, old(730))


@pytest.mark.parametrize(
    ("about", "known_p90", "fits_from"),
    [
        ({}, None, 720),
        ({}, 1000, 1000),
        ({"time_limit": 3000}, None, 3000),  # nobody knows how much longer
        ({"time_limit": 3000}, 100, 720),
        ({"time_limit": 300}, 100, 300),
        ({"time_request": 60}, None, 60),
    ],
)
def test_how_long_it_takes_that_was_cut_short_is_known_from_all_that_is(
    about: dict[str, float], known_p90: float | None, fits_from: float
) -> None:
    job = record(**about)
    cut_short(job, 720, left=100_000)
    if known_p90 is not None:
        known(known_p90)
    assert claim(job.task_id, old(fits_from - 5)) is None
    must_claim(job.task_id, old(fits_from + 5))


def test_an_attempt_that_saved_its_work_was_not_in_vain() -> None:
    saving = {
        "INSERT INTO checkpoints (job_id, attempt, state) VALUES (:id, 1, '1')",
        "INSERT INTO steps (job_id, name, key, code, given, output, attempt, seconds) "
        "VALUES (:id, 'scf', 'k', '', '{}', '1', 1, 1)",
        "INSERT INTO restarts (job_id, attempt, continues, files) VALUES (:id, 2, 1, 'CONTCAR')",
    }
    for statement in saving:
        job = record()
        cut_short(job, 720, left=720)
        assert claim(job.task_id, old(700)) is None
        sql(statement, id=job.id)
        must_claim(job.task_id, old(700))


def test_what_people_retry_is_judged_anew() -> None:
    job = record(max_losses=0)
    cut_short(job, 720, left=720)
    assert state(job.id) == "failed"
    with engine.begin() as connection:
        transitions.retry(connection, [job.id], by="test")
    must_claim(job.task_id, old(50))


def test_one_that_was_taken_back_late_ended_with_the_lease() -> None:
    job = record()
    cut_short(job, 720, left=720)
    sql("UPDATE workers SET lease_expires_at = (SELECT started_at + interval '100 s' FROM attempts)")
    sql("UPDATE attempts SET finished_at = started_at + interval '1 h'")
    must_claim(job.task_id, old(110))


def test_a_rule_for_the_end_of_an_allocation_does_not_hide_it() -> None:
    job = record()
    cut_short(job, 720, left=720)
    sql("UPDATE jobs SET losses = 0")
    sql(
        "INSERT INTO escalations (job_id, attempt, cause, before, after) "
        "VALUES (:id, 1, 'walltime', '{}', '{}')",
        id=job.id,
    )
    assert claim(job.task_id, old(700)) is None


@pytest.mark.parametrize(
    ("p90", "median", "about", "left", "fits"),
    [
        (1000, 20, {}, 100, True),
        (1000, 200, {}, 100, False),  # more than half would be cut short
        (1000, 200, {"time_limit": 90}, 100, True),
        (1000, 20, {"time_request": 1000}, 100, False),
        (None, None, {"time_limit": 1000}, 100, True),  # most take less
        (None, None, {"time_request": 1000, "time_limit": 1000}, 100, False),
    ],
)
def test_a_worker_that_has_just_begun_tries_what_may_well_end_in_time(
    p90: float | None, median: float | None, about: dict[str, float], left: float, fits: bool
) -> None:
    if p90 is not None:
        known(p90, median=median)
    job = record(**about)
    if about.get("time_limit", 1000) > left:
        assert claim(job.task_id, old(left)) is None
    me = worker(left=left)
    assert transitions.waits_for_room(wanted(job, me)) == (None if fits else "time")
    assert only_misfits(me) == (not fits)
    assert (wake(me) == [job.id]) == fits


def test_it_has_just_begun_for_a_twentieth_of_its_time() -> None:
    known(1000, median=20)
    job, me = record(), worker(left=100)
    passes = (
        "UPDATE workers SET started_at = started_at - make_interval(secs => :s), "
        "ends_at = ends_at - make_interval(secs => :s) WHERE id = :id"
    )
    sql(passes, s=6, id=me)
    assert claim(job.task_id, me) is None
    sql(passes, s=-2, id=me)
    must_claim(job.task_id, me)


@pytest.mark.parametrize("median", [None, 20])
def test_what_was_cut_short_once_is_tried_again_in_a_whole_allocation(median: float | None) -> None:
    """It may keep in files of its own what it goes on from."""
    if median is not None:
        known(1000, median=median)
    job = record()
    for _ in range(2):
        cut_short(job, 110, left=100)
        assert claim(job.task_id, old(100)) is None
    assert claim(job.task_id, worker(left=100)) is None
    must_claim(job.task_id, worker(left=1100))


def test_it_is_not_tried_again_where_most_take_longer() -> None:
    job = record()
    cut_short(job, 110, left=100)
    known(1000, median=200)
    assert claim(job.task_id, worker(left=100)) is None


def test_time_limits_are_believed_when_a_whole_allocation_was_too_short() -> None:
    jobs = [record(time_limit=1000, workflow=name) for name in ("w", "w", "w", "v", "w")]
    cut_short(jobs[0], 110, left=100, began=50)  # it was not given the whole
    learn.tick()
    cut_short(jobs[1], 110, left=100)
    learn.tick()
    assert claim(jobs[2].task_id, worker(left=900)) is None
    must_claim(jobs[3].task_id, worker(left=900), workflow="v")
    finish(must_claim(jobs[2].task_id, worker(left=1100)), SUCCESS)
    sql(
        "INSERT INTO workflows (name, parameters, options, queue, version) "
        "VALUES ('w', '{}', '{}', 'default', '1')"
    )
    learn.tick()
    must_claim(jobs[4].task_id, worker(left=900))


def test_time_passes_by_the_clock_of_the_board() -> None:
    job, me = record(time_request=100), worker(left=101)
    sql("UPDATE workers SET ends_at = ends_at - interval '2 s'")
    assert claim(job.task_id, me) is None
    sql("UPDATE workers SET ends_at = ends_at + interval '2 s'")
    must_claim(job.task_id, me)


def test_a_message_leads_to_the_first_job_that_fits() -> None:
    record(time_request=100, priority=9)
    fits = [record(time_request=10), record(time_request=10)]
    me = worker(left=50)
    assert wake(me) == [fits[0].id]
    [instead] = transitions.claim(wanted(record(time_request=100), me))
    assert instead.job_id == fits[1].id
    assert wake(me) == []


def long_ones(number: int = 800, **about: Any) -> None:
    """So many jobs that do not fit, all in the same lane."""
    with engine.begin() as connection:
        transitions.record(connection, [new_job(time_limit=100, **about) for _ in range(number)])


@pytest.mark.parametrize("sent", [True, False])
def test_short_jobs_are_found_behind_many_that_do_not_fit(sent: bool) -> None:
    outlasted()
    long_ones()
    short = record(time_limit=10)
    if sent:
        sql("UPDATE jobs SET published_at = now() + id * interval '1 ms'")
    me = worker(left=50)
    assert not only_misfits(me)
    assert wake(me) == [short.id]


def test_those_with_a_short_time_request_are_found_among_many_that_do_not_fit() -> None:
    outlasted()
    long_ones()
    shorter = [record(time_request=seconds) for seconds in (40, 30)]
    urgent = record(time_request=45, priority=5)
    long_ones()
    me = worker(left=50)
    assert not only_misfits(me)
    assert [wake(me) for _ in range(4)] == [[urgent.id], [shorter[0].id], [shorter[1].id], []]
    assert only_misfits(me)


def test_of_many_that_do_not_fit_only_the_first_and_last_are_looked_at() -> None:
    outlasted()
    long_ones()
    hidden = record(time_limit=10)
    long_ones()
    me = worker(left=50)
    assert wake(me) == []
    assert must_claim(hidden.task_id, me).job_id == hidden.id  # its own message finds it


def test_a_slice_leaves_out_what_does_not_fit() -> None:
    jobs = [record(time_request=time) for time in (None, 100, 10, 100, None)]
    me = worker(left=50)
    found = transitions.claim(wanted(jobs[0], me, more=10))
    assert [one.job_id for one in found] == [jobs[0].id, jobs[2].id, jobs[4].id]
    assert [state(one.id) for one in jobs] == ["running", "pending", "running", "pending", "running"]
    assert len(transitions.claim(wanted(None, worker(), more=10))) == 2


def test_a_job_must_fit_both_in_time_and_beside_what_runs() -> None:
    room = Room(4, 8 * GIB, ())
    long, wide = record(needs=Needs(cores=1), time_request=100), record(needs=Needs(cores=8), time_request=1)
    me = worker(left=50, room=room)
    assert claim(long.task_id, me) is None
    assert claim(wide.task_id, me) is None
    assert wake(me) == []
    assert transitions.waits_for_room(wanted(long, me)) == "time"
    assert transitions.waits_for_room(wanted(wide, me)) == "needs"
    both = record(needs=Needs(cores=1), time_request=10)
    assert must_claim(both.task_id, me).cores == 1


def test_no_room_is_kept_on_a_worker_for_a_job_that_does_not_fit_in_time() -> None:
    room = Room(4, 8 * GIB, ())
    me, endless = worker(left=50, room=room, workflows=["w"]), worker(room=room, workflows=["w"])
    for each in (me, endless):
        must_claim(record(needs=Needs(cores=1)).task_id, each)
    large = record(needs=Needs(cores=4), time_request=100)
    assert claim(large.task_id, me) is None
    assert sql("SELECT count(*) FROM passed_over") == [(0,)]  # it would not run there anyway
    assert claim(large.task_id, endless) is None
    sql("UPDATE passed_over SET since = since - interval '11 minutes'")
    small = record(needs=Needs(cores=1))
    assert claim(small.task_id, endless) is None
    must_claim(small.task_id, me)


def test_limits_are_asked_of_jobs_that_fit() -> None:
    sql("INSERT INTO limits (name, most, set_by) VALUES ('tag:one', 1, 'test')")
    long = record(tags=["one"], time_request=100)
    short = record(tags=["one"], time_request=10)
    me = worker(left=50)
    assert len(transitions.claim(wanted(long, me))) == 1  # its message leads to the other one
    assert [state(one.id) for one in (long, short)] == ["pending", "running"]
    last = record(tags=["one"], time_request=10)
    assert claim(last.task_id, me) is None
    assert state(last.id) == "blocked"


def test_of_what_a_limit_keeps_waiting_the_first_is_taken_that_fits() -> None:
    sql("INSERT INTO limits (name, most, set_by) VALUES ('tag:one', 1, 'test')")
    running = must_claim(record(tags=["one"]).task_id, worker())
    waiting = [record(tags=["one"], time_request=seconds) for seconds in (100, 10, 5)]
    for job in waiting:
        claim(job.task_id, worker())
    finish(running)
    me = worker(left=50)
    [first] = transitions.claim(wanted(record(tags=["one"], time_request=1), me))
    assert first.job_id == waiting[1].id


@pytest.fixture
def shared(board: object) -> None:
    with engine.begin() as connection:
        shares.share(connection, "default", "submitter", "test")


@pytest.mark.usefixtures("shared")
def test_in_a_queue_that_is_shared_what_is_more_urgent_and_takes_too_long_keeps_nothing_from_running() -> (
    None
):
    record(submitted_by="ada@lab", time_request=100, priority=9)
    short = record(submitted_by="bob@lab", time_request=10)
    assert claim(short.task_id, worker(left=50)) is not None


@pytest.mark.usefixtures("shared")
def test_in_a_queue_that_is_shared_the_oldest_job_counts_that_fits() -> None:
    record(submitted_by="ada@lab", time_request=100)
    jobs = {
        who: [record(submitted_by=who, time_request=10) for _ in range(2)] for who in ("ada@lab", "bob@lab")
    }
    me = worker(left=50)
    found = [wake(me)[0] for _ in range(4)]
    assert {*found[:2]} == {jobs["ada@lab"][0].id, jobs["bob@lab"][0].id}
    assert {*found[2:]} == {jobs["ada@lab"][1].id, jobs["bob@lab"][1].id}
    assert wake(me) == []


@pytest.mark.usefixtures("shared")
def test_in_a_queue_that_is_shared_short_jobs_are_found_behind_many_long_ones() -> None:
    outlasted()
    long_ones(30, submitted_by="ada@lab", priority=5)
    short = record(submitted_by="ada@lab", time_limit=10, priority=5)
    me = worker(left=50)
    assert wake(me) == [short.id]
    assert wake(me) == []


@pytest.mark.usefixtures("shared")
def test_in_a_queue_that_is_shared_it_is_the_turn_of_those_whose_jobs_fit() -> None:
    record(submitted_by="ada@lab", time_request=100)
    theirs = record(submitted_by="bob@lab", time_request=10)
    assert wake(worker(left=50)) == [theirs.id]
    assert wake(worker(left=50)) == []


def test_what_does_not_fit_anywhere_stays_as_it_is() -> None:
    job, me = record(time_request=100), worker(left=50)
    for _ in range(3):
        assert claim(job.task_id, me) is None
        assert wake(me) == []
    assert (state(job.id), sql("SELECT attempt, losses, publish_count FROM jobs")) == ("pending", [(0, 0, 0)])
    finish(must_claim(job.task_id, worker(left=200)), SUCCESS)
    assert state(job.id) == "succeeded"


def only_misfits(me: int, *queues: str) -> bool:
    with engine.begin() as connection:
        return reads.only_misfits(connection, queues or ["default"], ["w", "v"], me)


def test_a_worker_learns_whether_nothing_that_waits_fits() -> None:
    me = worker(left=50, room=Room(4, 8 * GIB, ()))
    assert not only_misfits(me)  # nothing waits: something that fits may come
    record(needs=Needs(cores=8))
    assert not only_misfits(me)
    record(time_request=100)
    assert only_misfits(me)
    assert not only_misfits(me, "another")
    assert not only_misfits(worker())
    record(time_request=100, queue="another")
    assert only_misfits(me, "another", "default")
    fits = record(time_request=10, workflow="v", priority=0)
    assert not only_misfits(me)
    must_claim(fits.task_id, me, workflow="v")
    assert only_misfits(me)
    record()
    assert not only_misfits(me)


# --- what people are told --------------------------------------------------------------------------


def told(number: int) -> list[tuple[str, str]]:
    return [(one.code, one.text) for one in reasons(story.read(number))]


@pytest.mark.parametrize(
    ("about", "basis"),
    [
        ({"time_request": 11_400}, "as its time request says"),
        ({"time_limit": 11_400, "workflow": "u"}, "its time limit"),
        ({"tags": ["slow"]}, "p90 of 200 runs with its tags"),
        ({"workflow": "v"}, "p90 of 200 runs"),
    ],
)
def test_explain_says_that_no_allocation_lasts_as_long(about: dict[str, object], basis: str) -> None:
    known(11_400, "slow")
    known(11_400, workflow="v")
    outlasted("u")
    worker(left=7200, workflows=["w", "v", "u"])
    job = record(**about)
    text = f"it needs about 3h10m ({basis}); no allocation of default lasts longer than 2h"
    assert told(job.id) == [("too_long", text)]
    worker(workflows=["w", "v", "u"])  # nothing ends this one
    assert "too_long" not in dict(told(job.id))


def test_explain_tells_an_allocation_that_is_too_short_from_one_that_has_grown_old() -> None:
    job, me = record(time_request=3600), worker(left=7200, workflows=["w"])
    assert dict(told(job.id)).keys() == {"unpublished"}
    sql(
        "UPDATE workers SET ends_at = ends_at - interval '90 min', "
        "started_at = started_at - interval '90 min'"
    )
    [(code, text)] = told(job.id)
    assert code == "no_time"
    said, _, more = text.partition(" w@test runs jobs for ")
    assert said == (
        "it needs about 1h (as its time request says), and waits for an allocation that lasts as long from "
        "now on:"
    )
    assert re.fullmatch(r"(30m|29m\d+s) more", more)
    assert claim(job.task_id, me) is None


def test_explain_says_that_a_job_waits_for_an_allocation_that_has_just_begun() -> None:
    known(11_400, median=60)
    me = worker(left=7200, workflows=["w"])
    job = record()
    assert dict(told(job.id)).keys() == {"unpublished"}
    sql("UPDATE workers SET started_at = started_at - interval '1 h' WHERE id = :id", id=me)
    [(code, text)] = told(job.id)
    assert code == "no_time"
    assert " that lasts as long from now on, or has just begun: " in text


def test_explain_says_that_an_attempt_was_cut_short() -> None:
    known(60)
    job = record()
    for _ in range(2):
        cut_short(job, 7300, left=7200)
    sql("UPDATE workers SET ended_at = now()")
    worker(left=7200, workflows=["w"])
    text = dict(told(job.id))["too_long"]
    assert text.startswith("it needs about 2h1m (the end of an allocation has cut an attempt short); no")


def test_doctor_names_what_no_allocation_is_long_enough_for() -> None:
    worker(left=7200, workflows=["w"])
    first = record(time_request=7300)
    record(time_request=100)
    record(time_request=9000, workflow="v")  # nobody knows it: another finding

    def found() -> list[str]:
        with engine.begin() as connection:
            return [one.found for one in of_workers(connection) if "no allocation" in one.found]

    lasts = "no allocation there lasts longer than 2h"
    assert found() == [f"job {first.id} in queue 'default' needs about 2h1m, and {lasts}"]
    record(time_request=9000)
    assert found() == [f"2 pending jobs of w in queue 'default' need about 2h1m, and {lasts}"]
    worker(workflows=["w"])
    assert found() == []


def test_explain_and_doctor_say_that_no_cluster_starts_allocations_that_last_as_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = record(time_request=7200)
    new = NewCluster(
        name="short",
        launcher="slurm",
        host=None,
        profile={
            "name": "short",
            "launcher": "slurm",
            "python": "/usr/bin/python",
            "folder": "/tmp",
            "environment": {},
            "walltime": 7200,
            "worker": ["-Q", "default"],
        },
        wanted=0,
        least=0,
        most=4,
        started_by="me",
    )
    with engine.begin() as connection:
        clusters.start(connection, new)

    def said() -> list[str]:
        assert run(["explain", str(job.id), "-o", "json"]) == 0
        found = json.loads(capsys.readouterr().out)["reasons"]
        told = [one["text"] for one in found if one["code"] == "too_long"]
        with engine.begin() as connection:
            return told + [one.found for one in of_workers(connection) if "no allocation" in one.found]

    lasts = r"1h59m(\d\ds)?"
    explained, checked = said()
    assert re.fullmatch(
        r"it needs about 2h \(as its time request says\); "
        rf"no allocation of cluster short has longer than {lasts} for jobs",
        explained,
    )
    assert re.fullmatch(
        rf"job {job.id} in queue 'default' needs about 2h, and no allocation there lasts longer than {lasts}",
        checked,
    )
    with engine.begin() as connection:
        clusters.start(connection, replace(new, name="long", profile={**new.profile, "walltime": 9000}))
    assert said() == []


def test_stats_count_what_was_lost_to_walltime(capsys: pytest.CaptureFixture[str]) -> None:
    known(10)
    me = worker(room=Room(8, 8 * GIB, ()))
    for report, needs in ((WALLTIME, None), (WALLTIME, Needs(cores=4)), (LOST, None), (SUCCESS, None)):
        claimed = must_claim(record(needs=needs).task_id, me)
        sql("UPDATE jobs SET started_at = now() - interval '30 min' WHERE state = 'running'")
        finish(claimed, report)
    assert run(["stats", "-o", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lost_to_walltime"]["attempts"] == 2
    assert facts["lost_to_walltime"]["core_hours"] == pytest.approx(2.5, rel=0.01)
    assert facts["workflows"]["w"]["expected"] == {"p90": 10.0, "successes": 200}
    assert run(["stats"]) == 0
    assert "2 attempts ended with the allocation: 2.5 core-hours lost" in capsys.readouterr().err
    assert run(["stats", "-w", "another", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["lost_to_walltime"] == {
        "attempts": 0,
        "core_hours": 0.0,
        "saved": 0,
    }


def test_stats_count_what_was_lost_although_nothing_has_finished(capsys: pytest.CaptureFixture[str]) -> None:
    job = record()
    cut_short(job, 1800, left=1800)
    sql("UPDATE workers SET lease_expires_at = (SELECT started_at + interval '15 min' FROM attempts)")
    sql("INSERT INTO checkpoints (job_id, attempt, state) VALUES (:id, 1, '1')", id=job.id)
    assert run(["stats"]) == 0
    said = capsys.readouterr().err
    assert "no job has finished" in said
    lost = "1 attempt ended with the allocation: 0.25 core-hours lost; 1 of them had saved their work"
    assert lost in said
