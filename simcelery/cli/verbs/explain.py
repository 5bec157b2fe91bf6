"""``explain``: say why a job is not running."""

from __future__ import annotations

from dataclasses import asdict

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import heading, say, show_ids, show_json
from simcelery.cli.selectors import Selection, ids_argument, the_only


@command("explain", "simcelery explain 42", "simcelery explain last", "simcelery explain 42 -o quiet")
@ids_argument(required=True)
@output_option
def explain(selection: Selection, output: Output) -> None:
    """Explain why a job is not running: what it waits for, which workers could run it, and what to do.

    With -o json each reason has a code, a text and advice; -o quiet prints only the codes.
    """
    from simcelery.describe.explanation import explanation
    from simcelery.describe.story import read

    found = explanation(read(the_only(selection)))
    if output == "json":
        show_json({"id": found.id, "state": found.state, "reasons": list(map(asdict, found.reasons))})
    elif output == "quiet":
        show_ids(reason.code for reason in found.reasons)
    else:
        heading(found.title)
        for text in found.lines():
            say(text)
