"""The statements that are more than an expression, one file each, named after what it does.

Parameters are written as ``%(name)s``, as psycopg does. The files in `functions` are installed in the
schema by ``simcelery db upgrade``, so whoever changes one must also add a migration, even if it is empty.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Reader(Protocol):
    """What statements that read need of a transaction, be it of `engine.begin` or of `asking.begin`."""

    def exec_driver_sql(self, statement: str, parameters: Any = None, /) -> Any:
        """The rows of a statement, whose parameters are written as ``%(name)s``."""


@cache
def statement(name: str) -> str:
    """The text of one of the files here, such as ``claim``."""
    return (resources.files(__package__) / f"{name}.sql").read_text(encoding="utf-8")


def execute(connection: Reader, name: str, /, **values: Any) -> Any:
    """Execute one of the files here on an open connection."""
    return connection.exec_driver_sql(statement(name), values)


def function_names() -> list[str]:
    """The functions of the schema."""
    files = (resources.files(__package__) / "functions").iterdir()
    return sorted(file.name.removesuffix(".sql") for file in files if file.name.endswith(".sql"))


def install(connection: Connection, *names: str) -> None:
    """Create or replace functions of the schema: those with these names, or all."""
    folder = resources.files(__package__) / "functions"
    plain = connection.execution_options(no_parameters=True)  # a % in them is one
    # They are as they are now, also where an early migration installs them: what they use may come later.
    plain.exec_driver_sql("SET LOCAL check_function_bodies = off")
    for name in names or function_names():
        plain.exec_driver_sql((folder / f"{name}.sql").read_text(encoding="utf-8"))
