"""Files for what the board cannot hold."""

from __future__ import annotations

import errno
import functools
import os
import pickle
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcelery.execution.keeping import MOST_TEXT, keep


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file may grow beyond this, as on a full disk."""
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)


def test_where_there_is_no_room_nothing_is_left_behind(tmp_path: Path) -> None:
    with at_most(100_000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        keep(np.zeros(100_000), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "part",
    [
        threading.Lock(),
        (i for i in range(3)),
        lambda: 0,
        type("Local", (), {})(),
        functools.partial(lambda: 0),
        memoryview(b"x"),
        type("Local", (Exception,), {})("x"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_what_cannot_be_pickled_is_a_text_in_its_place(part: Any, tmp_path: Path) -> None:
    file = keep({"energies": np.arange(3.0), "parts": [part, {"deep": (part, 1)}]}, tmp_path)
    assert file == tmp_path / "result.pickle"
    found = pickle.loads(file.read_bytes())
    assert found["energies"].tolist() == [0.0, 1.0, 2.0]
    assert found["parts"][1]["deep"][1] == 1
    assert isinstance(found["parts"][0], str | functools.partial)


def test_the_text_of_what_cannot_be_pickled_at_all_is_bounded(tmp_path: Path) -> None:
    class Deep(list[Any]):
        def __repr__(self) -> str:
            return "å" * 3_000_000

    value: Any = Deep()
    for _ in range(100_000):
        value = [value]
    assert 0 < keep(value, tmp_path).stat().st_size <= MOST_TEXT
