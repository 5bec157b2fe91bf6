"""A step: a call within a workflow whose output is saved, so that no later attempt makes it again.

It is found again by its name, by what its function is given, and by the function's code with all that this
uses. A call that differs in any of them is another one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from simcelery.errors import EncodingError, UsageError
from simcelery.readable import short
from simcelery.workflows import functions, watched
from simcelery.workflows.atoms import without_results
from simcelery.workflows.code import Code, closed_over
from simcelery.workflows.definition import idempotency_key
from simcelery.workflows.encoding import encode
from simcelery.workflows.parameters import Parameters

_LONGEST_NAME = 200


class Step:
    """One call of a function, as a step of a job.

    Attributes:
        name: what people call it; it may be the same for many calls, say in a loop.
        given: what the function is given, and what it closes over, by name and in words.
        code: the hash of the function's code and of what it uses.
        uncounted: the names of what it uses and nobody can compare, such as open files and locks.
        key: the hash of all of it.

    Raises:
        UsageError: the name cannot be one.
        ParametersError: the arguments do not fit the signature.
        EncodingError: an argument cannot be stored, so that nobody could tell later whether it is the same.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self.name = _checked(name)
        function, args, kwargs = _without_bound(function, args, kwargs)
        self._function = function
        self._given = functions.bind_all(function, args, kwargs)
        variables = closed_over(function)
        self._around = {each: value for each, value in variables.items() if functions.can_be_stored(value)}
        self.given = {each: short(value) for each, value in (self._around | self._given).items()}
        others = sorted(functions.unstorable_defaults(function) - self._given.keys())
        defaults = {each: functions.default_of(function, each) for each in others}
        self._code = Code(function, self._given.values(), defaults)
        self.code = watched.counted(self._code)
        self.uncounted = sorted(self._code.uncounted)
        encoded = {each: _encoded(name, each, value) for each, value in self._given.items()}
        self.key = idempotency_key(self.name, self.code, encoded)
        around = {each: encode(value, exact=True) for each, value in self._around.items()}
        self._before = {each: without_results(value) for each, value in (around | encoded).items()}

    def changed(self) -> list[str]:
        """The names of its arguments, and of what it closes over, that are no longer what they were."""
        now = self._around | self._given
        return [name for name, before in self._before.items() if _unless_fails(now[name]) != before]

    def changing(self) -> AbstractContextManager[None]:
        """Within the block it is made: what it changes in the variables of modules does not count."""
        return watched.changing(self._code)

    def stored(self, output: Any, limit: int) -> Any:
        """The form of its output on the board, such that `restored` gives it back.

        Raises:
            EncodingError: it has none.
            PayloadTooLargeError: it is larger than `limit` bytes.
        """
        return self._returns.encode_result(output, limit)

    def restored(self, stored: Any) -> Any:
        """The output, with the type that the function's return annotation declares."""
        return self._returns.restore_result(stored)

    @cached_property
    def _returns(self) -> Parameters:
        return functions.returns(self._function, f"step {self.name!r}")


def _without_bound(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]:
    """What a partial or a method brings along is given like everything else."""
    while isinstance(function, functools.partial):
        args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
        function = function.func
    if inspect.ismethod(function) and not isinstance(function.__self__, type):
        return function.__func__, (function.__self__, *args), kwargs
    call = type(function).__call__
    if inspect.isfunction(call) and not hasattr(function, "__wrapped__"):
        return call, (function, *args), kwargs  # an object of a class of the user's own
    return function, args, kwargs


def _encoded(step: str, name: str, value: Any) -> Any:
    try:
        return encode(value, name, exact=True)
    except EncodingError as error:
        raise EncodingError(
            f"step {step!r}: {error}; pass what it is made from, and make it within the step"
        ) from None


def _unless_fails(value: Any) -> Any:
    try:
        return without_results(encode(value, exact=True))
    except EncodingError:
        return None, "something that cannot be stored"


def _checked(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"a step's name is a text of one line, of at most {_LONGEST_NAME} characters, not {short(name)}"
        )
    return name
