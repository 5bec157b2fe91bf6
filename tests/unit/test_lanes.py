"""The names of lanes."""

from __future__ import annotations

from itertools import product

from simcelery.broker.lanes import lane, queue_and_workflow, redis_priority

ODD = ["", "a", "a:b", ":", "a%3Ab", "%", "%25", "%253A", "b", "ä é", "a:b:c"]


def test_each_queue_and_workflow_has_a_lane_of_its_own_from_which_both_can_be_read() -> None:
    pairs = list(product(ODD, ODD))
    names = [lane(*pair) for pair in pairs]
    assert len(set(names)) == len(pairs)
    assert [queue_and_workflow(name) for name in names] == pairs


def test_the_most_urgent_jobs_come_first_in_redis() -> None:
    assert [redis_priority(priority) for priority in (9, 5, 0)] == [0, 4, 9]
