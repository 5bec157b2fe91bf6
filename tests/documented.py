"""What the documentation tells people to write and to type, block by block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md")), *sorted(TOP.glob("examples/*/README.md"))]
GENERATED = {"api.md", "commands.md"}

_FENCE = re.compile(r"^```(\w*)$")
_NAMED = re.compile(r"`([\w./]+\.(?:py|toml))`[^`]*:$")  # "… and `sims.py`:" is followed by that file
_TIMES = re.compile(r"\b[\d.]+ ?(?:ms|s|min|h|d)\b(?: ago)?|\bjust now\b")

_ESTIMATE = re.compile(r"; about .* success(es)?$")
# How far it has come, which is told only where it takes a while.
_PROGRESS = re.compile(r"\d+/\d+ finished: ")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        section: the heading above it.
        language: of a fenced block; ``shell`` for one that is only indented.
        file: what the file is called that it is the content of, if the line before says so.
    """

    page: str
    line: int
    section: str
    language: str
    text: str
    file: str | None = None

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Each command, with the lines that it is shown to print."""
        lines = self.text.splitlines()
        if not any(line.startswith("$ ") for line in lines):
            # What it prints is shown without a prompt above it, or nothing is.
            is_program = [
                re.match(r"(?:simcelery|celery|\./|python|source|pip|make|export|docker|cp)\b", line)
                for line in lines
            ]
            yield from ((line, []) for line, program in zip(lines, is_program, strict=True) if program)
            return
        command, shown = "", list[str]()
        for line in lines:
            if line.startswith("$ "):
                if command:
                    yield command, shown
                command, shown = line[2:], []
            else:
                shown.append(line)
        yield command, shown


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    return list(_blocks(page.name, page.read_text().splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    section, before, at = "", "", 0
    while at < len(lines):
        line, begun = lines[at], at + 1
        if fence := _FENCE.match(line):
            end = lines.index("```", at + 1)
            named = _NAMED.search(before)
            text = "\n".join(lines[at + 1 : end]) + "\n"
            yield Block(page, begun, section, fence[1] or "text", text, named and named[1])
            at = end
        elif line.startswith("    ") and not before.startswith(("- ", "  ")):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end]):
                end += 1
            text = "\n".join(one[4:] for one in lines[at:end]).rstrip()
            yield Block(page, begun, section, "shell", text)
            at = end - 1
        elif line.startswith("#"):
            section = line.lstrip("# ")
        before = lines[at] or before
        at += 1


def agrees(shown: list[str], printed: str) -> bool:
    """Whether a command printed what is shown, but for times, estimates, and what a narrow terminal cuts."""
    lines = [_plain(line) for line in printed.splitlines()]
    wanted = [_plain(line) for line in shown if line.strip()]
    if not any(map(_PROGRESS.match, wanted)):
        lines = [line for line in lines if not _PROGRESS.match(line)]
    # Errors and results come by two ways, and so in no order.
    lines, wanted = sorted(line for line in lines if line), sorted(wanted)
    return len(wanted) == len(lines) and all(
        line.startswith(want.partition("…")[0].rstrip()) if "…" in want else line == want
        for want, line in zip(wanted, lines, strict=True)
    )


def _plain(line: str) -> str:
    return " ".join(_TIMES.sub("TIME", _ESTIMATE.sub("", line)).split())
