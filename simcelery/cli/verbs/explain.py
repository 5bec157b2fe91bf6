"""``explain``: why a job does not run, or not yet."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import heading, say, show_ids, show_json
from simcelery.cli.selectors import Selection, chunks, ids_argument, the_only
from simcelery.describe.words import one_line

if TYPE_CHECKING:
    from simcelery.describe.reasons import Story


@command("explain", "simcelery explain 42", "simcelery explain last", "simcelery explain 42 -o quiet")
@ids_argument(required=True)
@output_option
def explain(selection: Selection, output: Output) -> None:
    """Say why a job does not run, or not yet: what it waits for, who could run it, and what to do.

    With -o json each reason has a code, a text and advice; -o quiet prints only the codes.
    """
    from simcelery.describe.reasons import reasons

    story = read(the_only(selection))
    found = list(reasons(story))
    job = story.job
    if output == "json":
        show_json({"id": job.id, "state": str(job.state), "reasons": [asdict(one) for one in found]})
    elif output == "quiet":
        show_ids(one.code for one in found)
    else:
        heading(f"job {job.id}  {job.workflow}  {job.state}")
        for one in found:
            say(f"  {one_line(one.text)}")
        for one in found:
            if one.advice:
                say(f"  → {one_line(one.advice)}")


def read(number: int) -> Story:
    """What the board says of a job and of all that bears on it."""
    from simcelery.board import dependencies, engine, fleet, queries, sources
    from simcelery.describe.reasons import Story
    from simcelery.settings import get_settings

    with engine.begin() as connection:
        job = queries.job(connection, number)
        assert job is not None, "resolve has found it"
        started_at, now = fleet.started(connection)
        parents: dict[int, str] = {}
        for part in chunks(dependencies.parents_of(connection, number)):
            parents.update({n: str(state) for n, state in queries.states(connection, part).items()})
        return Story(
            job=job,
            now=now,
            started_at=started_at,
            lease=get_settings().lease,
            workers=fleet.workers(connection, live_only=True),
            worker=fleet.worker_of(connection, number),
            parents=parents,
            before=queries.number_before(connection, job) if job.state == "pending" else 0,
            last=queries.last_attempts(connection, [number]).get(number),
            submitted=sources.submitted(connection, [job.workflow]),
        )
