"""A workflow's parameters: validated against its signature, encoded for the board, restored from it."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PydanticUserError,
    ValidationError,
    create_model,
)
from pydantic.errors import PydanticSchemaGenerationError

from simcelery.errors import DefinitionError, EncodingError, ParametersError
from simcelery.workflows.encoding import JobRef, contains_job, decode, encode

_CONFIG = ConfigDict(
    arbitrary_types_allowed=True, extra="forbid", validate_default=True, populate_by_name=False
)


class Parameters:
    """The parameters of one function.

    Parameters:
        name: the workflow's name, for messages.
        function: its signature says which parameters there are.

    Raises:
        DefinitionError: a parameter is unannotated, variadic, or of a type that cannot be stored.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.signature = inspect.signature(function)
        hints = _type_hints(name, function)
        self._fields: dict[str, tuple[Any, Any]] = {}
        for parameter in self.signature.parameters.values():
            self._fields[parameter.name] = self._field(parameter, hints)
        self._returns = hints.get("return", Any)
        self._model = cache(self._build_model)
        self._result_model = cache(self._build_result_model)
        self._model(frozenset())

    @property
    def names(self) -> list[str]:
        """The names of the parameters, in order."""
        return list(self._fields)

    def _field(self, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> tuple[Any, Any]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise DefinitionError(
                f"workflow {self.name}: parameter {str(parameter)!r} has no name of its own on the board; "
                "take a list or a dict as an ordinary parameter instead"
            )
        if parameter.name not in hints:
            raise DefinitionError(
                f"workflow {self.name}: parameter {parameter.name!r} has no annotation; add one, such as "
                f"{parameter.name}: float (Any accepts whatever can be stored)"
            )
        annotation = restorable(hints[parameter.name])
        if (unstorable := _unstorable(annotation)) is not None:
            raise DefinitionError(
                f"workflow {self.name}: parameter {parameter.name!r} is a {unstorable}, which cannot be "
                "stored on the board; take plain data, or give the class as_dict() and from_dict()"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        return annotation, default

    def _build_model(self, without: frozenset[str]) -> type[BaseModel]:
        # Fields are called p0, p1, …, so that no parameter name collides with an attribute of BaseModel.
        fields: dict[str, Any] = {
            f"p{i}": (annotation, Field(default, alias=name))
            for i, (name, (annotation, default)) in enumerate(self._fields.items())
            if name not in without
        }
        try:
            return create_model(self.name, __config__=_CONFIG, **fields)
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise DefinitionError(f"workflow {self.name}: {error.message.splitlines()[0]}") from None

    def _build_result_model(self) -> type[BaseModel] | None:
        try:
            return create_model("Result", __config__=_CONFIG, value=(restorable(self._returns), ...))
        except (PydanticSchemaGenerationError, PydanticUserError):
            return None

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Positional and named values as one dictionary; defaults are left out.

        Raises:
            ParametersError: too many, too few or unknown parameters.
        """
        if len(args) > len(self._fields):
            raise ParametersError(f"{self.name} takes {len(self._fields)} parameters, not {len(args)}")
        given = dict(zip(self._fields, args, strict=False))
        for name in kwargs:
            if name in given:
                raise ParametersError(f"{self.name}: parameter {name!r} is given twice")
            if name not in self._fields:
                raise ParametersError(self._unknown(name))
        given.update(kwargs)
        missing = [n for n, (_, default) in self._fields.items() if default is ... and n not in given]
        if missing:
            plural = "s" if len(missing) > 1 else ""
            raise ParametersError(f"{self.name}: missing parameter{plural} {', '.join(map(repr, missing))}")
        return given

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._fields, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        known = ", ".join(self._fields) or "none"
        return f"{self.name}: there is no parameter {name!r}; {hint}it takes: {known}"

    def validate(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters with the types that the signature declares, defaults filled in.

        A parameter that is or holds a job is left as it is: its value is known only at the claim.

        Raises:
            ParametersError: a value does not fit; one line names the parameter and what was given.
        """
        deferred = frozenset(name for name, value in given.items() if contains_job(value))
        model = self._model(deferred)
        values = {name: value for name, value in given.items() if name not in deferred}
        try:
            valid = model.model_validate(values)
        except ValidationError as error:
            # numpy's integers and arrays are not what pydantic takes for int and list[float].
            try:
                valid = model.model_validate({name: _without_numpy(value) for name, value in values.items()})
            except ValidationError:
                raise ParametersError(f"{self.name}: {_first_error(error)}") from None
        index = {name: f"p{i}" for i, name in enumerate(self._fields)}
        return {
            name: given[name] if name in deferred else getattr(valid, index[name]) for name in self._fields
        }

    def encode(self, values: Mapping[str, Any], job: Callable[[JobRef], int]) -> dict[str, Any]:
        """What the board stores for validated `values`.

        Raises:
            EncodingError: a value cannot be stored; the message names the path to it.
        """
        try:
            return {name: encode(value, name, job) for name, value in values.items()}
        except EncodingError as error:
            raise type(error)(f"{self.name}: parameter {error}") from None

    def restore(self, stored: Mapping[str, Any], job: Callable[[int], Any] | None = None) -> dict[str, Any]:
        """The typed values of what the board stores; `job` gives the results of jobs referred to.

        Raises:
            ParametersError: they no longer fit the signature, say after a change of the code.
        """
        return self.validate(self.bind((), {name: decode(value, job) for name, value in stored.items()}))

    def restore_result(self, stored: Any) -> Any:
        """The workflow's result with the type that its return annotation declares.

        Where the stored value does not fit the annotation, the decoded value is returned as it is: a
        finished simulation is worth more than its annotation.
        """
        value = decode(stored)
        model = self._result_model()
        if model is None or value is None:
            return value
        try:
            return getattr(model.model_validate({"value": value}), "value")  # noqa: B009 (dynamic model)
        except ValidationError:
            return value

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Values from ``name=text`` of a command line or a table: JSON where it fits, else the text itself.

        Raises:
            ParametersError: an unknown name, or no reading of the text fits.
        """
        parsed: dict[str, Any] = {}
        for name, text in texts:
            if name not in self._fields:
                raise ParametersError(self._unknown(name))
            parsed[name] = self._parse_one(name, text)
        return parsed

    def _parse_one(self, name: str, text: str) -> Any:
        model = self._model(frozenset(self._fields) - {name})
        error: ValidationError | None = None
        for value in readings(text, prefer_text=self._fields[name][0] is str):
            try:
                model.model_validate({name: value})
            except ValidationError as problem:
                error = problem
            else:
                return value
        assert error is not None
        raise ParametersError(f"{self.name}: {_first_error(error)}")

    def json_schema(self) -> dict[str, Any]:
        """JSON schema of the parameters, for the catalogue; a type that has none is described as anything."""
        schema: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        for name, (annotation, default) in self._fields.items():
            model = create_model("P", __config__=_CONFIG, p=(annotation, ...))
            try:
                full = model.model_json_schema()
            except PydanticUserError:
                full = {"properties": {"p": {"description": _type_name(annotation)}}}
            entry = {**full["properties"]["p"]}
            entry.pop("title", None)
            if "$defs" in full:
                schema.setdefault("$defs", {}).update(full["$defs"])
            if default is ...:
                schema["required"].append(name)
            else:
                try:
                    entry["default"] = encode(default, name)
                except EncodingError:
                    entry["default"] = str(default)
            schema["properties"][name] = entry
        return schema

    def describe(self) -> list[tuple[str, str, str]]:
        """Name, type and default (or "") of each parameter, for people."""
        return [
            (name, _type_name(annotation), "" if default is ... else repr(default))
            for name, (annotation, default) in self._fields.items()
        ]


def readings(text: str, *, prefer_text: bool = False) -> list[Any]:
    """What a text from a command line may mean: its JSON value, then the text itself."""
    import json

    try:
        value = json.loads(text)
    except ValueError:
        return [text]
    return [text, value] if prefer_text or isinstance(value, str) else [value, text]


def restorable(annotation: Any) -> Any:
    """The annotation, with classes that JSON cannot rebuild wrapped so that their stored form is accepted."""
    if origin := get_origin(annotation):
        args = get_args(annotation)
        if origin is Annotated:
            return Annotated[(restorable(args[0]), *args[1:])]
        if origin in (typing.Literal, Callable) or not args:
            return annotation
        rebuilt = tuple(restorable(arg) for arg in args)
        if rebuilt == args:
            return annotation
        return typing.Union[rebuilt] if _is_union(origin) else origin[rebuilt]  # noqa: UP007
    if not isinstance(annotation, type):
        return annotation
    if annotation.__module__.partition(".")[0] == "numpy" and annotation.__name__ == "ndarray":
        return Annotated[annotation, BeforeValidator(_as_array)]
    for method in ("from_dict", "fromdict"):
        build = getattr(annotation, method, None)
        if callable(build) and not hasattr(annotation, "model_fields"):
            return Annotated[annotation, BeforeValidator(_builder(build))]
    return annotation


def _is_union(origin: Any) -> bool:
    import types

    return origin in (typing.Union, types.UnionType)


def _builder(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: build(value) if isinstance(value, dict) else value


def _as_array(value: Any) -> Any:
    import numpy as np

    return np.asarray(value) if isinstance(value, list | tuple) else value


def _unstorable(annotation: Any) -> str | None:
    """The name of a type that can never be encoded, or None."""
    for part in get_args(annotation):
        if get_origin(annotation) is not typing.Literal and (name := _unstorable(part)):
            return name
    target = get_origin(annotation) or annotation
    if target is Callable or getattr(target, "__name__", "") == "Callable":
        return "function"
    if not isinstance(target, type) or target in (object, type(None)) or _is_union(target):
        return None
    if target is type:
        return "class"
    if target.__module__ in ("io", "_io", "_thread", "threading", "socket", "types", "typing.IO"):
        return f"{target.__module__.lstrip('_')}.{target.__qualname__}"
    return None


def _without_numpy(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_without_numpy(item) for item in value) if type(value) in (list, tuple) else value
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = "".join(f"[{part!r}]" if i else repr(part) for i, part in enumerate(first["loc"]))
    reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if first["type"] == "value_error":
        return f"parameter {where}: {reason}"
    shown = repr(first["input"])
    return f"parameter {where} {reason}, not {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _type_hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DefinitionError(f"workflow {name}: an annotation cannot be resolved: {error}") from None


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type_name(get_args(annotation)[0])
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__name__
    return str(annotation).replace("typing.", "")
