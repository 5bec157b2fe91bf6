"""What the URLs of sentinels say, and that of a cluster is refused."""

from __future__ import annotations

import ssl

import pytest
from kombu.connection import Connection
from redis.exceptions import ClusterDownError, MasterDownError, MovedError

from simcelery import urls
from simcelery.broker import answers, sentinels
from simcelery.setting_kinds import Secret
from simcelery.settings import Misfit, Settings


def test_what_one_url_of_several_says_is_true_of_all() -> None:
    url = "sentinel://:p%40w@s1:26380/2;sentinel://s2;sentinel://[::1]:1?master_name=mymaster&sentinel_password=s"
    urls.check_redis(url)
    known = urls.sentinels(url)
    assert known.hosts == (("s1", 26380), ("s2", 26379), ("::1", 1))
    assert (known.master, known.user, known.password, known.database) == ("mymaster", "", "p@w", "2")
    assert known.login == {"password": "s"}
    assert urls.broker_place(url) == "mymaster of the sentinels at s1:26380, s2:26379, ::1:1"


def test_kombu_is_told_all_of_it_with_each_url() -> None:
    url = "sentinel://me:p%40;w@s1/2?master_name=m&ssl_cert_reqs=required;sentinel://s2"
    connection = Connection(urls.sentinels(url).for_kombu())
    for host in ("s1", "s2", "s1"):
        assert (connection.hostname, connection.port, connection.virtual_host) == (host, 26379, "2")
        assert (connection.userid, connection.password) == ("me", "p@;w")
        assert connection.ssl
        connection.maybe_switch_next()


def test_with_any_parameter_of_tls_sentinels_and_master_are_verified() -> None:
    url = "sentinel://s1?master_name=m&sentinel_username=me&sentinel_password=pw"
    told = sentinels.options(urls.sentinels(url))
    assert told["master_name"] == "m"
    assert told["sentinel_kwargs"].items() >= {"username": "me", "password": "pw"}.items()
    assert "ssl" not in told["sentinel_kwargs"]
    known = urls.sentinels(f"{url}&ssl_cert_reqs=required")
    assert sentinels.options(known)["sentinel_kwargs"]["ssl"] is True
    for said in (sentinels.options(known)["sentinel_kwargs"], Connection(known.for_kombu()).ssl):
        assert said["ssl_cert_reqs"] == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sentinel://s1:26379/0", "must name the master that the sentinels watch"),
        ("sentinel://s1?master_name=a;sentinel://s2?master_name=b", "says two things of master_name"),
        ("sentinel://:hunter2@s1?master_name=a;sentinel://:hunter3@s2", "says two things of password"),
        ("sentinel://s1?master_name=a;redis://s2", "has something else than sentinels"),
        ("sentinel://:hunter2@s1?master_name=a;redis://:hunter2@s2", "has something else than sentinels"),
        ("sentinel://s1,s2?master_name=a", "must have one host"),
        ("sentinel://s1:x?master_name=a", "must have a port"),
        ("sentinel://s1?master_name=a&hunter2=1", "has an unknown parameter"),
        ("sentinel://", "must name the master"),
        ("redis+cluster://:hunter2@h:6379", "is that of a cluster: simcelery does not work with one"),
        ("rediss+cluster://h", "is that of a cluster"),
        ("valkey+cluster://h", "is that of a cluster"),
        ("redis-cluster://h", "is that of a cluster"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        urls.check_redis(url)
    assert "hunter2" not in str(refused.value) or "hunter2=1" in url
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://:{}@s1:26379/0?master_name=m;sentinel://s2",
        "sentinel://s1/0;sentinel://:{}@s2?master_name=m",
        "sentinel://s1/0?master_name=m&sentinel_password={}",
        "sentinel://s1/0?master_name=m&sentinel_password={};sentinel://:{}@s2",
        "sentinel://:a;b{}@s1/0?master_name=m",
    ],
)
def test_no_password_of_theirs_is_shown(url: str) -> None:
    url = url.format("hunter2", "hunter2")
    assert "hunter2" not in urls.masked(url)
    assert "hunter2" not in urls.broker_place(url)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"database_url": Secret("postgresql://a,b/d")}, "database_url"),
        ({"broker_url": Secret("sentinel://s1?master_name=m")}, "broker_url"),
    ],
)
def test_behind_a_relay_there_is_one_host_of_each(values: dict[str, Secret], name: str) -> None:
    Settings(**values)
    with pytest.raises(Misfit, match="where relay_url is set") as refused:
        Settings(**values, relay_url="https://relay.example.org")
    assert refused.value.name == name


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (MovedError("3999 127.0.0.1:6381"), "it is a node of a cluster"),
        (ClusterDownError("CLUSTERDOWN Hash slot not served"), "it is a node of a cluster"),
        (MasterDownError("MASTERDOWN Link with MASTER is down"), "MASTERDOWN Link with MASTER is down"),
    ],
)
def test_a_replica_without_its_master_is_no_cluster(answer: Exception, said: str) -> None:
    assert answers.in_words(answer).startswith(said)
