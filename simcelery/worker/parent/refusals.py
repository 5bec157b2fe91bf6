"""Configurations that would break a promise are refused when the worker starts, each in one line."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, NoReturn

from simcelery import broker
from simcelery.errors import ServiceError
from simcelery.readable import line
from simcelery.settings import get_settings
from simcelery.urls import NO_CLUSTER


def refuse_unsafe(worker: Any, unsafe_pool: bool) -> None:
    """Refuse a configuration that would break a guarantee, so that whoever set it learns of it at the start.

    Raises:
        SystemExit: with one line that says what to change.
    """
    conf = worker.app.conf
    if not is_prefork(worker) and not unsafe_pool:
        pool = getattr(worker.pool_cls, "__module__", str(worker.pool_cls))
        refuse(
            f"the pool {pool.rpartition('.')[2]!r} cannot end a job or survive its crash: leave out --pool "
            "(prefork is the default), or add --unsafe-pool while debugging"
        )
    if conf.worker_pool_start_method not in (None, "fork"):
        refuse(
            "worker_pool_start_method: the parent watches its children through memory shared by fork; where "
            "libraries do not survive that, set preload = false in simcelery.toml"
        )
    if not get_settings().preload and get_settings().plain_tasks:
        refuse("plain_tasks need preload: leave it true, or run them with a worker of their own")
    if worker.time_limit or worker.soft_time_limit or conf.task_time_limit or conf.task_soft_time_limit:
        refuse("time limits are set for each job, not for the worker: use @workflow(time_limit=…)")
    if conf.task_acks_late:
        refuse("task_acks_late would run long jobs twice: leave it off; the board keeps every job")
    if conf.task_reject_on_worker_lost:
        refuse("task_reject_on_worker_lost would run a crashing job for ever: leave it off")
    if conf.broker_transport_options.get("ack_emulation", True):
        refuse(
            "ack_emulation is on: extend broker_transport_options instead of replacing it, and keep "
            "ack_emulation False"
        )


def refuse_cluster() -> None:
    """Refuse a broker in cluster mode, with which the worker would only wait.

    Raises:
        SystemExit: with one line that says what to use.
    """
    with suppress(ServiceError):  # it is away, or does not say
        if broker.ping()["cluster"]:
            refuse(f"broker_url leads to a node of a cluster: {NO_CLUSTER}")


def is_prefork(worker: Any) -> bool:
    """Whether jobs run in child processes, which can be ended, and whose crash the worker survives."""
    return getattr(worker.pool_cls, "__module__", "").endswith("prefork")


def refuse(reason: str, exit_code: int = 2) -> NoReturn:
    """End the process with one line.

    Raises:
        SystemExit: always.
    """
    print(line(f"simcelery: {reason}"), file=sys.stderr)
    raise SystemExit(exit_code)
