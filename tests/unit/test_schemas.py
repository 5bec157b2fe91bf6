"""The JSON schemas of what commands print: they ship, they are schemas, and their keys are only added."""

from __future__ import annotations

from typing import Any

import click
import jsonschema
import pytest

from simcelery import schemas
from simcelery.cli.jobfiles import entries
from simcelery.cli.verbs.submit import submit
from simcelery.describe.job import KEYS, MORE_KEYS

_JOB = (
    "id task_id workflow parameters state queue priority tags attempt result error submitted_at started_at "
    "finished_at worker"
)
_MORE = (
    "pid error_type failures losses max_attempts max_losses time_limit run_at cancel_requested_at progress "
    "parent_id submitted_by idempotency_key held"
)
# What scripts may rely on. Add to this; whatever is taken away breaks somebody's.
KEPT = {
    "cancel": "cancelled asked_to_stop",
    "cluster": (
        "name launcher host profile wanted least most state note failed started_by live running allocations "
        "bad_nodes bad_nodes_kept site owner"
    ),
    "cluster-plan": "script options refused starts_at",
    "cluster-report": "since until known_since clusters total by labels number_of_labels",
    "db": "current wanted",
    "db-roles": "statements executed",
    "db-upgrade": "before after",
    "demo": "metals source plot",
    "doctor": "ok checks",
    "down": "stopped",
    "errors": "number error_type message count workflows hosts example last_at",
    "explain": "id state reasons",
    "explain-many": "jobs states reasons",
    "export": "crate jobs attempts logs files size",
    "job": f"{_JOB} {_MORE}",
    "job-details": f"{_JOB} {_MORE} parents children attempts traceback revisions interventions estimate",
    "limit": "name most used waiting",
    "hold": "held",
    "limits-remove": "removed",
    "log-file": "id file size text",
    "logs": "id workflow state error attempts",
    "notification": "id event text subscription workflow tags jobs states at",
    "notify-remove": "removed",
    "notify-test": "address id sent found",
    "planned-job": _JOB,
    "prune": "dry_run pruned files",
    "recover": "dry_run acts",
    "relay": "name created_at",
    "relay-revoke": "revoked",
    "relay-token": "name token",
    "results-file": "file jobs columns",
    "release": "released",
    "retry": "retried",
    "schedule": (
        "name cron timezone missed next_at last_at paused_at submitted_by created_at workflow queue "
        "priority tags parameters last_job"
    ),
    "schedules-remove": "removed",
    "schedules-run": "submitted",
    "share": "queue by",
    "spool-push": "recorded late left",
    "spooled": "id task_id outcome host board saved_at path",
    "stats": (
        "window_seconds finished finished_per_hour worked_from worked_until worked_seconds interval_seconds "
        "intervals workflows"
    ),
    "status": "states workflows estimate held",
    "stopped": "id state message host took",
    "subscription": "id events workflow tags submitted_by submitted_at done_at address last",
    "up": "servers schema",
    "watch": "at total finished states rate_per_second seconds_left estimate workflows held",
    "worker": (
        "id nodename host pid queues concurrency scheduler_job_id version note started_at renewed_at "
        "lease_expires_at ended_at quarantined_at workflows"
    ),
    "workflow": "name description queue version known options parameters",
}


def test_there_is_a_schema_for_each_shape() -> None:
    assert set(KEPT) | {"dry-run", "job-file"} <= set(schemas.names())


@pytest.mark.parametrize("name", schemas.names())
def test_it_is_a_schema_that_says_what_it_is_of(name: str) -> None:
    found = schemas.read(name)
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["title"] == name
    assert found["description"]
    assert "additionalProperties" not in found, "keys may be added"


@pytest.mark.parametrize("name", KEPT)
def test_keys_are_only_added(name: str) -> None:
    found = schemas.read(name)
    assert set(KEPT[name].split()) <= set(found["required"])
    assert set(found["required"]) <= set(found["properties"])


def test_the_schema_of_a_job_has_all_its_keys() -> None:
    assert {*KEYS, *MORE_KEYS} <= set(schemas.read("job")["properties"])
    assert list(schemas.read("job")["properties"])[: len(KEYS)] == list(KEYS)


def test_the_schema_of_a_job_file_has_all_its_keys() -> None:
    found = set(schemas.read("job-file")["properties"])
    options = [one for one in submit.params if isinstance(one, click.Option) and not one.hidden]
    taken = {entries.key_of(one) for one in options if one.name not in entries._NOT_OF_JOBS}
    assert found == {*taken, *entries._OWN, "tags"} - {"name"}
    assert set(schemas.read("job-file")["$defs"]["one"]["properties"]) == {*found, "name"} - {"job"}


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"workflow": "w", "parameters": {"a": [1, None]}, "tag": "t", "time-limit": 90}, True),
        ({"command": ["echo", "{T}"], "grid": {"T": [1, 2], "P": "0:1:0.1"}, "tags": ["a", "b"]}, True),
        (
            {
                "workflow": "w",
                "each": [{"a": 1}, {"a": 2}],
                "max-fails": "5%",
                "canary": 5,
                "after": [1, "2-3"],
            },
            True,
        ),
        ({"queue": "gpu", "job": [{"name": "a", "workflow": "w"}, {"command": ["b"], "after": "a"}]}, True),
        ({"parameters": {"a": 1}}, False),
        ({"workflow": "w", "dedupe": "yes"}, False),
        ({"workflow": "w", "parameters": [1]}, False),
        ({"workflow": "w", "on-failed": "panic"}, False),
        ({"job": []}, False),
        ({"job": [{"command": "echo"}]}, False),
        ({"workflow": "w", "grid": {"T": 5}}, False),
    ],
)
def test_what_fits_the_schema_of_a_job_file(given: dict[str, Any], fits: bool) -> None:
    checker = jsonschema.Draft202012Validator(schemas.read("job-file"))
    assert checker.is_valid(given) == fits
