"""Rows that no simcelery writes: others with the board's password do, a restored dump, or an older version.

Each shape is one statement, written where the CHECKs would refuse it with the CHECKs taken away.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

DEEP = "[" * 3_000 + "]" * 3_000

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


def parameters(value: Any) -> str:
    """JSON as SQL."""
    return "'" + json.dumps(value).replace("'", "''") + "'"


def _insert(table: str, usual: dict[str, str], shape: str) -> str:
    """A row with the usual columns, but for those of the shape: ``column = SQL; column = SQL``."""
    columns = usual | dict(part.split(" = ", 1) for part in shape.split("; "))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"


def _behind(gate: str) -> str:
    """A job that a gate holds."""
    return (
        "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses, "
        "submitted_by, gate_id) VALUES (gen_random_uuid(), 'gated', '{}', 'blocked', 'default', 4, 1, 5, "
        f"'somebody', {gate})"
    )


def _gate(shape: str) -> str:
    """A gate that is closed if nothing else is said, and a job behind it."""
    usual = {"workflow": "'w'", "submitted_by": "'somebody'", "closed_by": "'fuse'", "max_fails": "0"}
    return f"{_insert('gates', usual, shape)}; {_behind('(SELECT max(id) FROM gates)')}"


def _subscription(shape: str) -> str:
    """Somebody who wants to be told of everything about a job that has ended."""
    usual = {
        "address": "'http://127.0.0.1:9/'",
        "events": "ARRAY['done', 'first-failure', 'held', 'stalled']",
        "workflow": "'w'",
        "jobs": "(SELECT int8multirange(int8range(min(id), min(id) + 1)) FROM jobs "
        "WHERE finished_at > '-infinity')",
        "submitted_by": "'somebody'",
        "look_at": "'-infinity'",
    }
    return _insert("subscriptions", usual, shape)


def _notification(shape: str) -> str:
    """One that is due, to somebody whom nothing reaches."""
    usual = {
        "id": "gen_random_uuid()",
        "subscription_id": "(SELECT max(id) FROM subscriptions)",
        "event": "'done'",
        "body": "'{}'",
    }
    return f"{_subscription('done_at = now()')}; {_insert('notifications', usual, shape)}"


def _schedule(shape: str) -> str:
    """One that is due."""
    job = {"workflow": "w", "version": "1", "queue": "default", "priority": 4, "tags": [], "max_attempts": 1}
    usual = {
        "name": "gen_random_uuid()::text",
        "cron": "'* * * * *'",
        "timezone": "'UTC'",
        "missed": "'once'",
        "job": parameters({**job, "max_losses": 5}),
        "parameters": "'{}'",
        "submitted_by": "'somebody'",
        "next_at": "'-infinity'",
    }
    return _insert("schedules", usual, shape)


def _of_a_job(table: str, columns: str, values: str) -> str:
    """A row that belongs to a job that has ended."""
    whose = "FROM jobs WHERE finished_at IS NOT NULL"
    return f"INSERT INTO {table} (job_id, {columns}) SELECT max(id), {values} {whose}"


def _in_need(shape: str) -> str:
    """A pending job that needs this of its node."""
    return f"{_insert('needs', {'memory': '1073741824'}, shape)}; " + (
        "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses, "
        "submitted_by, needs_id) SELECT gen_random_uuid(), 'w', '{}', 'pending', 'default', 4, 1, 5, "
        "'somebody', max(id) FROM needs"
    )


def _granted(values: str) -> str:
    """What some job has been given."""
    whose = "FROM jobs WHERE id NOT IN (SELECT job_id FROM grants) ORDER BY id DESC LIMIT 1"
    return (
        f"INSERT INTO grants (job_id, claim_id, worker_id, cores, memory, gpus) SELECT id, {values} {whose}"
    )


def _artifact(values: str) -> str:
    """One of an attempt that has succeeded."""
    return (
        "INSERT INTO artifacts (job_id, attempt, claim_id, host, registered_at, next_at, name, path, size, "
        f"sha256, url) SELECT job_id, attempt, claim_id, host, 'infinity', '-infinity', {values} "
        "FROM attempts WHERE outcome = 'succeeded' LIMIT 1"
    )


def _shapes(what: str, make: Callable[[str], str], *shapes: str) -> dict[str, str]:
    return {f"{what} with {shape}"[:70]: make(shape) for shape in shapes}


# What tables hold that came later than the CHECKs of the others: table → name → statement.
LATER: dict[str, dict[str, str]] = {
    "gates": {
        "a gate with a tag that is null": _gate("tags = ARRAY[NULL, 'a']"),
        "a gate with tags of two dimensions": _gate("tags = ARRAY[['a', 'b'], ['c', 'd']]"),
        "a gate that the sun has closed": _gate("closed_by = 'sun'"),
        "a gate of no workflow": _gate("workflow = ''; tags = ARRAY['']"),
        "a fuse of no percentage": _gate("max_fails = NULL; max_fails_percent = 'NaN'; closed_by = NULL"),
        "a fuse of all there are": _gate("max_fails = NULL; max_fails_percent = 100; closed_by = NULL"),
        "a fuse at the end of the numbers": _gate("fails_left = -9223372036854775808; closed_by = NULL"),
        "a fuse below all numbers": _gate(
            "max_fails = -9223372036854775808; fails_left = 0; closed_by = NULL"
        ),
        "a gate that changed after all time": _gate("changed_at = 'infinity'; counts_from = '200000-01-01'"),
        "a gate that changed before all time": _gate("changed_at = '-infinity'; counts_from = '-infinity'"),
        "a gate that is not there": _behind("9223372036854775807"),
    },
    "workers": {
        "a worker that has less than nothing": """
            INSERT INTO workers
                (nodename, host, pid, queues, concurrency, version, lease_expires_at, cores, memory, gpus)
            VALUES ('none@host', 'host', 7, ARRAY['default'], 1, '', now() + interval '1 hour', -1, -1,
                ARRAY[NULL]::text[])""",
    },
    "durations": {
        "durations of no number": "INSERT INTO durations (workflow, tags, successes, p90, newest_at) "
        "VALUES ('w', '{}', -5, 'NaN', 'infinity'), ('w', ARRAY[NULL], 2147483647, 'Infinity', now())",
        "durations of nothing": "INSERT INTO durations "
        "(workflow, tags, successes, p90, newest_at, learned_at) "
        "VALUES ('', ARRAY[['a', 'b'], ['c', 'd']], 0, -1, '4000-01-01 BC', '-infinity')",
        "jobs that take no time, or all": "UPDATE jobs SET time_request = -9223372036854775808 "
        "WHERE id % 3 = 0; UPDATE jobs SET time_request = 9223372036854775807 WHERE id % 3 = 1",
        "a worker that ends after all time": """
            INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at, ends_at)
            VALUES ('late@host', 'host', 7, ARRAY['default'], 1, '', now() + interval '1 hour', 'infinity'),
                ('early@host', 'host', 8, ARRAY['default'], 1, '', now() + interval '1 hour', '-infinity')""",
    },
    "dependencies": {
        "a job that waits for the sun": """
            INSERT INTO dependencies (job_id, parent_id, kind)
            SELECT max(id), min(id), 'sun' FROM jobs WHERE state IN ('blocked', 'succeeded')""",
    },
    "canaries": {
        "a canary that waits for itself": _gate("closed_by = 'canary'; canary = -1")
        + "; INSERT INTO canaries SELECT gate_id, id FROM jobs WHERE gate_id = (SELECT max(id) FROM gates)",
        "a closed gate without a canary": _gate("closed_by = 'canary'; canary = 9223372036854775807"),
    },
    "subscriptions": _shapes(
        "a subscription",
        _subscription,
        "tags = ARRAY[NULL, 'a']",
        "tags = ARRAY[['a', 'b'], ['c', 'd']]",
        "events = ARRAY[NULL, 'done']",
        "events = ARRAY['noon']; workflow = ''",
        "jobs = '{}'",
        "jobs = '{(,)}'",
        "jobs = '{(,5),[7,)}'",
        "jobs = '{[-9223372036854775808,9223372036854775807)}'",
        "since = 'infinity'; submitted_at = 'infinity'",
        "since = '-infinity'; submitted_at = '4000-01-01 BC'; open_until = 'infinity'",
        "unfinished = -1; look_at = 'infinity'; failed_at = '-infinity'",
        "held_at = 'infinity'; stalled_at = '200000-01-01'",
        "address = ''",
        "address = 'http://[::1'",
        "address = 'http://host:99999999/'",
        "address = 'file:///etc/passwd'",
        "address = 'mailto:'",
        "address = E'mailto:a@b\\nBcc: c@d'",
        "address = 'apprise:'",
        "address = E'http://127.0.0.1:9/\\r\\nX: y'",
    ),
    "notifications": _shapes(
        "a notification",
        _notification,
        "body = '[1]'",
        "body = 'null'",
        f"body = '{DEEP}'",
        'body = \'{"id": 5, "text": [], "event": {}}\'',
        f"body = '{{\"id\": {'9' * 5000}}}'",
        "tries = 2147483647",
        "tries = -2147483648",
        "next_at = '-infinity'; created_at = 'infinity'",
        "next_at = '200000-01-01'; created_at = '4000-01-01 BC'",
        "no_way_out = ARRAY[NULL]::bigint[]",
        "no_way_out = ARRAY[[1, 2], [3, 4]]::bigint[]",
        "event = ''; error = 'x'",
    ),
    "needs": _shapes(
        "a need",
        _in_need,
        "memory = -1",
        "memory = 0",
        "memory = 9223372036854775807",
        "id = 9223372036854775807; memory = 5",
        "cores = -5; gpus = -1",
        "cores = 2147483647; gpus = 2147483647",
        "escalation = '[1]'",
        'escalation = \'{"out_of_memory": {"memory": "many"}, "error": [], "worker_lost": {"max": 5}}\'',
    ),
    "escalations": {
        f"an escalation of {values}"[:60]: _of_a_job(
            "escalations", "attempt, cause, before, after, made_at", values
        )
        for values in (
            "-1, 'sun', '[1]', '5', 'infinity'",
            f"2147483647, '', '{DEEP}', '{{\"memory\": [], \"time_limit\": {{}}}}', '-infinity'",
        )
    },
    "grants": {
        f"a grant of {values}"[:60]: _granted(values)
        for values in (
            "gen_random_uuid(), (SELECT max(id) FROM workers), 2147483647, 9223372036854775807, '{}'",
            "gen_random_uuid(), -1, -5, -5, ARRAY[NULL, '0']",
            "coalesce(claim_id, gen_random_uuid()), 1, 1, 1, ARRAY[['0', '1'], ['2', '3']]",
        )
    },
    "clusters": {
        "a cluster of odd parts": "INSERT INTO clusters (name, launcher, host, "
        "profile, wanted, least, most, note, failed, started_by, bad_nodes, site, owner) VALUES "
        f"""('', 'sun', '', '{{"cores": {DEEP}}}', 2147483647, 0, 2147483647, '', 2147483647, '',
            '[5, {{"name": []}}, {DEEP}, {{"name": "", "host": "", "why": "", "until": "9999-12-31"}}]',
            '', '')""",
        "a cluster out of all time": "INSERT INTO clusters "
        "(name, launcher, profile, wanted, state, next_at, round_at, started_at, started_by, bad_nodes) "
        "VALUES ('timeless', 'local', '{}', 1, 'paused', 'infinity', '-infinity', 'infinity', 'x', '{}')",
    },
    "allocations": {
        "an allocation of odd parts": "INSERT INTO clusters (name, launcher, profile, wanted, started_by) "
        """VALUES ('odd', 'local', '{"launcher": [], "cores": {}}', 1, 'x'); """
        "INSERT INTO allocations (cluster, name, scheduler_id, hosts, missed) "
        "VALUES ('odd', '-1', '--help', ARRAY[NULL, ''], -5)",
        "an allocation out of all time": "INSERT INTO clusters (name, launcher, profile, wanted, started_by) "
        "VALUES ('late', 'slurm', '{}', 1, 'x'); INSERT INTO allocations "
        "(cluster, name, state, recorded_at, starts_at, ends_at, seen_at, cancel_requested_at) "
        "VALUES ('late', '-2', 'waiting', '-infinity', 'infinity', '-infinity', 'infinity', NULL)",
        "an allocation that ran for ever": "INSERT INTO clusters "
        "(name, launcher, profile, wanted, started_by) "
        "VALUES ('ever', 'local', '{}', 1, 'x'); INSERT INTO allocations "
        "(cluster, name, state, cores, ran_from, ran_until) "
        "VALUES ('ever', '-3', 'running', -7, '-infinity', 'infinity'); UPDATE workers SET allocation = '-3'",
        "an allocation that ended after all time": "INSERT INTO allocations "
        "(cluster, name, state, cores, ran_from, ran_until, ended_at, cause) "
        "VALUES ('ever', '-4', 'ended', 2147483647, '4000-01-01 BC', '200000-01-01', 'infinity', '')",
    },
    "horizon": {
        "pruned until after all time": "INSERT INTO horizon VALUES (true, 'infinity')",
        "pruned until before all time": "INSERT INTO horizon VALUES (false, '-infinity')",
    },
    "passed_over": {
        "passed over since before all time": "INSERT INTO passed_over "
        "SELECT max(id), '-infinity' FROM jobs WHERE state = 'pending'",
        "passed over after all time": _of_a_job("passed_over", "since", "'infinity'"),
    },
    "revisions": {
        "parameters that were a list": _of_a_job(
            "revisions", "revision, parameters, last_attempt, revised_by", "1, '[1]', 0, 'x'"
        ),
        "parameters that were deep": _of_a_job(
            "revisions", "revision, parameters, last_attempt, revised_by", f"-1, '{DEEP}', -7, ''"
        ),
        "revised after all time": _of_a_job(
            "revisions",
            "revision, parameters, last_attempt, revised_by, revised_at",
            "2147483647, '{}', 2147483647, 'x', 'infinity'",
        ),
    },
    "interventions": {
        f"an intervention of {values}"[:60]: _of_a_job("interventions", "at, kind, by", values)
        for values in (
            "'infinity', '', ''",
            "'-infinity', 'sun', 'x'",
            "'4000-01-01 BC', 'cancel', 'x'",
            "'200000-01-01', 'retry', 'x'",
        )
    },
    "environments": {
        "an environment that is a list": "INSERT INTO environments (hash, details) VALUES ('list', '[1]'); "
        "UPDATE attempts SET environment_id = (SELECT max(id) FROM environments)",
        "an environment that is deep": f"INSERT INTO environments (hash, details) VALUES ('', '{DEEP}')",
        "an environment of odd parts": "INSERT INTO environments (hash, details, since) VALUES ('odd', "
        """'{"workflows": [1], "trees": 5, "modules": "x", "python": {}}', 'infinity')""",
    },
    "file_requests": {
        f"a file request with {values}"[:60]: _of_a_job(
            "file_requests", "host, attempt, path, most", f"(SELECT host FROM workers LIMIT 1), {values}"
        )
        for values in (
            "1, '../../../etc/passwd', 5",
            "-1, '', -2147483648",
            "1, repeat('x/', 5000), 2147483647",
            "2147483647, E'\\x01', 0",
        )
    }
    | {
        "a file that was asked for after all time": _of_a_job(
            "file_requests", "host, attempt, path, most, asked_at", "'', 0, 'x', 1, 'infinity'"
        ),
    },
    "log_chunks": {
        "a log that ends beyond the numbers": _of_a_job(
            "log_chunks", "attempt, seq, text", "2147483647, 9223372036854775807, 'x'"
        ),
        "a log that begins below the numbers": _of_a_job(
            "log_chunks", "attempt, seq, text", "-2147483648, -9223372036854775808, repeat('x', 5000)"
        ),
    },
    "steps": {
        "a step that is deep": _of_a_job(
            "steps",
            "name, key, code, given, output, attempt, seconds, saved_at",
            f"'', '', '', '[1]', '{DEEP}', -1, 'NaN', 'infinity'",
        ),
        "a step that is no number": _of_a_job(
            "steps",
            "name, key, code, given, output, attempt, seconds, saved_at",
            """'s', 'k', 'c', '{}', '{"$float": "abc"}', 2147483647, '-Infinity', '-infinity'""",
        ),
    },
    "artifacts": {
        "an artifact that leads elsewhere": _artifact("'../../etc/passwd', '', -1, 'x', '/etc/passwd'"),
        "an artifact of no name": _artifact("'', E'\\x01', 9223372036854775807, '', NULL"),
        "an artifact of many lines": _artifact("E'a\\nb', 'x', 0, 'x', 'file:///etc/../etc/passwd'"),
        "an artifact that is nobody's": "INSERT INTO artifacts (attempt, claim_id, name, path, host, size, "
        "sha256, url, next_at) VALUES (-1, gen_random_uuid(), '', '', '', 0, '', '/etc/no', '-infinity')",
    },
    "workdirs": {
        "workdirs that are due before all time": _of_a_job(
            "workdirs",
            "host, ended_at, next_at, done",
            "(SELECT host FROM workers LIMIT 1), 'infinity', '-infinity', NULL",
        ),
        "workdirs that became stone": _of_a_job(
            "workdirs", "host, ended_at, next_at, done, done_at", "'', '-infinity', 'infinity', 'stone', NULL"
        ),
        "jobs that keep what there is not": "UPDATE jobs SET keep = E'\\x01' WHERE state = 'succeeded'",
    },
    "corrections": {
        "a correction of the weather": _of_a_job(
            "corrections",
            "number, attempt, handler, error, changes, difference, made_at",
            "-1, 2147483647, '', '', 'weather', E'\\x01', 'infinity'",
        ),
    },
    "restarts": {
        "an attempt that continues a later one": _of_a_job(
            "restarts", "attempt, continues, files", "-1, 2147483647, E'\\x01\n'"
        ),
    },
    "checkpoints": {
        "a checkpoint that is deep": _of_a_job(
            "checkpoints", "attempt, state, saved_at", f"-1, '{DEEP}', 'infinity'"
        ),
    },
    "schedules": _shapes(
        "a schedule",
        _schedule,
        "name = ''; cron = ''; timezone = ''",
        "missed = 'noon'",
        "job = '[1]'; parameters = '[1]'",
        f"job = '{DEEP}'; parameters = '{DEEP}'",
        "job = '{\"tags\": 5}'; parameters = 'null'",
        "timezone = '../etc'; next_at = 'infinity'",
        "next_at = '200000-01-01'; last_at = 'infinity'; last_job_id = -1",
        "missed = 'all'; next_at = '4000-01-01 BC'",
        "created_at = '-infinity'; paused_at = 'infinity'; next_at = NULL",
    ),
    "shares": {
        "a queue that the weather shares": "INSERT INTO shares (queue, by, set_by, set_at) "
        "VALUES ('', 'weather', '', 'infinity'), ('nowhere', '', '', '-infinity')",
    },
    "limits": {
        "a limit of less than nothing": "INSERT INTO limits (name, most, set_by) VALUES ('tag:no', -5, '')",
        "a limit of the weather": "INSERT INTO limits (name, most, set_by, set_at) "
        "VALUES ('weather', 2147483647, 'x', 'infinity'), ('', 0, '', '-infinity'), (':', 0, '', 'infinity')",
    },
    "throttled": {
        "throttled by nothing": _of_a_job(
            "throttled", "limit_name, queue, workflow, priority, woken_at", "'', '', '', -32768, NULL"
        ),
        "woken after all time": "INSERT INTO throttled "
        "SELECT max(id), 'tag:no', 'default', 'w', 32767, 'infinity' FROM jobs WHERE state = 'pending'",
    },
    "recovery": {
        "an act that nobody knows": "INSERT INTO recovery (name, next_at) VALUES ('sleep', 'infinity')",
        "an act that is never due": "UPDATE recovery SET next_at = 'infinity' WHERE name = 'notify'",
        "an act that was always due": "UPDATE recovery SET next_at = '-infinity' WHERE name = 'hold'",
    },
    "fingerprints": {
        "the fingerprint of no job": "INSERT INTO fingerprints VALUES (9223372036854775807, 0), (-1, -1)",
    },
    "submitted_sources": {
        "the source of nothing": "INSERT INTO submitted_sources (workflow, source, submitted_by, since) "
        "VALUES ('', '', '', 'infinity'), ('w', '|', '', '-infinity')",
    },
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


def first(**columns: Any) -> dict[str, str]:
    """The shapes that a board of any age takes: name → statement. `columns`: of the jobs, as SQL."""
    return {name: waiting(name, **columns) for name in (*WAITING, *OVER)} | OTHERS


def everything(**columns: Any) -> dict[str, str]:
    """All shapes, likewise."""
    later = {name: statement for shapes in LATER.values() for name, statement in shapes.items()}
    return first(**columns) | later


@contextmanager
def without_checks(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a board whose CHECKs are gone; afterwards they hold again for what is written then."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        ).fetchall()
        for table, constraint, _ in found:
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        try:
            yield connection
        finally:
            for table, constraint, definition in found:
                definition = definition.removesuffix(" NOT VALID")
                connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition} NOT VALID")


def write(url: str, shapes: Mapping[str, str] | None = None) -> int:
    """Write all of them; how many shapes. The CHECKs then hold for what is written later."""
    shapes = everything() if shapes is None else shapes
    with without_checks(url) as connection:
        for statement in shapes.values():
            connection.execute(statement)
    return len(shapes)
