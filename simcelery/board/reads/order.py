"""The order of a workflow's parameters, which jsonb does not keep."""

from __future__ import annotations

from typing import Any

# Beside the properties of a schema in the catalogue: an array with the order of the signature.
ORDER = "propertyOrder"


def ordered(values: Any, names: Any) -> Any:
    """The values by name, those listed in the names first; anything else is returned unchanged."""
    if not (isinstance(values, dict) and isinstance(names, list)):
        return values
    return {name: values[name] for name in names if isinstance(name, str) and name in values} | values
