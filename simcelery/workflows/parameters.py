"""A workflow's parameters: validated against its signature, encoded for the board, restored from it."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from simcelery.errors import DefinitionError, EncodingError, ParametersError
from simcelery.misfits import Details
from simcelery.readable import short
from simcelery.workflows.annotations import one_line, type_name
from simcelery.workflows.encoding import JobRef, check_size, contains_job, decode, encode
from simcelery.workflows.late import Late
from simcelery.workflows.misplaced import certain, missing_parameters, one_misfit, unknown_parameter
from simcelery.workflows.paths import Finder
from simcelery.workflows.reading import Misread, is_word, misread, strict
from simcelery.workflows.restoring import restorable
from simcelery.workflows.sameness import difference
from simcelery.workflows.simple import is_simple
from simcelery.workflows.storable import is_open, is_plain_data, unstorable

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from simcelery.workflows import models
else:
    # A third of what a client loads. Simple parameters need none of it: see `simple` and `submission.plain`.
    models = Late("simcelery.workflows.models")

T = TypeVar("T")

_SETTLED = (Any, bool, int, float, str, type(None))
_INSTEAD = "declare its class, or pass plain data"


class _OwnTypedDict(typing.TypedDict):
    """Python's own, which pydantic takes from 3.12 on."""


class Parameters:
    """The parameters of one function.

    Parameters:
        name: the workflow's name, for messages.
        function: its signature says which parameters there are.

    Raises:
        DefinitionError: a parameter is unannotated or variadic, or it or the result is of a type that cannot
            be stored.
    """

    # Whether a result of a class that nothing declares may come back as the plain data it consists of.
    consists = True

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        try:
            self.signature = inspect.signature(function)
        except (TypeError, ValueError):
            raise DefinitionError(
                f"workflow {name}: {function!r} has no signature that Python can read; call it from a "
                "function of your own"
            ) from None
        hints = _type_hints(name, function)
        self._fields: dict[str, tuple[Any, Any]] = {}
        for parameter in self.signature.parameters.values():
            self._fields[parameter.name] = self._field(parameter, hints)
        self._declared = hints.get("return", Any)
        self._returns = self._returned(self._declared)
        self._model = cache(self._build_model)
        # Of those that are not simple only the model shows whether it can be made: they are refused here.
        self._complex = [name for name, (annotation, _) in self._fields.items() if not is_simple(annotation)]
        if self._complex:
            self._model(frozenset())
        if not is_simple(self._returns):
            _ = self._result_model

    @cached_property
    def _open(self) -> dict[str, bool]:
        return self._of_each(is_open)

    @cached_property
    def _plain(self) -> dict[str, bool]:
        return self._of_each(is_plain_data)

    @cached_property
    def _settled(self) -> dict[str, bool]:
        return self._of_each(_is_settled)

    def _of_each(self, ask: Callable[[Any], T]) -> dict[str, T]:
        return {name: ask(annotation) for name, (annotation, _) in self._fields.items()}

    @cached_property
    def _places(self) -> list[str]:
        """The names of those that may be given by their positions."""
        return [p.name for p in self.signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]

    @cached_property
    def _with_absolute_paths(self) -> Finder:
        return Finder(self.json_schema())

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
            if parameter.name in ("self", "cls"):
                raise DefinitionError(
                    f"workflow {self.name}: a method cannot be a workflow; write a function that takes what "
                    "it needs as parameters"
                )
            raise DefinitionError(
                f"workflow {self.name}: parameter {parameter.name!r} has no annotation; add one, such as "
                f"{parameter.name}: float (Any accepts whatever can be stored)"
            )
        annotation = self._storable(hints[parameter.name], f"parameter {parameter.name!r}", "take plain data")
        default = ... if parameter.default is parameter.empty else parameter.default
        if _is_pydantic_field(default):
            raise DefinitionError(
                f"workflow {self.name}: parameter {parameter.name!r} has a pydantic Field as its default; "
                f"write {parameter.name}: Annotated[…, Field(…)] = default"
            )
        if default is None:
            annotation = typing.Optional[annotation]  # noqa: UP045 (x: float = None means float | None)
        return annotation, default

    def _returned(self, annotation: Any) -> Any:
        if annotation in (typing.NoReturn, typing.Never) or _unknown_to_pydantic(annotation):
            return Any
        return self._storable(annotation, "its result", "return plain data or the path of a file")

    def _storable(self, annotation: Any, what: str, instead: str) -> Any:
        if is_simple(annotation):
            return annotation
        if (kind := unstorable(annotation)) is not None:
            raise DefinitionError(
                f"workflow {self.name}: {what} is a {kind}, which cannot be stored on the board; {instead}, "
                "or give the class as_dict() and from_dict()"
            )
        return restorable(annotation)

    def _build_model(self, without: frozenset[str]) -> type[BaseModel]:
        fields: dict[str, Any] = {
            _field_name(name): (annotation, models.Field(default, alias=name))
            for name, (annotation, default) in self._fields.items()
            if name not in without
        }
        return self._made(lambda: models.build(self.name, fields))

    @cached_property
    def _result_model(self) -> type[BaseModel]:
        if is_simple(self._returns):
            return models.of_simple_value(self._returns)
        if isinstance(self._declared, type):
            declared = self._declared
            return self._made(lambda: models.of_class(declared))
        return self._made(lambda: models.of_value(self._returns))

    def _made(self, make: Callable[[], type[BaseModel]]) -> type[BaseModel]:
        try:
            return make()
        except Exception as error:  # pydantic, and code of the annotations' classes
            reason = str(getattr(error, "message", "")).partition("\n")[0] or one_line(error)
            raise DefinitionError(f"workflow {self.name}: an annotation cannot be used: {reason}") from None

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Positional and named values as one dictionary; defaults are left out.

        Raises:
            ParametersError: too many, too few or unknown parameters.
        """
        places = self._places
        if len(args) > len(places):
            by_name = "" if len(places) == len(self._fields) else " without their names"
            takes = f"{len(places)} parameter{'' if len(places) == 1 else 's'}{by_name}"
            raise ParametersError(
                f"{self.name} takes {takes}, not {len(args)}; it takes: {', '.join(self._fields) or 'none'}"
            )
        given = dict(zip(places, args, strict=False))
        for name in kwargs:
            if name in given:
                raise ParametersError(f"{self.name}: parameter {name!r} is given twice")
            if name not in self._fields:
                raise ParametersError(unknown_parameter(self.name, name, self._fields))
        given.update(kwargs)
        missing = [n for n, (_, default) in self._fields.items() if default is ... and n not in given]
        if missing:
            raise ParametersError(missing_parameters(self.name, missing))
        return given

    def validate(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters with the types that the signature declares, defaults filled in.

        A parameter that is or holds a job is left as it is: its value is known only at the claim. `encode`
        looks at the rest of it.

        Raises:
            ParametersError: a value does not fit; one line names the parameter and what was given.
        """
        deferred = frozenset(name for name, value in given.items() if self._waits(name, value))
        model = self._model(deferred)
        values = {name: value for name, value in given.items() if name not in deferred}
        try:
            valid = models.checked(model, values)
        except models.ValidationError as error:
            # numpy's integers and arrays are not what pydantic takes for int and list[float].
            bad = {str(one["loc"][0]) for one in error.errors(include_url=False)}
            plain = {name: _without_numpy(value) if name in bad else value for name, value in values.items()}
            try:
                valid = models.checked(model, plain)
            except models.ValidationError as other:
                deeper = len(other.errors()[0]["loc"]) > len(error.errors()[0]["loc"])
                found, within = (other, plain) if deeper else (error, values)
                raise ParametersError(f"{self.name}: {self._first_error(found, within)}") from None
        except Exception as error:  # a validator or from_dict() of the user's own
            raise ParametersError(f"{self.name}: a parameter cannot be read: {one_line(error)}") from error
        for name, value in values.items():
            if said := misread(value, getattr(valid, _field_name(name))):
                raise ParametersError(f"{self.name}: parameter {name!r}: {said}")
        return {
            name: given[name] if name in deferred else getattr(valid, _field_name(name))
            for name in self._fields
        }

    def _waits(self, name: str, value: Any) -> bool:
        try:
            return contains_job(value)
        except EncodingError as error:
            raise EncodingError(f"{self.name}: parameter {name}: {error}") from None

    def encode(
        self, values: Mapping[str, Any], job: Callable[[JobRef], int], limit: float = math.inf
    ) -> dict[str, Any]:
        """What the board stores for validated `values`. Paths of what exists here become absolute.

        Raises:
            EncodingError: a value cannot be stored; the message names the path to it.
            ParametersError: what lies beside a job in a parameter does not fit.
        """
        try:
            encoded = {name: encode(value, name, job, limit=limit) for name, value in values.items()}
            if changed := self._changed(values, encoded):
                for name in changed:
                    encoded[name] = encode(values[name], name, job, limit=limit, exact=True)
                for said in self._changed(values, encoded).values():
                    raise EncodingError(f"{said}; {_INSTEAD}")
        except EncodingError as error:
            raise type(error)(f"{self.name}: parameter {error}") from None
        for name, value in values.items():
            if not isinstance(value, JobRef) and contains_job(value):
                self._check_beside_jobs(name, encoded[name])
        return self._with_absolute_paths(encoded)

    def encode_some(
        self, given: Mapping[str, Any], job: Callable[[JobRef], int], limit: float = math.inf
    ) -> dict[str, Any]:
        """What the board stores for some of the parameters, validated; nothing is known of the others.

        Raises:
            ParametersError, EncodingError: as `bind`, `validate` and `encode`.
        """
        others = JobRef()  # what waits for a job is left as it is
        values = self.validate(self.bind((), dict.fromkeys(self._fields, others) | dict(given)))
        encoded = self.encode(values, lambda ref: 0 if ref is others else job(ref), limit)
        return {name: encoded[name] for name in given}

    def _check_beside_jobs(self, name: str, encoded: Any) -> None:
        """Refuse at the submission what would be refused at the claim, whatever results the jobs have."""
        value = decode(encoded, job=lambda _: JobRef())
        if found := certain(value, self.misfits(name, value)):
            raise ParametersError(f"{self.name}: {one_misfit(name, value, found)}")

    def misfits(self, name: str, value: Any) -> list[Details]:
        """What is wrong with a value of a parameter of plain data, which no code of the user's own reads.

        Of other parameters, nothing is known: such code may make anything of a job's result.
        """
        if self._plain[name]:
            try:
                models.checked(self._model(frozenset(self._fields) - {name}), {name: value})
            except models.ValidationError as error:
                return [*error.errors(include_url=False)]
        return []

    def _changed(self, values: Mapping[str, Any], encoded: Mapping[str, Any]) -> dict[str, str]:
        """What would come back as something else, and how; those that wait for jobs are not known yet."""
        deferred = frozenset(name for name, value in values.items() if contains_job(value))
        known = [name for name in values if name not in deferred]
        unsettled = [name for name in known if not (_is_plain(values[name]) and self._settled[name])]
        if not unsettled:
            return {}
        try:
            read = models.checked(self._model(deferred), {name: decode(encoded[name]) for name in known})
        except models.ValidationError as error:
            name = next(name for name in known if error.errors()[0]["loc"][0] in (name, _field_name(name)))
            return {name: f"{name} cannot be read back: {self._first_error(error, values)}"}
        except Exception as error:  # a validator or from_dict() of the user's own
            return {unsettled[0]: f"{unsettled[0]} cannot be read back: {one_line(error)}"}
        found = {}
        for name in unsettled:
            back = getattr(read, _field_name(name))
            if said := difference(values[name], back, name, open=self._open[name]):
                found[name] = said
        return found

    def encode_result(self, value: Any, limit: int) -> Any:
        """What the board stores for the workflow's result, such that `restore_result` gives it back.

        Where nothing says of what type it is, a result of a class is stored as what it consists of.

        Raises:
            EncodingError: it cannot be stored, or would come back as something else.
            PayloadTooLargeError: it is larger than `limit`.
        """
        what = f"{self.name}: result"
        if isinstance(value, Iterator) and _is_list(self._returns):
            value = list(value)
        plain = None
        for exactly in (False, True):
            encoded = encode(value, what, limit=limit, exact=exactly)
            check_size(encoded, what, limit)
            changed = self._changed_result(value, encoded)
            if changed is None:
                return encoded
            plain = encoded if plain is None else plain
        if (
            self.consists
            and is_open(self._returns)
            and self._changed_result(value, plain, consists=True) is None
        ):
            return plain
        raise EncodingError(f"{changed}; {_INSTEAD}")

    def _changed_result(self, value: Any, encoded: Any, *, consists: bool = False) -> str | None:
        if _is_plain(value):
            return None
        declared, fits = value, True
        try:
            declared = models.checked_value(self._result_model, value)
        except Exception:
            fits = False  # it is given as it is
        open = not fits or is_open(self._returns)
        back = self.restore_result(encoded)
        return difference(
            declared,
            back,
            f"{self.name}: result",
            open=open,
            consists=consists or (self.consists and not fits),
        )

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
        if value is None:
            return value
        try:
            return models.checked_value(self._result_model, value)
        except Exception:  # pydantic's, or of a from_dict() that has changed
            return value

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Values from ``name=text`` of a command line or a table: JSON where it fits, else the text itself.

        Raises:
            ParametersError: an unknown name, or no reading of the text fits.
        """
        parsed: dict[str, Any] = {}
        for name, text in texts:
            if name not in self._fields:
                raise ParametersError(unknown_parameter(self.name, name, self._fields))
            parsed[name] = self._parse_one(name, text)
        return parsed

    def _parse_one(self, name: str, text: str) -> Any:
        model = self._model(frozenset(self._fields) - {name})
        problems: list[str] = []
        try:
            meanings = readings(text, prefer_text=self._fields[name][0] is str)
        except Misread as error:
            raise ParametersError(f"{self.name}: parameter {name!r}: {error}") from None
        if is_word(text):
            meanings.append(float(text))
        for value in meanings:
            try:
                valid = getattr(models.checked(model, {name: value}), _field_name(name))
            except models.ValidationError as error:
                problems.append(self._first_error(error, {name: value}))
            except Exception as error:  # a validator or from_dict() of the user's own
                problems.append(f"parameter {name!r} cannot be read: {one_line(error)}")
            else:
                if (said := misread(value, valid)) is None:
                    return value
                problems.append(f"parameter {name!r}: {said}")
        raise ParametersError(f"{self.name}: {problems[0]}")

    def _first_error(self, error: ValidationError, given: Mapping[str, Any]) -> str:
        """One line: which parameter, what was given, and what is wrong with it."""
        errors = error.errors(include_url=False)
        found = errors[0]["loc"][0]
        name = next((name for name in self._fields if found in (name, _field_name(name))), "?")
        return one_misfit(name, given.get(name), [one for one in errors if one["loc"][0] == found])

    def json_schema(self) -> dict[str, Any]:
        """JSON schema of the parameters, for the catalogue; a type that has none is described as anything."""
        found, defs = self._schemas()
        required = [name for name, (_, default) in self._fields.items() if default is ...]
        properties: dict[str, Any] = {
            name: {key: found[name][key] for key in found[name] if key not in ("title", "default")}
            for name in self._fields
        }
        for name, default in self._stored_defaults(frozenset(required)).items():
            properties[name]["default"] = default
        return {"type": "object", "properties": properties, "required": required, **defs}

    def _schemas(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The schema of each parameter, and the definitions that they refer to."""
        if not self._complex:
            return self._of_each(_simple_schema), {}
        try:
            schema = models.schema_of(self._model(frozenset()))
        except Exception:  # a class may describe itself in a way that fails
            return {name: {"description": kind} for name, kind, _ in self.describe()}, {}
        return schema["properties"], {name: schema[name] for name in ("$defs",) if name in schema}

    def returns_schema(self) -> dict[str, Any] | None:
        """JSON schema of the result, for the catalogue; None: its type has none."""
        try:
            schema = models.schema_of(self._result_model)
        except Exception:  # as above
            return None
        return {**schema["properties"]["value"], "$defs": schema.get("$defs", {})}

    def _stored_defaults(self, required: frozenset[str]) -> dict[str, Any]:
        """What the board stores for the parameters that are not given."""
        simple = self._fields.keys() - required - set(self._complex)
        found = {name: self._stored_default(name, self._simple_default) for name in simple}
        others = [name for name in self._complex if name not in required]
        with contextlib.suppress(Exception):  # one does not fit: the others do
            together = (
                models.checked(self._model(frozenset(self._fields) - set(others)), {}) if others else None
            )
            return found | {name: _stored(getattr(together, _field_name(name)), name) for name in others}
        return found | {name: self._stored_default(name, self._complex_default) for name in others}

    def _stored_default(self, name: str, read: Callable[[str], Any]) -> Any:
        default = self._fields[name][1]
        with contextlib.suppress(Exception):  # where it does not fit, a submission says so
            default = read(name)
        return _stored(default, name)

    def _simple_default(self, name: str) -> Any:
        annotation, default = self._fields[name]
        return models.checked_value(models.of_simple_value(annotation), default)

    def _complex_default(self, name: str) -> Any:
        return getattr(models.checked(self._model(frozenset(self._fields) - {name}), {}), _field_name(name))

    def describe(self) -> list[tuple[str, str, str]]:
        """Name, type and default (or "") of each parameter, for people."""
        return [
            (name, type_name(annotation), "" if default is ... else short(default))
            for name, (annotation, default) in self._fields.items()
        ]


