"""A worker starts only with a Redis that is who it says it is."""

from __future__ import annotations

import logging
from typing import Any

from simcelery import broker
from simcelery.broker import encryption
from simcelery.errors import BrokerUntrustedError, ServiceError
from simcelery.worker.parent.refusals import refuse

log = logging.getLogger(__name__)


def refuse_untrusted(app: Any) -> None:
    """Refuse a server whose certificate is not valid; warn if certificates are not to be verified.

    Raises:
        SystemExit: with one line that says what to do. An unreachable Redis is waited for later.
    """
    connection = app.connection_for_read()
    if not connection.ssl:
        return
    if gap := encryption.gap(connection):
        log.warning("Redis at %s: %s", connection.hostname, gap)
    try:
        broker.ping()
    except BrokerUntrustedError as error:
        refuse(str(error), error.exit_code)
    except ServiceError:
        return
