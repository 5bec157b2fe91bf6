"""What a command says if its jobs may run with other files than those here: workers load them only once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from simcelery.cli.output import note
from simcelery.errors import ServiceError


def warn_of_outdated(ids: Sequence[int]) -> None:
    """Name on stderr the live workers that have loaded other files of the workflows of these jobs."""
    from simcelery.describe.outdated import of_jobs

    with suppress(ServiceError):  # what the command was to do is done
        for text, advice in of_jobs(ids):
            note(f"simcelery: {text}; {advice}")
