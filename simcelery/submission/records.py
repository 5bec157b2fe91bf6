"""What became of the jobs of a submission, kept small: 25 bytes each."""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Iterable, Sequence
from typing import Literal, Self, get_args, overload

from simcelery.board.values import Recorded

_How = Literal["new", "existing", "retried"]
_HOWS: tuple[_How, ...] = get_args(_How)
_NUMBERS = {how: number for number, how in enumerate(_HOWS)}


class Records(Sequence[Recorded]):
    """A sequence of `Recorded`; their states are not kept, for they change.

    Attributes:
        canaries: the ids of those that run first, where the others wait for them.
    """

    def __init__(self, recorded: Iterable[Recorded] = ()) -> None:
        self.ids = array("q")
        self.canaries: tuple[int, ...] = ()
        self._task_ids = bytearray()
        self._hows = bytearray()
        self.extend(recorded)

    def extend(self, recorded: Iterable[Recorded]) -> None:
        """Add some."""
        some = list(recorded)
        self.ids.extend([one.id for one in some])
        self._task_ids += b"".join([one.task_id.bytes for one in some])
        self._hows += bytes([_NUMBERS[one.how] for one in some])

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Recorded: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Recorded | Self:
        if isinstance(index, slice):
            return type(self)(self[i] for i in range(*index.indices(len(self))))
        at = range(len(self))[index]
        task_id = uuid.UUID(bytes=bytes(self._task_ids[16 * at : 16 * at + 16]))
        return Recorded(self.ids[at], task_id, _HOWS[self._hows[at]])

    def ids_of(self, how: _How) -> list[int]:
        """The ids of those that are new, existing or retried; quick even for a million."""
        wanted = _NUMBERS[how]
        return [number for number, found in zip(self.ids, self._hows, strict=True) if found == wanted]

    @property
    def last_to_run(self) -> int | None:
        """The id of the last that was not there before, or is retried; None: all were there."""
        at = max(self._hows.rfind(bytes([_NUMBERS[how]])) for how in ("new", "retried"))
        return self.ids[at] if at >= 0 else None

    def summary(self) -> dict[str, int]:
        """How many are new, existing and retried."""
        return {how: self._hows.count(number) for how, number in _NUMBERS.items()}
