"""The fields of log records: what a format shows in a worker, beside a job, and in any other process."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from simcelery import log_records
from simcelery.log_records import FIELDS, NOTHING, About, JobRecord, about
from simcelery.readable import ReadableRecords
from tests.waiting import within

FORMAT = "%(job)s %(attempt)s %(claim)s %(worker)s %(message)s"


class Lines(logging.Handler):
    """What was logged, as a format of the user's own shows it."""

    def __init__(self, form: str = FORMAT) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(form))
        self.lines: list[str] = []
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
        self.records.append(record)


@pytest.fixture
def log() -> logging.Logger:
    """A logger of the user's own."""
    made = logging.Logger("mine", logging.DEBUG)
    made.addHandler(Lines())
    return made


@pytest.fixture(autouse=True)
def factory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody has run anything yet, nor set a factory."""
    former = logging.getLogRecordFactory()
    monkeypatch.setattr(log_records, "_worker", None)
    monkeypatch.setattr(log_records, "_running", lambda: NOTHING)
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(former)


def lines(log: logging.Logger) -> list[str]:
    [handler] = log.handlers
    assert isinstance(handler, Lines)
    return handler.lines


def runs(job: int) -> None:
    log_records.of_worker("w1", lambda: About(job, 2, "c"))


def test_a_process_that_is_no_worker_shows_none(log: logging.Logger) -> None:
    log_records.install()
    log.info("a line")
    assert lines(log) == ["None None None None a line"]


def test_a_worker_shows_what_it_runs(log: logging.Logger) -> None:
    log_records.install()
    runs(7)
    log.info("a %s", "line")
    thread = threading.Thread(target=log.warning, args=("another",))
    thread.start()
    thread.join()
    log_records.of_worker("w1", lambda: NOTHING)
    log.info("idle")
    assert lines(log) == ["7 2 c w1 a line", "7 2 c w1 another", "None None None w1 idle"]


def test_a_record_says_what_ran_when_it_was_made(log: logging.Logger) -> None:
    log_records.install()
    runs(7)
    record = log.makeRecord("mine", logging.INFO, "", 1, "a line", (), None)
    runs(8)
    assert record.job == 7  # type: ignore[attr-defined]
    assert logging.Formatter(FORMAT).format(record) == "7 2 c w1 a line"


def test_who_speaks_of_another_attempt_says_so(log: logging.Logger) -> None:
    log_records.install()
    runs(7)
    with about(9, 1, "d"):
        log.info("of another")
        with about():
            log.info("of none")
        other = threading.Thread(target=log.info, args=("in a thread",))
        other.start()
        other.join()
    log.info("of its own")
    assert lines(log) == [
        "9 1 d w1 of another",
        "None None None w1 of none",
        "7 2 c w1 in a thread",
        "7 2 c w1 of its own",
    ]


@pytest.mark.parametrize("name", FIELDS)
def test_extra_of_the_same_name_is_the_callers(log: logging.Logger, name: str) -> None:
    log_records.install()
    runs(7)
    log.info("a line", extra={name: "mine"})
    assert "mine" in lines(log)[0].split()


def test_a_fault_of_ours_is_no_error_of_the_callers(log: logging.Logger) -> None:
    def breaks() -> About:
        raise RuntimeError

    log_records.install()
    log_records.of_worker("w1", breaks)
    log.info("a line")
    assert lines(log) == ["None None None w1 a line"]


class Custom(logging.LogRecord):
    """A record of the user's own."""

    tenant = "t"


@pytest.mark.parametrize("extra", [None, {"job": "mine"}])
def test_a_factory_of_the_users_own_stays(log: logging.Logger, extra: dict[str, str] | None) -> None:
    def factory(*args: object, **options: object) -> logging.LogRecord:
        record = Custom(*args, **options)  # type: ignore[arg-type]
        record.color = "red"
        return record

    logging.setLogRecordFactory(factory)
    log_records.install()
    runs(7)
    log.handlers = [Lines("%(job)s %(claim)s %(color)s %(message)s")]
    log.info("a line", extra=extra)
    assert lines(log) == [f"{'mine' if extra else 7} c red a line"]
    [handler] = log.handlers
    assert isinstance(handler, Lines)
    assert isinstance(handler.records[0], Custom)


@pytest.mark.parametrize("former", [logging.LogRecord, lambda *args, **options: Custom(*args, **options)])
def test_a_factory_is_set_once_and_hands_on_all_that_it_is_given(former: type[logging.LogRecord]) -> None:
    logging.setLogRecordFactory(former)
    log_records.install()
    ours = logging.getLogRecordFactory()
    log_records.install()
    assert logging.getLogRecordFactory() is ours
    assert ours("mine", logging.INFO, "", 1, "a line", (), None, func="f").funcName == "f"


def test_records_travel(log: logging.Logger) -> None:
    """Through a queue to another process, as `QueueHandler` sends them."""
    log_records.install()
    runs(7)
    log.info("a line")
    [handler] = log.handlers
    assert isinstance(handler, Lines)
    there = pickle.loads(pickle.dumps(copy.copy(handler.records[0])))
    assert logging.Formatter(FORMAT).format(there) == "7 2 c w1 a line"
    made = logging.makeLogRecord({"msg": "from elsewhere", "job": 3})
    assert logging.Formatter("%(job)s %(message)s").format(made) == "3 from elsewhere"


def test_readable_records_keep_the_fields(log: logging.Logger) -> None:
    log_records.install()
    runs(7)
    log.handlers[0].addFilter(ReadableRecords())
    log.info("two\nlines")
    assert lines(log) == ["7 2 c w1 two lines"]


def test_a_record_has_no_attribute_that_it_has_not() -> None:
    record = JobRecord("mine", logging.INFO, "", 1, "a line", (), None)
    with pytest.raises(AttributeError, match="'JobRecord' object has no attribute 'jobs'"):
        record.jobs  # noqa: B018
    assert json.loads(json.dumps({name: getattr(record, name) for name in FIELDS})) == dict.fromkeys(FIELDS)


def test_whoever_uses_the_package_can_show_them() -> None:
    code = (
        f"import logging; logging.basicConfig(format={FORMAT!r}); from simcelery import workflow; "
        "logging.warning('a line')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=within(60))
    assert done.stderr.splitlines() == ["None None None None a line"]
