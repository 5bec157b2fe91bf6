"""The worker's row on the board and its lease, renewed from a thread of its own."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from itertools import product

from celery.worker import state as worker_state

from simcelery.board import catalogue, engine, files, leases, schema, transitions, workdirs
from simcelery.board.reads.identity import identity as identity_of_board
from simcelery.board.values import Lane, Registration
from simcelery.broker.lanes import MOST_URGENT
from simcelery.errors import BoardChangedError, BoardUntrustedError, ServiceError
from simcelery.execution import allocation, identity, resources
from simcelery.maintenance import workdirs as sweeping
from simcelery.pauses import growing
from simcelery.settings import get_settings
from simcelery.worker.belonging import belong_to
from simcelery.worker.folders import BOARD
from simcelery.worker.outcomes import spool
from simcelery.worker.parent import alive, file_requests, not_preloaded, outbox, predecessors
from simcelery.worker.parent.announced import entry
from simcelery.worker.parent.quarantine import Quarantine
from simcelery.worker.parent.shutdown import EX_FAILURE
from simcelery.worker.parent.supervisor import Supervisor
from simcelery.worker.slots.layout import Order
from simcelery.worker.ticker import Ticker
from simcelery.workflows import origin, registry

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0


class Lease:
    """The right to hold jobs. The board says until when, by its own clock.

    Parameters:
        nodename: Celery's name of the worker.
        queues: the queues that it consumes.
        concurrency: how many jobs it runs at once.
        until: when its jobs must have ended, by the monotonic clock; None: nothing ends it.

    Attributes:
        turns_due: called when a renewal has told that a turn at recovery is due.
    """

    def __init__(
        self, nodename: str, queues: Sequence[str], concurrency: int, until: float | None = None
    ) -> None:
        self.nodename = nodename
        self.queues = sorted(queues)
        self.workflows = [known.name for known in registry.definitions()]
        self.sources = {known.name: known.source for known in registry.definitions() if known.source}
        self.origin = not_preloaded.origin or origin.collect(registry.definitions())
        self.concurrency = concurrency
        self._until = until
        self.host = socket.gethostname()
        self.settings = get_settings()
        self.room = resources.room(self.settings)
        self.me: Registration | None = None
        self._supervisor: Supervisor | None = None
        self._quarantine: Quarantine | None = None
        self.turns_due: Callable[[], object] = lambda: None
        self._ticker = Ticker("lease", self.renew, self.settings.renew_every)
        self._pauses = self._new_pauses()

    def left(self) -> float | None:
        """Seconds until its jobs must have ended; None: nothing ends it."""
        return None if self._until is None else self._until - time.monotonic()

    def lanes(self) -> list[Lane]:
        """The lanes with jobs that this worker can run."""
        every = product(self.queues, self.workflows, range(MOST_URGENT + 1))
        return [Lane(*one) for one in every]

    def take(self) -> None:
        """Register the worker and its workflows; waits while Postgres is unreachable.

        Raises:
            SchemaError: the schema does not fit this code.
            BoardUntrustedError: the certificate of Postgres is not valid.
        """
        for pause in growing(_FIRST_PAUSE, _LONGEST_PAUSE):
            try:
                self.me = self.me or self._register()
                belong_to(self.me)
                spool.deliver(self.settings)
                predecessors.take_over(self.me.worker_id, self.settings.kill_grace)
                return
            except BoardUntrustedError:
                raise
            except ServiceError as error:
                log.warning("the worker is waiting: %s", error)
                time.sleep(pause)

    def _register(self) -> Registration:
        with engine.begin(self.settings) as connection:
            os.environ[BOARD] = identity_of_board(connection)
            catalogue.write(connection, [entry(known, self.settings) for known in registry.definitions()])
            return leases.register(
                connection,
                nodename=self.nodename,
                host=self.host,
                pid=os.getpid(),
                queues=self.queues,
                concurrency=self.concurrency,
                scheduler_job_id=allocation.scheduler_job_id(),
                allocation=allocation.name(),
                version=version("simcelery"),
                lease=self.settings.lease,
                identity=identity.identity(),
                workflows=self.workflows,
                sources=self.sources,
                origin=self.origin,
                room=self.room,
                left=self.left(),
            )

    def keep(self, supervisor: Supervisor, quarantine: Quarantine) -> None:
        """Start renewing, and comparing with the board at each renewal."""
        self._supervisor, self._quarantine = supervisor, quarantine
        self._ticker.start()

    def hurry(self) -> None:
        """Renew now, since the board has news for this worker."""
        self._ticker.wake()

    def renew(self) -> None:
        """Renew once. If the lease expires because Postgres is unreachable, nothing is claimed meanwhile."""
        assert self.me is not None
        assert self._supervisor is not None
        assert self._quarantine is not None
        running = self._supervisor.attempts()
        jobs = [attempt.job_id for attempt in running.values() if attempt.job_id]
        try:
            told = leases.renew_and_ask(
                self.me,
                self.settings.lease,
                every=self.settings.renew_every,
                succeeded=self._quarantine.successes(),
                left=self.left(),
                job_ids=jobs,
            )
            self._pauses = self._new_pauses()
            if not told.known:
                self._leave()
                return
            alive.touch(self.settings.alive_file)
            self._supervisor.settle(running, told.accounts)
            if told.revision != schema.REVISION:
                self._finish_up(told.revision)
            self._serve(told)
        except ServiceError as error:
            if isinstance(error, BoardChangedError) and (revision := self._other_revision()):
                self._finish_up(revision)
                return
            log.warning("the lease could not be renewed: %s", error)
            self._ticker.again_in(next(self._pauses))

    def _other_revision(self) -> str | None:
        """That of a board restored from before the upgrade, which lacks functions; None: it may come back."""
        with suppress(ServiceError), engine.begin(self.settings) as connection:
            revision = schema.revision_of(connection)
            return revision if revision != schema.REVISION else None
        return None

    def _serve(self, told: leases.Renewed) -> None:
        """Begin with what others wait for, if that is for this worker."""
        if told.turns_due:
            self.turns_due()
        try:
            if told.files_asked:
                self._answer()
            if told.workdirs_due:
                self._sweep()
        except ServiceError as error:  # the lease is renewed all the same
            log.warning("what others wait for is looked for again at the next renewal: %s", error)

    def _answer(self) -> None:
        """Have the files read that this worker is asked for."""
        assert self.me is not None
        with engine.begin(self.settings) as connection:
            wanted = files.asked_of(connection, self.me.worker_id, self.host)
        for one in wanted:
            outbox.add(("file", one.id), partial(file_requests.answer, one, self.nodename, self.settings))

    def _sweep(self) -> None:
        """Begin with the workdirs that a worker here may deal with."""
        with engine.begin(self.settings) as connection:
            due = workdirs.due(connection, self.host, self.settings.workdirs, 1)
        if due:
            sweeping.start(self.settings)

    def _new_pauses(self) -> Iterator[float]:
        """Until it tries to renew again, if it could not."""
        return growing(self.settings.renew_every / 10, self.settings.renew_every)

    def _finish_up(self, revision: str | None) -> None:
        """The schema has moved: what runs may still end, but to begin anything is for the new version."""
        if worker_state.should_stop in (None, False):
            assert self._supervisor is not None
            log.error(
                "the board was upgraded or restored: it has schema %s, but this worker needs %s; it takes no "
                "more jobs, and exits when those that run have ended; start the simcelery that fits",
                revision,
                schema.REVISION,
            )
            self._supervisor.close()
            worker_state.should_stop = EX_FAILURE

    def _leave(self) -> None:
        log.error(
            "the board no longer knows this worker: it was given up, or the board was restored; "
            "exiting so that its supervisor can restart it"
        )
        self._ticker.stop()
        assert self._supervisor is not None
        self._supervisor.shut_down(0.0, Order.GIVEN_UP)
        worker_state.should_stop = EX_FAILURE

    def give_up(self) -> None:
        """Note on the board that the worker has shut down; whatever it still held is released."""
        self._ticker.stop()
        if self.me is None:
            return
        try:
            with engine.begin(self.settings) as connection:
                transitions.release(connection, self.me)
                leases.end(connection, self.me)
        except ServiceError as error:
            log.warning("the end of this worker could not be written to the board: %s", error)
