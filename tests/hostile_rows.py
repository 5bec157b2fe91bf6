"""Rows that no simcelery writes: others with the board's password do, a restored dump, or an older version.

Each shape is one statement, written where the CHECKs would refuse it with the CHECKs taken away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

DEEP = "[" * 3_000 + "]" * 3_000
_TABLES = ("jobs", "attempts", "workers", "workflows", "dependencies", "log_chunks")

# A job: column → SQL. What is not given is as an honest pending job has it.
WAITING: dict[str, dict[str, str]] = {
    "parameters are a list": {"parameters": "'[1]'"},
    "parameters are text": {"parameters": "'\"x\"'"},
    "parameters are null": {"parameters": "'null'"},
    "parameters are a number": {"parameters": "'1'"},
    "parameters nested deep": {"parameters": f"'{{\"x\": {DEEP}}}'"},
    "a float that is none": {"parameters": '\'{"x": {"$float": "abc"}}\''},
    "a float that is an object": {"parameters": '\'{"x": {"$float": {"a": 1}}}\''},
    "bytes that are none": {"parameters": '\'{"x": {"$bytes": "?"}}\''},
    "an array that does not fit": {
        "parameters": '\'{"x": {"$ndarray": [1], "dtype": "float64", "shape": [7]}}\''
    },
    "an array of no type": {"parameters": '\'{"x": {"$ndarray": [1], "dtype": "no", "shape": [1]}}\''},
    "a dictionary of no pairs": {"parameters": '\'{"x": {"$dict": [[1]]}}\''},
    "keys that cannot be keys": {"parameters": '\'{"x": {"$dict": [[{"a": 1}, 2]]}}\''},
    "a job that is none": {"parameters": '\'{"x": {"$job": 99999999999999999999}}\''},
    "a number of 5,000 digits": {"parameters": f"'{{\"x\": {'9' * 5000}}}'"},
    "a negative time limit": {"time_limit": "-1"},
    "a time limit that is no number": {"time_limit": "'NaN'"},
    "an infinite time limit": {"time_limit": "'Infinity'", "soft_time_limit": "'-Infinity'"},
    "a priority that no lane has": {"priority": "42"},
    "a negative priority": {"priority": "-7"},
    "attempts at the end of the numbers": {"attempt": "2147483647"},
    "sent too often to double": {"publish_count": "2147483647", "published_at": "'2000-01-01'"},
    "sent two thousand times": {"publish_count": "2000", "published_at": "'2000-01-01'"},
    "counts below zero": {"attempt": "-3", "failures": "-1", "losses": "-1"},
    "no attempts at all": {"max_attempts": "-1", "max_losses": "-1"},
    "submitted before all time": {"submitted_at": "'-infinity'"},
    "submitted after all time": {"submitted_at": "'infinity'"},
    "submitted before Christ": {"submitted_at": "'4000-01-01 BC'"},
    "sent in the year 200000": {"published_at": "'200000-01-01'"},
    "tags that are null": {"tags": "ARRAY[NULL, 'a']::text[]"},
    "tags of two dimensions": {"tags": "ARRAY[['a', 'b'], ['c', 'd']]"},
    "progress is a list": {"progress": "'[1]'"},
    "progress counts in words": {"progress": '\'{"done": "abc", "total": []}\''},
    "blocked by nothing": {"state": "'blocked'", "unmet": "0"},
    "blocked by less than nothing": {"state": "'blocked'", "unmet": "-5"},
    "scheduled for no time": {"state": "'scheduled'"},
    "scheduled for ever": {"state": "'scheduled'", "run_at": "'infinity'"},
    "pending and cancelled": {"cancel_requested_at": "now()"},
    "pending and finished": {"finished_at": "now()"},
    "a state that there is not": {"state": "'resting'"},
    "runs, claimed by nobody": {"state": "'running'"},
    "runs in a process that cannot be": {
        "state": "'running'",
        "worker_id": "(SELECT max(id) FROM workers)",
        "pid": "-5",
        "claim_id": "gen_random_uuid()",
        "started_at": "'-infinity'",
    },
}

OVER: dict[str, dict[str, str]] = {
    "succeeded with a deep result": {"state": "'succeeded'", "result": f"'{DEEP}'"},
    "succeeded with a float that is none": {"state": "'succeeded'", "result": '\'{"$float": "abc"}\''},
    "succeeded with parameters that are none": {
        "state": "'succeeded'",
        "parameters": "'[1]'",
        "result": "'1'",
    },
    "succeeded, and never ended": {"state": "'succeeded'", "finished_at": "NULL", "result": "'1'"},
    "ended before all time": {"state": "'succeeded'", "finished_at": "'-infinity'", "result": "'1'"},
    "ended after all time": {
        "state": "'failed'",
        "started_at": "'-infinity'",
        "finished_at": "'infinity'",
        "error_type": "'E'",
    },
    "ended in the year 200000": {
        "state": "'succeeded'",
        "started_at": "'4000-01-01 BC'",
        "finished_at": "'200000-01-01'",
        "result": "'1'",
    },
    "failed without an error": {"state": "'failed'"},
}

OTHERS: dict[str, str] = {
    "an attempt with a list that came late": "UPDATE attempts SET late_outcome = '[1]'",
    "an attempt with words that came late": """UPDATE attempts SET late_outcome = '{"reported_at": "abc"}'""",
    "an attempt that used no number": (
        "UPDATE attempts SET cpu_seconds = 'NaN', peak_memory = -1, started_at = 'infinity', "
        "finished_at = '-infinity'"
    ),
    "an attempt with an outcome that there is not": "UPDATE attempts SET outcome = 'rested', cause = 'sun'",
    "a worker with no queues": """
        INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at, workflows,
            succeeded, started_at, renewed_at, identity)
        VALUES ('bad@host', (SELECT host FROM workers LIMIT 1), -1, ARRAY[NULL]::text[], -1, '', 'infinity',
            ARRAY[NULL, 'w']::text[], '[1]', '-infinity', 'infinity', '|||')""",
    "a worker that succeeded at no time": """
        INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at, succeeded)
        VALUES ('worse@host', 'host', 9223372036854775807, ARRAY['default'], 9223372036854775807, '',
            '200000-01-01', '{"w": "2026-99-99", "v": [1]}')""",
    "a worker that ended before all time": """
        INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at, ended_at)
        VALUES ('gone@host', 'host', 0, '{}', 0, '', '-infinity', 'infinity')""",
    "a job that waits for itself": """
        INSERT INTO dependencies SELECT id, id FROM jobs WHERE state = 'blocked' LIMIT 1""",
    "jobs that wait for each other": """
        INSERT INTO dependencies SELECT a.id, b.id FROM
            (SELECT id FROM jobs WHERE state = 'blocked' ORDER BY id LIMIT 2) AS a,
            (SELECT id FROM jobs WHERE state = 'blocked' ORDER BY id LIMIT 2) AS b WHERE a.id <> b.id""",
    "a log that begins below zero": """
        INSERT INTO log_chunks SELECT id, -1, -1, 'x' FROM jobs WHERE finished_at IS NOT NULL""",
    "a catalogue of lists": """
        INSERT INTO workflows (name, parameters, options, queue, version)
        VALUES ('listed', '[1]', '[1]', '', '')""",
    "a catalogue of deep schemas": f"""
        INSERT INTO workflows (name, parameters, options, queue, version)
        VALUES ('deep', '{DEEP}', '{{}}', 'default', '')""",
    "a catalogue of no properties": """
        INSERT INTO workflows (name, parameters, options, queue, version) VALUES
            ('no', '{"properties": [1], "required": 5}', '{}', 'default', ''),
            ('odd', '{"properties": {"x": [1]}, "required": [[1]]}', '{}', 'default', ''),
            ('high', '{"properties": {"x": {}}}', '{"priority": "high"}', 'default', '')""",
}


def waiting(name: str, **columns: Any) -> str:
    """The statement that writes one of `WAITING`, or of `OVER`."""
    shape = WAITING.get(name) or OVER[name]
    values = {
        "task_id": "gen_random_uuid()",
        "workflow": "'w'",
        "parameters": "'{}'",
        "state": "'pending'",
        "queue": "'default'",
        "priority": "4",
        "max_attempts": "1",
        "max_losses": "5",
        "submitted_by": "'somebody'",
        **columns,
        **({"finished_at": "now()", "started_at": "now()"} if name in OVER else {}),
        **shape,
    }
    return f"INSERT INTO jobs ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def everything(**columns: Any) -> dict[str, str]:
    """All shapes: name → statement. `columns`, as SQL, are those of the jobs."""
    return {name: waiting(name, **columns) for name in (*WAITING, *OVER)} | OTHERS


@contextmanager
def without_checks(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a board whose CHECKs are gone; afterwards they hold again for what is written then."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'c' AND conrelid::regclass::text = ANY(%s)",
            [list(_TABLES)],
        ).fetchall()
        for table, constraint, _ in found:
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        try:
            yield connection
        finally:
            for table, constraint, definition in found:
                definition = definition.removesuffix(" NOT VALID")
                connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition} NOT VALID")


def write(url: str, **columns: Any) -> int:
    """Write all of them; how many shapes. The CHECKs then hold for what is written later."""
    shapes = everything(**columns)
    with without_checks(url) as connection:
        for statement in shapes.values():
            connection.execute(statement)
    return len(shapes)


def parameters(value: Any) -> str:
    """JSON as SQL."""
    return "'" + json.dumps(value).replace("'", "''") + "'"
