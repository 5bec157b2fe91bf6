"""What a job file asks for: one submission, or several under the key ``job``, each as ``submit`` takes it."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli import programs, references, sources
from simcelery.cli.sources import Item, Items
from simcelery.cli.templates import words
from simcelery.errors import SubmissionInterruptedError, UsageError
from simcelery.readable import short

if TYPE_CHECKING:
    from simcelery.cli.programs import Program
    from simcelery.cli.targets import Target
    from simcelery.submission.handle import Job

JOBS = "job"
_OWN = ("workflow", "command", "parameters", "texts", "each", "grid", "name", JOBS)
# Options of ``submit`` that say what becomes of the submission, and not what it is.
_NOT_OF_JOBS = {
    "help",
    "wait",
    "timeout",
    "dry_run",
    "echo",
    "output",
    "each",
    "grid",
    "workflow",
    "parameters",
}


@dataclass
class Entry:
    """One submission of a file.

    Attributes:
        place: what it is called in messages.
        given: what the file says of it.
        chosen: the options, as click would have given them to ``submit``.
        name: by which others wait for it.
        waits_for: the names of the entries whose jobs must succeed first.
        waits_for_any: those whose jobs must have ended.
        after, after_any: selectors of jobs on the board that must.
        names: those of all entries of the file.
        refers_to: the names of those whose results it takes.
    """

    place: str
    given: Mapping[str, Any]
    chosen: dict[str, Any]
    name: str | None = None
    waits_for: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    waits_for_any: list[str] = field(default_factory=list)
    after_any: list[str] = field(default_factory=list)
    names: Collection[str] = ()
    refers_to: set[str] = field(default_factory=set)

    @property
    def needs(self) -> set[str]:
        """The names of all entries that have to come before it."""
        return {*self.waits_for, *self.waits_for_any, *self.refers_to}

    @property
    def several(self) -> bool:
        """Whether it stands for many jobs."""
        return "each" in self.given or bool(self.given.get("grid"))

    def options(self) -> dict[str, Any]:
        """As ``submit`` is given them by click."""
        after = {"after": tuple(self.after), "after_any": tuple(self.after_any)}
        return {**programs.without(self.chosen), **after}

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors in the block begin with its place."""
        try:
            yield
        except SubmissionInterruptedError:
            raise
        except UsageError as error:
            raise type(error)(f"{self.place}: {error}") from None

    def resolved(
        self, find: Callable[[str], Target], of: Callable[[str], Job | list[Job]] | None = None
    ) -> tuple[Target, Items]:
        """Its workflow, and the parameters of each of its jobs.

        Parameters:
            of: gives the job, or the jobs, of an entry to which it refers by name.

        Raises:
            UsageError: as ``submit`` with the same on its command line.
        """
        program = programs.asked(self.chosen, of_command="command" in self.given)
        values = partial(_values, names=self.names, of=of)
        target, base = _target(self.given, program, find, self.several, values)
        base |= _texts(target, self.given)
        base |= sources.read_values(target, sources.pairs(programs.allowed(self.chosen["allow"])))
        return target, Items(target, base, _each(self.given, values), _axes(target, self.given, values))


def entries(
    path: str, found: Mapping[str, Any], options: Sequence[click.Parameter]
) -> tuple[list[Entry], bool]:
    """The submissions of a file, in an order in which each comes after those that it waits for.

    Parameters:
        options: the parameters of the verb ``submit``.

    Returns:
        Also whether they stand under the key ``job``.

    Raises:
        UsageError: a key is unknown, or a value is not what belongs there; one line says where.
    """
    of_jobs = [one for one in options if isinstance(one, click.Option) and one.name not in _NOT_OF_JOBS]
    known = {key_of(one): one for one in of_jobs if not one.hidden}
    if JOBS not in found:
        return [_entry(path, _by_key(path, found), known, set())], False
    shared = _by_key(path, {name: value for name, value in found.items() if name != JOBS})
    listed = found[JOBS]
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise UsageError(f"{path}: {JOBS!r} must be a list of jobs, each with keys and values")
    if "name" in shared:
        raise UsageError(f"{path}: 'name' belongs to one of the jobs")
    names = [one["name"] for one in listed if "name" in one]
    for name in names:
        _check_name(path, name, names)
    found_entries = []
    for number, one in enumerate(listed, 1):
        place = _place(path, number, one)
        merged = _merged(shared, _by_key(place, one))
        found_entries.append(_entry(place, merged, known, set(names)))
    return _ordered(path, found_entries), True


