"""Bring our pages into Flower: their addresses, their templates, and an entry in its navigation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flower import urls
from prometheus_client import REGISTRY
from tornado.routing import URLSpec

from simcelery.monitor import tables
from simcelery.monitor.assets import Assets
from simcelery.monitor.gauges import Gauges
from simcelery.monitor.live import Live
from simcelery.monitor.many import Undertakings
from simcelery.monitor.numbers import look
from simcelery.monitor.pages import acts, job, jobs, many, overview, sweeps
from simcelery.monitor.pages.metrics import Metrics
from simcelery.monitor.pages.tables import Shown, Tables, TablesLive
from simcelery.monitor.templating import Templates
from simcelery.monitor.watch import Watch


def install() -> None:
    """Add the board to Flower, before Flower is made; once, however often it is called."""
    if any(getattr(known, "name", None) == "board" for known in urls.handlers):
        return  # Flower may read its configuration file twice
    watch = Watch(look)
    REGISTRY.register(Gauges(watch))
    # The last of Flower's own takes every address.
    urls.handlers[:0] = [*_handlers(), URLSpec(r"/metrics", Metrics, {"watch": watch}, name="metrics")]
    urls.settings["template_loader"] = Templates(Path(urls.settings["template_path"]))


def _handlers() -> list[Any]:
    """Objects, not tuples: of these Flower would drop the arguments where it has a prefix."""
    shown, watched = {"live": Live(overview.look)}, {"watched": job.Watched()}
    of_many = {"undertakings": Undertakings()}
    return [
        URLSpec(r"/board", overview.Overview, shown, name="board"),
        URLSpec(r"/board/live", overview.OverviewLive, shown, name="board_live"),
        URLSpec(r"/board/jobs", jobs.Jobs, name="board_jobs"),
        URLSpec(r"/board/sweeps", sweeps.Sweeps, name="board_sweeps"),
        URLSpec(r"/board/errors", jobs.Errors, name="board_errors"),
        URLSpec(r"/board/jobs/([0-9]+)", job.Job, watched, name="board_job"),
        URLSpec(r"/board/jobs/([0-9]+)/live", job.JobLive, watched, name="board_job_live"),
        URLSpec(r"/board/jobs/([0-9]+)/(cancel|hold|retry|release)", acts.Act, watched, name="board_act"),
        URLSpec(r"/board/all/(cancel|hold|retry|release)", many.Many, of_many, name="board_many"),
        URLSpec(r"/board/acts/([0-9]+)", many.Watched, of_many, name="board_undertaking"),
        URLSpec(r"/board/acts/([0-9]+)/live", many.WatchedLive, of_many, name="board_undertaking_live"),
        *_of_tables(Shown("workers", "Workers and clusters", tables.OF_WORKERS, tables.workers)),
        *_of_tables(Shown("rules", "Limits, shared queues and schedules", tables.OF_RULES, tables.rules)),
        URLSpec(r"/board/assets/(.*)", Assets, Assets.PLACE, name="board_assets"),
    ]


def _of_tables(shown: Shown) -> list[Any]:
    given = {"shown": shown}
    return [
        URLSpec(f"/board/{shown.name}", Tables, given, name=f"board_{shown.name}"),
        URLSpec(f"/board/{shown.name}/live", TablesLive, given, name=f"board_{shown.name}_live"),
    ]