def _simple_schema(annotation: Any) -> dict[str, Any]:
    schema: dict[str, Any] = models.schema_of(models.of_simple_value(annotation))["properties"]["value"]
    return schema


def _stored(default: Any, name: str) -> Any:
    try:
        return encode(default, name)
    except EncodingError:
        return short(default)


def _field_name(name: str) -> str:
    # No parameter can be called so, and neither is an attribute of BaseModel.
    return f"parameter {name}"


def readings(text: str, *, prefer_text: bool = False) -> list[Any]:
    """What a text from a command line may mean: its JSON value, then the text itself.

    Raises:
        Misread: as `reading.strict`, where text alone is not wanted.
    """
    try:
        value = strict(text)
    except Misread:
        if prefer_text:
            return [text]
        raise
    except ValueError:
        return [text]
    return [text, value] if prefer_text or isinstance(value, str) else [value, text]


def _without_numpy(value: Any) -> Any:
    if type(value) is dict:
        return {_without_numpy(key): _without_numpy(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(_without_numpy(item) for item in value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value


def _is_plain(value: Any) -> bool:
    """Whether it is stored as it is, and nothing can be read into it but itself."""
    kind = type(value)
    return value is None or kind is bool or kind is int or kind is float


def _is_settled(annotation: Any) -> bool:
    """Whether a plain value is read as nothing but itself: no code of the user's own has a say."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    parts = typing.get_args(annotation) if union else (annotation,)
    return all(any(part is one for one in _SETTLED) for part in parts)


def _is_list(annotation: Any) -> bool:
    return annotation is list or typing.get_origin(annotation) is list


def _is_pydantic_field(default: Any) -> bool:
    fields = sys.modules.get("pydantic.fields")  # whoever has made one has loaded it
    return fields is not None and isinstance(default, fields.FieldInfo)


def _unknown_to_pydantic(annotation: Any) -> bool:
    return sys.version_info < (3, 12) and type(annotation) is type(_OwnTypedDict)


def _type_hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # annotations are code: they fail in any way
        raise DefinitionError(
            f"workflow {name}: an annotation cannot be resolved: {one_line(error)}; import or define its "
            "types at the top of the module, not under TYPE_CHECKING"
        ) from None
