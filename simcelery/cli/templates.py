"""A command with ``{name}`` where values belong: for ``submit --each T.csv -- solve -T {T}``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simcelery.errors import ParametersError
from simcelery.workflows import jinja, places

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
        templates: the names of those that are in Jinja2; the others have names within braces, too.
        more: other parameters of the workflow, which have no places.
    """

    def __init__(
        self,
        command: Target,
        argv: Sequence[str],
        files: Mapping[str, str] | None = None,
        templates: Collection[str] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = command.name
        self._command = command
        self._argv = argv
        self._files = files or {}
        self._templates = templates
        self._more = more or {}

    @property
    def required(self) -> list[str]:
        """The names within braces, in the order of their first appearance."""
        plain = (text for name, text in self._files.items() if name not in self._templates)
        return places.names([*self._argv, *plain])

    def _check_used(self, values: Iterable[str]) -> None:
        texts = ((self._files[name], name) for name in self._templates)
        optional = (name for text, where in texts for name in jinja.names(text, where))
        places.check_used(values, {*self.required, *optional}, _WHERE)

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
        from simcelery.workflows.encoding import contains_job

        self._check_used(values)
        for name, value in values.items():
            if contains_job(value):
                raise ParametersError(
                    f"{name}: its value is the result of a job, which cannot be part of {_WHERE}"
                )
        fill = places.filler(values, _WHERE)
        filled: dict[str, Any] = {"argv": [fill(word) for word in self._argv]}
        if self._files:
            filled["files"] = {name: self._file(name, text, values) for name, text in self._files.items()}
        return {**filled, **self._more}

    def _file(self, name: str, text: str, values: Mapping[str, Any]) -> str:
        if name not in self._templates:
            return places.filler(values, name)(text)
        return jinja.rendered(text, {key: jinja.as_number(value) for key, value in values.items()}, name)


def words(argv: Sequence[str]) -> list[str]:
    """The words of a command that runs in another folder: a path such as ``./solve`` becomes absolute."""
    from simcelery.workflows.paths import absolute

    return [absolute(argv[0]) if "/" in argv[0] else argv[0], *argv[1:]]
