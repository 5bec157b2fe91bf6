"""``result``: print the result of one job."""

from __future__ import annotations

from simcelery.cli.ended import rows_of, show_result
from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import show_ids, show_json
from simcelery.cli.selectors import Selection, ids_argument, the_only
from simcelery.describe.job import as_json
from simcelery.errors import JobError


@command("result", "simcelery result 42", "simcelery result last | jq .energy")
@ids_argument(required=True)
@output_option
def result(selection: Selection, output: Output) -> None:
    """Print the result of one job as JSON. Exit code 1 if it has not succeeded (yet); see also 'wait'.

    With -o json, prints the whole job.
    """
    row = rows_of([the_only(selection)])[0]
    if not row.state.is_terminal:
        raise JobError(f"job {row.id} is {row.state}: 'simcelery wait {row.id}' waits for its result")
    if output == "table" or row.state != "succeeded":
        show_result(row)
    elif output == "json":
        show_json(as_json(row))
    else:
        show_ids([row.id])
