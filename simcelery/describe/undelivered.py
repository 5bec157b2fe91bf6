"""Notifications that did not arrive, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcelery.describe.words import many, one_line

if TYPE_CHECKING:
    from simcelery.board.reads.undelivered import Undelivered


def sentence(found: Undelivered) -> str:
    """``done of subscription 3 to https://host/*** …``."""
    from simcelery.notifying.addresses import masked

    became = "was given up" if found.given_up else "has not arrived"
    tries = f" after {many(found.tries, 'attempt')}" if found.tries > 0 else ""
    where = f"{found.event!r} of subscription {found.subscription} to {masked(found.address)}"
    return f"{where} {became}{tries}: {one_line(found.error or '')}"


ADVICE = "simcelery notify list shows them; simcelery notify remove ID ends one"
