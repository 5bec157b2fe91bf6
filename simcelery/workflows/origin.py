"""Where the code of workflows comes from: Python and packages, git commits, lock files, loaded modules.

Collected once when a worker starts. Nothing here may keep it from starting: what cannot be found out in time
is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from simcelery.workflows.source import LIBRARIES

_LONGEST = 5.0  # seconds for all that git is asked
_LOCK_FILES = (
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "pixi.lock",
    "Pipfile.lock",
    "conda-lock.yml",
    "pylock.toml",
    "requirements.lock",
    "requirements.txt",
    "environment.yml",
)
_LARGEST = 50_000_000  # bytes of a lock file
# No monitor of a repository's own is started, no lock is taken, nobody is asked for a password.
_GIT = [
    *("git", "-c", "core.fsmonitor=false", "-c", "safe.directory=*"),
    *("--no-optional-locks", "--literal-pathspecs"),
]
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}


class Known(Protocol):
    """As much of a definition as is looked at."""

    name: str
    source: str
    function: Any


def collect(workflows: Iterable[Known]) -> dict[str, Any]:
    """What is known of the origin of these workflows, the same wherever it is the same: no host, no time.

    Returns:
        ``python``, ``simcelery``, ``modules`` (of ``LOADEDMODULES``), ``workflows`` (name → ``package``,
        ``version``, ``source``, ``tree``) and ``trees`` (folder → ``repository``, ``commit``, ``dirty``,
        ``lock``).
    """
    git, version = _Git(), cache(_version)
    found: dict[str, Any] = {}
    trees: dict[str, Any] = {}
    for known in workflows:
        with suppress(Exception):  # a module may be anything
            found[known.name] = _workflow(known, git, version, trees)
    return _storable(
        {
            "python": platform.python_version(),
            "simcelery": metadata.version("simcelery"),
            "modules": [name for name in os.environ.get("LOADEDMODULES", "").split(":") if name],
            "workflows": found,
            "trees": trees,
        }
    )


def _storable(found: dict[str, Any]) -> dict[str, Any]:
    """Names of files and variables may hold bytes that are no text."""
    text = json.dumps(found, ensure_ascii=False).encode(errors="replace").decode()
    cleaned: dict[str, Any] = json.loads(text.replace("\\u0000", ""))
    return cleaned


def _workflow(
    known: Known, git: _Git, version: Callable[[str], str | None], trees: dict[str, Any]
) -> dict[str, Any]:
    module = known.function.__module__
    top = module.partition(".")[0]
    about: dict[str, Any] = {"source": known.source, "package": top, "version": version(top), "tree": None}
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or top == __name__.partition(".")[0] or LIBRARIES & set(Path(file).parts):
        return about
    path = Path(file).resolve()
    root = git.root(path.parent)
    about["tree"] = tree = str(root or path.parent)
    if tree not in trees:
        trees[tree] = dict.fromkeys(("repository", "commit", "dirty"))
        if root is not None:
            trees[tree] |= {"commit": git.commit(root), "dirty": git.is_dirty(root)}
            trees[tree]["repository"] = git.repository(root)
        trees[tree]["lock"] = _lock_file(path.parent, root)
    if root is not None and git.is_untracked(path):
        trees[tree]["dirty"] = True
    return about


def _version(package: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    declared = getattr(sys.modules.get(package), "__version__", None)
    return declared if isinstance(declared, str) else None


def _lock_file(folder: Path, root: Path | None) -> dict[str, str] | None:
    """The nearest one above a module: up to the root of its repository, or, without one, one folder up."""
    last = root or folder.parent
    while True:
        for name in _LOCK_FILES:
            with suppress(OSError):
                file = folder / name
                if file.is_file() and file.stat().st_size <= _LARGEST:
                    return {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        if folder in (last, folder.parent):
            return None
        folder = folder.parent


class _Git:
    """Questions to git, each folder and file asked about once; None where it does not answer in time."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _LONGEST
        self._roots: dict[Path, Path | None] = {}
        self._untracked: dict[Path, bool] = {}

    def root(self, folder: Path) -> Path | None:
        """The folder of the repository that a folder is in."""
        if folder not in self._roots:
            said = self._ask(folder, "rev-parse", "--show-toplevel")
            self._roots[folder] = Path(said) if said else None
        return self._roots[folder]

    def commit(self, root: Path) -> str | None:
        """The commit that is checked out."""
        said = self._ask(root, "rev-parse", "--verify", "HEAD")
        return said if said and re.fullmatch("[0-9a-f]{40,64}", said) else None

    def repository(self, root: Path) -> str | None:
        """Where it was cloned from, without user and password: either may be a token."""
        said = self._ask(root, "config", "--get", "remote.origin.url")
        return re.sub(r"(?<=://)[^/]*@|[?#].*", "", said) if said else None

    def is_dirty(self, root: Path) -> bool | None:
        """Whether a file differs from the commit."""
        said = self._ask(root, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=none")
        return None if said is None else said != ""

    def is_untracked(self, file: Path) -> bool:
        """Whether git knows that a file is in no commit."""
        if file not in self._untracked:
            self._untracked[file] = self._ask(file.parent, "ls-files", "--", file.name) == ""
        return self._untracked[file]

    def _ask(self, folder: Path, *words: str) -> str | None:
        said = bounded([*_GIT, "-C", str(folder), *words], self._until - time.monotonic())
        return None if said is None else said.strip()


def bounded(command: Sequence[str], seconds: float) -> str | None:
    """The output of a command; None if it fails, or takes longer: then it is killed, and not waited for.

    What hangs on a dead file system cannot be killed, and waiting for it would take as long as it hangs.
    """
    if seconds <= 0:
        return None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, **_QUIET},
            start_new_session=True,
        )
    except OSError:  # there is no git here
        return None
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout is not None:
            process.stdout.close()
        return None
    return said.decode(errors="replace") if process.returncode == 0 else None
