"""``doctor``: find what is wrong, and say how to fix it."""

from __future__ import annotations

from dataclasses import asdict

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, say, show_ids, show_json, show_table


@command(
    "doctor", "simcelery doctor", "simcelery doctor -o json", "simcelery doctor -o quiet    # only what fails"
)
@output_option
def doctor(output: Output) -> int:
    """Check settings, folders, board, broker, workers and workflows, and say how to fix what is wrong.

    Exit code 0 if no check fails (warnings do not count), 3 if a service is unreachable, else 2.
    """
    from simcelery.checks.everything import examine

    found = list(examine())
    failed = [check for check in found if check.verdict == "FAIL"]
    if output == "json":
        shown = [{n: v for n, v in asdict(check).items() if n != "exit_code"} for check in found]
        show_json({"ok": not failed, "checks": shown})
    elif output == "quiet":
        show_ids(check.name for check in failed)
    else:
        columns = [Column("check"), Column("", coloured=True), Column("found", wrapped=True)]
        show_table(columns, [(check.name, check.verdict, check.found) for check in found])
        advised = [check for check in found if check.advice]
        if advised:
            say()
        for check in advised:
            say(f"{check.name}: {check.advice}")
    return max((check.exit_code for check in failed), default=0)
