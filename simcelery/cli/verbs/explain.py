"""``explain``: say why a job, or many jobs, are not running."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from simcelery.cli.options import Filters, Output, command, filter_options, output_option
from simcelery.cli.output import heading, say, show_ids, show_json
from simcelery.cli.selectors import (
    Selection,
    at_once,
    chosen,
    ids_argument,
    require,
    the_only,
    which,
    written,
)

if TYPE_CHECKING:
    from simcelery.describe.explanation import Explanation
    from simcelery.describe.story import Story
    from simcelery.describe.sweep import SweepExplanation


@command(
    "explain",
    "simcelery explain 42",
    "simcelery explain last",
    "simcelery explain -t oxides                # why is this sweep not done?",
    "simcelery explain 1-5000 -o json | jq '.reasons[] | [.jobs, .text]'",
)
@ids_argument()
@filter_options
@output_option
def explain(selection: Selection | None, filters: Filters, output: Output) -> None:
    """Explain why jobs are not running: what they wait for, which workers could run them, and what to do.

    Of a single job, everything that keeps it from running; of more, each reason with the number of jobs that
    it is about. IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    How long jobs will wait for a slot is estimated from those of them that finished in the last hour, or else
    from the last successes of their workflows.

    With -o json each reason has a code, a text and advice; -o quiet prints only the codes.
    """
    require(selection, filters, "explain")
    if selection is not None and selection.single and not filters.given:
        _explain_one(the_only(selection), output)
    else:
        _explain_many(selection, filters, output)


def _explain_one(number: int, output: Output) -> None:
    from simcelery.describe.explanation import explanation
    from simcelery.describe.story import read

    found = explanation(_with_clusters(read(number)))
    _show(found, {"id": found.id, "state": found.state}, output)


def _with_clusters(story: Story) -> Story:
    """What no live worker can run may be what no cluster starts a worker for."""
    from simcelery.describe.reasons import nobody_can

    job, takes = story.job, story.expected
    if takes is None or job.state != "pending" or nobody_can(story) is None:
        return story
    from simcelery.cluster.coming import too_short
    from simcelery.settings import get_settings

    found = too_short(get_settings(), job.queue, job.workflow, story.needs, takes.tried_from)
    return replace(story, too_short=found)


def _explain_many(selection: Selection | None, filters: Filters, output: Output) -> None:
    from simcelery.board.reads.jobs import Filter
    from simcelery.describe.sweep import explanation, read

    wanted = at_once(which(selection, filters))
    if filters.limit:
        wanted = Filter(ids=chosen(selection, filters, None)[0])
    found = explanation(read(wanted), written(selection, filters))
    _show(found, {"jobs": found.jobs, "states": found.states}, output)


def _show(found: Explanation | SweepExplanation, facts: dict[str, Any], output: Output) -> None:
    if output == "json":
        show_json({**facts, "reasons": list(map(asdict, found.reasons))})
    elif output == "quiet":
        show_ids(reason.code for reason in found.reasons)
    else:
        heading(found.title)
        for text in found.lines():
            say(text)
