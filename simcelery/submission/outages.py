"""Wait out times in which the board cannot be reached: jobs go on meanwhile."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

from simcelery.errors import ServiceError, WaitTimeoutError
from simcelery.pauses import growing

T = TypeVar("T")
log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class Outages:
    """For whoever follows jobs: once the board has answered, an outage is waited out.

    Parameters:
        say: gets one line when an outage begins, and one when it has ended; by default a warning is logged,
            which Python prints on stderr unless the program says otherwise.
        until: of ``time.monotonic()``: no longer than that.
    """

    def __init__(self, say: Callable[[str], object] = log.warning, until: float = math.inf) -> None:
        self._say = say
        self._until = until
        self._heard = False

    def ask(self, action: Callable[[], T]) -> T:
        """The result of `action`, which is repeated with growing pauses while the board is away.

        Raises:
            ServiceError: the board has never answered.
            WaitTimeoutError: it does not answer in time.
        """
        began: float | None = None
        pauses = growing(_FIRST_PAUSE, _LONGEST_PAUSE, self._until, factor=2)
        while True:
            try:
                found = action()
            except ServiceError as error:
                if not self._heard:
                    raise
                if began is None:
                    began = time.monotonic()
                    self._say(f"{error}; waiting until it answers again")
                if (pause := next(pauses, None)) is None:
                    raise WaitTimeoutError(f"nobody knows whether the jobs have finished: {error}") from error
                time.sleep(pause)
            else:
                self._heard = True
                if began is not None:
                    self._say(f"the board answers again, after {time.monotonic() - began:.0f} s")
                return found
