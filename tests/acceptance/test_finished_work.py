"""A function that has returned is never run again because of what it returned, and its work is not lost."""

from __future__ import annotations

import pickle
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simcelery
from simcelery.errors import JobFailedError
from tests.board_helpers import attempts, row
from tests.conftest import Project, empty, make_project
from tests.waiting import within


@pytest.fixture(scope="module", autouse=True)
def returns(shared_project: Project) -> Iterator[Any]:
    """Workflows whose results cannot be stored, known to the worker and here."""
    sys.path.insert(0, str(shared_project.folder))
    import returns

    yield returns
    sys.path.remove(str(shared_project.folder))


@pytest.fixture(scope="module")
def shared_project(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with one running worker that knows them."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("project"))
    source = Path(__file__).parent.parent / "workflows_that_return.py"
    (made.folder / "returns.py").write_text(source.read_text())
    (made.folder / "simcelery.toml").write_text('workflows = ["sims", "returns"]\n')
    made.worker()
    yield made
    made.end()


def failed_at_once(job: simcelery.Job) -> str:
    """The error of a job that was tried once, and is not tried again."""
    with pytest.raises(JobFailedError) as caught:
        job.result(timeout=within(60))
    found = row(job.id)
    assert (found.attempt, found.state) == (1, "failed")
    assert caught.value.error_type in ("EncodingError", "PayloadTooLargeError")
    return str(found.error_message)


def kept_file(job: simcelery.Job, message: str) -> Path:
    [named] = re.findall(rf"; what it returned is kept in {re.escape(socket.gethostname())}:(/\S+)$", message)
    [attempt] = attempts(job.id)
    assert attempt["workdir"] == str(Path(named).parent)
    return Path(named)


@pytest.mark.parametrize(
    "what",
    [
        *("function", "lock", "generator", "NUL", "surrogate", "object", "local class", "reduce", "no words"),
        *("as_dict", "leaves", "endless", "deep", "very deep", "large", "huge array", "masked", "digits"),
    ],
)
def test_a_result_that_cannot_be_stored_is_computed_once_and_kept(returns: Any, what: str) -> None:
    job = returns.gives.submit(what)
    message = failed_at_once(job)
    assert message.startswith("returns.gives: result")
    file = kept_file(job, message)
    if file.suffix == ".txt":
        assert what == "very deep"
        assert 0 < file.stat().st_size <= 1024 * 1024
        return
    value = pickle.loads(file.read_bytes())
    if what in ("NUL", "lock", "generator", "reduce", "no words", "local class"):
        assert value["energy"] == -3.5
    if what == "as_dict":
        assert value["what"].energy == -3.5
    if what in ("large", "digits"):
        assert value == returns.RESULTS[what]()
    if what == "huge array":
        assert value.shape == (30_000_000,)
        file.unlink()


def test_a_workflow_without_a_folder_of_its_own_gets_one_for_what_it_returned(returns: Any) -> None:
    job = returns.gives_elsewhere.submit("lock")
    assert kept_file(job, failed_at_once(job)).exists()


def test_a_folder_that_the_workflow_removed_is_made_anew(returns: Any) -> None:
    job = returns.spoils.submit("removed")
    assert kept_file(job, failed_at_once(job)).exists()


def test_a_file_of_the_workflow_with_that_name_is_not_overwritten(returns: Any) -> None:
    job = returns.spoils.submit("taken")
    file = kept_file(job, failed_at_once(job))
    assert file.name == "result-2.pickle"
    assert (file.parent / "result.pickle").read_text() == "my own"


def test_where_it_cannot_be_kept_the_error_says_so(returns: Any) -> None:
    message = failed_at_once(returns.spoils.submit("blocked"))
    assert "EncodingError" not in message
    assert re.search(r"; what it returned could not be kept in \S+:/\S+: \w+Error: .*$", message)


def test_a_result_that_hangs_while_it_is_stored_ends_with_the_limit_for_good(returns: Any) -> None:
    job = returns.gives_slowly.submit()
    with pytest.raises(JobFailedError) as caught:
        job.result(timeout=within(60))
    assert caught.value.error_type == "TimeLimitError"
    assert row(job.id).attempt == 1


@pytest.mark.parametrize("how", ["progress", "stdout", "closed log", "source"])
def test_what_goes_wrong_beside_the_work_does_not_undo_it(returns: Any, how: str) -> None:
    job = returns.finishes.submit(how)
    assert job.result(timeout=within(60)) == -3.5
    assert row(job.id).attempt == 1


@pytest.mark.parametrize("how", ["words", "leaves", "name"])
def test_an_exception_that_cannot_say_what_it_is_fails_its_job_alone(
    returns: Any, shared_project: Project, how: str
) -> None:
    job = returns.raises.submit(how)
    with pytest.raises(JobFailedError):
        job.result(timeout=within(60))
    [attempt] = attempts(job.id)
    assert attempt["outcome"] == "failed"
    assert shared_project.processes[0].poll() is None


def test_a_limit_that_strikes_after_the_return_does_not_undo_the_work(returns: Any) -> None:
    job = returns.gives_late.submit()
    assert job.result(timeout=within(60)) == {"energy": -3.5}
    assert row(job.id).attempt == 1
