"""The thread that records calls of an executor."""

from __future__ import annotations

import threading

from simcelery.errors import BoardUnreachableError
from simcelery.submission.recorder import Recorder
from tests.waiting import within


def test_what_is_taken_back_while_it_cannot_be_written_is_never_recorded() -> None:
    written: list[int] = []
    begun, failed = threading.Event(), threading.Event()

    def write(some: list[int]) -> None:
        if not failed.is_set():
            begun.set()
            assert failed.wait(within(20))
            raise BoardUnreachableError("no Postgres")
        written.extend(some)

    recorder = Recorder(write, 10)
    recorder.put(1)
    assert begun.wait(within(20))
    threading.Timer(0.2, failed.set).start()
    assert recorder.take_back(lambda item: item == 1) == [1]
    recorder.put(2)
    recorder.flush()
    recorder.close()
    assert written == [2]
