"""Which scheduler a cluster is started through, and as whom: whether it is for this process to look after.

The commands alone do not tell. Other sites have them too, where the same numbers are those of strangers; and
the batch jobs of another user are not listed. Either would look as if all had ended.
"""

from __future__ import annotations

import shutil
import time

from simcelery.board.clusters import ClusterRow
from simcelery.cluster.profile import Profile
from simcelery.schedulers.asking import Unknown
from simcelery.schedulers.scheduler import Scheduler, own_name

_ASKED_AGAIN = 60.0  # seconds after which a scheduler that did not answer is asked again

_Key = tuple[str, tuple[str, ...], str | None]
_known: dict[_Key, str] = {}
_silent: dict[_Key, float] = {}


def site_of(scheduler: Scheduler, profile: Profile) -> str:
    """Which scheduler this is. It is asked once; what it says does not change.

    Raises:
        Unknown: it does not answer.
    """
    if profile.launcher == "local":  # each has its own folder
        return scheduler.site()
    key = _key(scheduler, profile)
    if key not in _known:
        _known[key] = scheduler.site()
    return _known[key]


def may_be_ours(row: ClusterRow, scheduler: Scheduler, profile: Profile) -> bool:
    """Whether a cluster may be one of this scheduler and user: certainly not, or perhaps.

    A scheduler that does not answer now may be the one.
    """
    if row.owner not in (None, own_name()):
        return False
    if row.site is None:  # started before this was recorded
        return True
    key = _key(scheduler, profile)
    if key not in _known and time.monotonic() < _silent.get(key, 0.0):
        return True
    try:
        return site_of(scheduler, profile) == row.site
    except Unknown:
        _silent[key] = time.monotonic() + _ASKED_AGAIN
        return True


def is_ours(row: ClusterRow, scheduler: Scheduler, profile: Profile) -> bool:
    """Whether it is, as far as that was recorded.

    Raises:
        Unknown: the scheduler does not answer.
    """
    is_owner = row.owner in (None, own_name())
    return is_owner and row.site in (None, site_of(scheduler, profile))


def _key(scheduler: Scheduler, profile: Profile) -> _Key:
    return profile.launcher, profile.options, shutil.which(next(iter(scheduler.commands), ""))
