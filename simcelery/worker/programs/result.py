"""What a program that has worked leaves on the board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CommandResult:
    """A command that succeeded.

    Attributes:
        exit_code: 0.
        output: the last 200 lines of stdout and stderr together, at most 64 KiB.
        workdir: the folder in which it ran; its complete output is in ``output.txt`` there.
        elapsed: how long it ran, in seconds.
        cpu_seconds: of the command and its processes.
        peak_memory: bytes of its largest process, or of the worker's, if that is larger.
        files: the size in bytes of each file that it was expected to write.
        corrections: how often its input was corrected in this attempt, and it ran again.
        values: what was read from its JSON file; on the board they stand beside the others.
    """

    exit_code: int
    output: str
    workdir: str
    elapsed: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    files: dict[str, int] = field(default_factory=dict)
    corrections: int = 0
    values: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """One of the values, or of what every result has."""
        return self.as_dict()[name]

    def as_dict(self) -> dict[str, Any]:
        """The form of it on the board."""
        own = {name: value for name, value in self.__dict__.items() if name != "values"}
        return self.values | own

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> CommandResult:
        """From its form on the board."""
        own = {name: stored[name] for name in OWN if name in stored}
        return cls(**own, values={name: value for name, value in stored.items() if name not in OWN})


# The names of what every result has.
OWN = frozenset(CommandResult.__dataclass_fields__) - {"values"}
