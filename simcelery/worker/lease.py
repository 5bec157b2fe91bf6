"""The worker's entry on the board and its lease, renewed from a thread of its own."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from importlib.metadata import version

from celery.worker import state as worker_state

from simcelery.board import catalogue, engine, leases
from simcelery.board.catalogue import Entry
from simcelery.errors import ServiceError
from simcelery.settings import Settings, get_settings
from simcelery.worker import recording
from simcelery.worker.claiming import WORKER_ID
from simcelery.worker.ticker import Ticker
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition

log = logging.getLogger(__name__)

_SCHEDULER_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID")
_PAUSE = 2.0


class Lease:
    """The right to hold jobs. The board says until when, by its own clock.

    Parameters:
        nodename: Celery's name of the worker.
        queues: the queues that it consumes.
        concurrency: how many jobs it runs at once.
    """

    def __init__(self, nodename: str, queues: Sequence[str], concurrency: int) -> None:
        self.nodename = nodename
        self.queues = sorted(queues)
        self.concurrency = concurrency
        self.settings = get_settings()
        self.worker_id: int | None = None
        self._ticker = Ticker("lease", self.renew, self.settings.renew_every)

    def take(self) -> int:
        """Register the worker and its workflows; waits while Postgres is away.

        Raises:
            SchemaError: the schema does not fit this code.
        """
        while True:
            try:
                self.worker_id = self._register()
                os.environ[WORKER_ID] = str(self.worker_id)
                return self.worker_id
            except ServiceError as error:
                log.warning("the worker waits: %s", error)
                time.sleep(_PAUSE)

    def _register(self) -> int:
        with engine.begin(self.settings) as connection:
            catalogue.write(connection, [entry(known, self.settings) for known in registry.definitions()])
            return leases.register(
                connection,
                nodename=self.nodename,
                host=socket.gethostname(),
                pid=os.getpid(),
                queues=self.queues,
                concurrency=self.concurrency,
                scheduler_job_id=next(filter(None, map(os.environ.get, _SCHEDULER_VARIABLES)), None),
                version=version("simcelery"),
                lease=self.settings.lease,
            )

    def keep(self) -> None:
        """Start to renew."""
        self._ticker.start()

    def renew(self) -> None:
        """Renew once. While Postgres is away the lease may lapse: then no job is claimed until it is back."""
        assert self.worker_id is not None
        try:
            with engine.begin(self.settings) as connection:
                known = leases.renew(connection, self.worker_id, self.settings.lease)
            if not known:
                log.error(
                    "the board no longer knows this worker; it ends, for its supervisor to start it anew"
                )
                worker_state.should_stop = 1
            recording.do_deferred()
        except ServiceError as error:
            log.warning("the lease is not renewed: %s", error)

    def give_up(self) -> None:
        """Note on the board that the worker has shut down."""
        self._ticker.stop()
        if self.worker_id is None:
            return
        try:
            with engine.begin(self.settings) as connection:
                leases.end(connection, self.worker_id)
        except ServiceError as error:
            log.warning("the end of this worker is not recorded: %s", error)


def entry(definition: Definition, settings: Settings) -> Entry:
    """A workflow as the catalogue shows it."""
    options = definition.defaults(settings)
    return Entry(
        name=definition.name,
        description=definition.description,
        parameters=definition.parameters.json_schema(),
        queue=options.pop("queue"),
        options=options,
        version=definition.version,
    )
