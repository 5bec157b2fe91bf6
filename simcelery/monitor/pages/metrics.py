"""What Prometheus asks for: Flower's own metrics, and ours among them."""

from __future__ import annotations

import asyncio
import hmac

from flower.views.monitor import Metrics as Flowers

from simcelery.monitor.numbers import Numbers
from simcelery.monitor.options import is_loopback
from simcelery.monitor.watch import Watch
from simcelery.settings import get_settings

_PATIENCE = 5.0  # seconds, of whoever asks first; Prometheus waits for 10


class Metrics(Flowers):  # type: ignore[misc]
    """As Flower's, but from elsewhere only with a token."""

    def initialize(self, watch: Watch[Numbers]) -> None:
        """From the list of addresses."""
        self._watch = watch

    def prepare(self) -> None:
        """Answer strangers at once."""
        expected = get_settings().metrics_token
        if expected is None:
            if not self._is_local():
                self._refuse(403, "from elsewhere a token is needed: set SIMCELERY_METRICS_TOKEN")
            return
        wanted = f"Bearer {expected.get_secret_value()}"
        if not hmac.compare_digest(self.request.headers.get("Authorization", "").encode(), wanted.encode()):
            self.set_header("WWW-Authenticate", "Bearer")
            self._refuse(401, "this needs the header 'Authorization: Bearer' with SIMCELERY_METRICS_TOKEN")

    def _is_local(self) -> bool:
        """Whether others cannot connect, and no web server passes on what they ask under its own name."""
        options = self.application.options
        closed = options.unix_socket or is_loopback(options.address)
        return bool(closed) and is_loopback(self.request.host_name.strip("[]"))

    def _refuse(self, status: int, reason: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain")
        self.finish(f"{reason}\n")

    async def get(self) -> None:
        """All that is known now."""
        await asyncio.to_thread(self._watch.newest, _PATIENCE)
        await super().get()
