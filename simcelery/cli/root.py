"""``simcelery`` itself: the table of verbs, the help, error reporting and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from simcelery import __version__
from simcelery.cli.options import EXIT_INTERRUPTED, Session, global_options
from simcelery.cli.output import note, readable_streams
from simcelery.errors import SimceleryError

EXIT_UNEXPECTED = 70
EXIT_BROKEN_PIPE = 141
_LONGEST_LINE = 2000

# The help is written from this table alone; a verb's module in `verbs` is imported only when it is used.
SECTIONS: dict[str, dict[str, str]] = {
    "Servers": {
        "up": "Start the embedded servers and bring their board up to date.",
        "down": "Stop the embedded servers; their data is kept.",
        "doctor": "Check the whole installation, and say how to fix what is wrong.",
        "db": "Manage the board's schema: upgrade, current, check.",
        "demo": "Compute the equations of state of seven metals, start to finish.",
    },
    "Submit": {
        "workflows": "List the workflows, or show the parameters of one.",
        "run": "Run a workflow right here, without a queue.",
        "submit": "Submit one job, or thousands, or a command.",
    },
    "Look": {
        "list": "List jobs, newest first.",
        "status": "Count jobs by workflow and state.",
        "watch": "Follow progress live, with rate and time left.",
        "show": "Show everything about one job.",
        "logs": "Show what jobs printed.",
        "files": "List the files that a job has left, and get them.",
        "explain": "Explain why a job, or a whole sweep, is not running.",
        "graph": "Draw what jobs depend on, and what depends on them.",
        "wait": "Wait until jobs have finished.",
        "result": "Print the result of one job.",
        "results": "Print the results of many jobs.",
        "export": "Write jobs and all that is known of them into a folder, to keep or publish.",
        "errors": "Show why jobs failed, grouped by error type and message.",
        "notify": "Show who is told about which jobs; test and remove such subscriptions.",
        "stats": "Show how fast jobs finish, and how long they wait and run.",
        "monitor": "Show board, workers and messages in a browser.",
    },
    "Act": {
        "cancel": "Cancel jobs.",
        "retry": "Retry jobs that did not succeed.",
        "hold": "Hold waiting jobs: none begins until it is released.",
        "release": "Release jobs that are held, by canaries, a fuse or hand.",
        "schedules": "Submit jobs again and again, by cron expressions.",
        "share": "Share a queue fairly between people, or between tags.",
        "limits": "Say how many jobs of a tag, a workflow or a queue may run at once.",
    },
    "Workers": {
        "cluster": "Start workers here, or through Slurm, PBS or SGE, and keep their number.",
        "workers": "List live workers, and those that stopped recently.",
        "recover": "Run recovery once by hand; workers do it by themselves.",
        "prune": "Delete jobs that finished long ago; archive them first if you like.",
        "spool": "List outcomes not yet on the board; 'spool push' delivers them.",
        "relay": "Lead workers whose nodes reach only HTTPS to board and broker.",
    },
    "Shell": {
        "completion": "Print a script that adds tab completion to your shell.",
        "schema": "Print the JSON schemas of what commands print.",
    },
}
VERBS: dict[str, str] = {name: line for section in SECTIONS.values() for name, line in section.items()}


class Root(click.Group):
    """The top-level command group; its verbs come from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's module and return its command."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"simcelery.cli.verbs.{cmd_name}")
        # The function of `list` has another name, since Python has one of that name.
        found: click.Command = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but suggest the verb that was probably meant instead of an unknown one."""
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no command {args[0]!r}{_did_you_mean(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by section, from the table."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(section.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. If its reader closes the pipe (``| head``), exit silently."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise click.exceptions.Exit(EXIT_BROKEN_PIPE) from None


def _did_you_mean(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, VERBS, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


@click.group(
    cls=Root,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 a job did not succeed, 2 wrong usage or configuration, "
    "3 a service is unreachable.",
)
@global_options
@click.version_option(__version__, message="simcelery %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Submit simulation jobs, walk away, come back to a complete record."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Every error becomes one line on stderr."""
    with readable_streams():
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    session = Session(debug=os.environ.get("SIMCELERY_DEBUG", "") not in ("", "0"))
    _prepare_streams()
    try:
        code = root.main(list(arguments), prog_name="simcelery", standalone_mode=False, obj=session)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_BROKEN_PIPE
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        code = _complain(_usage(error), 2)
    except SimceleryError as error:
        code = _complain(str(error), error.exit_code, session.debug)
    except Exception as error:
        hint = "" if session.debug else " (run again with --debug for the traceback)"
        line = f"unexpected {type(error).__name__}: {error}{hint}"
        code = _complain(line, EXIT_UNEXPECTED, session.debug)
    if code == EXIT_BROKEN_PIPE:
        _let_go_of_stdout()
    return code if isinstance(code, int) else 0


class _OneLine(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"simcelery: {record.getMessage()}")


def _prepare_streams() -> None:
    """Print each of the package's warnings as one line on stderr; escape text the terminal cannot show."""
    log = logging.getLogger("simcelery")
    if not any(isinstance(handler, _OneLine) for handler in log.handlers):
        log.addHandler(_OneLine(logging.WARNING))
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")


def _complain(message: str, code: int, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    line = " ".join(message.split())
    if len(line) > _LONGEST_LINE:  # it quotes something absurdly long
        line = f"{line[: _LONGEST_LINE // 2]} … {line[-_LONGEST_LINE // 2 :]}"
    try:
        note(f"simcelery: {line}")
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
    return code


def _usage(error: click.ClickException) -> str:
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "simcelery"
    return f"{message[:1].lower()}{message[1:]} (see '{path} --help')"


def _let_go_of_stdout() -> None:
    """Discard what is still buffered; otherwise Python complains on exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
