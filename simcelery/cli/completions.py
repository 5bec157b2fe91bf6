"""Tab completion of workflows, their parameters and job ids; options and arguments name these functions."""

from __future__ import annotations

from contextlib import suppress

import click
from click.shell_completion import CompletionItem


def workflow_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The workflows that can be imported here."""
    with suppress(Exception):  # tab completion must never print an error
        from simcelery.settings import get_settings
        from simcelery.workflows import registry

        registry.load(get_settings())
        return [
            CompletionItem(known.name, help=known.description)
            for known in registry.definitions()
            if known.name.startswith(incomplete)
        ]
    return []


def parameter_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """``name=`` for each parameter of the workflow given before it."""
    with suppress(Exception):
        from simcelery.settings import get_settings
        from simcelery.workflows import registry

        registry.load(get_settings())
        known = registry.get(ctx.params["workflow"])
        return [
            CompletionItem(f"{name}=", help=kind)
            for name, kind, _ in known.parameters.describe()
            if name.startswith(incomplete)
        ]
    return []


def tags(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The tags of the newest jobs."""
    with suppress(Exception):
        from simcelery.board import asking, reads

        with asking.begin() as connection:
            rows = reads.jobs(connection, reads.Filter(), limit=200)
        found = dict.fromkeys(tag for row in rows for tag in row.tags)
        return [CompletionItem(tag) for tag in found if tag.startswith(incomplete)]
    return []


def job_ids(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest jobs."""
    with suppress(Exception):
        from simcelery.board import asking, reads

        with asking.begin() as connection:
            rows = reads.jobs(connection, reads.Filter(), limit=50)
        items = [CompletionItem(str(row.id), help=f"{row.workflow} {row.state}") for row in rows]
        items.append(CompletionItem("last", help="the newest job"))
        return [item for item in items if str(item.value).startswith(incomplete)]
    return []


def artifacts(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The files of the job given before."""
    with suppress(Exception):
        from simcelery.board import asking
        from simcelery.board.reads.artifacts import artifacts_of

        number = int(ctx.params["job"])
        with asking.begin() as connection:
            found = artifacts_of(connection, [number]).get(number, [])
        return [CompletionItem(one.name) for one in found if one.name.startswith(incomplete)]
    return []
