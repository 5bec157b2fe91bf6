"""Questions before something happens that cannot be taken back."""

from __future__ import annotations

import sys

import click

from simcelery.errors import UsageError


def agreed(about: str, yes: bool) -> bool:
    """Whether the user wants this, such as ``cancel 3 jobs``.

    Raises:
        UsageError: nobody is there to answer.
    """
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"this would {about}: add -y")
    return click.confirm(f"{about}?", err=True)
