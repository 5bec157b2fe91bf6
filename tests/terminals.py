"""A command line as somebody sees it on a terminal, or reads it from a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from pathlib import Path

from simcelery.board.unreadable import bad_rows
from simcelery.cli import root
from tests.acceptance.test_cli import FORKS, begin_in_child, run_in_child
from tests.conftest import Project


def output(
    project: Project, arguments: list[str], terminal: bool, errors: bool = True, width: int | None = None
) -> str:
    """What a command line writes on stdout, and on stderr.

    Parameters:
        width: of the terminal, in cells; it then has 24 lines.
    """
    read, write = pty.openpty() if terminal else os.pipe()
    if width is not None:
        fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    path = Path(os.ttyname(write) if terminal else f"/proc/{os.getpid()}/fd/{write}")
    null = Path(os.devnull)
    given = (arguments, project.folder, project.environment, [null, path, path if errors else null])
    process = FORKS.Process(target=run_in_child, args=given)
    process.start()
    shown = b""
    deadline = time.monotonic() + 60
    while process.is_alive() or select.select([read], [], [], 0)[0]:
        assert time.monotonic() < deadline, f"{arguments} hangs"
        if select.select([read], [], [], 0.02)[0]:
            shown += os.read(read, 65536)
    process.join()
    os.close(read)
    os.close(write)
    assert process.exitcode in (0, 1, 2), f"{arguments}: {process.exitcode}: {shown.decode()}"
    return shown.decode()


def answers(project: Project, calls: list[list[str]]) -> list[str]:
    """What many command lines write, on stdout and stderr: in one process, one after the other."""
    paths = [project.folder / f"answer{number}" for number in range(len(calls))]
    process = FORKS.Process(target=_run_all, args=(calls, project.folder, project.environment, paths))
    process.start()
    process.join(120)
    written = [path.read_text() if path.exists() else "" for path in paths]
    assert process.exitcode == 0, f"{process.exitcode}: {written}"
    return written


def _run_all(calls: list[list[str]], folder: Path, environment: dict[str, str], paths: list[Path]) -> None:
    for arguments, path in zip(calls, paths, strict=True):
        bad_rows._named.clear()  # as in a process of its own
        begin_in_child(folder, environment, [Path(os.devnull), path, path])
        code = root.run(arguments)
        sys.stdout.flush()
        assert code in (0, 1, 2), f"{arguments}: {code}"
