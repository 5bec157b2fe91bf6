"""Hosts that workers have found to be bad: for a day, unless the quarantine ends or others succeed there."""

from __future__ import annotations

import pytest

from simcelery.board import bad_hosts, clusters, engine, leases, quarantine
from simcelery.board.clusters import NewCluster
from tests.board_helpers import lapse, registration, sql, worker

pytestmark = pytest.mark.usefixtures("board")

NOTE = "in quarantine: its last 5 jobs failed within seconds, while others succeed"


def bad() -> list[str]:
    with engine.begin() as connection:
        return [one.host for one in bad_hosts.bad_hosts(connection)]


def quarantined(host: str = "n7") -> int:
    me = worker(host=host)
    with engine.begin() as connection:
        quarantine.withdraw(connection, registration(me), NOTE)
    return me


def succeeds(me: int) -> None:
    with engine.begin() as connection:
        leases.renew(connection, registration(me), 60.0, every=5.0, succeeded=["w"])


def test_a_host_is_bad_for_a_day_also_when_its_worker_is_gone() -> None:
    me = quarantined()
    worker(host="n8")
    with engine.begin() as connection:
        [one] = bad_hosts.bad_hosts(connection)
    assert (one.host, one.why) == ("n7", "its last 5 jobs failed within seconds, while others succeed")
    with engine.begin() as connection:
        leases.end(connection, registration(me))
    assert bad() == ["n7"]
    sql("UPDATE workers SET quarantined_at = quarantined_at - interval '25 h'")
    assert bad() == []


def test_the_end_of_a_quarantine_is_the_end_of_it() -> None:
    me = quarantined()
    with engine.begin() as connection:
        quarantine.lift(connection, registration(me))
    assert bad() == []


def test_a_later_success_of_another_worker_there_is_the_end_of_it() -> None:
    other = worker(host="n7")
    succeeds(other)
    me = quarantined()
    assert bad() == ["n7"]  # it had succeeded before
    succeeds(me)
    assert bad() == ["n7"]  # the word of the worker itself is its own quarantine
    succeeds(other)
    assert bad() == []


def test_what_is_held_against_a_host_is_forgiven_unless_its_worker_is_still_there() -> None:
    gone, lost, there = quarantined("n1"), quarantined("n2"), quarantined("n3")
    with engine.begin() as connection:
        leases.end(connection, registration(gone))
    lapse(lost)
    with engine.begin() as connection:
        bad_hosts.forgive(connection, ["n1", "n2", "n3"])
    assert bad() == ["n3"]
    assert sql("SELECT quarantined_at IS NOT NULL FROM workers WHERE id = :id", id=there) == [(True,)]


def test_where_a_cluster_has_run_as_its_scheduler_says_or_its_workers() -> None:
    new = NewCluster(name="c", launcher="slurm", host=None, profile={}, wanted=0, started_by="me")
    with engine.begin() as connection:
        clusters.start(connection, new)
    for name, hosts, ago in (("a", "{n1,NULL,n2}", 0), ("b", "{}", 0), ("old", "{n9}", 8)):
        sql(
            "INSERT INTO allocations (cluster, name, hosts, recorded_at) "
            "VALUES ('c', :name, CAST(:hosts AS text[]), now() - make_interval(days => :ago))",
            name=name,
            hosts=hosts,
            ago=ago,
        )
    for host, allocation in (("n1.site.org", "a"), ("n3.site.org", "b"), ("n4", "old"), ("n5", None)):
        me = worker(host=host)
        sql("UPDATE workers SET allocation = :name WHERE id = :id", name=allocation, id=me)
    with engine.begin() as connection:
        assert bad_hosts.hosts_of(connection, "c") == ["n1", "n2", "n3.site.org"]


def test_what_its_scheduler_calls_it_is_known_if_its_allocation_has_one_node() -> None:
    new = NewCluster(name="c", launcher="slurm", host=None, profile={}, wanted=0, started_by="me")
    with engine.begin() as connection:
        clusters.start(connection, new)
    for number, (hosts, node) in enumerate(
        (("{n7}", "n7"), ("{n7,n8}", None), ("{}", None), ("{NULL}", None))
    ):
        sql(
            "INSERT INTO allocations (cluster, name, hosts) VALUES ('c', :name, CAST(:hosts AS text[]))",
            name=f"a{number}",
            hosts=hosts,
        )
        me = quarantined(f"host{number}")
        sql("UPDATE workers SET allocation = :name WHERE id = :id", name=f"a{number}", id=me)
        with engine.begin() as connection:
            found = {one.host: one.node for one in bad_hosts.bad_hosts(connection)}
        assert found[f"host{number}"] == node


def test_times_and_lists_that_cannot_be_are_nothing() -> None:
    quarantined()
    for moment in ("infinity", "-infinity", "200000-01-01"):
        sql(f"UPDATE workers SET quarantined_at = '{moment}'")
        assert bad() == []
