"""What all verbs share: global flags, ``--output``, ``--yes``, the filters, and examples in the help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import click

from simcelery.board.states import State
from simcelery.errors import UsageError
from simcelery.readable import short

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import Filter
    from simcelery.conditions.values import Condition

F = TypeVar("F", bound=Callable[..., Any])
Output = Literal["table", "json", "quiet"]
STATES = [str(state) for state in State]
EXIT_INTERRUPTED = 130  # what shells report after Ctrl-C


class Number(click.ParamType):  # type: ignore[type-arg]
    """A whole number whose limits are left out of the help, since nobody gets near them."""

    name = "number"

    def __init__(self, least: int, most: int) -> None:
        self._range = click.IntRange(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or click's usual error message where it is out of range."""
        if isinstance(value, str) and not value.strip().lstrip("+-").isdecimal():
            self.fail(f"{short(value)} is not a whole number", param, ctx)
        return self._range.convert(value, param, ctx)


COUNT = Number(1, 2**31 - 1)


@dataclass
class Session:
    """State of one run of the command line."""

    debug: bool = False


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).debug = True


def _override(_: click.Context, parameter: click.Parameter, value: str | Path | None) -> None:
    """Flags take precedence over the environment and ``simcelery.toml``."""
    if value is None or parameter.name is None:
        return
    from simcelery import settings

    settings.override({parameter.name: value.absolute() if isinstance(value, Path) else value})


def _global_options(hidden: bool) -> list[click.Option]:
    shown: dict[str, Any] = {"expose_value": False, "hidden": hidden}
    return [
        click.Option(
            ["--home"],
            type=click.Path(path_type=Path, file_okay=False),
            callback=_override,
            help="Folder for the embedded servers' data (SIMCELERY_HOME).",
            **shown,
        ),
        click.Option(
            ["--database-url"],
            metavar="URL",
            callback=_override,
            help="URL of the board, Postgres (SIMCELERY_DATABASE_URL).",
            **shown,
        ),
        click.Option(
            ["--broker-url"],
            metavar="URL",
            callback=_override,
            help="URL of the broker, Redis (SIMCELERY_BROKER_URL).",
            **shown,
        ),
        click.Option(
            ["--debug"], is_flag=True, callback=_set_debug, help="Show tracebacks (SIMCELERY_DEBUG).", **shown
        ),
    ]


def global_options(function: F) -> F:
    """Add the flags that are given before the verb."""
    # click collects parameters on the function, the last one first.
    function.__dict__.setdefault("__click_params__", []).extend(reversed(_global_options(hidden=False)))
    return function


class Command(click.Command):
    """A verb. It also accepts the global flags after its name, and its help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples
        self.params.extend(_global_options(hidden=True))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, each on a line of its own."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class WithCommand(Command):
    """A verb that also takes a command: everything after ``--``, whatever it looks like. See `command_of`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep click from parsing the command."""
        if "--" in args:
            at = args.index("--")
            ctx.meta["argv"] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


def command_of(ctx: click.Context) -> list[str] | None:
    """The command that a verb was given, if any."""
    argv: list[str] | None = ctx.meta.get("argv")
    return argv


class Verbs(Command, click.Group):
    """A verb with verbs of its own, such as ``spool push``."""


C = TypeVar("C", bound=Command)


@overload
def command(name: str, *examples: str) -> Callable[[Callable[..., int | None]], Command]: ...


@overload
def command(
    name: str, *examples: str, cls: type[C], **more: Any
) -> Callable[[Callable[..., int | None]], C]: ...


def command(
    name: str, *examples: str, cls: type[Any] = Command, **more: Any
) -> Callable[[Callable[..., int | None]], Any]:
    """Make a verb out of a function, whose return value becomes the exit code."""
    return click.command(name, cls=cls, examples=examples, **more)


def output_option(function: F) -> F:
    """``-o/--output``."""
    option = click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "quiet"]),
        default="table",
        help="Print a table (default), JSON, or only ids.",
    )
    return option(function)


def yes_option(function: F) -> F:
    """``-y/--yes``."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")(function)


@dataclass(frozen=True)
class Filters:
    """The filters given on the command line. A job must match all of them."""

    states: tuple[str, ...] = ()
    workflow: str | None = None
    tags: tuple[str, ...] = ()
    queue: str | None = None
    since: str | None = None
    limit: int | None = None
    where: str | None = None

    @property
    def given(self) -> bool:
        """Whether any filter is given; a limit alone does not count."""
        return bool(self.states or self.workflow or self.tags or self.queue or self.since or self.where)

    def to_board(self, ids: Sequence[int] | None = None, states: Sequence[str] | None = None) -> Filter:
        """For the board's queries; `ids` and `states` replace those of the command line.

        Raises:
            UsageError: ``--since`` is not a duration, or ``--where`` no condition.
        """
        from simcelery.board.reads.jobs import Filter

        seconds = duration("--since", self.since)
        made = Filter(
            ids=ids,
            states=self.states if states is None else tuple(states),
            workflow=self.workflow,
            tags=self.tags,
            queue=self.queue,
            since=seconds,
            where=_condition(self.where),
        )
        if made.where is not None:
            made.conditions()  # what is wrong with it is said before anything else
        return made


def _condition(text: str | None) -> Condition | None:
    if text is None:
        return None
    from simcelery.conditions import reading

    try:
        return reading.condition(text)
    except ValueError as error:
        raise UsageError(f"--where: {error}") from None


def _filters(since: str) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    from simcelery.cli.completions import tags, workflow_names

    def decorate(function: Callable[..., int | None]) -> Callable[..., int | None]:
        @click.option(
            "-s",
            "--state",
            "states",
            multiple=True,
            metavar="STATE",
            type=click.Choice(STATES, case_sensitive=False),
            help=f"Only jobs in this state (repeatable, any of them): {', '.join(STATES)}.",
        )
        @click.option("-w", "--workflow", shell_complete=workflow_names, help="Only jobs of this workflow.")
        @click.option(
            "-t",
            "--tag",
            "tags",
            multiple=True,
            shell_complete=tags,
            help="Only jobs with this tag (repeatable, all of them).",
        )
        @click.option("-q", "--queue", help="Only jobs in this queue.")
        @click.option("--since", metavar="DURATION", help=since)
        @click.option(
            "--where",
            metavar="CONDITION",
            help="Only jobs for which this holds, such as 'energy < -3 and fmax <= 0.05'.",
        )
        @click.option("-n", "--limit", type=COUNT, metavar="N", help="At most this many jobs.")
        @wraps(function)
        def packed(*args: Any, **given: Any) -> int | None:
            chosen = {name: given.pop(name) for name in Filters.__dataclass_fields__}
            return function(*args, filters=Filters(**chosen), **given)

        return packed

    return decorate


def filter_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """``--state``, ``--workflow``, ``--tag``, ``--queue``, ``--since``, ``--where`` and ``--limit``."""
    return _filters("Only jobs submitted in the last 90 (seconds), 1h30m, 2d, ….")(function)


def window_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """The same filters, but ``--since`` refers to when a job finished."""
    return _filters("Only jobs that finished in the last 90 (seconds), 1h30m, 2d, … (default: 24h).")(
        function
    )


def duration(option: str, text: str | None) -> float | None:
    """Seconds.

    Raises:
        UsageError: the text is not a duration.
    """
    if text is None:
        return None
    from simcelery.quantities import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
