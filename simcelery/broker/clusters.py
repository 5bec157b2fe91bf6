"""A Redis in cluster mode, which may well take messages, but from which no worker takes any."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis.exceptions import ResponseError

from simcelery import urls
from simcelery.errors import BrokerRefusesError
from simcelery.settings import get_settings


def refuse(client: Any) -> None:
    """Ask Redis whether it is a node of a cluster. `client` leads where the settings say.

    Raises:
        BrokerRefusesError: it is.
    """
    with suppress(ResponseError):  # such as that this user may not ask
        if client.info("cluster").get("cluster_enabled"):
            place = urls.broker_place(get_settings().redis_url())
            raise BrokerRefusesError(
                f"the broker at {place} cannot be used: it is a node of a cluster: {urls.NO_CLUSTER}"
            )
