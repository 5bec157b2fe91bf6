"""``explain``: say why a job is not running."""

from __future__ import annotations

from dataclasses import asdict

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import heading, say, show_ids, show_json
from simcelery.cli.selectors import Selection, ids_argument, the_only
from simcelery.describe.words import one_line


@command("explain", "simcelery explain 42", "simcelery explain last", "simcelery explain 42 -o quiet")
@ids_argument(required=True)
@output_option
def explain(selection: Selection, output: Output) -> None:
    """Explain why a job is not running: what it waits for, which workers could run it, and what to do.

    With -o json each reason has a code, a text and advice; -o quiet prints only the codes.
    """
    from simcelery.describe.reasons import reasons
    from simcelery.describe.story import read

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
