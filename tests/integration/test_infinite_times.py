"""Times that are infinite, which no simcelery writes, and which Postgres subtracts only since version 17."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from sqlalchemy import text

from simcelery.board import clock, engine
from simcelery.services import Services
from tests import board_helpers as put
from tests import hostile_rows

INF = math.inf
DAY = 86_400.0


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("2026-01-01 00:00:00Z", "2026-01-01 00:01:30.000001Z", 90.000001),
        ("2026-01-01 00:01:30Z", "2026-01-01 00:00:00Z", -90.0),
        ("4000-01-01 00:00:00Z BC", "200000-01-01 00:00:00Z", 74_509_104 * DAY),
        ("-infinity", "2026-01-01", INF),
        ("2026-01-01", "infinity", INF),
        ("infinity", "2026-01-01", -INF),
        ("-infinity", "infinity", INF),
        ("infinity", "-infinity", -INF),
        ("infinity", "infinity", None),
        ("-infinity", "-infinity", None),
        (None, "infinity", None),
        ("infinity", None, None),
    ],
)
def test_how_many_seconds_are_between_two_moments(
    start: str | None, end: str | None, seconds: float | None, board: Services
) -> None:
    asked = "SELECT seconds_between(CAST(:a AS timestamptz), CAST(:b AS timestamptz))"
    assert put.sql(asked, a=start, b=end) == [(seconds,)]


@pytest.mark.parametrize("expires_at", ["infinity", "-infinity"])
def test_an_infinite_lease_is_in_nobodys_way_when_the_clock_was_set_back(
    expires_at: str, board: Services
) -> None:
    infinite, honest = put.worker(), put.worker()
    with hostile_rows.without_checks(board.database_url), engine.begin() as connection:
        connection.execute(text("UPDATE workers SET renewed_at = now() + interval '1 h'"))
        connection.execute(
            text("UPDATE workers SET lease_expires_at = CAST(:at AS timestamptz) WHERE id = :id"),
            {"at": expires_at, "id": infinite},
        )
        clock.set_right(connection)
        asked = "SELECT id, lease_expires_at::text FROM workers WHERE renewed_at = now() ORDER BY id"
        found = connection.execute(text(asked)).all()
        connection.rollback()
    assert found[0] == (infinite, expires_at)
    assert [row.id for row in found] == [infinite, honest]


def test_whether_a_worker_is_fresh_is_known_whatever_its_times(board: Services) -> None:
    def fresh(started_at: str, ends_at: str) -> bool | None:
        times = "jsonb_build_object('started_at', CAST(:a AS text), 'ends_at', CAST(:b AS text))"
        asked = f"SELECT is_fresh(jsonb_populate_record(CAST(NULL AS workers), {times}))"
        [(answer,)] = put.sql(asked, a=started_at, b=ends_at)
        return answer

    now = dt.datetime.now(dt.UTC)
    old, late = (str(now + dt.timedelta(hours=hours)) for hours in (-1, 1))
    assert fresh(str(now), late)
    assert not fresh(old, late)
    assert fresh(old, "infinity")
    assert fresh("infinity", late)
    assert fresh("-infinity", "infinity")
    assert not fresh(old, "-infinity")
    assert fresh("infinity", "infinity") is None
