"""Pictures of terminals: what real commands print about real jobs, as SVG that loads nothing."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import textwrap
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from simcelery.testing.servers import of_its_own
from simcelery.testing.workers import Worker

_WIDTH = 108
_WORKFLOWS = """
from simcelery import workflow

@workflow
def relax(element: str, fmax: float = 0.05) -> float:
    print(f"relaxing {element}")
    if element in ("W", "Mo"):
        raise ValueError(f"no potential for {element}")
    if element == "Pt":
        raise RuntimeError("no convergence after 200 steps")
    return -fmax * len(element)
"""
_BEFORE = [
    "submit sims.relax --grid element=Ag,Al,Au,Cu,Ni,Pd,Pt,W,Mo --grid fmax=0.01,0.05 -t metals",
    "submit sims.relax element=Cu fmax=0.001 --after 1-18 -t metals",
]
_PICTURES = {
    "list": "list -t metals -n 7",
    "status": "status -t metals",
    "errors": "errors -t metals",
    "explain": "explain -t metals",
}
# As rich has it, but in the reader's own font: rich's would be loaded from elsewhere.
_SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, monospace; }}
.{unique_id}-title {{ font: 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def record(folder: Path) -> None:
    """Start servers in a temporary home, run some jobs, and write a picture of each command's output."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "sims.py").write_text(textwrap.dedent(_WORKFLOWS))
        (place / "simcelery.toml").write_text('workflows = ["sims"]\n')
        os.chdir(place)
        with of_its_own(place / "home") as board:
            for command in _BEFORE:
                _run(command)
            with redirect_stderr(StringIO()):  # the jobs that fail, as they should
                Worker(board, place / "workers").run()
            for name, command in _PICTURES.items():
                (folder / f"{name}.svg").write_text(_picture(name, command, _run(command)))
        os.chdir("/")


def _run(command: str) -> str:
    """What ``simcelery`` prints on a terminal."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, _WIDTH, 0, 0))
    words = [str(Path(sys.executable).parent / "simcelery"), *command.split()]
    environment = {**os.environ, "TERM": "xterm-256color"}
    program = subprocess.Popen(words, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    printed = b""
    try:
        while some := os.read(mine, 65536):
            printed += some
    except OSError:  # it has ended, and its terminal with it
        pass
    os.close(mine)
    if program.wait() > 1:
        raise RuntimeError(f"simcelery {command}: {printed.decode()}")
    return printed.decode().replace("\r\n", "\n").rstrip()


def _picture(name: str, command: str, printed: str) -> str:
    console = Console(record=True, width=_WIDTH, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.assemble(("$ ", "green"), f"simcelery {command}"))
    console.print(Text.from_ansi(printed), soft_wrap=True)
    return console.export_svg(title="", theme=DIMMED_MONOKAI, code_format=_SVG, unique_id=name)
