"""What a submission goes to: a workflow that can be imported here, or one that only the board knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from simcelery.cli.output import note
from simcelery.errors import ParametersError, SimceleryError, UnknownWorkflowError

if TYPE_CHECKING:
    from simcelery.board.catalogue import Entry
    from simcelery.board.transitions.record import NewJob
    from simcelery.submission.options import Options
    from simcelery.workflows.definition import Definition


class Target(Protocol):
    """A workflow to submit to."""

    name: str

    @property
    def required(self) -> list[str]:
        """The names of the parameters without a default."""

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Values from ``name=text``."""

    def preparation(self, options: Options) -> Callable[[Mapping[str, Any]], NewJob]:
        """Makes the validated job of some values; records nothing."""


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
        """Values that fit the annotations."""
        return self._definition.parameters.parse(texts)

    def preparation(self, options: Options) -> Callable[[Mapping[str, Any]], NewJob]:
        """Validated in full."""
        from simcelery.submission.submit import preparation

        return preparation(self._definition, options)


class OnBoard:
    """A workflow of the catalogue: names are checked here, values by the worker that runs the job."""

    def __init__(self, entry: Entry) -> None:
        self.name = entry.name
        self._entry = entry

    @property
    def required(self) -> list[str]:
        """The names of the parameters without a default."""
        return list(self._entry.parameters.get("required", ()))

    def parse(self, texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """JSON where a text is JSON and the parameter is not declared as text."""
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
        """Validated by names alone."""
        from simcelery.submission.by_catalogue import prepare_entry

        return lambda values: prepare_entry(self._entry, values, options)


def find(name: str) -> Target:
    """The workflow of this name: here, else in the board's catalogue.

    Raises:
        UnknownWorkflowError: it is in neither; names what was probably meant, or what did not import.
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
    note(f"simcelery: {name} cannot be imported here: a worker will check the values of its parameters")
    return OnBoard(entry)


def _in_catalogue(name: str) -> Entry | None:
    from simcelery.board import catalogue, engine

    try:
        with engine.begin() as connection:
            return next((entry for entry in catalogue.read(connection) if entry.name == name), None)
    except SimceleryError:  # the fault to report is the unknown name
        return None
