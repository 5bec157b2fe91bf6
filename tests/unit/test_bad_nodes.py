"""Which nodes an allocation leaves out, and when none after all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from simcelery.board.bad_hosts import BadHost, is_same
from simcelery.board.reads.clusters import bad_nodes
from simcelery.cluster.bad_nodes import choose

UNTIL = datetime(2026, 12, 1, tzinfo=UTC)


def bad(*hosts: str) -> list[BadHost]:
    return [BadHost(host, UNTIL, "its last 5 jobs failed") for host in hosts]


def left_out(*hosts: str, nodes: str | None, recent: str = "", needed: int = 1) -> tuple[str, ...]:
    states = None if nodes is None else {name.strip("!"): "!" not in name for name in nodes.split()}
    return choose(bad(*hosts), states, recent.split(), needed).left_out


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("n1", "n1", True),
        ("n1.site.org", "n1", True),
        ("n1", "n1.site.org", True),
        ("n1.site.org", "n1.site.org", True),
        ("n1.site.org", "n1.else.org", False),
        ("n1", "n10", False),
    ],
)
def test_names_with_and_without_their_domain(one: str, other: str, same: bool) -> None:
    assert is_same(one, other) is same


def test_a_bad_host_is_left_out_by_the_name_that_the_scheduler_has_for_it() -> None:
    assert left_out("n7.site.org", nodes="n6 n7 n8") == ("n7",)
    assert left_out("n7", nodes=None, recent="n6.site.org n7.site.org") == ("n7.site.org",)


def test_a_node_may_have_another_name_than_its_host() -> None:
    host = BadHost("cn-17.site.org", UNTIL, "its last 5 jobs failed", node="n17")
    assert choose([host], {"n16": True, "n17": True}, [], 1).left_out == ("n17",)
    assert choose([host], {"n16": True}, [], 1).bad == ()


def test_a_host_that_is_no_node_of_it_is_nothing_to_it() -> None:
    assert choose(bad("laptop"), {"n1": True}, ["n1"], 1).bad == ()
    assert choose(bad("laptop"), None, [], 1).bad == ()


def test_the_last_node_is_never_left_out_nor_one_of_as_many_as_are_needed() -> None:
    assert left_out("n1", nodes="n1") == ()
    assert left_out("n1", nodes="n1 n2! n3!") == ()
    assert left_out("n1", nodes="n1 n2 n3", needed=3) == ()
    assert left_out("n1", nodes="n1 n2 n3", needed=2) == ("n1",)
    assert (
        choose(bad("n1"), {"n1": True, "n2": False}, [], 1).kept == "no node of its partition would be left"
    )


def test_of_where_it_has_lately_run_at_most_half_are_left_out() -> None:
    assert left_out("n1", nodes="n1 n2 n3", recent="n1 n2") == ("n1",)
    assert left_out("n1", "n2", nodes="n1 n2 n3", recent="n1 n2 n3") == ()
    assert left_out("n1", "n2", nodes="n1 n2 n3", recent="n1 n2") == ()
    assert left_out("n1", nodes="n1 n2 n3", recent="n1") == ("n1",)  # others are known
    assert left_out("n1", nodes=None, recent="n1") == ()
    assert left_out("n1", nodes=None, recent="n1 n2") == ("n1",)


def test_what_is_left_out_and_what_is_not_is_told() -> None:
    verdict = choose(bad("n1", "n2"), {"n1": True, "n2": True}, [], 1)
    assert [one.name for one in verdict.bad] == ["n1", "n2"]
    assert verdict.kept
    assert verdict.left_out == ()


def test_what_was_noted_is_read_as_far_as_it_can_be() -> None:
    good = {"name": "n1", "host": "n1.org", "until": UNTIL.isoformat(), "why": "x"}
    odd = [good, [], None, {**good, "until": "soon"}, {**good, "why": 5}, {"name": "n2"}]
    assert [one.name for one in bad_nodes(odd)] == ["n1"]
    assert bad_nodes({"$unreadable": "x"}) == bad_nodes(None) == []
