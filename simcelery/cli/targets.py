"""The workflow to submit to: one that can be imported here, or one that only the board knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from simcelery.cli.output import note
from simcelery.errors import ParametersError, SimceleryError, UnknownWorkflowError

if TYPE_CHECKING:
    from simcelery.board.catalogue import Entry
    from simcelery.board.values import NewJob
    from simcelery.submission.options import Options
    from simcelery.workflows.definition import Definition


class Target(Protocol):
    """A workflow to submit to."""

    name: str

    @property
    def required(self) -> list[str]:
        """The names of the parameters without a default."""

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Read values from pairs of name and text."""

    def preparation(self, options: Options) -> Callable[[Mapping[str, Any]], NewJob]:
        """A function that makes a validated job from values; it records nothing."""


class Here:
    """A workflow that can be imported here."""

    def __init__(self, definition: Definition) -> None:
        self.name = definition.name
        self._definition = definition

    @property
    def required(self) -> list[str]:
        """The names of the parameters without a default."""
        return [name for name, _, default in self._definition.parameters.describe() if not default]

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Read values according to the annotations."""
        return self._definition.parameters.parse(texts)

    def preparation(self, options: Options) -> Callable[[Mapping[str, Any]], NewJob]:
        """A function that makes a fully validated job."""
        from simcelery.submission.submit import preparation

        return preparation(self._definition, options)


class OnBoard:
    """A workflow from the board's catalogue: names are checked here, values by the worker."""

    def __init__(self, entry: Entry) -> None:
        self.name = entry.name
        self._entry = entry

    @property
    def required(self) -> list[str]:
        """The names of the parameters without a default."""
        return list(self._entry.parameters.get("required", ()))

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Read a text as JSON if it is JSON and the parameter is not declared as text."""
        from simcelery.workflows.parameters import readings
        from simcelery.workflows.reading import Misread

        about = self._entry.parameters.get("properties", {})
        parsed = {}
        for name, text in texts:
            if name not in about:
                known = ", ".join(about) or "none"
                raise ParametersError(f"{self.name}: there is no parameter {name!r}; it takes: {known}")
            try:
                parsed[name] = readings(text, prefer_text=about[name].get("type") == "string")[0]
            except Misread as error:
                raise ParametersError(f"{self.name}: parameter {name!r}: {error}") from None
        return parsed

    def preparation(self, options: Options) -> Callable[[Mapping[str, Any]], NewJob]:
        """A function that makes a job of which only the parameters' names are validated."""
        from simcelery.submission.by_catalogue import prepare_entry

        return lambda values: prepare_entry(self._entry, values, options)


def here(name: str) -> Target:
    """The workflow of this name, if it can be imported here.

    Raises:
        UnknownWorkflowError: it cannot; the message suggests a name, or says what failed to import.
    """
    from simcelery.settings import get_settings
    from simcelery.workflows import registry

    registry.load(get_settings())
    return Here(registry.get(name))


def find(name: str) -> Target:
    """The workflow of this name, from here or else from the board's catalogue.

    Raises:
        UnknownWorkflowError: it is in neither; the message suggests a name, or says what failed to import.
    """
    from simcelery.settings import get_settings
    from simcelery.workflows import registry

    registry.load(get_settings())
    try:
        return Here(registry.get(name))
    except UnknownWorkflowError:
        entry = _in_catalogue(name)
        if entry is None:
            raise
    note(f"simcelery: {name} cannot be imported here, so its parameters' values will be checked by a worker")
    return OnBoard(entry)


def _in_catalogue(name: str) -> Entry | None:
    from simcelery.board import catalogue, engine

    try:
        with engine.begin() as connection:
            return next((entry for entry in catalogue.read(connection) if entry.name == name), None)
    except SimceleryError:  # the unknown name is what to report
        return None
