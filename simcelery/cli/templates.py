"""A command with ``{name}`` where values belong: for ``submit --each T.csv -- solve -T {T}``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simcelery.errors import ParametersError
from simcelery.readable import line, short

if TYPE_CHECKING:
    from simcelery.board.values import NewJob
    from simcelery.cli.targets import Target
    from simcelery.submission.options import Options

# {{name}} stands for the text {name}; other braces, as in ${HOME} and awk '{print $1}', for themselves.
_PLACE = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|(?<!\$)\{([A-Za-z_]\w*)\}", re.ASCII)


class Template:
    """The workflow `command`, whose parameters are the names within a command's braces.

    Parameters:
        command: the workflow that runs commands.
    """

    def __init__(self, command: Target, argv: Sequence[str]) -> None:
        self.name = command.name
        self._command = command
        self._argv = argv

    @property
    def required(self) -> list[str]:
        """The names within braces, in the order of their first appearance."""
        found = (match[2] for word in self._argv for match in _PLACE.finditer(word))
        return list(dict.fromkeys(filter(None, found)))

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """The texts as they are: that is how a command takes them."""
        values = dict(texts)
        self._check_used(values)
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
        self._check_used(values)
        for name in self.required:
            if name not in values:
                known = line(", ".join(values)) or "none"
                raise ParametersError(
                    f"the command has {{{name}}}, but there is no value of that name (only: {known}); "
                    f"for these characters themselves write {{{{{name}}}}}"
                )
        texts = {name: _text(name, value) for name, value in values.items()}
        argv = [
            _PLACE.sub(lambda match: texts[match[2]] if match[2] else f"{{{match[1]}}}", word)
            for word in self._argv
        ]
        return {"argv": argv}

    def _check_used(self, names: Iterable[str]) -> None:
        """A value that goes nowhere would make jobs that look different and are not."""
        for name in names:
            if name not in self.required:
                raise ParametersError(
                    f"nothing in the command takes {short(name)}: write this name in braces where the value "
                    "belongs, or leave the value out"
                )


def words(argv: Sequence[str]) -> list[str]:
    """The words of a command that runs in another folder: a path such as ``./solve`` becomes absolute."""
    from simcelery.workflows.paths import absolute

    return [absolute(argv[0]) if "/" in argv[0] else argv[0], *argv[1:]]


def _text(name: str, value: Any) -> str:
    from simcelery.workflows.encoding import contains_job

    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)  # a number as the file has it, and true or false
    if contains_job(value):
        what = "the result of a job"
    else:
        what = "empty" if value is None else "neither text nor a number"
    raise ParametersError(f"{name}: its value is {what}, which cannot be part of a command")
