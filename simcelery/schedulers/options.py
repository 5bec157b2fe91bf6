"""Options of the command that submits, as people write them."""

from __future__ import annotations

from collections.abc import Sequence


def value_of(options: Sequence[str], short: str, *long: str) -> str | None:
    """The value of an option, the last one if it is given several times; None: it is not given.

    Parameters:
        short, long: its names, such as ``-p`` and ``--partition``.
    """
    found = None
    for at, option in enumerate(options):
        name, equals, value = option.partition("=")
        if name == short or name in long:
            found = value if equals else "".join(options[at + 1 : at + 2])
        elif option.startswith(short):
            found = option.removeprefix(short)
    return found
