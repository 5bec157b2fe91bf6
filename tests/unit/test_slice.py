"""The claims that a pool child holds at once: what runs, what is written together, and what goes back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from simcelery import broker
from simcelery.board import transitions
from simcelery.board.states import Outcome
from simcelery.board.values import Claim, ClaimRequest, EndedAttempt, JobToPublish, Lane, Registration
from simcelery.errors import BoardUnreachableError
from simcelery.execution.places import Unusable
from simcelery.worker import belonging
from simcelery.worker import slots as module_of_slots
from simcelery.worker.child import attempt, calling, claiming, flusher, leaving, pace, slicing
from simcelery.worker.child.following import Following
from simcelery.worker.child.slicing import Slice
from simcelery.worker.outcomes import finish
from simcelery.worker.slots.child import Slot
from simcelery.worker.slots.parent import Slots
from simcelery.workflows.definition import Definition
from tests.board_helpers import new_job


def simulate() -> None:
    """A workflow."""


DEFINITION, LANE = Definition(simulate), Lane("default", "w", 4)
ME = Registration(1, uuid.uuid4())


@dataclass
class Board:
    """What was written on it, in that order."""

    away: bool = False
    missed: int = 0
    back: list[list[int]] = field(default_factory=list)
    written: list[list[int | None]] = field(default_factory=list)

    def put_back(self, claims: Sequence[Claim]) -> None:
        self._reach()
        self.back.append([one.job_id for one in claims])

    def write(
        self, outcomes: Sequence[EndedAttempt], publish: object = None, last: Any = None
    ) -> list[object]:
        self._reach()
        self.written.append([one.job_id for one in outcomes])
        return [finished(one) for one in outcomes]

    def _reach(self) -> None:
        if self.away:
            self.missed += 1
            assert self.missed < 4  # else somebody tries for ever
            raise BoardUnreachableError("away")


def finished(one: EndedAttempt) -> object:
    """What the board says when it has been written."""
    return SimpleNamespace(id=one.job_id)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    made = Board()
    monkeypatch.setattr(transitions, "put_back", made.put_back)
    monkeypatch.setattr(finish, "write_all", made.write)
    monkeypatch.setattr(finish, "finish", made.write)
    return made


def claim(job_id: int) -> Claim:
    return Claim(job_id, uuid.uuid4(), uuid.uuid4(), 1, "w", {}, "default", 4, [], 0, 1, None, None, None)


def outcome(one: Claim) -> EndedAttempt:
    return EndedAttempt(outcome=Outcome.SUCCEEDED).of(one)


@pytest.fixture
def held(board: Board) -> Slice:
    """Four claims, just made."""
    return Slice([claim(number) for number in range(1, 5)])


def child_of(monkeypatch: pytest.MonkeyPatch, slots: Slots) -> Slots:
    """This process as a pool child of a worker with these slots."""
    monkeypatch.setattr(module_of_slots, "mine", Slot.taken(slots.memory, 0))
    return slots


def time_is_up(held: Slice) -> None:
    held.begun -= pace.SLICE


def test_the_jobs_of_a_slice_are_begun_in_their_order_and_written_together(board: Board, held: Slice) -> None:
    begun = []
    for one in held:
        begun.append(one.job_id)
        held.keep(outcome(one))
    assert board.written == []
    held.close()
    assert begun == [1, 2, 3, 4]
    assert (board.written, board.back) == ([[1, 2, 3, 4]], [])


def test_after_its_quarter_of_a_second_no_other_job_begins(board: Board, held: Slice) -> None:
    held.keep(outcome(next(held)))
    time_is_up(held)
    assert list(held) == []
    held.close()
    assert (board.written, board.back) == ([[1]], [[2, 3, 4]])


def test_after_many_bytes_no_other_job_begins(board: Board, held: Slice) -> None:
    half = pace.MOST_BYTES // 2
    for size in (half, half, 1):
        held.keep(outcome(next(held)), size)
    assert list(held) == []
    held.close()
    assert (board.written, board.back) == ([[1, 2, 3]], [[4]])


def test_what_a_long_job_would_hold_up_is_written_and_goes_back(board: Board, held: Slice) -> None:
    held.keep(outcome(next(held)))
    long = next(held)
    held.flush()
    assert (board.written, board.back) == ([[1]], [[3, 4]])
    assert list(held) == []
    held.keep(outcome(long))
    held.close()
    assert (board.written, board.back) == ([[1], [2]], [[3, 4]])


def test_what_the_board_says_of_each_is_known_however_it_was_written(board: Board, held: Slice) -> None:
    claims = list(held)
    for one in claims[:2]:
        held.keep(outcome(one))
        held.flush()
    held.write(outcome(claims[2]), and_others=False)
    held.keep(outcome(claims[3]))
    held.close()
    assert board.written == [[1], [2], [3], [4]]
    assert [held.finished(one) for one in claims] == [finished(outcome(one)) for one in claims]
    assert held.finished(claim(5)) is None


def test_a_flush_without_anything_to_write_asks_nothing_of_the_board(board: Board) -> None:
    alone = Slice([claim(1)])
    next(alone)
    alone.flush()
    alone.close()
    assert (board.written, board.back) == ([], [])


def test_what_a_flush_could_not_write_is_written_later_and_once(board: Board, held: Slice) -> None:
    held.keep(outcome(next(held)))
    next(held)
    board.away = True
    held.flush()
    assert (board.written, board.back) == ([], [])
    board.away = False
    held.flush()
    assert (board.written, board.back) == ([[1]], [[3, 4]])
    held.close()
    assert (board.written, board.back) == ([[1]], [[3, 4]])


def test_what_succeeds_while_a_flush_fails_is_kept_beside_what_it_could_not_write(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [claim(1), claim(2)]
    held = Slice(claims)
    held.keep(outcome(next(held)))
    next(held)

    def fails_slowly(outcomes: Sequence[EndedAttempt]) -> None:
        held.keep(outcome(claims[1]))
        raise BoardUnreachableError("away")

    with monkeypatch.context() as during:
        during.setattr(finish, "write_all", fails_slowly)
        held.flush()
    held.close()
    assert sorted(number for some in board.written for number in some if number) == [1, 2]


def test_what_went_back_before_postgres_was_gone_does_not_go_back_again(
    board: Board, held: Slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may run elsewhere by now."""
    held.keep(outcome(next(held)))

    def goes_away(claims: Sequence[Claim]) -> None:
        board.put_back(claims)
        board.away = True

    monkeypatch.setattr(transitions, "put_back", goes_away)
    held.flush()
    board.away = False
    held.flush()
    assert (board.written, board.back) == ([[1]], [[2, 3, 4]])


