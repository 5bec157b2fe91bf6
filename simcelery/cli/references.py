"""``@42`` as a value: the result of that job; ``@1-5,8``: the results of these jobs, as a list.

It may stand within a list or an object: ``[@42,1.5]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simcelery.cli import selectors
from simcelery.errors import UsageError
from simcelery.readable import short
from simcelery.workflows import reading
from simcelery.workflows.reading import Misread

if TYPE_CHECKING:
    from simcelery.submission.handle import Job

_REFERENCE = re.compile(r"@(?:last|[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)")
# A text, which stays one, as does a key; or a reference.
_WITHIN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?|(?P<reference>@(?:last|[0-9]+(?:-[0-9]+)?)(?!\s*:))')
DEEP = 100  # what is nested more deeply is refused


def is_reference(text: Any) -> bool:
    """Whether a value stands for the results of jobs. ``@@42`` is the text ``@42``."""
    return isinstance(text, str) and _REFERENCE.fullmatch(text) is not None


def unescaped(text: Any) -> Any:
    """A value without the @ that says that it is no reference: ``@@@42`` is the text ``@@42``."""
    if isinstance(text, str) and text.startswith("@@") and is_reference(f"@{text.lstrip('@')}"):
        return text[1:]
    return text


@lru_cache
def resolved(text: str) -> Job | list[Job]:
    """The job that a reference names, or the jobs, in the order of their ids.

    Raises:
        JobNotFoundError: there is no such job.
        UsageError: it is not a selector.
    """
    from simcelery.board import engine, reads
    from simcelery.submission.handle import Job

    selection = selectors.parse([text.removeprefix("@")])
    assert selection is not None
    ids = selectors.resolve(selection)
    with engine.begin() as connection:
        rows = reads.jobs(connection, reads.Filter(ids=ids), newest=False)
    jobs = [Job(row.id, row.task_id, row.workflow) for row in rows]
    return jobs[0] if selection.single else jobs


def by_id(text: str) -> str:
    """A text in which ``@last`` names its job by its id: tomorrow that is another one.

    Raises:
        As `resolved`.
    """
    if is_reference(text):
        job = resolved(text)
        return text if isinstance(job, list) else f"@{job.id}"
    if structure(text) is None:
        return text
    return _WITHIN.sub(lambda match: by_id(match[0]) if match["reference"] else match[0], text)


def filled(
    value: Any, names: Collection[str] = (), of: Callable[[str], Job | list[Job]] | None = None
) -> Any:
    """A value of a file, with the jobs that it and what it holds stand for.

    Parameters:
        names: of jobs of the same file: ``@relax`` stands for the one of this name, and ``@@relax`` is text.
        of: gives the job that has one of these names, or the jobs.

    Raises:
        As `resolved`.
    """

    def meant(text: str) -> Any:
        if is_reference(text):
            return resolved(text)
        if of is not None and (name := name_in(text, names)) is not None:
            return of(name)
        if text.startswith("@@") and text.lstrip("@") in names:
            return text[1:]
        return unescaped(text)

    return _changed(value, meant)


def name_in(value: Any, names: Collection[str]) -> str | None:
    """The name of the job of the same file that a value refers to; None: it does not."""
    is_name = isinstance(value, str) and value[:1] == "@" and value[1:] in names
    return value[1:] if is_name and not is_reference(value) else None


def names_in(value: Any, names: Collection[str]) -> set[str]:
    """The names of all jobs of the same file that a value and what it holds refer to."""
    found: set[str] = set()

    def note(text: str) -> str:
        if (name := name_in(text, names)) is not None:
            found.add(name)
        return text

    _changed(value, note)
    return found


def escaped(value: Any) -> Any:
    """A value that `filled` gives back as it is."""
    return _changed(value, lambda text: f"@{text}" if is_reference(text) or unescaped(text) != text else text)


def _changed(value: Any, change: Callable[[str], Any], depth: int = 0) -> Any:
    """A value with each of its texts changed."""
    if isinstance(value, str):
        return change(value)
    if depth > DEEP:  # it is refused when it is encoded
        return value
    if isinstance(value, list):
        return [_changed(item, change, depth + 1) for item in value]
    if isinstance(value, dict):
        return {name: _changed(item, change, depth + 1) for name, item in value.items()}
    return value


def structure(text: str) -> Any:
    """A list or an object in which references stand, as a file has it; None: there are none in this text.

    ``[@17,3]`` is ``["@17", 3]``.
    """
    if text[:1] not in ("[", "{") or "@" not in text:
        return None
    found = False

    def quoted(match: re.Match[str]) -> str:
        nonlocal found
        if match["key"]:
            return match[0]
        found = found or match["reference"] is not None
        return json.dumps(match["reference"] or escaped(json.loads(match[0])))

    try:
        value = reading.strict(_WITHIN.sub(quoted, text))
    except Misread as error:
        raise UsageError(f"{short(text)}: {error}") from None
    except ValueError:
        return None
    return value if found else None


def split(texts: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Pairs of name and text: those that are values, and what the others stand for."""
    plain, jobs = [], {}
    for name, text in texts:
        if is_reference(text):
            jobs[name] = resolved(text)
        elif (holds := structure(text)) is not None:
            jobs[name] = filled(holds)
        else:
            plain.append((name, unescaped(text)))
    return plain, jobs
