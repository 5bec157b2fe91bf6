"""``--set``: other values for the parameters of jobs that are retried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simcelery.cli.options import Output
from simcelery.cli.output import Column, say, show_ids, show_json, show_table
from simcelery.describe.revision import in_words, planned
from simcelery.describe.words import many
from simcelery.errors import ParametersError

if TYPE_CHECKING:
    from simcelery.board.values import Revision

_SHOWN = 40  # jobs


def plan(ids: Sequence[int], texts: Sequence[str]) -> list[Revision]:
    """What would change in these jobs, for ``NAME=VALUE`` of a command line.

    Raises:
        UsageError: a text is not of this form, or does not fit one of the jobs.
    """
    from simcelery.cli import sources, targets
    from simcelery.submission import revising

    pairs = sources.pairs(texts)

    def wanted(workflow: str) -> Mapping[str, Any]:
        try:
            return sources.read_values(targets.find(workflow), pairs)
        except ParametersError as error:
            if workflow != "command":
                raise
            raise ParametersError(f"{error} (argv holds what a template's {{NAME}} stood for)") from None

    return revising.plan(ids, wanted)


def show_dry(revisions: Sequence[Revision], output: Output) -> None:
    """Each job that would be retried, with what would change."""
    ids = [one.job_id for one in revisions]
    if output == "json":
        show_json({"would_retry": ids, "jobs": [planned(one) for one in revisions]})
    elif output == "quiet":
        show_ids(ids)
    elif not ids:
        say("nothing to retry: no matching job was unsuccessful")
    else:
        columns = [Column("id", right=True), Column("workflow", middle=True), Column("changes", wrapped=True)]
        rows = [
            (one.job_id, one.workflow, in_words(one.before, one.parameters) or "nothing")
            for one in revisions[:_SHOWN]
        ]
        show_table(columns, rows)
        if len(ids) > _SHOWN:
            say(f"… and {len(ids) - _SHOWN:,} more")
        say(f"would retry {many(len(ids))}; nothing was changed")
