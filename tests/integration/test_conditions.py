"""Conditions on jobs: what they match on the board, and what they make of hostile input."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import json
import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

import simcelery
from simcelery.board import engine
from simcelery.board.models import Job
from simcelery.board.reads import fields, table
from simcelery.board.reads.jobs import Filter
from simcelery.conditions import reading
from simcelery.conditions.values import Comparison, Name
from simcelery.describe.plain import plain
from simcelery.errors import UsageError
from simcelery.workflows.encoding import encode
from tests.board_helpers import sql
from tests.conftest import Project

INSERT = """
INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,
    submitted_by, started_at, finished_at, attempt, result, tags)
VALUES (gen_random_uuid(), 'w', CAST(:parameters AS jsonb), 'succeeded', 'default', 4, 1, 5, 'me',
    now() - interval '90 s', now(), 1, CAST(:result AS jsonb), '{t,u}') RETURNING id
"""


def ended(result: Any = None, **parameters: Any) -> int:
    """A job that succeeded, stored as a worker does."""
    stored = [json.dumps(encode(value, exact=True)) for value in (parameters, result)]
    return int(sql(INSERT, parameters=stored[0], result=stored[1])[0][0])


def matching(where: str) -> list[int]:
    return [job.id for job in simcelery.jobs(where=where)]


@pytest.mark.usefixtures("board")
def test_a_name_is_a_column_or_a_parameter_or_a_field_of_the_result() -> None:
    one = ended({"energy": -4.0, "state": "fcc", "fmax": 9}, fmax=0.05, structure="NaCl.cif")
    two = ended({"energy": -2.0, "state": "bcc", "fmax": 9}, fmax=0.1, structure="Si.cif")
    three = ended(7.5, structure='it\'s; "odd"')
    found = {
        "energy < -3 and fmax <= 0.05": [one],
        "energy < -3 or structure = 'Si.cif'": [one, two],
        "fmax = 9": [],
        "result.fmax = 9": [one, two],
        "parameters.fmax = 0.1": [two],
        "state = 'succeeded'": [one, two, three],
        "result.state = 'fcc'": [one],
        "result > 7": [three],
        "structure = 'it''s; \"odd\"'": [three],
        "structure in ('NaCl.cif', 'Si.cif', 3)": [one, two],
        "energy is null": [three],
        "not (energy is null or fmax = 0.1)": [one],
        "-3 > energy": [one],
        "energy < fmax": [one, two],
        "fmax < result.fmax": [one, two],
        f"id = {two}": [two],
        f"id in ({one}, {three}, 'x')": [one, three],
        f"id > {one} and id != {three}.0": [two],
        "elapsed > 60 and elapsed < '2m' and time_limit is null": [one, two, three],
        "submitted_at > '2026-01-01' and finished_at > started_at": [one, two, three],
        "tags.1 = 'u' and workflow = 'w' and submitted_by >= 'm'": [one, two, three],
        "worker is null and error is null and progress.done is null": [one, two, three],
    }
    assert {where: matching(where) for where in found} == found


@pytest.mark.usefixtures("board")
def test_values_of_different_kinds_never_match() -> None:
    number, text, truth, nothing, many = (ended({"x": value}) for value in (5, "5", True, None, [5]))
    missing = ended({"y": 1})
    found = {
        "x = 5": [number],
        "x != 4": [number],
        "x = '5'": [text],
        "x != '4'": [text],
        "x < 'a'": [text],
        "x = true": [truth],
        "x != false": [truth],
        "not x = 5": [text, truth, nothing, many, missing],
        "x is null": [nothing, missing],
        "x.0 = 5": [many],
        "x in (5, 'a')": [number],
        "x not in (4)": [number],
        "x not in (5)": [],
        "x not in (5, 'a', 'b')": [text],
        "x not in (4, 6, 'a')": [number, text],
        "not x in (5)": [text, truth, nothing, many, missing],
        "id not in ('five')": [],
        "id not in (0, -1)": [number, text, truth, nothing, many, missing],
        "worker not in ('a', 'b')": [],
        "id = 'five'": [],
        "not id = 'five'": [number, text, truth, nothing, many, missing],
        "state = 5 or state = true": [],
        "started_at = 5": [],
    }
    assert {where: matching(where) for where in found} == found


@pytest.mark.usefixtures("board")
def test_numbers_are_compared_exactly_and_nan_equals_only_itself() -> None:
    values = [0.05, 0.1 + 0.2, 1e16, -0.0, math.nan, math.inf, -math.inf, 2**53 + 1, 10**400]
    ids = [ended({"x": value}) for value in values]
    found = {
        "x = 0.05": [0],
        "x = 0.3": [],
        "x = 0.30000000000000004": [1],
        "x = 1e16": [2],
        "x = 0": [3],
        "x = nan": [4],
        "x != nan": [0, 1, 2, 3, 5, 6, 7, 8],
        "x != 0": [0, 1, 2, 4, 5, 6, 7, 8],
        "x > 1": [2, 5, 7, 8],
        "x <= 0": [3, 6],
        "x = inf or x = -inf": [5, 6],
        "x < inf": [0, 1, 2, 3, 6, 7, 8],
        "x in (nan, inf, 10000000000000000)": [2, 4, 5],
        f"x = {2**53}": [],
        f"x = {2**53 + 1}": [7],
        "x < nan or x >= nan": [],
        "id = nan or id > nan or id < -inf": [],
        "id != nan and id < inf": list(range(9)),
    }
    assert {where: [ids.index(one) for one in matching(where)] for where in found} == found


VALUES: dict[str, Any] = {
    "array": np.array([[1.5, math.nan], [3.0, 4.0]]),
    "pair": (1, ("a", 2)),
    "table": {1: "one", "$x": {"y": 2}, (1, 2): 3, "plain": None},
    "counter": collections.Counter({"a": 2}),
    "ordered": collections.OrderedDict(b=1, a=2),
    "complex": 1 + 2j,
    "moment": dt.datetime(2026, 11, 29, 12),
    "day": dt.date(2026, 11, 29),
    "span": dt.timedelta(hours=1, microseconds=5),
    "decimal": decimal.Decimal("1.10"),
    "uuid": uuid.UUID(int=5),
    "path": Path("/tmp/x"),
    "bytes": b"abc",
    "set": {3},
    "range": range(2, 9),
    "deque": collections.deque([1, 2]),
    "nan": math.nan,
    "nested": {"a": [{"b": (1, 2)}]},
    "text": "x",
}


@pytest.mark.usefixtures("board")
def test_what_is_stored_with_a_tag_is_looked_through_as_it_is_shown() -> None:
    number = ended(VALUES, array=VALUES["array"])
    shown = plain(encode(VALUES, exact=True))
    names = [*VALUES, "array.0.1", "array.1", "pair.1.0", "table.1", "table.`$x`.y", "complex.1", "counter.a",
             "nested.a.0.b.1", "set.0", "range.2", "deque.1", "ordered.b"]  # fmt: skip
    with engine.begin() as connection:
        [(found, *values)] = table.fields(
            connection, simcelery.jobs().which, reading.fields(",".join(names)), limit=None, newest=False
        )
    assert found == number

    def at(path: str) -> Any:
        value = shown
        for part in path.replace("`", "").split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value

    assert [repr(plain(value)) for value in values] == [repr(at(name)) for name in names]
    for where in ("array.1.0 = 3", "array[0][1] = nan", "pair.1.0 = 'a'", "table.1 = 'one'",
                  "complex.1 = 2", "moment > '2026-11-28'", "span > 3600", "path = '/tmp/x'",
                  "nested.a.0.b.1 = 2"):  # fmt: skip
        assert matching(where) == [number], where


A_THOUSAND = """
INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,
    submitted_by, finished_at, result)
