"""What is added to every stock worker: a lease, a watch over its attempts, turns at recovery, and limits."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from celery import bootsteps

from simcelery import log_records, variables
from simcelery.board import connecting, schema
from simcelery.broker.parking import parked
from simcelery.cluster import controller
from simcelery.errors import SimceleryError
from simcelery.execution import allocation, processes
from simcelery.maintenance import loop
from simcelery.settings import get_settings
from simcelery.worker import folders, slots
from simcelery.worker.child import setup
from simcelery.worker.parent import (
    changes,
    consumer_watchdog,
    declared,
    inherited,
    limits,
    node,
    not_preloaded,
    outbox,
    output,
    quarantine,
)
from simcelery.worker.parent.background import Background
from simcelery.worker.parent.changes import Changes
from simcelery.worker.parent.consumer_watchdog import ConsumerWatchdog
from simcelery.worker.parent.consuming import consume_lanes
from simcelery.worker.parent.lease import Lease
from simcelery.worker.parent.limits import Limits, Watch
from simcelery.worker.parent.node import Node
from simcelery.worker.parent.outbox import Outbox
from simcelery.worker.parent.quarantine import Quarantine
from simcelery.worker.parent.quiet import is_quiet
from simcelery.worker.parent.refusals import is_prefork, refuse, refuse_cluster, refuse_unsafe
from simcelery.worker.parent.shutdown import Shutdown
from simcelery.worker.parent.startup import LONGEST, named
from simcelery.worker.parent.supervisor import Supervisor
from simcelery.worker.parent.trust import refuse_untrusted
from simcelery.worker.parent.withdrawal import Withdrawal
from simcelery.worker.slots.parent import Slots
from simcelery.worker.task import forget_plain_tasks
from simcelery.worker.ticker import Ticker

log = logging.getLogger(__name__)

# Seconds between two events by which Flower, which waits twice as long, knows that a worker is there.
_HEARTBEAT = 5.0


class LeaseStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes the lease before the pool is forked, so that its children know their worker's id."""

    def __init__(
        self,
        worker: Any,
        unsafe_pool: bool = False,
        startup: str | None = None,
        walltime: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(worker, **options)
        worker.walltime = walltime or allocation.seconds_left()
        log_records.of_worker(worker.hostname, lambda: slots.mine.about())
        # Workers learn nothing from each other: what they need to know is on the board.
        worker.options["without_gossip"] = worker.options["without_mingle"] = True
        worker.options["heartbeat_interval"] = worker.options.get("heartbeat_interval") or _HEARTBEAT
        refuse_unsafe(worker, unsafe_pool)
        if is_prefork(worker):
            # They load what only workers need.
            from simcelery.worker.child.loop import BoardWorker
            from simcelery.worker.parent.pool import BoardPool

            BoardPool.Worker = BoardWorker
            worker.pool_cls.Pool = BoardPool
        refuse_untrusted(worker.app)
        if lacks := folders.trouble(get_settings(), make=True):
            refuse(f"no job can run here: {lacks}")
        if not get_settings().preload:
            setup.beginning.append(
                ("loading the workflows", lambda: not_preloaded.load(worker.app, worker.hostname))
            )
        if startup:
            setup.beginning.append(("--startup", named(startup)))

    def create(self, worker: Any) -> None:
        """Take the lease: steps are created before any is started, and the pool forks when it is started."""
        if is_prefork(worker):
            inherited.warn()
        if misspelt := "; ".join(variables.unknown()):
            log.warning("environment: %s", misspelt)
        forget_plain_tasks(worker.app)
        queues = consume_lanes(worker.app)
        connecting.give_up_after(connecting.silence(get_settings().lease))
        left = None if worker.walltime is None else allocation.before_warning(worker.walltime, get_settings())
        until = None if left is None else time.monotonic() + left
        refuse_cluster()
        worker.lease = Lease(worker.hostname, queues, worker.concurrency, until)
        schema.look_no_more()
        try:
            worker.lease.take()
            declared.write(get_settings())
        except SimceleryError as error:
            refuse(str(error), error.exit_code)


class SupervisorStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Watches over the attempts in the pool children, and renews the lease while it does."""

    requires = (LeaseStep,)

    def __init__(self, worker: Any, max_jobs: int | None = None, **options: Any) -> None:
        super().__init__(worker, **options)
        self._max_jobs = max_jobs

    def create(self, worker: Any) -> None:
        """Create what the pool's children inherit, before the pool forks."""
        settings = get_settings()
        worker.slots = Slots(self._max_jobs)
        slots.share(worker.slots)
        parked.freed = worker.slots.memory.freed
        setup.start_reaper()
        setup.freeze()
        if setup.beginning:
            worker.app.conf.worker_proc_alive_timeout = LONGEST
        worker.supervisor = worker.app.supervisor = Supervisor(
            worker.slots, settings, worker.lease.me, is_prefork(worker)
        )
        worker.outbox = Outbox(settings, worker.supervisor.outputs.send, partial(is_quiet, worker.slots))
        worker.shutdown = Shutdown(worker.hostname, worker.supervisor, settings.shutdown_grace)

    def start(self, worker: Any) -> None:
        """Start the threads."""
        processes.be_called("celery")
        worker.shutdown.listen()
        worker.supervisor.start()
        worker.outbox.start()
        settings, me = get_settings(), worker.lease.me
        withdrawn = Withdrawal(worker.slots, settings, me, lambda: worker.consumer)
        judge = Quarantine(worker.slots, settings, me, withdrawn)
        quiet = partial(is_quiet, worker.slots)
        Ticker("quarantine", judge.look, quarantine.EVERY, quiet).start()
        Ticker("output", worker.supervisor.outputs.bound, output.EVERY, quiet).start()
        Ticker("clusters", lambda: controller.replace(settings), controller.REPLACE_EVERY).start()
        Ticker(
            "node",
            Node(worker.slots, settings, withdrawn).look,
            node.EVERY,
            lambda: quiet() and not worker.slots.unusable,
        ).start()
        Ticker(
            "reaper",
            lambda: setup.replace_dead_reaper(_children(worker)),
            get_settings().renew_every,
        ).start()
        worker.lease.keep(worker.supervisor, judge)


def _children(worker: Any) -> list[int]:
    """The pids of the pool's children; none before the pool starts, perhaps after the supervisor."""
    started = worker.pool._pool
    return [] if started is None else [process.pid for process in list(started._pool)]


class _TickerStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Checks something repeatedly, until the worker exits."""

    ticker: Ticker

    def start(self, worker: Any) -> None:
        """Start the ticker."""
        self.ticker.start()

    def stop(self, worker: Any) -> None:
        """Stop the ticker; a check under way is finished."""
        self.ticker.stop()


class RecoveryStep(_TickerStep):
    """Takes turns at recovery."""

    requires = (LeaseStep,)

    def create(self, worker: Any) -> None:
        """Create the ticker."""
        settings = get_settings()
        rounds = loop.Rounds(settings, worker.hostname, worker.lease.me.worker_id, Background)

        def take_turns() -> None:
            rounds.round()
            self.ticker.not_before(rounds.until_next)

        def hurry() -> None:
            rounds.hurry()
            self.ticker.wake()

        # A little more often than a turn is due, so that nobody's turn waits for another worker.
        self.ticker = Ticker("recovery", take_turns, settings.tick_every / 2)
        worker.lease.turns_due = hurry


class ChangesStep(_TickerStep):
    """Notices when files that the worker has loaded change."""

    requires = (LeaseStep,)

    def create(self, worker: Any) -> None:
        """Create the ticker."""
        watch = Changes(get_settings(), worker.lease.me)
        self.ticker = Ticker("changes", watch.look, changes.EVERY)


class ConsumerWatchdogStep(_TickerStep):
    """Notices when messages no longer reach the worker."""

    requires = (SupervisorStep,)

    def create(self, worker: Any) -> None:
        """Create the ticker."""
        watchdog = ConsumerWatchdog(
            worker.slots,
            worker.shutdown,
            worker.lease,
            lambda: worker.consumer.reconnect(),
        )
        self.ticker = Ticker("consumer watchdog", watchdog.look, consumer_watchdog.EVERY)


class LimitsStep(_TickerStep):
    """Makes the worker exit when one of its own limits is reached."""

    requires = (SupervisorStep,)

    def __init__(
        self,
        worker: Any,
        max_idle: float | None = None,
        max_jobs: int | None = None,
        drain: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(worker, **options)
        self._limits = Limits(max_idle, max_jobs, worker.walltime, drain)

    def create(self, worker: Any) -> None:
        """Create the ticker."""
        watch = Watch(self._limits, worker.slots, worker.shutdown, get_settings(), worker.lease)
        unlimited = self._limits == Limits()
        self.ticker = Ticker("limits", watch.look, limits.EVERY, lambda: unlimited and is_quiet(worker.slots))


def worker_ended(sender: Any = None, **_: Any) -> None:
    """The pool is gone: note this on the board, and let the reaper exit unless it is still needed."""
    lease = getattr(sender, "lease", None)
    if lease is None:
        return
    supervisor = getattr(sender, "supervisor", None)
    if supervisor is not None:
        supervisor.finish()
        sender.outbox.finish()
        if outbox.is_empty():
            supervisor.outputs.remove()
    lease.give_up()
    if setup.reaper is not None and not any(True for _ in sender.slots.busy()):
        setup.reaper.dismiss()


STEPS = (LeaseStep, SupervisorStep, RecoveryStep, ChangesStep, ConsumerWatchdogStep, LimitsStep)
