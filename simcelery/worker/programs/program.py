"""What is to be run: a program, its input, and how to tell whether it has worked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

from simcelery.execution import environment_modules
from simcelery.worker.programs import restarting
from simcelery.worker.programs.handlers import NUMERICS, Changes, check_handlers
from simcelery.workflows.paths import inside


@dataclass(frozen=True)
class Program:
    """The arguments of `run_command`, which says what they mean.

    Raises:
        ValueError: there is no program, a file's name leads out of the folder, or a handler cannot be used.
    """

    argv: Sequence[str]
    _: KW_ONLY
    files: Mapping[str, str] | None = None
    stdin: str | None = None
    expect: Sequence[str] = ()
    ok: str | None = None
    json: str | None = None
    env: Mapping[str, str] | None = None
    keep_urls: bool = False
    handlers: Sequence[Any] = ()
    max_corrections: int = 5
    allow: Collection[Changes] = NUMERICS
    restart: Sequence[str] = ()
    stop_file: str | None = None
    stop_text: str = ""
    modules: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.argv, str) or not self.argv:
            raise ValueError("argv has to be a list: the program and its arguments")
        for name in [
            *(self.files or ()),
            *self.expect,
            *filter(None, [self.stdin, self.json, self.stop_file]),
        ]:
            inside(name)
        if isinstance(self.modules, str):
            raise ValueError("modules has to be a list: the names of environment modules")
        for name in self.modules:
            environment_modules.named(name)
        check_handlers(self.handlers)
        restarting.parsed(self.restart)

    @property
    def wanted(self) -> list[str]:
        """The files that it has to write."""
        return [*self.expect, *([self.json] if self.json and self.json not in self.expect else [])]


# What `code` takes as well: it has names of its own for the files.
COMMON = frozenset(one.name for one in fields(Program)) - {"argv", "files", "expect", "allow"}
