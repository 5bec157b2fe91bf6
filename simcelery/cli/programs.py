"""What ``submit`` may say of a command besides its words: its files, and how to tell whether it worked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simcelery.cli.sources import Items
from simcelery.cli.templates import Template
from simcelery.errors import UsageError
from simcelery.readable import line, short
from simcelery.workflows import jinja

if TYPE_CHECKING:
    from simcelery.cli.targets import Target

_ENDING = ".tmpl"


@dataclass(frozen=True)
class Program:
    """How a command is run.

    Attributes:
        files: the text of each file to write, by its name in the folder.
        jinja: the names of those that are templates in Jinja2.
        more: other parameters of the workflow `command`.
    """

    files: dict[str, str] = field(default_factory=dict)
    jinja: frozenset[str] = frozenset()
    more: dict[str, Any] = field(default_factory=dict)

    def target(self, shell: Target, argv: Sequence[str], filled: bool) -> Target:
        """What the command is submitted to; if it is `filled`, its places stand for values."""
        if filled or self.jinja:
            return Template(shell, argv, self.files, self.jinja, self.more)
        return shell

    def parameters(self, argv: Sequence[str]) -> dict[str, Any]:
        """The parameters of the command, whose braces mean nothing special."""
        return {"argv": list(argv), **({"files": self.files} if self.files else {}), **self.more}

    def items(self, shell: Target, argv: Sequence[str]) -> Items:
        """The only job, of a command whose braces mean nothing special."""
        return Items(shell, self.parameters(argv), None, [])


# How click calls these options of ``submit``.
_OPTIONS = ("env", "module", "files", "stdin", "expect", "ok", "json_", "artifact", "allow")


def without(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The other options."""
    return {name: value for name, value in chosen.items() if name not in _OPTIONS}


def allowed(changes: Sequence[str]) -> list[str]:
    """``--allow physics`` as the parameter of a code that it is."""
    return [f"allow={json.dumps(sorted({'numerics', *changes}))}"] if changes else []


def asked(chosen: Mapping[str, Any], *, of_command: bool) -> Program:
    """What the options say of a command.

    Raises:
        UsageError: they say it of a workflow, or a file cannot be read.
    """
    if of_command and chosen["allow"]:
        raise UsageError("--allow is for workflows whose program has handlers, and a command has none")
    sources = chosen["files"]
    given = {"stdin": chosen["stdin"], "ok": chosen["ok"], "json": chosen["json_"]}
    given["env"] = _variables(chosen["env"])
    lists = {"expect": "expect", "artifacts": "artifact", "modules": "module"}
    given |= {name: list(chosen[option]) or None for name, option in lists.items()}
    said = {name: value for name, value in given.items() if value is not None}
    if not of_command and (sources or said):
        option = "file" if sources else next(iter(said)).removesuffix("s")
        raise UsageError(f"--{option} is for commands, after --; a workflow takes its own parameters")
    files: dict[str, str] = {}
    templates = set()
    for source in sources:
        path, name = _split(source)
        if name in files:
            raise UsageError(f"--file: two files are to be called {short(name)}")
        files[name] = _read(path)
        if jinja.is_template(path):
            templates.add(name)
    if chosen["stdin"] is not None and chosen["stdin"] not in files:
        name = chosen["stdin"]
        raise UsageError(f"--stdin: no file is to be called {short(name)}: name it with --file {line(name)}")
    return Program(files, frozenset(templates), said)


def _variables(given: Sequence[str]) -> dict[str, str] | None:
    """``NAME=VALUE`` as the variables of an environment."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--env: {short(text)} is not of the form NAME=VALUE")
        if name in found:
            raise UsageError(f"--env: {short(name)} is given twice")
        found[name] = value
    return found or None


def absolute(sources: Sequence[str]) -> list[str]:
    """The same files from whichever folder they are named."""
    return [":".join((os.path.abspath(path), name)) for path, name in map(_split, sources)]


def _split(source: str) -> tuple[str, str]:
    """``in.melt.tmpl:in.melt``: the file, and what it is called in the attempt's folder."""
    path, colon, name = source.rpartition(":")
    if colon:
        return path, name
    return source, os.path.basename(source).removesuffix(_ENDING).removesuffix(jinja.ENDING)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError:
        raise UsageError(
            f"--file: {path} is no text in UTF-8; name its absolute path in the command instead"
        ) from None
    except OSError as error:
        raise UsageError(f"--file: cannot read {path}: {error.strerror}") from None
