"""How long jobs will take, judged by the last successes of their workflows."""

from __future__ import annotations

from typing import Any

import pytest

from simcelery.board.reads.estimates import Unfinished, Usual
from simcelery.board.states import State
from simcelery.cli.progress import Part
from simcelery.cli.verbs import watch
from simcelery.describe.estimate import Estimate, Outlook, estimate, usual_as_json, usually

STEADY, WIDE = Usual(200, 10.0, 12.0), Usual(3, 10.0, 100.0)


def worker(number: int, concurrency: int = 4, **changes: Any) -> dict[str, Any]:
    known = {"id": number, "queues": ["cpu"], "workflows": ["w", "v"], "quarantined_at": None}
    return {**known, "concurrency": concurrency, **changes}


def jobs(count: int, state: str = "pending", **changes: Any) -> Unfinished:
    return Unfinished(**({"workflow": "w", "queue": "cpu", "state": State(state), "count": count} | changes))


@pytest.mark.parametrize(
    ("groups", "seconds", "p90"),
    [
        ([jobs(1)], 10, 12),  # never less than one job takes
        ([jobs(4)], 10, 12),
        ([jobs(400)], 1000, 1200),
        ([jobs(4, "running")], 5, 6),  # half done
        ([jobs(1, "running")], 5, 6),
        ([jobs(200, "blocked"), jobs(200)], 1000, 1200),
        ([jobs(1, "scheduled", due=3600.0), jobs(4)], 3610, 3612),
        ([jobs(1, "scheduled", due=-5.0)], 10, 12),
        ([jobs(400), jobs(400, workflow="v")], 2000, 11_200),  # the same workers do both
    ],
)
def test_work_is_shared_by_the_slots_that_can_do_it(
    groups: list[Unfinished], seconds: float, p90: float
) -> None:
    found = estimate(groups, [worker(1)], {"w": STEADY, "v": WIDE})
    assert found is not None
    assert (found.seconds, found.p90_seconds) == pytest.approx((seconds, p90))
    assert found.slots == 4


def test_only_live_workers_count_that_know_the_workflow_and_serve_the_queue() -> None:
    workers = [
        worker(1),
        worker(2, 12),
        worker(3, 100, queues=["gpu"]),
        worker(4, 100, workflows=["v"]),
        worker(5, 100, quarantined_at="now"),
    ]
    assert estimate([jobs(160)], workers, {"w": STEADY}) == Estimate(100.0, 120.0, 16, 200)


def test_queues_of_different_workers_are_done_at_the_same_time() -> None:
    workers = [worker(1), worker(2, queues=["gpu"])]
    groups = [jobs(40), jobs(80, queue="gpu")]
    assert estimate(groups, workers, {"w": STEADY}) == Estimate(200.0, 240.0, 8, 200)


@pytest.mark.parametrize(
    ("groups", "workers"),
    [
        ([], [worker(1)]),
        ([jobs(1)], []),
        ([jobs(1)], [worker(1, 0)]),
        ([jobs(1), jobs(1, workflow="new")], [worker(1, workflows=["w", "new"])]),  # it has no success
        ([jobs(1), jobs(1, queue="gpu")], [worker(1)]),
    ],
)
def test_what_nobody_knows_is_not_estimated(groups: list[Unfinished], workers: list[dict[str, Any]]) -> None:
    assert estimate(groups, workers, {"w": STEADY}) is None


def test_a_part_is_estimated_by_itself() -> None:
    outlook = Outlook([jobs(4), jobs(1, workflow="new")], [worker(1)], {"w": STEADY})
    assert outlook.estimate() is None
    assert outlook.estimate(["w"]) == Estimate(10.0, 12.0, 4, 200)
    assert Outlook().estimate() is None


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (Usual(200, 190.0, 300.0), "about 3m10s, 90 % within 5m (by the last 200 successes)"),
        (Usual(1, 190.0, 190.0), "about 3m10s, 90 % within 3m10s (by the last success)"),
        (Usual(7, 10.0, 300.0), "about 10s to 5m (by the last 7 successes)"),  # parameters decide
        (Usual(7, 0.0, 0.0), "about 0ms, 90 % within 0ms (by the last 7 successes)"),
    ],
)
def test_a_job_usually_takes(times: Usual, words: str) -> None:
    assert usually(times) == words
    assert usual_as_json(times) == {
        "seconds": times.median,
        "p90_seconds": times.p90,
        "successes": times.successes,
        "basis": words.partition("(by ")[2].rstrip(")"),
    }
    assert usual_as_json(None) is None


def test_an_estimate_names_what_it_is_based_on() -> None:
    assert str(Estimate(600.0, 700.0, 16, 200)) == "about 10m on 16 slots, by the last 200 successes"
    assert str(Estimate(600.0, 6000.0, 1, 1)) == "about 10m to 1h40m on 1 slot, by the last success"
    assert Estimate(600.0, 700.0, 16, 200).as_json() == {
        "seconds": 600.0,
        "p90_seconds": 700.0,
        "slots": 16,
        "successes": 200,
        "basis": "the last 200 successes",
    }


def test_watch_estimates_only_until_it_can_measure() -> None:
    guess = Estimate(600.0, 700.0, 16, 200)
    assert watch.pace(Part("w", {"pending": 8}, 0.0, guess)) == str(guess)
    assert watch.pace(Part("w", {"pending": 8}, 2.0, guess)) == "2/s, 4.0s left"
