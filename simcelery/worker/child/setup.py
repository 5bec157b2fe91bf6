"""How a pool child is set up before its first job."""

from __future__ import annotations

import gc
import io
import logging
import multiprocessing.process
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import billiard

from simcelery.execution import capture, helpers, memory, processes
from simcelery.execution.reaper import Reaper
from simcelery.settings import SETTINGS_FILE, find_settings_file, get_settings
from simcelery.worker import slots
from simcelery.worker.child import left

log = logging.getLogger(__name__)

reaper: Reaper | None = None  # set by the worker before its pool forks
_frozen = False
_first: list[None] | None = None  # the first object that was not left out before the workflows were imported
# What each child does before its first job, and what it is called.
beginning: list[tuple[str, Callable[[], object]]] = []


def start_reaper() -> None:
    """Start the process that ends what a killed worker leaves. Called in the worker's parent process."""
    global reaper
    reaper = Reaper.start(slots.mine.memory.token, get_settings().kill_grace)


def replace_dead_reaper(children: Iterable[int]) -> None:
    """Start another reaper if it was killed. `children`: the pids of the pool's children."""
    if reaper is None or reaper.alive:
        return
    log.warning("the reaper is gone; starting another one")
    start_reaper()
    for pid in children:
        reaper.watch(pid)


def freeze_imported() -> None:
    """Leave out what a worker itself consists of where garbage is looked for, before workflows are imported.

    Nothing of it becomes garbage, and to look through it while they are imported, or at `freeze`, takes a
    tenth of a second. Called in the worker's parent process.
    """
    global _first
    if gc.get_freeze_count() == 0:
        gc.freeze()
        _first = []


def freeze() -> None:
    """Leave out what is imported by now where garbage is looked for, as Celery does before each child.

    That takes a tenth of a second, for every child that is started. Called in the worker's parent process.
    """
    global _frozen
    # Else a module of workflows did so, and for the children too. To count what is left out takes longer.
    if any(one is _first for one in gc.get_objects()):
        gc.collect()
        gc.freeze()
        _frozen = True


def prepare(**_: Any) -> None:
    """Run once in each pool child, before its first job."""
    if _frozen:
        gc.unfreeze()  # jobs find a process as Python makes it
    _allow_children()
    helpers.be_python()
    slots.take(getattr(billiard.current_process(), "index", 0))
    if not slots.mine.in_pool_child:
        return  # --unsafe-pool: the jobs run in the worker's own process, which is not ours to change
    _lead_a_session()
    processes.be_called("celery")
    memory.give_way()  # to its worker, which has other jobs, and says what has become of this one
    slots.mine.idle()
    capture.folder = slots.mine.memory.folder
    _speak_utf8()
    _keep_what_the_folder_told()
    _start_up()
    helpers.note()
    left.note()


def _speak_utf8() -> None:
    """Read what a job prints as UTF-8, whatever the worker's locale, and never let printing fail."""
    for stream in {sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__}:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    os.environ.setdefault("PYTHONIOENCODING", "utf-8:backslashreplace")  # for Python that a job starts


def _keep_what_the_folder_told() -> None:
    """Jobs run in their own folders, but must find modules and settings as the worker did in its folder."""
    sys.path[:] = map(os.path.abspath, sys.path)
    if file := find_settings_file():
        os.environ[SETTINGS_FILE] = str(file)


def _allow_children() -> None:
    # Pool children are daemons, and daemons may not have children: multiprocessing in a workflow would fail.
    both: list[Any] = [billiard.current_process(), multiprocessing.process.current_process()]
    for process in both:
        process._config["daemon"] = False


def _lead_a_session() -> None:
    """Keep together whatever this child starts, so that it can be found after the child's death."""
    os.setsid()
    processes.become_subreaper()
    if reaper is not None:
        reaper.watch(os.getpid())
        reaper.forget_in_child()


def _start_up() -> None:
    for what, begin in beginning:
        slots.mine.warming()
        try:
            begin()
        except BaseException as error:
            kind = type(error).__name__
            log.critical("%s failed: %s: %s; the worker exits", what, kind, error, exc_info=True)
            slots.mine.report_broken()
            break
    slots.mine.idle()
