"""What is added to every stock worker: a lease, recovery by turns, and a look at its configuration."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import sys
from typing import Any, NoReturn

import billiard
from celery import bootsteps

from simcelery.errors import SimceleryError
from simcelery.recovery import loop
from simcelery.settings import get_settings
from simcelery.worker.lease import Lease
from simcelery.worker.ticker import Ticker


class LeaseStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes the lease before the pool is forked, so that its children know their worker's id."""

    def __init__(self, worker: Any, unsafe_pool: bool = False, **options: Any) -> None:
        super().__init__(worker, **options)
        # Workers learn nothing from each other: what they need to know is on the board.
        worker.options["without_gossip"] = worker.options["without_mingle"] = True
        refuse_unsafe(worker, unsafe_pool)

    def create(self, worker: Any) -> None:
        """Steps are created before any is started, and the pool forks when it is started."""
        queues = list(worker.app.amqp.queues.consume_from)
        worker.lease = Lease(worker.hostname, queues, worker.concurrency)
        try:
            worker.lease.take()
        except SimceleryError as error:
            refuse(str(error), error.exit_code)

    def start(self, worker: Any) -> None:
        """Renew from now on."""
        worker.lease.keep()


class RecoveryStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes its turns in recovery."""

    def create(self, worker: Any) -> None:
        """Nothing runs yet."""
        settings = get_settings()
        self.ticker = Ticker(
            "recovery",
            loop.Turns(settings, worker.hostname).round,
            # A little more often than a turn is due, so that nobody's turn waits for another worker.
            settings.tick_every / 2,
        )

    def start(self, worker: Any) -> None:
        """From now on."""
        self.ticker.start()

    def stop(self, worker: Any) -> None:
        """Others go on."""
        self.ticker.stop()


def refuse_unsafe(worker: Any, unsafe_pool: bool) -> None:
    """Refuse a configuration that would break a promise; whoever sets it should learn so at the start.

    Raises:
        SystemExit: with one line that says what to change.
    """
    conf = worker.app.conf
    pool = getattr(worker.pool_cls, "__module__", str(worker.pool_cls))
    if not pool.endswith("prefork") and not unsafe_pool:
        refuse(
            f"the pool {pool.rpartition('.')[2]!r} cannot end a job or survive its crash: leave out --pool "
            "(prefork is the default), or add --unsafe-pool while debugging"
        )
    if conf.task_acks_late:
        refuse("task_acks_late would run long jobs twice: leave it off; the board keeps every job")
    if conf.task_reject_on_worker_lost:
        refuse("task_reject_on_worker_lost would run a crashing job for ever: leave it off")
    if conf.broker_transport_options.get("ack_emulation", True):
        refuse(
            "ack_emulation is on: extend broker_transport_options instead of replacing it, and keep "
            "ack_emulation False"
        )


def refuse(reason: str, exit_code: int = 2) -> NoReturn:
    """End the process with one line.

    Raises:
        SystemExit: always.
    """
    print(f"simcelery: {reason}", file=sys.stderr)
    raise SystemExit(exit_code)


def prepare_child(**_: Any) -> None:
    """Run once in each pool child, before its first job."""
    # Pool children are daemons, and daemons may not have children: multiprocessing in a workflow would fail.
    processes: list[Any] = [billiard.current_process(), multiprocessing.process.current_process()]
    for process in processes:
        process._config["daemon"] = False


def share_cores(concurrency: int | None) -> None:
    """Give each pool child its share of the cores, before numpy is imported and starts its threads.

    As many threads as cores in every child makes small linear algebra many times slower. Who sets
    ``OMP_NUM_THREADS`` (or a library's own variable) is obeyed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "OMP_NUM_THREADS" in os.environ:
        return
    share = str(max(1, cores // (concurrency or cores)))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, share)
