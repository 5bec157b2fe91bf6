"""`jobs(...)` is read as it is needed, and as a data frame has the values that the jobs have."""

from __future__ import annotations

import math
from typing import Any

import pytest

import simcelery
from simcelery.board.reads import table
from simcelery.errors import JobFailedError, JobNotFoundError, UsageError
from tests.board_helpers import sql
from tests.integration.test_conditions import ended
from tests.integration.test_results import FILL

pytestmark = pytest.mark.usefixtures("board")


def test_handles_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    sql(FILL)
    asked: list[int] = []
    real = table.fields

    def counted(*args: Any, **more: Any) -> list[tuple[Any, ...]]:
        found = real(*args, **more)
        asked.append(len(found))
        return found

    monkeypatch.setattr(table, "fields", counted)
    query = simcelery.jobs(workflow="w")
    assert asked == []
    handles = iter(query)
    first = next(handles)
    assert asked == [1000]
    assert [first.id, *(job.id for job in handles)] == sql("SELECT array_agg(id ORDER BY id) FROM jobs")[0][0]
    assert asked == [1000, 1000, 500, 0]  # only an empty page is certainly the last one
    assert first.row().task_id == first.task_id
    assert query.count() == len(query) == 2500
    assert len(query.results(skip=True)) == 2499
    some = [first.id + 7, first.id, first.id + 7]
    assert [job.id for job in simcelery.jobs(ids=some)] == [first.id, first.id + 7]


def test_a_data_frame_rounds_nothing() -> None:
    pandas = pytest.importorskip("pandas")
    one = ended({"energy": -4, "seed": 2**53 + 1, "forces": [1, 2]}, structure="Cu")
    two = ended({"energy": -2.5, "x": math.nan, "mixed": 1}, structure="Ni")
    three = ended({"energy": None, "ok": True, "mixed": "a"}, structure="Si")
    found = simcelery.jobs(state="succeeded").to_pandas(
        fields="id,structure,energy,seed,forces,ok,mixed,finished_at,elapsed"
    )
    assert {name: str(kind) for name, kind in found.dtypes.items() if name != "structure"} == {
        "id": "int64",
        "energy": "float64",
        "seed": "Int64",
        "forces": "object",
        "ok": "boolean",
        "mixed": "object",
        "finished_at": "datetime64[us, UTC]",
        "elapsed": "float64",
    }
    assert found["id"].tolist() == [one, two, three]
    assert found["structure"].tolist() == ["Cu", "Ni", "Si"]
    assert found["energy"].tolist()[:2] == [-4.0, -2.5]
    assert found["seed"][0] == 2**53 + 1
    assert found["forces"][0] == [1, 2]
    assert found["mixed"].tolist()[1:] == [1, "a"]
    assert pandas.isna(found["ok"][0])
    assert found["ok"][2]
    assert list(simcelery.jobs(ids=[two]).to_pandas(["id", "x"])["x"].isna()) == [True]
    assert list(simcelery.jobs(ids=[]).to_pandas("id,x").columns) == ["id", "x"]


def test_without_fields_a_data_frame_has_all_there_is() -> None:
    pytest.importorskip("pandas")
    ended({"energy": -4.0, "seed": 2**53 + 1}, structure="Cu")
    ended(5, structure="Ni")
    found = simcelery.jobs().to_pandas()
    assert {"id", "state", "parameters", "parameters.structure", "result", "result.energy"} <= set(
        found.columns
    )
    assert found["result.seed"][0] == 2**53 + 1
    assert found["result"].tolist() == [{"energy": -4.0, "seed": 2**53 + 1}, 5]
    assert str(found["submitted_at"].dtype).endswith("UTC]")


@pytest.mark.parametrize("fields", ["a b", "", "id.x", ["a,"], [5], 5])
def test_what_are_no_fields_is_said_in_a_line(fields: Any) -> None:
    pytest.importorskip("pandas")
    with pytest.raises(UsageError) as error:
        simcelery.jobs().to_pandas(fields)
    assert "\n" not in str(error.value)


def test_results_are_as_many_as_the_jobs_or_an_error_says_which_is_missing() -> None:
    one, _ = ended(1, x=1), ended(2, x=2)
    assert simcelery.jobs().results() == [1, 2]
    sql("UPDATE jobs SET result = NULL, state = 'failed', error_type = 'E', error_message = 'x'"
        f" WHERE id = {one}")  # fmt: skip
    with pytest.raises(JobFailedError, match=f"job {one} .*failed"):
        simcelery.jobs().results()
    assert simcelery.jobs().results(skip=True) == simcelery.jobs(state="succeeded").results() == [2]


@pytest.mark.parametrize(
    "ask",
    [
        lambda jobs: jobs.count(),
        lambda jobs: jobs.rows(),
        lambda jobs: list(jobs),
        lambda jobs: jobs.results(),
        lambda jobs: jobs.to_pandas(),
        lambda jobs: jobs.to_pandas("id"),
    ],
)
def test_a_job_that_is_not_there_is_an_error(ask: Any) -> None:
    pytest.importorskip("pandas")
    one = ended(1)
    with pytest.raises(JobNotFoundError, match="there is no job 99999999"):
        ask(simcelery.jobs(ids=[one, 99999999]))


@pytest.mark.parametrize(
    "ask",
    [
        lambda jobs: jobs.count(),
        lambda jobs: list(jobs),
        lambda jobs: jobs.results(),
        lambda jobs: jobs.to_pandas(),
        lambda jobs: jobs.to_pandas("id"),
    ],
)
def test_a_misspelt_name_in_a_condition_is_a_warning(ask: Any) -> None:
    pytest.importorskip("pandas")
    ended({"energy": 1})
    with pytest.warns(
        UserWarning, match="where: no job looked at has a value for enrgy; did you mean energy"
    ):
        ask(simcelery.jobs(where="enrgy < 0"))


def test_a_misspelt_field_is_a_warning() -> None:
    pytest.importorskip("pandas")
    ended({"energy": 1})
    with pytest.warns(UserWarning, match="fields: none of these jobs has a value for enrgy$"):
        simcelery.jobs().to_pandas("id,energy,enrgy,worker")