def _place(path: str, number: int, given: Mapping[str, Any]) -> str:
    return f"{path}, job {short(given['name']) if 'name' in given else number}"


def _check_name(path: str, name: Any, names: list[Any]) -> None:
    if not isinstance(name, str) or not name.isprintable() or not name or name.strip() != name:
        raise UsageError(f"{path}: name must be a word, not {short(name)}")
    if names.count(name) > 1:
        raise UsageError(f"{path}: two jobs have the name {short(name)}")


def _references(place: str, given: Mapping[str, Any], names: set[str]) -> set[str]:
    """The names of the jobs of the file whose results it takes.

    Raises:
        UsageError: a name stands where values are written as on the command line, which knows no names.
    """
    grid = given.get("grid")
    axes = list(grid.values()) if isinstance(grid, dict) else []
    texts = [given.get("texts"), *(axis for axis in axes if isinstance(axis, str))]
    for name in references.names_in(texts, names):
        raise UsageError(
            f"{place}: {short('@' + name)} would be text here, and not the result of the job of this name: "
            "refer to it under the key 'parameters', or in a list of the grid"
        )
    return references.names_in([given.get("parameters"), given.get("each"), axes], names)


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What stands above the jobs holds for each of them, unless it says something else."""
    merged = {**shared, **own}
    for name in ("parameters", "texts", "grid"):
        if isinstance(shared.get(name), dict) and isinstance(own.get(name), dict):
            merged[name] = {**shared[name], **own[name]}
    for one, other in (("workflow", "command"), ("command", "workflow")):
        if one in own and other not in own:
            merged.pop(other, None)
    return merged


def _entry(place: str, given: Mapping[str, Any], known: Mapping[str, click.Option], names: set[str]) -> Entry:
    for key in given:
        if key not in known and key not in _OWN:
            raise UsageError(f"{place}: {_unknown(key, [*_OWN, *known], given)}")
    chosen = _defaults(known.values())
    for key in given.keys() & known.keys() - {"after", "after-any"}:
        chosen[str(known[key].name)] = _chosen(place, key, known[key], given[key])
    after = (_after(place, key, given.get(key, []), names) for key in ("after", "after-any"))
    (waits, parents), (waits_any, ends) = after
    refers = _references(place, given, names)
    return Entry(place, given, chosen, given.get("name"), waits, parents, waits_any, ends, names, refers)


def _by_key(place: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """By their keys as the options of ``submit`` are spelt; Python's spelling is as good."""
    found = {_key(name): value for name, value in given.items()}
    if len(found) < len(given):
        raise UsageError(f"{place}: a key is given twice, in two spellings")
    return found


def _defaults(options: Iterable[click.Option]) -> dict[str, Any]:
    """What ``submit`` is given of a command line without any of these options."""
    return click.Command("submit", params=list(options)).make_context("submit", []).params


def key_of(option: click.Option) -> str:
    """By which a file gives an option of ``submit``: its long name."""
    return max(option.opts, key=len).lstrip("-")


def _key(name: str) -> str:
    key = name.replace("_", "-")
    return "tag" if key == "tags" else key


