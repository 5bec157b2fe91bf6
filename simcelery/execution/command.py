"""Run a command in a folder and keep what it printed."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 200


@dataclass(frozen=True)
class Completed:
    """A command that ended. `output` is the tail of what it printed, both streams together."""

    exit_code: int
    output: str


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
) -> Completed:
    """Run a command to its end; its whole output goes to ``output.txt`` in `folder`.

    Raises:
        OSError: it cannot be started.
    """
    log = folder / "output.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            code = process.wait()
        except BaseException:  # a time limit: the command must not outlive the attempt
            process.kill()
            process.wait()
            raise
    with log.open(encoding="utf-8", errors="backslashreplace") as output_text:
        tail = "".join(deque(output_text, TAIL_LINES))
    return Completed(code, tail.replace("\0", "\\0"))
