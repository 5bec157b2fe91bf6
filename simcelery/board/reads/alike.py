"""Which errors are of one kind: those that differ only in paths, addresses and numbers."""

from __future__ import annotations

# Longer messages, and further lines of them, tell no two errors apart.
_MESSAGE = 200
# What differs between two failures of the same kind: paths; then addresses, UUIDs and numbers.
_PATHS = r"""(^|[\s'"(=:,])[.~]{0,2}(/[[:alnum:]_.~+@%-]+){2,}/?"""
_NUMBERS = r"0x[0-9a-f]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?"


def kind_of_error(table: str) -> tuple[str, str]:
    """The type of an error, and its message without what differs from job to job, as SQL.

    Parameters:
        table: which has error_type, error_message and state.
    """
    message = f"left(split_part(coalesce({table}.error_message, ''), E'\\n', 1), {_MESSAGE})"
    message = f"regexp_replace({message}, {_quoted(_PATHS)}, '\\1<path>', 'g')"
    message = f"regexp_replace({message}, {_quoted(_NUMBERS)}, '#', 'gi')"
    return f"coalesce({table}.error_type, {table}.state)", message


def _quoted(text: str) -> str:
    """A text as SQL, for the driver."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