def test_a_job_that_was_not_begun_after_all_goes_back_first(board: Board, held: Slice) -> None:
    held.take_back(next(held))
    held.close()
    assert board.back == [[1, 2, 3, 4]]


@pytest.mark.parametrize("why", ["the worker closes", "the child leaves", "its node seems to eat jobs"])
def test_nothing_more_begins_when_it_should_not(
    board: Board, held: Slice, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    next(held)
    match why:
        case "the worker closes":
            child_of(monkeypatch, Slots()).close()
        case "the child leaves":
            monkeypatch.setattr(leaving, "is_due", lambda: True)
        case _:
            monkeypatch.setattr(claiming, "is_suspicious", lambda: True)
    assert list(held) == []
    held.close()
    assert board.back == [[2, 3, 4]]


def test_a_suspicion_does_not_keep_the_first_from_beginning(
    board: Board, held: Slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was judged before the claim; nothing would ever be tried again."""
    monkeypatch.setattr(claiming, "is_suspicious", lambda: True)
    assert [one.job_id for one in held] == [1]


def test_unbegun_jobs_are_left_to_recovery_where_the_worker_ends_first(
    board: Board, held: Slice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    child_of(monkeypatch, Slots()).close()
    board.away = True
    held.close()
    assert "jobs that had not started wait: away" in caplog.text
    assert "4 jobs that had not started are left to recovery" in caplog.text


# --- from the message to the outcomes --------------------------------------------------------------


@dataclass
class Played:
    """What the child was asked to run, how it goes, and what it then says; each attempt takes a second."""

    claims: list[Claim]
    slots: Slots
    ends: dict[int, Outcome | Exception] = field(default_factory=dict)
    now: float = 1000.0
    told: list[tuple[uuid.UUID, int]] = field(default_factory=list)
    finished: list[EndedAttempt] = field(default_factory=list)
    written: list[list[int | None]] = field(default_factory=list)
    asked: list[object] = field(default_factory=list)
    watched: list[Slice] = field(default_factory=list)
    unblocks: dict[int, list[JobToPublish]] = field(default_factory=dict)
    published: list[int] = field(default_factory=list)
    following: list[Claim] = field(default_factory=list)
    requests: list[ClaimRequest] = field(default_factory=list)

    def claim(self, task_id: uuid.UUID, *asked: object) -> list[Claim]:
        self.asked = [task_id, *asked]
        return self.claims

    def finish_and_claim(
        self, ended: Sequence[EndedAttempt], request: ClaimRequest
    ) -> tuple[list[object], list[Claim]]:
        self.requests.append(request)
        taken, self.following = self.following[:1], self.following[1:]
        return [finished(one) for one in ended], taken

    def attempt(self, definition: Definition, claim: Claim) -> EndedAttempt:
        assert definition is DEFINITION
        [running] = self.slots.busy()
        self.told.append((running.claim_id, claim.job_id))
        self.now += 0.1
        end = self.ends.get(claim.job_id, Outcome.SUCCEEDED)
        if isinstance(end, Exception):
            raise end
        return EndedAttempt(outcome=end)

    def finish(self, ended: Sequence[EndedAttempt], publish: Any = None, last: Any = None) -> list[object]:
        self.finished += ended
        if last:
            last(ended)
        self.written.append([one.job_id for one in ended])
        for one in ended:
            if one.job_id in self.unblocks:
                publish(SimpleNamespace(unblocked=self.unblocks[one.job_id]))
        return [finished(one) for one in ended]

    def publish(self, jobs: Sequence[JobToPublish], what: str) -> None:
        self.published += [job.id for job in jobs]

    def run(self, of: int) -> tuple[Claim, EndedAttempt, object] | None:
        """The message of this one comes."""
        own = self.claims[of] if of < len(self.claims) else claim(99)
        return slicing.run(DEFINITION, own.task_id, own.claim_id, LANE)


@pytest.fixture
def played(board: Board, monkeypatch: pytest.MonkeyPatch) -> Played:
    made = Played([claim(1), claim(2)], child_of(monkeypatch, Slots()))
    monkeypatch.setattr(pace, "_measured", {})
    monkeypatch.setattr(claiming, "claim", made.claim)
    monkeypatch.setattr(flusher, "watch", made.watched.append)  # its thread goes by a clock of its own
    monkeypatch.setattr(attempt, "run", made.attempt)
    monkeypatch.setattr(finish, "finish", made.finish)
    monkeypatch.setattr(transitions, "finish_and_claim", made.finish_and_claim)
    monkeypatch.setattr(belonging, "me", lambda: ME)
    monkeypatch.setattr(broker, "publish_or_leave", made.publish)
    monkeypatch.setattr(slicing, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_each_attempt_has_its_own_times_and_the_message_learns_of_its_own_job(played: Played) -> None:
    assert played.run(of=0) == (played.claims[0], played.finished[0], finished(played.finished[0]))
    assert played.written == [[1, 2]]
    assert [round(one.waited, 3) for one in played.finished] == [0.0, 0.1]
    assert [one.ended for one in played.finished] == [1000.1, 1000.2]
    assert pace._measured[DEFINITION.name].mean == pytest.approx(0.1)
    own = played.claims[0]
    assert played.asked == [own.task_id, own.claim_id, LANE, 0]
    assert played.told == [(one.claim_id, one.job_id) for one in played.claims]  # the parent sees which one
    assert list(played.slots.busy()) == []


def test_the_message_learns_nothing_of_the_jobs_of_others(played: Played) -> None:
    assert played.run(of=2) is None
    assert [one.job_id for one in played.finished] == [1, 2]


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("granted", [None, {"cores": 2}])
def test_the_parent_is_told_when_what_others_may_wait_for_is_free(
    played: Played, crowded: bool, granted: dict[str, int] | None
) -> None:
    if crowded:
        module_of_slots.mine.report_crowded()
    played.claims[1] = replace(played.claims[1], granted=granted)
    played.run(of=0)
    assert played.slots.memory.freed() == (1 if crowded or granted else 0)


def test_what_a_job_returned_and_printed_counts(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    large = "x" * (pace.MOST_BYTES // 2)

    def attempts(definition: Definition, claim: Claim) -> EndedAttempt:
        return replace(played.attempt(definition, claim), result=[large], log={1: large, 2: "y"})

    monkeypatch.setattr(attempt, "run", attempts)
    played.run(of=0)
    assert played.written == [[1]]  # the other one goes back
    assert pace._measured[DEFINITION.name].size == len(f'["{large}"]') + len(large) + 1


def test_without_a_claim_nothing_runs(played: Played) -> None:
    played.claims = []
    assert played.run(of=0) is None
    assert (played.told, list(played.slots.busy())) == ([], [])


def test_what_failed_is_written_with_the_others_and_the_message_learns_what_the_board_says(
    played: Played,
) -> None:
    played.ends = {1: Outcome.FAILED}
    assert played.run(of=0) == (played.claims[0], played.finished[0], finished(played.finished[0]))
    assert [one.outcome for one in played.finished] == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert played.written == [[1, 2]]


@pytest.mark.parametrize("outcome", [Outcome.RELEASED, Outcome.CANCELLED])
def test_what_ended_otherwise_is_written_at_once(played: Played, outcome: Outcome) -> None:
    played.ends = {1: outcome}
    assert played.run(of=0) == (played.claims[0], played.finished[0], finished(played.finished[0]))
    assert played.written == [[1], [2]]


def test_a_failure_that_a_fuse_counts_is_written_at_once_after_what_succeeded_before(
    board: Board, played: Played
) -> None:
    played.claims = [replace(claim(number), gate_id=7) for number in (1, 2, 3)]
    played.ends = {2: Outcome.FAILED}
    played.run(of=0)
    assert (board.written, played.written, board.back) == ([[1]], [[2]], [[3]])


def test_what_goes_on_in_another_job_is_written_at_once(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "run", lambda *given: replace(played.attempt(*given), then=new_job()))
    played.run(of=0)
    assert played.written == [[1], [2]]


def test_of_an_attempt_that_the_board_gave_to_another_nothing_is_told(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.ends = {1: Outcome.FAILED}
    monkeypatch.setattr(finish, "finish", lambda ended, **more: [])
    own = played.run(of=0)
    assert own is not None
    assert own[2] is None


def test_a_warning_that_comes_while_it_claims_is_not_forgotten(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[bool] = []

    def claims(*asked: object) -> list[Claim]:
        module_of_slots.mine.note_warning()
        return played.claims

    def attempts(definition: Definition, claim: Claim) -> EndedAttempt:
        warned.append(module_of_slots.mine.warned)
        return played.attempt(definition, claim)

    monkeypatch.setattr(claiming, "claim", claims)
    monkeypatch.setattr(attempt, "run", attempts)
    played.run(of=0)
    assert warned == [True, False]  # it was for the first


def test_outcomes_do_not_wait_for_a_long_job_of_the_same_slice(
    board: Board, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempts(definition: Definition, claim: Claim) -> EndedAttempt:
        if claim.job_id == 2:
            played.watched[0].flush()
        return played.attempt(definition, claim)

    monkeypatch.setattr(attempt, "run", attempts)
    played.run(of=0)
    assert board.written == [[1]]
    assert [one.job_id for one in played.finished] == [2]


def test_where_no_files_can_be_written_all_goes_back_and_nothing_more_is_claimed(
    board: Board, played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    played.ends = {1: Unusable("the disk is full")}
    assert played.run(of=0) is None
    assert (board.back, played.finished) == ([[1, 2]], [])
    assert (played.slots.unusable, played.slots.closed) == (True, True)
    assert "job 1 is put back on the board, since this node cannot run it: the disk is full" in caplog.text


def waiting(one: Claim, **other: Any) -> JobToPublish:
    """A job that another one unblocks."""
    return JobToPublish(one.job_id, one.task_id, **({**LANE._asdict(), **other}))


def short() -> None:
    """The jobs so far have been short."""
    pace._measured[DEFINITION.name] = pace._Measured(0.001)


def test_a_child_goes_on_with_what_is_claimed_together_with_its_finish(played: Played) -> None:
    short()
    played.claims, played.following = [claim(1)], [claim(3)]
    own = played.run(of=0)
    assert own is not None
    assert own[0] is played.claims[0]  # the message is told of its own job
    assert [one.job_id for one in played.finished] == [1, 3]
    asked = played.requests[0]
    assert (asked.task_id, asked.workflow, asked.queue, asked.least, asked.worker) == (
        None,
        "w",
        "default",
        4,
        ME,
    )
    assert asked.more == 7  # four times as many as have been measured, with it
    assert list(played.slots.busy()) == []


def test_of_what_it_has_unblocked_it_publishes_what_it_does_not_go_on_with(played: Played) -> None:
    short()
    third, fourth, elsewhere = claim(3), claim(4), claim(5)
    played.claims, played.following = [claim(1)], [third]
    played.unblocks = {1: [waiting(elsewhere, priority=9), waiting(third), waiting(fourth)]}
    played.run(of=0)
    assert [one.job_id for one in played.finished] == [1, 3]
    assert played.published == [5, 4]


def test_it_goes_on_for_a_quarter_of_a_second(played: Played) -> None:
    short()
    played.claims, played.following = [claim(1)], [claim(number) for number in range(2, 9)]
    played.run(of=0)
    assert [one.job_id for one in played.finished] == [1, 2, 3]  # each takes a tenth
    assert len(played.requests) == 2


@pytest.mark.parametrize(
    "why",
    ["jobs are long", "jobs are counted", "the worker closes", "the child leaves", "its node seems to eat"],
)
def test_it_does_not_go_on_when_it_should_not(
    played: Played, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    short()
    played.claims, played.following, third = [claim(1)], [claim(2)], claim(3)
    played.unblocks = {1: [waiting(third)]}
    match why:
        case "jobs are long":
            pace._measured[DEFINITION.name].mean = 0.1
        case "jobs are counted":
            played.slots = child_of(monkeypatch, Slots(5))
        case "the child leaves":
            monkeypatch.setattr(leaving, "is_due", lambda: bool(played.told))
        case "the worker closes":
            monkeypatch.setattr(module_of_slots.mine, "is_closed", lambda: bool(played.told))
        case _:
            monkeypatch.setattr(claiming, "is_suspicious", lambda: bool(played.told))
    played.run(of=0)
    assert ([one.job_id for one in played.finished], played.published) == ([1], [3])
    assert played.requests == []


def test_it_does_not_go_on_while_it_puts_others_back(played: Played, board: Board) -> None:
    """The next claim would take the same ones."""
    short()
    played.ends = {2: Unusable("the disk is full")}
    played.following = [claim(3)]
    played.run(of=0)
    assert ([one.job_id for one in played.finished], board.back) == ([1], [[2]])
    assert played.requests == []


def test_what_is_claimed_while_the_worker_closes_goes_back(
    played: Played, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    short()
    played.claims, played.following = [claim(1)], [claim(2)]
    monkeypatch.setattr(module_of_slots.mine, "is_closed", lambda: bool(played.requests))
    played.run(of=0)
    assert ([one.job_id for one in played.finished], board.back) == ([1], [[2]])


# --- a claim together with a finish ----------------------------------------------------------------


@pytest.fixture
def following(played: Played, monkeypatch: pytest.MonkeyPatch) -> Following:
    """Its finishes are written like any other of the fake board."""
    monkeypatch.setattr(transitions, "finish_at_once", lambda ended: [("alone", one.job_id) for one in ended])
    return Following(claiming.request(None, uuid.uuid4(), LANE, 3), played.claims)


def test_only_the_first_finish_claims(played: Played, following: Following) -> None:
    played.following = [claim(2), claim(3)]
    assert following.finish([outcome(claim(1))]) == [SimpleNamespace(id=1)]
    assert following.finish([outcome(claim(1))]) == [("alone", 1)]
    assert [one.job_id for one in following.claims()] == [2]


def test_what_cannot_be_claimed_keeps_nothing_from_being_finished(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transitions, "finish_and_claim", raises(ValueError("a row that nobody can read")))
    assert following.finish([outcome(claim(1))]) == [("alone", 1)]
    assert following.claims() == []


def test_a_claim_whose_answer_was_lost_is_asked_for_once(
    played: Played, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    lost = claim(2)
    monkeypatch.setattr(transitions, "finish_and_claim", raises(BoardUnreachableError("away")))
    on_the_board = [played.claims[0], lost]  # the first could only be spooled
    monkeypatch.setattr(transitions, "forgotten", lambda request: asked.append(request) or on_the_board)
    with pytest.raises(BoardUnreachableError):
        following.finish([outcome(claim(1))])
    assert following.finish([outcome(claim(1))]) == [("alone", 1)]
    assert [following.claims(), following.claims()] == [[lost], [lost]]
    assert len(asked) == 1


def test_a_claim_whose_answer_was_lost_is_left_to_recovery_where_the_worker_ends_first(
    following: Following, played: Played, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transitions, "finish_and_claim", raises(BoardUnreachableError("away")))
    monkeypatch.setattr(transitions, "forgotten", raises(BoardUnreachableError("away")))
    with pytest.raises(BoardUnreachableError):
        following.finish([outcome(claim(1))])
    played.slots.close()
    assert following.claims() == []
    assert "what was claimed last, if anything, is left to recovery" in caplog.text


def raises(error: Exception) -> Any:
    def fails(*given: object) -> None:
        raise error

    return fails


def test_a_call_of_other_files_is_left_to_other_workers_and_the_rest_runs(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = []
    monkeypatch.setattr(transitions, "set_aside", lambda one, why: left.append((one.job_id, why)))
    played.ends = {1: calling.Elsewhere("f.py is another one here")}
    assert played.run(of=0) is None
    assert left == [(1, "f.py is another one here")]
    assert [one.job_id for one in played.finished] == [2]
    assert list(played.slots.busy()) == []


def test_a_call_that_cannot_be_left_to_others_while_its_worker_ends_is_left_to_recovery(
    board: Board, played: Played, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    board.away = True

    def set_aside(one: Claim, why: str) -> None:
        played.slots.close()
        board.put_back([one])

    monkeypatch.setattr(transitions, "set_aside", set_aside)
    played.ends = {1: calling.Elsewhere("f.py is another one here")}
    played.claims = [played.claims[0]]
    assert played.run(of=0) is None
    assert board.missed == 1
    assert "job 1 had not started and is left to recovery" in caplog.text


# --- how many others are asked for -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "max_jobs", "more"),
    [({}, None, 24), ({"slices": False}, None, 0), ({}, 5, 0)],
    ids=["short jobs", "slices=False", "--max-jobs"],
)
def test_short_jobs_travel_together_unless_they_may_not_or_are_counted(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], max_jobs: int | None, more: int
) -> None:
    monkeypatch.setattr(pace, "_measured", {})
    definition = Definition(simulate, **options)
    for _ in range(1000):
        pace.note(definition.name, 0.01)
    assert slicing._more(definition) == 0  # not in a worker
    child_of(monkeypatch, Slots(max_jobs))
    assert slicing._more(definition) == more
