"""What an attempt prints, in chunks of the same number of bytes, so that anybody cuts it in the same places.

Chunk 1 begins with the first byte. The number of a chunk says which bytes it holds: whoever writes one again
writes the same, and a number that is missing says how many bytes are left out. A character is never cut:
one that begins at the end of a chunk belongs to the next.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

SIZE = 4096  # bytes; numbers on the board count in these
_BEGUN = 3  # bytes of a character that is not complete, at most


class Kept(NamedTuple):
    """Which chunks of an output are kept: the first ones, and from one of the last on.

    Attributes:
        first: the last of the first ones.
        start: where the last ones begin.
        total: how many chunks there are.
    """

    first: int
    start: int
    total: int

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and (number <= self.first or number >= self.start)

    @property
    def all(self) -> bool:
        """Whether nothing is left out."""
        return self.start <= self.first + 1


@dataclass(frozen=True)
class Output:
    """What an attempt has printed, or the rest of it.

    Attributes:
        chunks: the text of each, by its number.
        kept: which chunks the board keeps, where it may hold others; None: nothing is to be removed there.
    """

    chunks: Mapping[int, str] = field(default_factory=dict)
    kept: Kept | None = None


def numbered(log: str | Mapping[int, str]) -> Mapping[int, str]:
    """The chunks of a log; a text alone is the only one."""
    return ({1: log} if log else {}) if isinstance(log, str) else log


def joined(log: Iterable[tuple[int, str]], before: int = 0) -> Iterator[str]:
    """The texts of numbered chunks, and between them how much is left out.

    Parameters:
        before: the number of the chunk that was read before these.
    """
    for number, text in log:
        if number > before + 1:
            yield f"\n… {(number - before - 1) * SIZE:,} bytes left out …\n"
        yield text
        before = number


def kept(size: int, most: int) -> Kept:
    """Which chunks of so many bytes are kept.

    Parameters:
        most: bytes; a fifth of them for how it began.
    """
    total, room = -(-size // SIZE), max(2, most // SIZE)
    first = max(1, room // 5)
    return Kept(first, max(first, total - (room - first)) + 1, total)


def whole(size: int) -> int:
    """How many chunks will not change any more. The last one may yet end with an incomplete character."""
    return max(0, size - 1) // SIZE


def read(descriptor: int, most: int, after: int = 0, *, ended: bool) -> tuple[Output, int]:
    """The chunks of an open file that are kept, and how many bytes it holds.

    Parameters:
        most: bytes that are kept.
        after: only those after this one.
        ended: nothing more will be printed; otherwise the beginning of a character at the end is left out.

    Raises:
        OSError: it cannot be read.
    """
    size = os.fstat(descriptor).st_size
    keep = kept(size, most)
    first = range(after + 1, min(keep.first, keep.total) + 1)
    last = range(max(after + 1, keep.start), keep.total + 1)
    found = {number: _text(descriptor, number, size, ended) for number in (*first, *last)}
    if (now := os.fstat(descriptor).st_size) > size and not keep.all:
        keep = kept(now, most)  # of the others the file may hold nothing any more
        found = {number: text for number, text in found.items() if number in keep}
    return Output(found, keep), size


def _text(descriptor: int, number: int, size: int, ended: bool) -> str:
    begin, end = (number - 1) * SIZE, min(number * SIZE, size)
    before = min(begin, _BEGUN)
    data = os.pread(descriptor, end - begin + before, begin - before)
    begun = before - incomplete(data[:before])
    rest = 0 if ended and end == size else incomplete(data[-_BEGUN:])
    return data[begun : len(data) - rest].decode(errors="backslashreplace").replace("\0", "\\0")


def incomplete(data: bytes) -> int:
    """How many bytes at the end are the beginning of a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    return len(decoder.getstate()[0])
