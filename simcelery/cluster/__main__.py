"""``python -m simcelery.cluster [PARENT]``: the controller, as a process of its own."""

from __future__ import annotations

import logging
import signal
import sys

from simcelery.cluster import controller
from simcelery.settings import get_settings

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the thread of a worker that starts it blocks them all
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    controller.run(get_settings(), *map(int, sys.argv[1:]))
