"""Functions that nobody declared as workflows, as workflows that are called by ``module:function``.

What has no annotation, or one of which the board can make nothing, takes and returns whatever can be stored.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from simcelery.errors import DefinitionError, EncodingError, ParametersError
from simcelery.workflows.definition import Definition
from simcelery.workflows.encoding import encode
from simcelery.workflows.parameters import Parameters

WORKFLOW = "function"  # the workflow that calls them


class _Parameters(Parameters):
    """What calls a function expects of it what it returns, and not what that consists of."""

    consists = False


class Function(Definition):
    """A function as a workflow that is not registered.

    Attributes:
        called: the function itself.

    Raises:
        DefinitionError: it is not an ordinary function.
    """

    kind_of_parameters = _Parameters

    def __init__(self, function: Callable[..., Any], name: str, left_out: Collection[str] = ()) -> None:
        super().__init__(_stand_in(function, left_out), name=name)
        self.called = function


@functools.lru_cache(maxsize=1000)
def defined(function: Callable[..., Any], name: str, given: frozenset[str]) -> Function:
    """The function as a workflow.

    Parameters:
        given: the names of the parameters of a call. Of the others, those are left out whose default cannot
            be stored: they have it wherever the function runs.
    """
    return Function(function, name, unstorable_defaults(function) - given)


def bind(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a call by the names of the parameters; defaults are left out.

    Raises:
        ParametersError: they do not fit the signature.
    """
    return dict(_bound(function, args, kwargs).arguments)


def bind_all(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the defaults, except for those that the board cannot hold.

    Raises:
        ParametersError: as `bind`.
    """
    bound = _bound(function, args, kwargs)
    without = unstorable_defaults(function) - bound.arguments.keys()
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name not in without}


def _bound(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    try:
        return _signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise ParametersError(f"{getattr(function, '__qualname__', function)}(): {error}") from None


def returns(function: Callable[..., Any], name: str) -> Parameters:
    """How the board stores what a function returns, and gives it back.

    Parameters:
        name: of the function, for messages.
    """

    def stand_in() -> Any: ...

    hint = _hints(function).get("return", Any)
    stand_in.__annotations__ = {"return": hint if _is_usable(returns=hint) else Any}
    return _Parameters(name, stand_in)


@functools.lru_cache(maxsize=1000)
def unstorable_defaults(function: Callable[..., Any]) -> frozenset[str]:
    """The names of the parameters whose default the board cannot hold, such as a logger."""
    parameters = _signature(function).parameters.values()
    return frozenset(
        one.name for one in parameters if one.default is not one.empty and not can_be_stored(one.default)
    )


def default_of(function: Callable[..., Any], name: str) -> Any:
    """The default of a parameter."""
    return _signature(function).parameters[name].default


def can_be_stored(value: Any) -> bool:
    """Whether the board can hold it."""
    try:
        encode(value, exact=True)
    except EncodingError:
        return False
    return True


@functools.lru_cache(maxsize=1000)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # of a library in C

        def anything(*args: Any, **kwargs: Any) -> None: ...

        return inspect.signature(anything)


def _stand_in(function: Callable[..., Any], left_out: Collection[str]) -> Callable[..., Any]:
    """A function that calls the other one, and whose parameters all have names and usable annotations."""
    real = _signature(function)

    def stand_in(**given: Any) -> Any:
        bound = inspect.BoundArguments(real, OrderedDict(given))
        return function(*bound.args, **bound.kwargs)

    hints = _hints(function)
    parameters = [
        _named(one, hints.get(one.name, Any)) for one in real.parameters.values() if one.name not in left_out
    ]
    returns = hints.get("return", Any)
    functools.update_wrapper(stand_in, function)
    stand_in.__annotations__ = {one.name: one.annotation for one in parameters}
    stand_in.__annotations__["return"] = returns if _is_usable(returns=returns) else Any
    stand_in.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return stand_in


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # names that only a type checker knows, or no annotations at all
        return {}


def _named(one: inspect.Parameter, hint: Any) -> inspect.Parameter:
    annotation: Any = hint if _is_usable(value=hint) else Any
    default = one.default
    if one.kind is one.VAR_POSITIONAL:
        annotation, default = tuple[annotation, ...], ()
    elif one.kind is one.VAR_KEYWORD:
        annotation, default = dict[str, annotation], {}
    return inspect.Parameter(one.name, one.KEYWORD_ONLY, default=default, annotation=annotation)


def _is_usable(*, value: Any = Any, returns: Any = Any) -> bool:
    """Whether an annotation, of a value or of what is returned, says something to the board."""

    def probe(value: Any) -> None: ...

    probe.__annotations__ = {"value": value, "return": returns}
    try:
        Parameters(WORKFLOW, probe)
    except DefinitionError:
        return False
    return True
