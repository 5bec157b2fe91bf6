"""Templates in Jinja2: texts with conditions and loops, for input files whose names end in ``.j2``.

A name without a value is an error, and a template reaches nothing but the values that it is given: it runs
in Jinja's sandbox, and includes no other files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from simcelery.errors import ParametersError, UsageError
from simcelery.readable import line

if TYPE_CHECKING:
    from jinja2 import Environment

ENDING = ".j2"

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def is_template(path: object) -> bool:
    """Whether a file is one, by its name."""
    return isinstance(path, str | os.PathLike) and os.fspath(path).endswith(ENDING)


def names(text: str, where: str) -> frozenset[str]:
    """The names that a template may take values of.

    Raises:
        UsageError: it is no template, or Jinja2 is not installed.
    """
    environment = _environment()
    from jinja2 import TemplateSyntaxError, meta

    try:
        return frozenset(meta.find_undeclared_variables(environment.parse(text)))
    except TemplateSyntaxError as error:
        raise UsageError(f"{where}, line {error.lineno}: {line(error.message)}") from None


def rendered(text: str, values: Mapping[str, Any], where: str) -> str:
    """The text with the values in it.

    Raises:
        ParametersError: one is missing, or cannot be used so.
        UsageError: as `names`.
    """
    names(text, where)
    from jinja2 import UndefinedError

    try:
        return _environment().from_string(text).render(values)
    except UndefinedError as error:
        given = line(", ".join(map(str, values))) or "none"
        raise ParametersError(f"{where}: {line(error.message)} (given: {given})") from None
    except Exception as error:  # whatever a template may do with the values
        raise ParametersError(f"{where}: {type(error).__name__}: {line(error)}") from None


def as_number(value: Any) -> Any:
    """A text that is a number as one to compute with, which is written as the text has it."""
    if not isinstance(value, str):
        return value
    if _INTEGER.fullmatch(value):
        return _Integer(value)
    return _Float(value) if _NUMBER.fullmatch(value) else value


class _Integer(int):
    def __new__(cls, text: str) -> _Integer:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str

    def __str__(self) -> str:
        return self.text


class _Float(float):
    def __new__(cls, text: str) -> _Float:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str

    def __str__(self) -> str:
        return self.text


@cache
def _environment() -> Environment:
    try:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise UsageError(
            f"files that end in {ENDING} are templates in Jinja2: pip install 'simcelery[jinja]'"
        ) from None
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
