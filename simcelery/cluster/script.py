"""The script of an allocation: what a batch job runs to start the workers of a cluster.

The shell interprets nothing in it but the lines of ``setup``, each by itself: one with a quotation mark too
many fails alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from shlex import join, quote

from simcelery.cluster import worker_options
from simcelery.cluster.profile import Profile
from simcelery.execution import allocation

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# A scheduler may hand on nothing of the user's environment, which a login shell makes; here it is inherited.
_SHELLS = {"local": "#!/bin/sh"}
_LOGIN_SHELL = "#!/bin/bash -l"
# Slurm tells a worker when its allocation ends; PBS how long it lasts, which is too much after a long setup.
_TELLS_THE_END = ("slurm",)

_SETUP_BEGINS = r"""
simcelery_failed() {
    simcelery_code=$?
    printf 'simcelery: exit code %s of this line of setup: %s\n' "$simcelery_code" "$simcelery_line" >&2
    exit "$simcelery_code"
}
trap simcelery_failed EXIT
set -e
"""
_SETUP_ENDS = """
set +e
trap - EXIT
simcelery_enter
"""
# A signal interrupts `wait`, though the worker still runs; it may have been sent to this shell alone.
_SEVERAL = """
unset IFS
simcelery_workers=
simcelery_count={count}
trap 'simcelery_count=0; kill -TERM $simcelery_workers $! 2>/dev/null' TERM INT
simcelery_number=1
while [ "$simcelery_number" -le "$simcelery_count" ]; do
    {worker} &
    simcelery_workers="$simcelery_workers $!"
    simcelery_number=$((simcelery_number + 1))
done
simcelery_code=0
for simcelery_worker in $simcelery_workers; do
    while :; do
        wait "$simcelery_worker"
        simcelery_ended=$?
        kill -0 "$simcelery_worker" 2>/dev/null || break
    done
    [ "$simcelery_ended" -eq 0 ] || simcelery_code=$simcelery_ended
done
exit "$simcelery_code"
"""


def script(profile: Profile, name: str) -> str:
    """The text of the script for the allocation of this name, which all of its workers have in theirs.

    Raises:
        ValueError: that is no name for workers.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for an allocation")
    parts = (
        _SHELLS.get(profile.launcher, _LOGIN_SHELL),
        f"# Workers of the cluster {profile.name}, started by simcelery.",
        "simcelery_began=$(date +%s)",
        f"simcelery_enter() {{\n    {_enter(profile.folder)}\n}}\nsimcelery_enter",
        _exports({**profile.environment, **_room(profile), allocation.NAME: name}),
        *_setup(profile.setup),
        _read(profile.secrets),
        _workers(profile, name),
    )
    return "".join(f"{part.strip()}\n" for part in parts if part)


def _enter(folder: str) -> str:
    return _unless(f"cd {quote(folder)}", f"cannot go to {folder}: all nodes must see the same files")


def _unless(command: str, complaint: str) -> str:
    """Unless a command succeeds, say this and end."""
    return f"{command} || {{ printf '%s\\n' {quote(f'simcelery: {complaint}')} >&2; exit 2; }}"


def _exports(variables: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={quote(value)}" for name, value in variables.items())


def _room(profile: Profile) -> dict[str, str]:
    """What each worker has for jobs: its share of what was asked for on a node."""
    asked = {"SIMCELERY_CORES": profile.cores, "SIMCELERY_MEMORY": profile.memory}
    return {name: str(max(1, count // profile.each_node)) for name, count in asked.items() if count}


def _setup(lines: Sequence[str]) -> Iterator[str]:
    if not lines:
        return
    yield _SETUP_BEGINS
    for line in lines:
        yield f'simcelery_line={quote(line)}\neval "$simcelery_line"'
    yield _SETUP_ENDS


def _read(secrets: str | None) -> str:
    """Behind the setup, so that a line that prints the environment does not print passwords."""
    if secrets is None:
        return ""
    complaint = f"cannot read {secrets}: all nodes must see the same files"
    return _unless(f"[ -r {quote(secrets)} ]", complaint) + f"\n. {quote(secrets)}"


def _workers(profile: Profile, name: str) -> str:
    if profile.launcher == "slurm" and (profile.nodes > 1 or profile.each_node > 1):
        return f"exec {_srun(profile, name)}"
    if profile.each_node > 1:
        return _SEVERAL.format(count=profile.each_node, worker=_worker(profile, name, "simcelery_number"))
    return f"exec {_worker(profile, name)}"


def _srun(profile: Profile, name: str) -> str:
    words = [
        "srun",
        f"--nodes={profile.nodes}",
        f"--ntasks={profile.nodes * profile.each_node}",
        f"--ntasks-per-node={profile.each_node}",
        # Of several, each has cores of its own; it is not told those of the batch job by itself.
        f"--cpus-per-task={profile.cores // profile.each_node}" if profile.cores else "--cpu-bind=none",
        "--kill-on-bad-exit=0",
        "--export=ALL",  # what the setup has changed
    ]
    if profile.each_node == 1:
        return f"{join(words)} {_worker(profile, name)}"
    numbered = f"exec {_worker(profile, name, 'SLURM_LOCALID')}"
    return f"{join(words)} /bin/sh -c {quote(numbered)}"


def _worker(profile: Profile, name: str, numbered_by: str | None = None) -> str:
    """The command of one worker, for a shell.

    Parameters:
        numbered_by: a variable, whose value tells it from the others of its node.
    """
    nodename = f'"{name}-${numbered_by}@%h"' if numbered_by else quote(f"{name}@%h")
    command = f"{quote(profile.python)} -m celery -A simcelery worker -n {nodename}"
    return " ".join([command, *_own_options(profile), *map(quote, profile.worker)])


def _own_options(profile: Profile) -> Iterator[str]:
    """What the options of the profile leave to us."""
    given = profile.worker
    if profile.cores and not worker_options.names(given, "-c", "--concurrency", "--autoscale"):
        yield f"-c {max(1, profile.cores // profile.each_node)}"
    told = profile.launcher in _TELLS_THE_END or worker_options.names(given, "--walltime")
    if profile.walltime and not told:
        yield f'--walltime "$(({int(profile.walltime)} + simcelery_began - $(date +%s)))"'
