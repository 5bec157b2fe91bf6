"""A soak: jobs of all kinds, and faults of all kinds, for as long as wanted; then an audit.

    python -m tests.soak.soak --minutes 30 --seed 7 --output soak.json

Everything lives in a temporary folder: servers, workers, files. It ends only what it started, prints its
seed, and exits with 1 and a list when anything is wrong; then the folder stays. The schedule of the faults
depends on the seed alone; what they hit also depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from simcelery import services
from simcelery import settings as simcelery_settings
from simcelery.board import engine, migrate
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings
from tests.conftest import BIN
from tests.soak import audit, postgres
from tests.soak.faults import Fleet
from tests.soak.load import Load

# Seconds for the board to drain when all faults have stopped. A message that was lost again and again is sent
# anew after ten minutes at most.
DRAIN = 720.0
ODD = re.compile(
    r"Traceback|CRITICAL|failed; it continues|is gone from the slots|will be lost if this worker dies"
    r"|Unrecoverable"
)


def main() -> int:
    """Run, report; the exit code."""
    options = _options()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="simcelery-soak-"))
    print(f"seed {seed}, {options.minutes:g} minutes, folder {folder}", flush=True)
    soak = Soak(folder, seed, options.lease, options.every)
    try:
        if options.outage:
            soak.outage(options.outage)
        soak.run(options.minutes * 60.0, options.workers)
        found, report = soak.end()
    finally:
        soak.clean_up()
    if options.output:
        options.output.write_text(json.dumps(report | {"problems": found}, indent=1))
    _print(report)
    for problem in found[:100]:
        print(f"WRONG  {problem}")
    if found:
        print(f"{len(found)} things are wrong; seed {seed}; everything is kept in {folder}")
        return 1
    services.erase(soak.settings)  # root's data lies elsewhere
    shutil.rmtree(folder)
    print("all is as it should be")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description="Jobs and faults, and an audit at the end.")
    parser.add_argument("--minutes", type=float, default=30.0, help="of faults (default 30)")
    parser.add_argument("--seed", type=int, help="of the faults and the jobs (default: any)")
    parser.add_argument("--workers", type=int, default=3, help="with 2 slots each (default 3)")
    parser.add_argument("--lease", type=float, default=5.0, help="seconds (default 5; in production 20)")
    parser.add_argument(
        "--every", type=float, default=6.0, help="seconds between faults, on average (default 6)"
    )
    parser.add_argument(
        "--outage", type=float, default=60.0, help="seconds without Postgres before all else (default 60)"
    )
    parser.add_argument("--output", type=Path, help="write the figures here too, as JSON")
    return parser.parse_args()


def _print(report: dict[str, Any]) -> None:
    for name, value in report.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, number in sorted(value.items(), key=lambda item: -item[1]):
                print(f"  {key:<70} {number:>9,}")
        else:
            print(f"{name:<72} {value:>9,}" if isinstance(value, int | float) else f"{name:<72} {value}")


class Soak:
    """One soak in a folder of its own."""

    def __init__(self, folder: Path, seed: int, lease: float, every: float) -> None:
        self.folder, self.seed, self.every = folder, seed, every
        self.executions = folder / "executions"
        self.project = folder / "project"
        for new in (self.executions, self.project):
            new.mkdir()
        self.settings = self._start_servers(lease)
        self.url = (self.settings.database_url or Secret("")).get_secret_value()
        self.fleets: list[Fleet] = []
        self.load = Load(self._sims(), self.executions, random.Random(seed))
        self.undone: set[str] = set()  # the task ids of jobs that a restored backup does not know
        self.log: list[str] = []

    def _start_servers(self, lease: float) -> Settings:
        home = self.folder / "home"
        values = {"home": home, "lease": lease, "renew_every": lease / 4, "tick_every": 0.5}
        running = services.up(Settings(home=home))
        urls = {"database_url": running.database_url, "broker_url": running.broker_url}
        simcelery_settings.override(values | urls)
        migrate.upgrade()
        return simcelery_settings.get_settings()

    def _environment(self, lease: float, renew_every: float) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SIMCELERY_")}
        given = self.settings
        return mine | {
            "PATH": f"{BIN}:{mine.get('PATH', '')}",
            "SOAK_EXECUTIONS": str(self.executions),
            "SIMCELERY_HOME": str(given.home),
            "SIMCELERY_DATABASE_URL": self.url,
            "SIMCELERY_BROKER_URL": given.redis_url(),
            "SIMCELERY_LEASE": str(lease),
            "SIMCELERY_RENEW_EVERY": str(renew_every),
            "SIMCELERY_TICK_EVERY": "0.5",
            "SIMCELERY_KILL_GRACE": "1",
            "SIMCELERY_SHUTDOWN_GRACE": "3",
        }

    def _sims(self) -> Any:
        (self.project / "sims.py").write_text((Path(__file__).parent / "sims.py").read_text())
        (self.project / "simcelery.toml").write_text('workflows = ["sims"]\n')
        sys.path.insert(0, str(self.project))
        logging.basicConfig(filename=self.folder / "client.log", level=logging.INFO)
        return import_module("sims")

    def _fleet(self, size: int, lease: float, **options: int) -> Fleet:
        self.fleets.append(
            Fleet(self.settings, self.project, self._environment(lease, lease / 4), size, **options)
        )
        return self.fleets[-1]

    def outage(self, seconds: float) -> None:
        """Twenty jobs end while Postgres is away, with the lease as it is in production."""
        fleet = self._fleet(2, Settings().lease, slots=10)
        waiting = self.load.submit_long(20, 10.0)
        while waiting:
            waiting = [token for token in waiting if not (self.executions / token).exists()]
            time.sleep(0.2)
        self._note(f"Postgres is away for {seconds:g} s")
        fleet.postgres_away(seconds)
        audit.wait_drained(self.url, DRAIN)  # what is not drained is found in the end
        fleet.look()
        fleet.shut_down()
        self._note("Postgres was away")

    def run(self, seconds: float, workers: int) -> None:
        """Jobs and faults for so long."""
        fleet = self._fleet(workers, self.settings.lease)
        dice = random.Random(self.seed + 1)
        self.load.start()
        began = time.monotonic()
        next_fault = began + 10.0  # the fleet must have come up
        # A backup, and half of the time later that state of the board again.
        backup, known, due = self.folder / "backup", None, [began + seconds / 4, began + seconds * 3 / 4]
        while time.monotonic() < began + seconds:
            fleet.look()
            if due and time.monotonic() >= due[0]:
                due.pop(0)
                known = self._restore(fleet, backup, known) if known else self._back_up(fleet, backup)
            if time.monotonic() >= next_fault:
                if what := fleet.one_fault(dice):
                    self._note(f"{time.monotonic() - began:7.1f} s  {what}")
                next_fault = time.monotonic() + dice.expovariate(1.0 / self.every)
            time.sleep(0.1)

    def _back_up(self, fleet: Fleet, folder: Path) -> set[str]:
        """Keep the state of the board; the tokens of all jobs that were submitted so far."""
        fleet.stop_faults_of_servers()  # or the load never ends its turn: it insists on an answer
        with self.load.turn:
            since = time.time()
            postgres.back_up(self.settings, folder)
            fleet.note_outage(since)
            self._note("the board is backed up")
            return set(self.load.expected)

    def _restore(self, fleet: Fleet, folder: Path, known: set[str]) -> set[str]:
        """The board is as it was then, and the workers live."""
        fleet.stop_faults_of_servers()  # or the load never ends its turn: it insists on an answer
        with self.load.turn:
            since = time.time()
            recorded = audit.task_ids(self.url)  # of all that the load has submitted: it rests
            postgres.restore(self.settings, folder)
            self.undone |= recorded - audit.task_ids(self.url)
            fleet.note_outage(since)
            self.load.restored(known)
            self._note(f"the backup is restored: {len(self.load.undone)} jobs were never submitted")
        return known

    def _note(self, line: str) -> None:
        self.log.append(f"{time.strftime('%H:%M:%S', time.gmtime())}  {line}")
        (self.folder / "faults.log").write_text("\n".join(self.log) + "\n")

    def end(self) -> tuple[list[str], dict[str, Any]]:
        """All faults stop; the audit: what is wrong, and the figures."""
        self._note("all faults stop")
        calm = time.monotonic()
        fleet = self.fleets[-1]
        fleet.all_back()
        self.load.stop()
        found = list(self.load.faults)
        while not audit.drained(self.url) and time.monotonic() < calm + DRAIN:
            fleet.look()
            time.sleep(0.5)
        drained_in = time.monotonic() - calm
        if not audit.drained(self.url):
            found += audit.stuck(self.url)
        self._note("drained")
        time.sleep(2 * self.settings.renew_every)  # what is delivered with the next renewals
        found += [line for line in audit.left_running(self.settings.home) if "of attempt" in line]
        fleet.shut_down()
        found += audit.left_running(self.settings.home)
        found += audit.in_spool(self.settings.spool, self.undone)
        if fleet.trap.exists():
            found.append("a message was executed that named no job")
        board = audit.Board.read(self.url, self.project)
        found += audit.problems(board, self.load.expected, self.executions, self.load.repeated)
        slowest = audit.slowest_rescue(self.url, fleet.kills, fleet.outages)
        return [problem for one in self.fleets for problem in one.problems] + found, {
            "seed": self.seed,
            "figures": audit.figures(board, self.executions),
            "faults": dict(fleet.faults),
            "workers that gave way to a new one": sum(one.gave_way for one in self.fleets),
            "odd lines in the workers' logs": self._odd_lines(),
            "seconds to drain after the last fault": round(drained_in, 1),
            "seconds from a worker's kill -9 to the rescue of its jobs, at most": round(slowest or 0.0, 1),
        }

    def _odd_lines(self) -> dict[str, int]:
        """What the workers logged that reads like a defect; a matter for a look, not a failure."""
        odd: Counter[str] = Counter()
        for path in self.project.glob("worker*.log"):
            lines = path.read_text(errors="replace").splitlines()
            for number, line in enumerate(lines):
                if ODD.search(line):
                    after = next((one for one in lines[number + 1 :] if one and not one.startswith(" ")), "")
                    odd[f"{re.sub(r'.*?: ', '', line, count=1)[:40]} | {after[:80]}"] += 1
        return dict(odd)

    def clean_up(self) -> None:
        """End what was started here."""
        for member in [member for fleet in self.fleets for member in fleet.members]:
            member.thaw()
            if member.process.poll() is None:
                member.process.kill()
                member.process.wait()
        engine.dispose()
        for line in audit.left_running(self.settings.home):
            with_pid = re.search(r"process (\d+)", line)
            if with_pid and psutil.pid_exists(int(with_pid[1])):
                psutil.Process(int(with_pid[1])).kill()
        services.down(self.settings)


if __name__ == "__main__":
    sys.exit(main())
