"""The tree of errors, as it is drawn and as it is."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from simcelery import errors
from simcelery.broker import encryption
from simcelery.errors import SimceleryError, causes


def drawn() -> dict[str, str]:
    """Each class of the docstring's tree with its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│ ]*(?:[├└]── )?)(\w+Error) +[A-Za-z]", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


CLASSES = {
    name: cls
    for name, cls in inspect.getmembers(errors, inspect.isclass)
    if cls.__module__ == errors.__name__
}


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    assert drawn() == {name: cls.__base__.__name__ for name, cls in CLASSES.items()}


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_the_exit_code_follows_the_branch(cls: type[SimceleryError]) -> None:
    branches = {errors.UsageError: 2, errors.ServiceError: 3, errors.JobError: 1, SimceleryError: 2}
    assert cls.exit_code == next(code for branch, code in branches.items() if issubclass(cls, branch))


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_every_error_reads_as_its_message_and_survives_another_process(cls: type[SimceleryError]) -> None:
    error = pickle.loads(pickle.dumps(cls("what is wrong")))
    assert type(error) is cls
    assert str(error) == "what is wrong"


def test_errors_keep_what_they_carry_in_another_process() -> None:
    stopped = pickle.loads(pickle.dumps(errors.SubmissionInterruptedError("stopped", [3, 4])))
    assert (stopped.ids, stopped.recorded) == ([3, 4], 2)
    failed = pickle.loads(pickle.dumps(errors.JobFailedError("failed", "ValueError", "Traceback …")))
    assert (failed.error_type, failed.traceback) == ("ValueError", "Traceback …")


@pytest.mark.timeout(10)
def test_what_led_to_an_error_is_told_once_also_if_it_goes_in_a_circle() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    assert [*causes(first)] == [first, second]
    assert encryption.distrust(first) == ""
