"""The reference of the command line: what ``--help`` of each command prints."""

from __future__ import annotations

from collections.abc import Iterator

import click

from simcelery.cli import root

_WIDTH = 92


def page() -> str:
    """The page, as Markdown."""
    intro = "This page is made from the code: it is what `simcelery COMMAND --help` prints."
    parts = ["# Commands", intro, "## simcelery", _block(_top())]
    for title, section in root.SECTIONS.items():
        parts.append(f"## {title}")
        for name in section:
            for path, text in _helps(name):
                parts += [f"### {path}", _block(text)]
    return "\n\n".join(parts) + "\n"


def _top() -> str:
    return root.root.get_help(_context(root.root, "simcelery", None))


def _helps(name: str) -> Iterator[tuple[str, str]]:
    """The help of a verb, and that of each command below it."""
    above = _context(root.root, "simcelery", None)
    verb = root.root.get_command(above, name)
    assert verb is not None
    context = _context(verb, name, above)
    yield context.command_path, verb.get_help(context)
    if isinstance(verb, click.Group):
        for below, command in verb.commands.items():
            inner = _context(command, below, context)
            yield inner.command_path, command.get_help(inner)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return command.context_class(
        command, info_name=name, parent=parent, terminal_width=_WIDTH, **command.context_settings
    )


def _block(text: str) -> str:
    return f"```text\n{text.strip()}\n```"
