"""What is to be run: a program, its input, and how to tell whether it has worked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simcelery.worker.programs import restarting
from simcelery.worker.programs.handlers import NUMERICS, check_handlers
from simcelery.workflows.paths import inside


@dataclass(frozen=True)
class Program:
    """The arguments of `run_command`.

    Raises:
        ValueError: a file's name leads out of the folder, or a handler cannot be used.
    """

    argv: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    expect: Sequence[str] = ()
    ok: str | None = None
    json: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    keep_urls: bool = False
    handlers: Sequence[Any] = ()
    max_corrections: int = 5
    allow: Collection[str] = NUMERICS
    restart: Sequence[str] = ()
    stop_file: str | None = None
    stop_text: str = ""

    def __post_init__(self) -> None:
        for name in [*self.files, *self.expect, *filter(None, [self.stdin, self.json, self.stop_file])]:
            inside(name)
        check_handlers(self.handlers)
        restarting.parsed(self.restart)

    @property
    def wanted(self) -> list[str]:
        """The files that it has to write."""
        return [*self.expect, *([self.json] if self.json and self.json not in self.expect else [])]
