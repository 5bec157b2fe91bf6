"""When a schedule is due: cron expressions in a time zone, with the days on which clocks are changed.

A time of the day that there is not, in spring, is due when the clocks have gone forward; one that there is
twice, in autumn, is due the first time. What is due every so many minutes or hours is due by the clock on the
wall, also then.
"""

from __future__ import annotations

import datetime as dt
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from simcelery.errors import UsageError
from simcelery.readable import short

_NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


def check(cron: str, zone: str) -> None:
    """Refuse what is never due.

    Raises:
        UsageError: the expression or the time zone is none, or it is never due.
    """
    from cronsim import CronSimError  # few processes have anything to do with schedules

    try:
        _zone(zone)
    except (KeyError, ValueError, OSError):
        raise UsageError(
            f"there is no time zone {short(zone)}: write one such as Europe/Berlin or UTC"
        ) from None
    fields = _NAMES.get(cron, cron).split()
    try:
        if len(fields) != 5:
            raise CronSimError("five fields are needed")
        found = following(cron, zone, dt.datetime.now(dt.UTC))
    except CronSimError as error:
        said = str(error)
        reason = f"{said[:1].lower()}{said[1:]}"
        raise UsageError(
            f"{short(cron)} is no cron expression ({reason}): write minute, hour, day of the month, month "
            "and day of the week, such as '30 2 * * MON-FRI', or @daily"
        ) from None
    if found is None:
        raise UsageError(f"{short(cron)} is never due: there is no such day")


def following(cron: str, zone: str, after: dt.datetime) -> dt.datetime | None:
    """When it is due next after this moment, in UTC; None: never."""
    from cronsim import CronSim

    found: dt.datetime | None = next(CronSim(_NAMES.get(cron, cron), after.astimezone(_zone(zone))), None)
    return found and found.astimezone(dt.UTC)


def past(cron: str, zone: str, first: dt.datetime, until: dt.datetime, most: int) -> list[dt.datetime]:
    """When it was due from `first` to `until`, both included, in UTC, ascending; of many the last ones."""
    from cronsim import CronSim

    # Going back it begins before the moment that it is given, but with that moment's whole second.
    moment = until.replace(microsecond=until.microsecond or 1).astimezone(_zone(zone))
    backward = (time.astimezone(dt.UTC) for time in CronSim(_NAMES.get(cron, cron), moment, reverse=True))
    found = list(islice(takewhile(lambda time: time >= first, backward), most))
    return found[::-1]


def _zone(name: str) -> ZoneInfo | dt.timezone:
    return dt.UTC if name == "UTC" else ZoneInfo(name)
