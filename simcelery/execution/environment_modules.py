"""Environment modules, with which clusters offer their programs: an environment after `module load`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from simcelery.readable import short

# As a shell of a batch job: `module` is a function, which the environment hands on or a site's file defines.
_SCRIPT = r"""
has_module() { type module >/dev/null 2>&1; }
env=$(type -P env)
for init in "$MODULESHOME/init/bash" "$LMOD_PKG/init/bash" /etc/profile.d/*mod*.sh; do
    has_module && break
    [ -r "$init" ] && . "$init" >&2
done
has_module || { echo "there is no command 'module' here" >&2; exit 1; }
module load "$@" >&2 || exit
exec "$env" -0
"""
_TIME = 120.0  # seconds: file systems of clusters are slow at times
_LINES = 4
# What the shell itself changes.
_OF_SHELL = ("_", "SHLVL", "PWD", "OLDPWD")


class ModulesError(Exception):
    """They cannot be loaded; the message says why."""


def named(name: str) -> str:
    """The name, if `module load` takes it for one.

    Raises:
        ValueError: it is empty, an option, or has a blank.
    """
    if not name or name.startswith("-") or not name.isprintable() or " " in name:
        raise ValueError(f"{short(name)} is not the name of an environment module, such as gcc/12.2")
    return name


def loaded(names: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment after `module load`.

    Parameters:
        names: of the modules, in the order in which they are loaded.

    Raises:
        ModulesError: one is not there or does not load, or this machine has no environment modules.
    """
    said = f"module load {' '.join(names)}"
    try:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", _SCRIPT, "bash", *names],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIME,
        )
    except OSError as error:
        raise ModulesError(f"{said}: cannot run bash here: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ModulesError(f"{said} has not ended after {_TIME:.0f} s") from None
    errors = done.stderr.decode(errors="backslashreplace")
    # Version 3 of the modules says so, and succeeds.
    if done.returncode != 0 or ":ERROR:" in errors:
        lines = [line.strip() for line in errors.splitlines() if line.strip()][:_LINES]
        told = "\n".join(lines) or f"exit code {done.returncode}"
        raise ModulesError(f"{said}: {told}")
    pairs = (text.partition("=") for text in done.stdout.decode(errors="surrogateescape").split("\0"))
    found = {name: value for name, equals, value in pairs if equals and name not in _OF_SHELL}
    return found | {name: environment[name] for name in _OF_SHELL if name in environment}
