"""Annotations of which everything is known without asking pydantic: plain values, and containers of them.

They can be stored, they come back as what they were, and a model can be made of them. So nothing has to be
made when a workflow is defined, and what is made when it is used serves all workflows.
"""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any, get_args, get_origin

_PLAIN = (
    Any,
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    None,
    type(None),
    Path,
    list,
    dict,
    tuple,
    set,
    frozenset,
)
_OF_ONE = (list, set, frozenset)
_WORDS = (str, int, bool, type(None))


def is_simple(annotation: Any) -> bool:
    """Whether it is one of these. Another one may be as plain, but is not known to be."""
    if any(annotation is one for one in _PLAIN):
        return True
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return all(map(is_simple, args))
    if origin is typing.Literal:
        return bool(args) and all(type(one) in _WORDS for one in args)
    if origin in _OF_ONE:
        return len(args) == 1 and is_simple(args[0])
    if origin is dict:
        return len(args) == 2 and all(map(is_simple, args))
    if origin is tuple:
        return all(map(is_simple, args[:1] if args[1:] == (...,) else args))
    return False
