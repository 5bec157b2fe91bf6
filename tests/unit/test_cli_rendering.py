"""What the command line writes: JSON, tables, words for people."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections import Counter, defaultdict, deque
from typing import Any

import numpy as np
import pytest

from simcelery.board.reads.jobs import JobRow
from simcelery.board.states import State
from simcelery.checks.servers import older
from simcelery.cli import output
from simcelery.cli.output import Column, show_table
from simcelery.cli.verbs import workers
from simcelery.describe import words
from simcelery.describe.job import KEYS, as_json, in_brief, summary
from simcelery.describe.plain import plain
from simcelery.describe.workflow import schema_rows
from simcelery.errors import EncodingError
from simcelery.urls import masked
from simcelery.workflows.encoding import decode, encode

NOW = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)


def job(**given: Any) -> JobRow:
    """A job, as the board returns it."""
    values: dict[str, Any] = dict.fromkeys(JobRow.__dataclass_fields__)
    values |= {
        "id": 42,
        "task_id": uuid.UUID(int=1),
        "workflow": "relax",
        "parameters": {"a": 1, "b": None},
        "state": State.SUCCEEDED,
        "queue": "default",
        "priority": 4,
        "tags": ["x"],
        "attempt": 1,
        "submitted_at": NOW,
        "failures": 0,
        "losses": 0,
        "max_attempts": 1,
        "max_losses": 5,
        "unmet": 0,
        "submitted_by": "me@here",
    }
    return JobRow(**{**values, **given})


def test_a_job_has_its_keys_first_and_is_json() -> None:
    shown = as_json(job(result={"$float": "inf"}, started_at=NOW), how="new")
    assert tuple(shown)[: len(KEYS)] == KEYS
    assert shown["state"] == "succeeded"
    assert shown["task_id"] == "00000000-0000-0000-0000-000000000001"
    assert shown["started_at"] == "2030-01-31T12:00:00+00:00"
    assert shown["result"] == math.inf
    assert shown["how"] == "new"
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1 + 2j, [1.0, 2.0]),
        (b"abc", "YWJj"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1j]), [[0.0, 1.0]]),
        (np.zeros((0, 3)), []),
        ({1: "a", (1, 2): "b"}, {"1": "a", "[1, 2]": "b"}),
        ({"$x": 1}, {"$x": 1}),
        ([1e300, "text", None, True], [1e300, "text", None, True]),
        ({"deep": [{"x": -0.0}]}, {"deep": [{"x": -0.0}]}),
    ],
)
def test_plain_needs_no_tags(value: Any, expected: Any) -> None:
    assert plain(encode(value)) == expected
    json.dumps(plain(encode(value)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2, "a")), [1, [2, "a"]]),
        ({3, 1}, [1, 3]),
        (deque([1], maxlen=2), [1]),
        (range(10**12), [0, 10**12, 1]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict(list, {(1, 2): [3]}), {"[1, 2]": [3]}),
        (dt.timedelta(days=1, microseconds=1), 86400.000001),
        (dt.datetime(2024, 1, 1), "2024-01-01T00:00:00"),
        ({"deep": [{"x": (1, -0.0)}]}, {"deep": [{"x": [1, -0.0]}]}),
    ],
)
def test_plain_needs_no_kinds(value: Any, expected: Any) -> None:
    assert plain(encode(value, exact=True)) == expected
    json.dumps(plain(encode(value, exact=True)))


@pytest.mark.parametrize(
    "stored",
    [{"$timedelta": [10**400, 0, 0]}, {"$counter": [1]}, {"$ordered": 1}, {"$tuple": 1}, {"$range": "abc"}],
)
def test_a_kind_that_others_wrote_is_shown_as_it_is_stored(stored: Any) -> None:
    json.dumps(plain(stored))
    with pytest.raises(EncodingError, match="what is stored cannot be read"):
        decode(stored)


def test_plain_keeps_nan_as_a_literal() -> None:
    assert json.dumps(plain(encode([math.nan, -math.inf]))) == "[NaN, -Infinity]"


def test_a_job_that_is_referred_to_stays_visible() -> None:
    assert plain({"energies": [{"$job": 7}]}) == {"energies": [{"$job": 7}]}


def test_cells_are_short_and_harmless() -> None:
    assert summary({"a": 1, "none": None, "s": "x\ny", "l": [1, 2]}) == "a=1, s=x y, l=[1, 2]"
    assert len(summary({"long": "x" * 1000})) <= 60
    assert in_brief(job(state=State.FAILED, error="E: \x1b[31mred\x07")) == "E: �[31mred�"
    assert in_brief(job(state=State.BLOCKED, unmet=3)) == "waits for 3 jobs"
    assert in_brief(job(state=State.RUNNING, progress={"done": 3, "total": 10, "message": "k"})) == "3/10 k"
    assert in_brief(job(result={"e": 1})) == '{"e": 1}'


def test_piped_tables_are_aligned_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([Column("id", right=True), Column("name")], [(1, "a"), (123456, "[b]" * 50), (2, None)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["    ID  NAME", "     1  a", "123456  " + "[b]" * 50, "     2"]


def test_a_terminals_table_fits_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    columns = [Column("id", right=True), Column("state", coloured=True), Column("text", flexible=True)]
    show_table(columns, [(123456789, "failed", "[b]" * 50)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 40
    assert "123456789" in lines[1]
    assert lines[1].rstrip().endswith("…")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0123, "12ms"),
        (1.25, "1.2s"),
        (45, "45s"),
        (200, "3m20s"),
        (5400, "1h30m"),
        (7200, "2h"),
        (187200, "2d4h"),
        (-5, "0ms"),
        (None, ""),
    ],
)
def test_durations_in_words(seconds: float | None, expected: str) -> None:
    assert words.duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "just now"),
        (12, "12 s ago"),
        (200, "3 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
        (-7199, "in 2 h"),
        (-30, "in 30 s"),
    ],
)
def test_moments_in_words(seconds: float, expected: str) -> None:
    assert words.ago(NOW - dt.timedelta(seconds=seconds), NOW) == expected


def test_an_old_moment_is_a_date() -> None:
    assert words.ago(NOW - dt.timedelta(days=90), NOW) == "2029-11-02"


def test_ids_as_a_selector() -> None:
    assert words.compact([8, 1, 2, 3, 5]) == "1-3,5,8"
    assert words.compact([]) == ""
    assert words.compact(range(0, 100, 2), 3) == "0,2,4,…"
    assert words.many(1) == "1 job"
    assert words.many(10_000) == "10,000 jobs"
    assert words.size(3_500_000) == "3.3 MiB"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://me:p%40ss@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:p,a:1@a:1,b:2/db", "postgresql://me:***@a:1,b:2/db"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql://host/db?user=me&password=secret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
    ],
)
def test_passwords_are_never_shown(url: str, expected: str) -> None:
    assert masked(url) == expected


def test_a_schema_is_shown_like_a_signature() -> None:
    schema = {
        "properties": {
            "a": {"type": "number"},
            "b": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "c": {"$ref": "#/$defs/Box"},
            "d": {"description": "Atoms"},
        },
        "required": ["a"],
    }
    assert schema_rows(schema) == [
        ("a", "number", ""),
        ("b", "integer or null", "None"),
        ("c", "Box", ""),
        ("d", "Atoms", ""),
    ]


@pytest.mark.parametrize(("width", "allocation"), [(80, None), (80, "12345678"), (140, "12345678")])
def test_workers_fit_the_terminal_and_lose_nothing_that_matters(
    width: int,
    allocation: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in (output, workers):
        monkeypatch.setattr(module, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    one = {
        "nodename": "celery@node0123",
        "host": "node0123",
        "state": "quarantined",
        "queues": ["default", "gpu"],
        "concurrency": 16,
        "running": [101, 102, 103, 120],
        "pid": 123456,
        "started_at": NOW - dt.timedelta(hours=3),
        "renewed_at": NOW - dt.timedelta(seconds=3),
        "now": NOW,
        "scheduler_job_id": allocation,
        "version": "0.1.0",
        "note": "in quarantine: it fails",
    }
    workers._show([one, {**one, "state": "ended", "note": "over"}])
    heading, first, *_, said = capsys.readouterr().out.splitlines()
    assert max(len(heading), len(first)) <= width
    assert all(word in first for word in (one["nodename"], "quarantined", "4/16", "3 s ago", "default"))
    assert "VERSION" not in heading
    assert "default, gpu" in first
    assert ("RUNNING" in heading) == ("101-103,120" in first) == (width == 140 or not allocation)
    assert ("STARTED" in heading) == ("3 h ago" in first) == (width == 140)
    assert (allocation or "") in first
    assert said == "celery@node0123: in quarantine: it fails"


@pytest.mark.parametrize(
    ("version", "old"),
    [
        *(("6.0.5", True), ("5.0.14", True), ("6.0", True), ("2.8.9999", True)),
        *(
            ("6.0.6", False),
            ("6.2.0", False),
            ("7.2.4-rc1", False),
            ("10.0.0", False),
            ("255.255.255", False),
        ),
        *(("None", False), ("unknown", False), ("", False)),
    ],
)
def test_a_redis_without_lpos_is_told_from_one_with_it(version: str, old: bool) -> None:
    assert older(version, (6, 0, 6)) is old
