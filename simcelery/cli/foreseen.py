"""``submit --dedupe --dry-run``: what is there already, and what comes close to what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simcelery.cli.options import Output
from simcelery.cli.output import Column, say, show_json, show_json_list, show_table
from simcelery.describe.job import KEYS, summary
from simcelery.describe.plain import plain
from simcelery.describe.revision import changes, differing, in_words
from simcelery.describe.words import many, named, one_line

if TYPE_CHECKING:
    from simcelery.board.values import NewJob
    from simcelery.submission.foresight import Foreseen
    from simcelery.submission.options import Options

_SHOWN = 10  # jobs
_VERSION = "version of the workflow"


def planned(job: NewJob) -> dict[str, Any]:
    """A job that is not recorded, with the same keys as a recorded one but without an id."""
    known = {
        "workflow": job.workflow,
        "parameters": {name: plain(value) for name, value in job.parameters.items()},
        "queue": job.queue,
        "priority": job.priority,
        "tags": list(job.tags),
        "attempt": 0,
    }
    return {name: known.get(name) for name in KEYS}


def show(new: Iterator[NewJob], options: Options, output: Output, several: bool) -> None:
    """Show what would be submitted, what would be found, and how new jobs differ from existing ones."""
    from simcelery.submission.foresight import foresee

    seen = foresee(new, options)
    if output == "json" and several:
        show_json_list(map(_as_json, seen))
    elif output == "json":
        show_json(_as_json(next(seen)))
    else:
        _show_some(seen, output)


def _as_json(one: Foreseen) -> dict[str, Any]:
    found = {**planned(one.job), "how": one.how}
    if one.holder:
        found |= {"id": one.holder.id, "state": str(one.holder.state)}
    if one.looked:
        found["like"] = one.like and {"id": one.like.id, "changes": changes(*_sides(one))}
    return found


def _sides(one: Foreseen) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the closest job was to do, and what the new one is to do."""
    assert one.like is not None
    before, after = dict(one.like.parameters), dict(one.job.parameters)
    if one.like.version != one.job.version:
        before[_VERSION], after[_VERSION] = one.like.version, one.job.version
    return before, after


def _show_some(seen: Iterator[Foreseen], output: Output) -> None:
    """Show the first of the new ones, or if there are few, of the others too; count all."""
    new: list[Foreseen] = []
    others: list[Foreseen] = []
    hows: Counter[str] = Counter()
    differ: Counter[tuple[str, ...]] = Counter()
    for one in seen:
        hows[one.how] += 1
        if one.like:
            differ[tuple(sorted(differing(*_sides(one))))] += 1
        if len(shown := new if one.how == "new" else others) < _SHOWN:
            shown.append(one)
    if output != "table":
        return
    columns = [
        Column("workflow", middle=True),
        Column("parameters", middle=True),
        Column("on the board", wrapped=True),
    ]
    first = [*new, *others][:_SHOWN]
    rows = [(one.job.workflow, summary(dict(one.job.parameters)), _in_words(one)) for one in first]
    show_table(columns, rows)
    total = sum(hows.values())
    if total > len(first):
        say(f"… and {total - len(first):,} more")
    for names, count in differ.most_common(_SHOWN) if total > 1 else ():
        what = ", ".join(map(one_line, names))
        differs = "differs" if count == 1 else "differ"
        say(f"{count:,} of the new ones {differs} from an existing job only in {what}")
    said = ", ".join(f"{hows[how]:,} {how}" for how in ("new", "existing", "retried") if hows[how])
    say(f"{many(total)} would be submitted: {said}; nothing was written")


def _in_words(one: Foreseen) -> str:
    if one.holder:
        found = f"{named([one.holder.id])} ({one.holder.state})"
        return f"{found}, to be retried" if one.how == "retried" else found
    if one.how == "existing":
        return "the same as one before"
    if one.like:
        return f"new; like job {one.like.id}, but {in_words(*_sides(one))}"
    return "new"