def _unknown(key: str, known: Sequence[str], given: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"there is no key {short(key)}; did you mean {close[0]!r}?"
    hint = "" if "parameters" in given else ", under the key 'parameters'"
    return f"there is no key {short(key)}; a parameter of the workflow stands with the others{hint}"


def _chosen(place: str, key: str, option: click.Option, value: Any) -> Any:
    """The value of an option as click would have made it of the command line."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{place}: {key} must be true or false, not {short(value)}")
        return value
    if option.multiple:
        listed = value if isinstance(value, list) else [value]
        return tuple(_converted(place, key, option, one) for one in listed)
    return _converted(place, key, option, value)


def _converted(place: str, key: str, option: click.Option, value: Any) -> Any:
    if isinstance(value, dt.datetime):
        value = value.isoformat()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{place}: {key} cannot be {short(value)}")
    try:
        return option.type.convert(str(value), None, None)
    except click.UsageError as error:
        raise UsageError(f"{place}: {key}: {error.format_message()}") from None


def _after(place: str, key: str, given: Any, names: set[str]) -> tuple[list[str], list[str]]:
    waits_for, after = [], []
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, bool) or not isinstance(one, int | str):
            raise UsageError(f"{place}: {key} must be names of jobs in this file, or ids, not {short(one)}")
        if one in names:
            waits_for.append(str(one))
        elif isinstance(one, str) and (one.strip() == "-" or not _may_be_ids(one)):
            close = difflib.get_close_matches(one, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{place}: {key}: no job of this file has the name {short(one)}{hint}")
        else:
            after.append(str(one))
    return waits_for, after


def _may_be_ids(text: str) -> bool:
    return text == "last" or all(char in "0123456789-, " for char in text)


def _ordered(path: str, given: list[Entry]) -> list[Entry]:
    """Each after those that it waits for; otherwise as they stand in the file."""
    done: set[str | None] = set()
    ordered: list[Entry] = []
    left = list(given)
    while left:
        ready = next((one for one in left if one.needs <= done), None)
        if ready is None:
            names = ", ".join(short(one.name) for one in left if one.name)
            raise UsageError(f"{path}: these jobs wait for each other: {names}")
        left.remove(ready)
        ordered.append(ready)
        done.add(ready.name)
    return ordered


# --- parameters --------------------------------------------------------------------------------------


def _target(
    given: Mapping[str, Any],
    program: Program,
    find: Callable[[str], Target],
    several: bool,
    values: _Values,
) -> tuple[Target, dict[str, Any]]:
    """The workflow or the command, and the parameters that are the same for all its jobs."""
    parameters = _table(given, "parameters")
    if ("workflow" in given) == ("command" in given):
        raise UsageError("it needs either the key 'workflow' or the key 'command'")
    if "workflow" in given:
        if not isinstance(given["workflow"], str):
            raise UsageError(f"workflow must be a name, not {short(given['workflow'])}")
        return find(given["workflow"]), values(parameters)
    argv = given["command"]
    if not isinstance(argv, list) or not argv or not all(isinstance(one, str) for one in argv):
        raise UsageError("command must be a list of texts: the program, and its arguments")
    shell = find("command")
    argv = words(argv)
    if parameters or several or given.get("texts") or program.jinja:
        return program.target(shell, argv, filled=True), values(parameters)
    return shell, program.parameters(argv)


def _table(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = given.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(f"{key} must be names and values, not {short(found)}")
    return found


_Values = Callable[[Mapping[str, Any]], dict[str, Any]]


def _values(
    given: Mapping[str, Any], *, names: Collection[str], of: Callable[[str], Job | list[Job]] | None
) -> dict[str, Any]:
    """Values with the jobs that they stand for."""
    return {name: references.filled(value, names, of) for name, value in given.items()}


def _texts(target: Target, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are written on a command line."""
    texts = _table(given, "texts")
    for name, text in texts.items():
        if name in _table(given, "parameters"):
            raise UsageError(f"parameter {short(name)} is given twice, in parameters and texts")
        if not isinstance(text, str):
            raise UsageError(f"texts: {name} must be a text, as on the command line, not {short(text)}")
    return sources.read_values(target, list(texts.items()))


def _each(given: Mapping[str, Any], values: _Values) -> str | list[Item] | None:
    each = given.get("each")
    if isinstance(each, list) and each and all(isinstance(one, dict) for one in each):
        return [Item(values(one), f"each, row {number}") for number, one in enumerate(each, 1)]
    if each == "-":
        raise UsageError("each: a file cannot ask for stdin: name a table")
    if each is not None and not isinstance(each, str):
        raise UsageError(
            f"each must be a file, a pattern for files, or a list of parameters, not {short(each)}"
        )
    return each


def _axes(target: Target, given: Mapping[str, Any], filled: _Values) -> list[list[tuple[str, Any]]]:
    axes = []
    for name, values in _table(given, "grid").items():
        if isinstance(values, list) and values:
            axes.append([(name, filled({name: value})[name]) for value in values])
        elif isinstance(values, str):
            axes += sources.grid_axes(target, [f"{name}={values}"])
        else:
            raise UsageError(f"grid: {name} must be a list of values, or a range as '0.9:1.1:0.05'")
    return axes
