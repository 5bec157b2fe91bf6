"""/metrics of a real monitor: what Prometheus is told, who may ask, and that dashboard and alerts know it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from simcelery.services import Services
from tests import board_helpers as put
from tests import monitors
from tests.conftest import Project, empty, make_project
from tests.monitors import Monitor
from tests.waiting import wait_until

DOCKER = Path(__file__).parents[2] / "docker"
TOKEN = "mind-your-own-numbers"
NOWHERE = "redis://:secret@127.0.0.1:1/0"


@pytest.fixture(scope="module")
def place(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project in which monitors are started, with something to say on its board."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("metrics"))
    put.finish(put.must_claim(put.record().task_id, put.worker()), put.ERROR)
    put.record(queue='gpu"\\\n', tags=["secret-tag"])
    yield made
    made.stop()


@pytest.fixture(scope="module")
def opened(place: Project) -> Monitor:
    """One on the loopback."""
    return monitors.start(place)


@pytest.fixture(scope="module")
def locked(place: Project) -> Monitor:
    """One with a token for Prometheus, behind a web server that has it under a path."""
    words = ("simcelery", "monitor", "--url-prefix", "watch")
    given = {"SIMCELERY_FLOWER_AUTH": "ada:lovelace", "SIMCELERY_METRICS_TOKEN": TOKEN}
    return monitors.start(place, *words, **given)


def told(text: str) -> dict[tuple[str, ...], float]:
    """What is told, by the name of the metric and its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_first_who_asks_is_told_what_is_on_the_board(opened: Monitor) -> None:
    answer = opened.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = told(answer.text)
    assert found["simcelery_board_up",] == found["simcelery_broker_up",] == 1
    assert found["simcelery_jobs", "default", "failed"] == 1
    assert found["simcelery_jobs", 'gpu"\\\n', "pending"] == 1
    assert found["simcelery_recent_attempts", "failed"] == 1
    assert found["simcelery_serving_workers", 'gpu"\\\n'] == 0
    assert "secret-tag" not in answer.text
    assert "w@test" not in answer.text, "no worker is named"


def test_numbers_become_new_without_being_looked_at(opened: Monitor) -> None:
    before = told(opened.get("/metrics").text)["simcelery_jobs", "default", "cancelled"]
    put.cancel(put.record().id)
    wait_until(
        lambda: told(opened.get("/metrics").text)["simcelery_jobs", "default", "cancelled"] == before + 1
    )


def test_a_server_that_is_away_is_said_and_no_number_stands_for_it(place: Project) -> None:
    text = monitors.start(place, SIMCELERY_BROKER_URL=NOWHERE).get("/metrics").text
    found = told(text)
    assert (found["simcelery_board_up",], found["simcelery_broker_up",]) == (1, 0)
    assert "simcelery_broker_messages" not in text
    nowhere = NOWHERE.replace("redis", "postgresql")
    text = monitors.start(place, SIMCELERY_DATABASE_URL=nowhere).get("/metrics").text
    assert told(text)["simcelery_board_up",] == 0
    assert re.findall(r"^simcelery_\w+", text, re.MULTILINE) == ["simcelery_board_up"]
    assert "secret" not in text


def test_where_there_is_a_token_it_is_needed(locked: Monitor) -> None:
    for given in (
        {},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": TOKEN},
    ):
        refused = locked.get("/watch/metrics", **given)
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "simcelery_board_up" not in refused.text
    assert locked.get("/watch/metrics", login="ada:lovelace").status == 401
    answer = locked.get("/watch/metrics", Authorization=f"Bearer {TOKEN}")
    assert answer.status == 200
    assert told(answer.text)["simcelery_board_up",] == 1
    assert locked.get("/watch/board", Authorization=f"Bearer {TOKEN}").status == 401, "it is no login"


def test_without_a_token_only_this_machine_is_told(opened: Monitor) -> None:
    for host in ("127.0.0.1:5555", "localhost", "[::1]:5555"):
        assert opened.get("/metrics", Host=host).status == 200
    refused = opened.get("/metrics", Host="monitor.example.org")
    assert refused.status == 403
    assert "SIMCELERY_METRICS_TOKEN" in refused.text
    assert "simcelery_board_up" not in refused.text
    assert opened.get("/healthcheck", Host="monitor.example.org").status == 200


def test_dashboard_and_alerts_ask_for_nothing_that_is_not_told(opened: Monitor) -> None:
    exist = {name for name, *_ in told(opened.get("/metrics").text)}
    for file in ("grafana/simcelery.json", "prometheus/alerts.yml", "prometheus/alerts_test.yml"):
        asked = set(re.findall(r"\bsimcelery_\w+", (DOCKER / file).read_text()))
        assert asked
        assert asked <= exist, file
