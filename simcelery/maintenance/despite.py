"""What an act does for one row after the other: a row that it cannot be done for stops nothing but itself."""

from __future__ import annotations

from collections.abc import Callable

from simcelery.board.unreadable import bad_rows
from simcelery.errors import RefusedByBoardError, ServiceError


def despite(which: str, act: Callable[[], int]) -> int:
    """What `act` returns, or 0 if the row is in its way, which is said once.

    Parameters:
        which: names the row, such as ``gate 3``.

    Raises:
        ServiceError: a service is unreachable.
        RefusedByBoardError: a row is in the way that can be put right; see `mending`.
    """
    try:
        return act()
    except (ServiceError, RefusedByBoardError):
        raise
    except Exception as error:
        bad_rows.name({which: f"{type(error).__name__}: {error}"})
        return 0
