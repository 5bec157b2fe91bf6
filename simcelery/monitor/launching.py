"""Start Flower with the board, in place of this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from simcelery.cluster import environment
from simcelery.errors import UsageError
from simcelery.monitor import options as flower
from simcelery.settings import get_settings

_CONF = Path(__file__).with_name("flower.conf")


def replace_process(
    *, address: str | None, port: int | None, auth: str | None, options: Mapping[str, str | bool | None]
) -> NoReturn:
    """Become Flower. What is None comes from the environment, or is Flower's own default.

    Parameters:
        auth: ``user:password``.
        options: others of Flower's.

    Raises:
        UsageError: strangers could see the jobs, or Flower cannot be started.
        ServicesNotRunningError: there is no board to show.
    """
    settings = get_settings()
    settings.board_url()
    settings.redis_url()
    login = auth or os.environ.get(flower.AUTH)
    flower.check(address or os.environ.get(flower.ADDRESS) or "127.0.0.1", [login] if login else ())
    given = {flower.ADDRESS: address, flower.PORT: port, flower.AUTH: auth}
    # Also flags before the verb; a password is in the environment, which nobody else can read.
    variables = environment.shown(settings) | environment.hidden(settings)
    variables |= {name: str(value) for name, value in given.items() if value is not None}
    words = [sys.executable, "-m", "celery", "-A", "simcelery", "flower", f"--conf={_CONF}"]
    words += [f"--{name}={_text(value)}" for name, value in options.items() if value]
    try:
        os.execve(words[0], words, {**os.environ, **variables})
    except OSError as error:
        raise UsageError(f"Flower cannot be started: {error.strerror}") from None


def _text(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value
