"""What a program prints to its file is also what its job prints, while it runs."""

from __future__ import annotations

import codecs
import sys
from contextlib import suppress
from pathlib import Path

_AT_ONCE = 1 << 20


class Follower:
    """Copies what is new in a file to stdout.

    Parameters:
        file: what one run of a program prints to.
        most: bytes that are copied at once; of more, which nobody would keep, only the last ones.
    """

    def __init__(self, file: Path, most: int) -> None:
        self._file = file
        self._most = most
        self._done = 0
        self._last = "\n"
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def follow(self) -> None:
        with suppress(OSError, ValueError), self._file.open("rb") as opened:  # closed, or full: it prints on
            size = opened.seek(0, 2)
            if size < self._done:  # the program has emptied it
                self._done = 0
            if size - self._done > self._most:
                left_out = size - self._done - self._most
                self._write(f"\n… {left_out:,} bytes left out; they are in {self._file} …\n")
                self._done += left_out
            opened.seek(self._done)
            while self._done < size and (read := opened.read(min(_AT_ONCE, size - self._done))):
                self._done += len(read)
                self._write(self._decoder.decode(read))
            sys.stdout.flush()

    def end(self) -> None:
        """The program has ended: copy the rest, and let what comes next begin on a line of its own."""
        self.follow()
        with suppress(OSError, ValueError):
            self._write(self._decoder.decode(b"", final=True))
            if not self._last.endswith("\n"):
                self._write("\n")
            sys.stdout.flush()

    def _write(self, text: str) -> None:
        if text:
            sys.stdout.write(text)
            self._last = text[-1]
