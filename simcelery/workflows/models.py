"""Pydantic's models of parameters and results. To make one takes a millisecond or two."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model
from pydantic import Field as Field
from pydantic import ValidationError as ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic.warnings import ArbitraryTypeWarning

from simcelery.errors import EncodingError
from simcelery.readable import short
from simcelery.workflows.encoding import encode
from simcelery.workflows.restoring import restorable

# A dataclass does not check its own fields, so instances are checked here and not first on a worker.
_CONFIG = ConfigDict(
    arbitrary_types_allowed=True, extra="forbid", validate_default=True, revalidate_instances="always"
)
_of_simple: dict[str, type[BaseModel]] = {}


def build(title: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    """A model of fields, each an annotation with its default, or ``...``.

    Raises:
        Exception: of any kind: pydantic's, or of code of the annotations' classes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", ArbitraryTypeWarning)
        model: type[BaseModel] = create_model(title, __config__=_CONFIG, **fields)
        model.model_rebuild()
    return model


def of_value(annotation: Any) -> type[BaseModel]:
    """A model whose one field, ``value``, has this annotation."""
    return build("Result", {"value": (annotation, ...)})


@lru_cache(maxsize=256)
def of_class(cls: type) -> type[BaseModel]:
    """The same for a class that is stored and restored; made once for all workflows that return it."""
    return of_value(restorable(cls))


def of_simple_value(annotation: Any) -> type[BaseModel]:
    """The same for an annotation that `is_simple`; made once for all workflows."""
    name = repr(annotation)  # says all of it; int | str equals str | int, which is another one
    if name not in _of_simple:
        _of_simple[name] = of_value(annotation)
    return _of_simple[name]


def checked(model: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    """Models are stored by the names of their fields; people may also use their aliases."""
    return model.model_validate(values, by_alias=True, by_name=True)


def checked_value(model: type[BaseModel], value: Any) -> Any:
    """A value as one of the annotation of a model `of_value`."""
    return getattr(checked(model, {"value": value}), "value")  # noqa: B009 (mypy knows no fields)


@lru_cache(maxsize=256)  # the same for all values of a type
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model. Not to be changed."""
    full = model.model_json_schema(schema_generator=_Schema)
    # jsonb has no Infinity, which a constraint or an example may hold.
    schema: dict[str, Any] = json.loads(json.dumps(full, default=str), parse_constant=str)
    return schema


class _Schema(GenerateJsonSchema):
    """JSON schema in which a type that has none is described by its name, and any default can be stored."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        cls = schema.get("cls")
        return {"description": cls.__name__} if isinstance(cls, type) else {}

    def encode_default(self, dft: Any) -> Any:
        try:
            return encode(dft, "default")
        except EncodingError:
            return short(dft)
