"""What a worker registers in the catalogue about its workflows, whether or not it has imported their code."""

from __future__ import annotations

from simcelery.board.catalogue import Entry
from simcelery.settings import Settings
from simcelery.workflows.definition import Definition


class Told(Definition):
    """What the worker knows about a workflow whose code it has not imported."""

    def __init__(self, entry: Entry, source: str) -> None:
        self.entry = entry
        self.source = source
        self.name = entry.name
        self.queue = entry.queue

    def source_now(self) -> str:
        """The same as `source`: each pool child loads whatever it finds."""
        return self.source

    @property
    def description(self) -> str:
        """The description, as the code has it."""
        return self.entry.description


def entry(definition: Definition, settings: Settings) -> Entry:
    """A workflow as the catalogue shows it."""
    if isinstance(definition, Told):
        return definition.entry
    options = definition.defaults(settings)
    return Entry(
        name=definition.name,
        description=definition.description,
        parameters=definition.parameters.json_schema(),
        queue=options.pop("queue"),
        options=options,
        version=definition.version,
        returns=definition.parameters.returns_schema(),
    )
