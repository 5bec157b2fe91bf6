"""A command with ``{name}`` where values belong: for ``submit --each T.csv -- solve -T {T}``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simcelery.errors import ParametersError
from simcelery.workflows import places

if TYPE_CHECKING:
    from simcelery.board.values import NewJob
    from simcelery.cli.targets import Target
    from simcelery.submission.options import Options

_WHERE = "the command"


class Template:
    """The workflow `command`, whose parameters are the names within braces, in the command and its files.

    Parameters:
        command: the workflow that runs commands.
        files: the text of each file that it is given, by its name in the folder.
        more: other parameters of the workflow, which have no places.
    """

    def __init__(
        self,
        command: Target,
        argv: Sequence[str],
        files: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = command.name
        self._command = command
        self._argv = argv
        self._files = files or {}
        self._more = more or {}

    @property
    def required(self) -> list[str]:
        """The names within braces, in the order of their first appearance."""
        return places.names([*self._argv, *self._files.values()])

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """The texts as they are: that is how a command takes them."""
        values = dict(texts)
        places.check_used(values, self.required, _WHERE)
        return values

    def preparation(self, options: Options) -> Callable[[Mapping[str, Any]], NewJob]:
        """A function that makes a job of the command with these values in it."""
        prepare = self._command.preparation(options)
        return lambda values: prepare(self.filled(values))

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of the command with these values in it.

        Raises:
            ParametersError: a value is missing, is not used, or cannot be part of a command.
        """
        from simcelery.workflows.encoding import contains_job

        places.check_used(values, self.required, _WHERE)
        for name, value in values.items():
            if contains_job(value):
                raise ParametersError(
                    f"{name}: its value is the result of a job, which cannot be part of {_WHERE}"
                )
        fill = places.filler(values, _WHERE)
        filled: dict[str, Any] = {"argv": [fill(word) for word in self._argv]}
        if self._files:
            filled["files"] = {name: places.filler(values, name)(text) for name, text in self._files.items()}
        return {**filled, **self._more}


def words(argv: Sequence[str]) -> list[str]:
    """The words of a command that runs in another folder: a path such as ``./solve`` becomes absolute."""
    from simcelery.workflows.paths import absolute

    return [absolute(argv[0]) if "/" in argv[0] else argv[0], *argv[1:]]
