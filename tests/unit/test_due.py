"""When schedules are due, also on the days on which clocks are changed."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from simcelery.board import due
from simcelery.errors import UsageError

BERLIN = "Europe/Berlin"
SPRING = dt.datetime(2026, 3, 28, 23, tzinfo=dt.UTC)  # midnight; 02:00 becomes 03:00
AUTUMN = dt.datetime(2026, 10, 24, 22, tzinfo=dt.UTC)  # midnight; 03:00 becomes 02:00


def on(day: dt.datetime, cron: str, zone: str = BERLIN) -> list[str]:
    """The times of the day at which it is due, found one after the other, and again by looking back."""
    end = day + dt.timedelta(hours=23 if day is SPRING else 25) - dt.timedelta(seconds=1)
    found, moment = [], due.following(cron, zone, day - dt.timedelta(seconds=1))
    while moment is not None and moment <= end:
        found.append(moment)
        moment = due.following(cron, zone, moment)
    assert due.past(cron, zone, day, end, 10_000) == found
    assert len(set(found)) == len(found)
    return [f"{moment.astimezone(ZoneInfo(zone)):%H:%M%z}" for moment in found]


@pytest.mark.parametrize(
    ("day", "cron", "expected"),
    [
        (SPRING, "30 2 * * *", ["03:00+0200"]),  # there is no 02:30
        (SPRING, "0 2 * * *", ["03:00+0200"]),
        (SPRING, "30 1 * * *", ["01:30+0100"]),
        (SPRING, "0 3 * * *", ["03:00+0200"]),
        (AUTUMN, "30 2 * * *", ["02:30+0200"]),  # there are two
        (AUTUMN, "0 3 * * *", ["03:00+0100"]),
        (AUTUMN, "30 1 * * *", ["01:30+0200"]),
    ],
)
def test_a_time_of_the_day_is_due_once_on_both_days(day: dt.datetime, cron: str, expected: list[str]) -> None:
    assert on(day, cron) == expected


def test_what_is_due_every_hour_is_due_every_hour_on_both_days() -> None:
    assert len(on(SPRING, "0 * * * *")) == 23
    assert len(on(AUTUMN, "0 * * * *")) == 25
    assert len(on(AUTUMN, "*/15 * * * *")) == 100
    assert len(on(AUTUMN, "@hourly", "UTC")) == 25


def test_of_many_times_the_last_ones_are_found_at_once() -> None:
    year = dt.timedelta(days=366)
    found = due.past("* * * * *", "UTC", AUTUMN - year, AUTUMN, 3)
    assert found == [AUTUMN - dt.timedelta(minutes=minutes) for minutes in (2, 1, 0)]
    assert due.past("* * * * *", "UTC", AUTUMN, AUTUMN, 3) == [AUTUMN]
    later = AUTUMN + dt.timedelta(seconds=59, microseconds=5)
    assert due.past("* * * * *", "UTC", AUTUMN, later, 3) == [AUTUMN]


@pytest.mark.parametrize(
    ("cron", "zone", "expected"),
    [
        ("61 * * * *", "UTC", "'61 * * * *' is no cron expression (bad minute)"),
        ("* * * *", "UTC", "(five fields are needed)"),
        ("* * * * * *", "UTC", "(five fields are needed)"),
        ("", "UTC", "'' is no cron expression"),
        ("every day", "UTC", "'every day' is no cron expression"),
        ("0 0 31 2 *", "UTC", "bad day-of-month"),
        ("0 0 * * *", "Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
        ("0 0 * * *", "../etc/passwd", "there is no time zone"),
        ("0 0 * * *", "", "there is no time zone"),
    ],
)
def test_what_is_never_due_is_refused_in_one_line(cron: str, zone: str, expected: str) -> None:
    with pytest.raises(UsageError) as refused:
        due.check(cron, zone)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "cron", ["@daily", "30 2 * * MON-FRI", "*/5 8-18 1,15 JAN *", "0 0 29 2 *", "0 0 L * *"]
)
def test_what_is_due_some_time_is_taken(cron: str) -> None:
    due.check(cron, BERLIN)
