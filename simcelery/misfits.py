"""What is wrong with a value, in our words: pydantic's are written for those who know pydantic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from simcelery.readable import short

# What pydantic tells of one value: type, loc, msg, input and perhaps ctx.
Details = Mapping[str, Any]

_CLASS = "an instance of {class_name}"
_INTEGER, _NUMBER, _STRING, _BOOLEAN = ("an integer",), ("a number",), ("a string",), ("a boolean",)
_DATE, _MOMENT, _TIME, _DURATION = ("a date",), ("a date and time",), ("a time of day",), ("a duration",)
_URL, _UUID, _DECIMAL, _COMPLEX = ("a URL",), ("a UUID",), ("a decimal number",), ("a complex number",)
_BYTES, _PATH, _FRACTION, _PATTERN = ("bytes",), ("a path",), ("a fraction",), ("a regular expression",)

# By pydantic's type of error, what the value should be: one of these.
_WANTED: dict[str, tuple[str, ...]] = {
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "bytes_type": _BYTES,
    "callable_type": ("callable",),
    "complex_str_parsing": _COMPLEX,
    "complex_type": _COMPLEX,
    "counter_type": ("a Counter",),
    "dataclass_exact_type": (_CLASS,),
    "dataclass_type": ("a dictionary", _CLASS),
    "date_from_datetime_parsing": _DATE,
    "date_parsing": _DATE,
    "date_type": _DATE,
    "datetime_from_date_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_type": _MOMENT,
    "decimal_parsing": _DECIMAL,
    "decimal_type": _DECIMAL,
    "deque_type": ("a deque",),
    "dict_type": ("a dictionary",),
    "ellipsis_error": ("...",),
    "enum": ("{expected}",),
    "finite_number": ("a finite number",),
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "fraction_parsing": _FRACTION,
    "fraction_type": _FRACTION,
    "frozen_dict_type": ("a frozendict",),
    "frozen_set_type": ("a frozenset",),
    "greater_than": ("greater than {gt}",),
    "greater_than_equal": ("at least {ge}",),
    "int_from_float": _INTEGER,
    "int_parsing": _INTEGER,
    "int_type": _INTEGER,
    "invalid_key": _STRING,
    "is_instance_of": ("an instance of {class}",),
    "is_subclass_of": ("a subclass of {class}",),
    "iterable_type": ("iterable",),
    "json_type": ("JSON text",),
    "less_than": ("less than {lt}",),
    "less_than_equal": ("at most {le}",),
    "list_type": ("a list",),
    "literal_error": ("{expected}",),
    "mapping_type": ("a mapping",),
    "missing_sentinel_error": ("the MISSING sentinel",),
    "model_attributes_type": ("a dictionary", "an object with these fields"),
    "model_type": ("a dictionary", _CLASS),
    "multiple_of": ("a multiple of {multiple_of}",),
    "named_tuple_type": ("a tuple", "a list", "a dictionary", _CLASS),
    "none_required": ("None",),
    "ordered_dict_type": ("an OrderedDict",),
    "path_type": _PATH,
    "pattern_bytes_type": _PATTERN,
    "pattern_regex": _PATTERN,
    "pattern_str_type": _PATTERN,
    "pattern_type": _PATTERN,
    "sequence_str": ("a list",),
    "set_type": ("a set",),
    "string_type": _STRING,
    "string_unicode": ("Unicode text",),
    "time_delta_parsing": _DURATION,
    "time_delta_type": _DURATION,
    "time_parsing": _TIME,
    "time_type": _TIME,
    "tuple_type": ("a tuple",),
    "url_parsing": _URL,
    "url_syntax_violation": _URL,
    "url_type": _URL,
    "uuid_parsing": _UUID,
    "uuid_type": _UUID,
    "uuid_version": ("a UUID of version {expected_version}",),
}

_CHECK = "does not pass the check that is declared for it"

# By pydantic's type of error, what is wrong with a value that is of the right type.
_FLAWS = {
    "bytes_invalid_encoding": "is not valid {encoding}: {encoding_error}",
    "bytes_too_long": "is longer than {max_length} byte{s}",
    "bytes_too_short": "is shorter than {min_length} byte{s}",
    "date_from_datetime_inexact": "is not a date, since it has a time of day",
    "date_future": "is not in the future",
    "date_past": "is not in the past",
    "datetime_future": "is not in the future",
    "datetime_past": "is not in the past",
    "decimal_max_digits": "has more than {max_digits} digit{s}",
    "decimal_max_places": "has more than {decimal_places} decimal place{s}",
    "decimal_whole_digits": "has more than {whole_digits} digit{s} before the decimal point",
    "default_factory_not_called": "is not set, since another value that it depends on does not fit",
    "frozen_field": "is in a field that cannot be changed",
    "frozen_instance": "is in an object that cannot be changed",
    "get_attribute_error": "cannot be read: {error}",
    "int_parsing_size": "has too many digits for an integer",
    "iteration_error": "cannot be read item by item: {error}",
    "json_invalid": "is not valid JSON: {error}",
    "multiple_argument_values": "is given twice",
    "needs_python_object": "cannot be read from JSON",
    "no_such_attribute": "has no attribute {attribute}",
    "not_operation_failed": _CHECK,
    "parent_does_not_exist": "is in a directory that does not exist",
    "path_exists": "exists already",
    "path_not_directory": "is not the path of a directory",
    "path_not_file": "is not the path of a file",
    "path_not_socket": "is not the path of a socket",
    "predicate_failed": _CHECK,
    "recursion_depth_exceeded": "is nested too deeply",
    "recursion_loop": "contains itself",
    "set_item_not_hashable": "cannot be an item of a set",
    "string_not_ascii": "has characters that are not ASCII",
    "string_pattern_mismatch": "does not match the pattern '{pattern}'",
    "string_too_long": "is longer than {max_length} character{s}",
    "string_too_short": "is shorter than {min_length} character{s}",
    "timezone_aware": "has no time zone, and needs one",
    "timezone_naive": "has a time zone, and must not have one",
    "timezone_offset": "has a time zone that is not {tz_expected} s from UTC",
    "too_long": "has more than {max_length} item{s}",
    "too_short": "has fewer than {min_length} item{s}",
    "union_tag_invalid": "has {tag!r} as its {discriminator}, and not one of {expected_tags}",
    "union_tag_not_found": "has no {discriminator}, which says of what type it is",
    "url_scheme": "does not begin with {expected_schemes}",
    "url_too_long": "is longer than {max_length} character{s}",
}

# Something is left out, or is there and means nothing: its place says all.
MISSING = {
    *("missing", "missing_argument", "missing_keyword_only_argument", "missing_positional_only_argument"),
}
UNEXPECTED = {"extra_forbidden", "unexpected_keyword_argument", "unexpected_positional_argument"}

_COUNTS = ("min_length", "max_length", "max_digits", "decimal_places", "whole_digits")


def wanted(error: Details) -> tuple[str, ...]:
    """What the value should be: one of these. None where it is of the right type and wrong in another way."""
    if _is_too_large(error):
        return ()
    return tuple(_filled(each, error) for each in _WANTED.get(error["type"], ()))


def misfit(error: Details, value: str | None = None) -> str:
    """What is wrong with the value, in a sentence that says which it is.

    Parameters:
        value: what to call it; by default it is shown.
    """
    value = short(error["input"]) if value is None else value
    kind = error["type"]
    if _is_too_large(error):
        return f"{value} is too large for a number of double precision"
    if kind in ("value_error", "assertion_error"):
        return _said_by_a_validator(error, value)
    if nouns := wanted(error):
        return f"{value} {is_none_of(nouns)}{_reason(error)}"
    if kind in _FLAWS:
        return f"{value} {_filled(_FLAWS[kind], error)}"
    return _in_words_of_others(error, value)


def is_none_of(nouns: Sequence[str]) -> str:
    """``is not an integer``, or ``is neither an integer nor a list``."""
    if len(nouns) == 1:
        return f"is not {nouns[0]}"
    return f"is neither {', '.join(nouns[:-1])} nor {nouns[-1]}"


def _is_too_large(error: Details) -> bool:
    given = error.get("input")
    return error["type"] == "float_type" and isinstance(given, int) and not isinstance(given, bool)


def _filled(words: str, error: Details) -> str:
    """The words with what pydantic tells; what it does not tell, in another release, stays open."""
    told = defaultdict(lambda: "…", {name: _plain(value) for name, value in error.get("ctx", {}).items()})
    told["s"] = "" if 1 in (told[name] for name in _COUNTS if name in told) else "s"
    return " ".join(words.format_map(told).split())


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _reason(error: Details) -> str:
    said = error.get("ctx", {}).get("error")
    return f" ({said})" if said else ""


def _said_by_a_validator(error: Details, value: str) -> str:
    """Its own words, and the value where they do not show it."""
    said = _message(error).removeprefix("Value error,").removeprefix("Assertion failed,").strip()
    if not said:
        return f"{value} is refused by its validator"
    return said if value in said else f"{said} (given {value})"


def _in_words_of_others(error: Details, value: str) -> str:
    said = _message(error)
    for subject in ("Input ", "value "):
        if said.startswith(subject):
            return f"{value} {said.removeprefix(subject)}"
    return f"{value} is refused: {said}"


def _message(error: Details) -> str:
    return " ".join(str(error["msg"]).split())