SELECT gen_random_uuid(), 'w', jsonb_build_object('n', n, 'structure', 'NaCl.cif', 'truth', false),
    'succeeded', 'default', 4, 1, 5, 'me', now(),
    jsonb_build_object('n', n, 'energy', -n, 'stress', jsonb_build_array(0, n))
FROM generate_series(1, 1000) n
"""
# To call them for a million jobs would take half a minute.
CALLS = "SELECT coalesce(sum(calls), 0) FROM pg_stat_xact_user_functions WHERE funcname ~ '^(field|number)_'"


@pytest.mark.usefixtures("board")
@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("n = 7", 1),
        ("n < 5 or result.n >= 995", 10),
        ("energy < -3 and structure = 'NaCl.cif'", 997),
        ("structure != 'NaCl.cif' or truth = true", 0),
        ("stress.1 = 7", 1),
        ("n in (7, 8, 'x', true)", 2),
        ("energy is null or result.n is null or nowhere is null", 1000),
        ("nowhere = 5 or structure.0 > 5 or nowhere in (1, 'x')", 0),
        ("n = 'x' or n = true", 0),
    ],
)
def test_plain_values_need_none_of_the_functions_that_know_all_forms(where: str, count: int) -> None:
    sql(A_THOUSAND)
    [condition] = Filter(where=reading.condition(where)).conditions()
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL track_functions = 'pl'")
        found = connection.scalar(select(func.count()).select_from(Job).where(condition))
        assert (found, connection.exec_driver_sql(CALLS).scalar()) == (count, 0)


EXACT = """
SELECT id FROM jobs CROSS JOIN LATERAL (SELECT
  CASE WHEN jsonb_exists(parameters, :first) THEN field_of(parameters, :path) ELSE field_of(result, :path) END
) AS field (value) WHERE {} ORDER BY id
"""
ANYTHING: tuple[Any, ...] = (
    *(7, 7.0, -7, 0.1, 1e16, 10**400, "7", "seven", "", True, False, None, [], [7], {}, {"x": 7}),
    *({"x": None}, {"x": [7, "7"]}, {"x": {"0": 7}}, math.nan, math.inf, (7, 8), {7}, {7: 7}, {"$x": 7}),
    *(decimal.Decimal("7"), np.array([7.0]), np.array([1, 2]), collections.deque([7], maxlen=7), 7 + 1j),
    *(dt.datetime(2026, 11, 29), dt.timedelta(seconds=7), {"x": (7, 8)}, [{"x": 7}], b"seven"),
    *(collections.Counter(x=7), collections.OrderedDict(x=7), {"x": collections.OrderedDict(x=7)}),
)
PATHS = ("x", "x.0", "x.x", "x.x.0", "`0`", "x.7", "x.maxlen", "shape", "x.dtype", "x.`$x`", "`$dict`", "x.y")
ORDERED = ("7", "0.1", "1e16", "-7", "0", "nan", "inf", "'7'", "'seven'", "''")
LITERALS = (*ORDERED, "true", "false")


def stored(literal: str) -> str:
    """A literal as the functions take it."""
    return json.dumps({"$float": literal}) if literal in ("nan", "inf") else literal.replace("'", '"')


@pytest.mark.usefixtures("board")
def test_what_is_decided_at_a_glance_is_what_the_functions_say() -> None:
    for value in ANYTHING:
        ended(value)
        ended({"x": 5}, x=value)
        ended(value, y=1)
        ended({"x": value})
    sql("UPDATE jobs SET result = NULL WHERE id % 17 = 0")
    for path in PATHS:
        cases = {f"{path} is null": ("value IS NULL", "")}
        for some in (LITERALS, LITERALS[:2], LITERALS[6:9]):
            one_of = f"[{', '.join(map(stored, some))}]"
            cases[f"{path} in ({', '.join(some)})"] = "field_is_in(value, CAST(:it AS jsonb))", one_of
        signs = dict.fromkeys(("<", "<=", ">", ">="), ORDERED) | {"=": LITERALS, "!=": LITERALS}
        for sign, it in ((sign, it) for sign, literals in signs.items() for it in literals):
            cases[f"{path} {sign} {it}"] = f"field_compares(value, '{sign}', CAST(:it AS jsonb))", stored(it)
        [name] = reading.fields(path)
        for where, (exact, it) in cases.items():
            said = sql(EXACT.format(exact), first=name.parts[0], path=list(name.parts), it=it)
            assert matching(where) == [number for (number,) in said], where


@pytest.mark.usefixtures("board")
def test_paths_that_are_not_there_match_nothing() -> None:
    stored = [
        {"x": [1]}, {"x": {}}, {"x": "text"}, None, 5, [], {"$dict": 5}, {"$dict": [5, [], [None, 1]]},
        {"$float": "1e999999999"}, {"$float": [1]}, {"$timedelta": ["a", 1, 2]}, {"$timedelta": 5},
        {"$ndarray": None}, {"$unknown": 1}, {"x": {"$float": "nan; DROP TABLE jobs"}},
    ]  # fmt: skip
    for value in stored:
        sql(INSERT, parameters="{}", result=json.dumps(value))
    for path in (
        "x.5",
        "x.99999999999999999999",
        "x.y.z",
        "`$float`.x.y",
        "x.0.0.0",
        "`; DROP TABLE jobs`.`'`",
    ):
        assert matching(f"{path} = 1 or {path} < 'a' or {path} in (1, nan, true)") == [], path
    assert len(matching("x.y is null")) == len(stored)
    assert len(matching("result is null")) == 2


@pytest.mark.usefixtures("board")
def test_hostile_conditions_are_values_and_names_and_nothing_else() -> None:
    one = ended({"😀": "' OR true; --", "a%s": 1, "a:b": 2}, **{"x'); DROP TABLE jobs; --": 1})
    found = {
        "`😀` = ''' OR true; --'": [one],
        "😀x = 1": None,
        "`a%s` = 1 and `a:b` = 2": [one],
        "`x'); DROP TABLE jobs; --` = 1": [one],
        "text = '%(id)s :id \\'": [],
        "a = '\\u0000'": [],
    }
    for where, expected in found.items():
        if expected is None:
            with pytest.raises(UsageError, match="where: unexpected '😀' at character 1"):
                simcelery.jobs(where=where)
        else:
            assert matching(where) == expected
    assert sql("SELECT count(*) FROM jobs")[0][0] == 1


@pytest.mark.usefixtures("board")
def test_long_lists_many_terms_and_deep_nesting_are_answered() -> None:
    ids = [ended({"n": number}) for number in range(5)]
    assert matching(" or ".join(f"n = {number}" for number in range(3, 1003))) == ids[3:]
    assert matching(f"n in ({', '.join(map(str, range(3, 100_000)))})") == ids[3:]
    nested = "n = 0"
    for _ in range(16):
        nested = f"(n = 9 or not ({nested} and id > 0))"
    assert matching(nested) == ids[:1]


@pytest.mark.usefixtures("board")
@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("state = 'faild'", "there is no state 'faild'; the states are: blocked"),
        ("submitted_at > 'yesterday'", "submitted_at: 'yesterday' is not a time: write '2026-11-29 14:30'"),
        ("elapsed > 'long'", "elapsed: 'long' is not a duration: write '1h30m'"),
        ("queue.x = 1", "a parameter of this name is parameters.queue"),
        ("energy <", "where: expected a name or a value at character 9"),
    ],
)
def test_what_can_never_be_is_said_before_anything_is_read(where: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        simcelery.jobs(where=where)


def test_every_command_that_takes_filters_takes_a_condition(project: Project) -> None:
    one, two = ended({"energy": -4.0}, n=1), ended({"energy": -2.0}, n=2)
    sql("UPDATE jobs SET state = 'failed', error_type = 'ValueError' WHERE id = :id", id=two)
    for verb in ("list", "results", "status"):
        done = project.run("simcelery", verb, "--where", "energy < -3", "-o", "quiet")
        assert (done.returncode, done.stdout.split()) == (0, [str(one)]), verb
    done = project.run("simcelery", "errors", "--where", "n = 2", "-o", "json")
    assert [group["count"] for group in json.loads(done.stdout)] == [1]
    done = project.run("simcelery", "retry", "--where", "n = 2 and energy > -3", "-y", "-o", "json")
    assert json.loads(done.stdout) == {"retried": [two]}
    done = project.run("simcelery", "cancel", "--where", "state = 'done'")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("simcelery: there is no state 'done'")
    done = project.run("simcelery", "list", "--where", "energy << 3")
    assert done.stderr == "simcelery: --where: expected a name or a value at character 9, but there is '<'\n"


def test_a_misspelt_name_is_not_silently_without_matches(project: Project) -> None:
    one = ended({"energy": -4.0}, n=1)
    sql("UPDATE jobs SET state = 'failed', error_type = 'ValueError' WHERE id = :id", id=one)
    ended({"energy": -2.0}, n=1)
    said = "simcelery: --where: no job looked at has a value for energi, parameters.m\n"
    wrong = ("--where", "energi < 0 and (n = 1 or parameters.m in (1))")
    for words in (
        ("results",),
        ("results", "-o", "jsonl"),
        ("list",),
        ("list", "--fields", "id"),
        ("list", "-o", "quiet"),
        ("results", "--format", "csv"),
        ("retry", "-y"),
    ):
        done = project.run("simcelery", *words, *wrong)
        assert said in done.stderr, words
    for form in (("--format", "csv"), ("--format", "json"), ("-o", "jsonl"), ("-O", "new.parquet")):
        done = project.run("simcelery", "results", "--fields", "energi,worker", *form)
        assert "energi" in done.stderr, form
        assert "worker" not in done.stderr
    assert "no job looked at" not in project.run("simcelery", "results", "--where", "energy < -9").stderr
    capital = project.run("simcelery", "list", "--where", "Energy < -9")
    assert "no job looked at has a value for Energy; did you mean energy?\n" in capital.stderr
    assert "no job looked at" not in project.run("simcelery", "list", "-t", "none", *wrong).stderr


def test_a_condition_is_put_into_sql_once_and_another_that_is_equal_to_python_is_not_taken_for_it() -> None:
    number, truth = (
        Comparison(Name(("x",), "x"), "=", decimal.Decimal(1)),
        Comparison(Name(("x",), "x"), "=", True),
    )
    assert number == truth
    first = fields.as_clause(number)
    assert fields.as_clause(number) is first
    assert fields.as_clause(truth) != first
