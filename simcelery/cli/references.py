"""``@42`` as a value: the result of that job; ``@1-5,8``: the results of these jobs, as a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simcelery.cli import selectors

if TYPE_CHECKING:
    from simcelery.submission.handle import Job

_REFERENCE = re.compile(r"@(?:last|[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)")


def is_reference(text: Any) -> bool:
    """Whether a value stands for the results of jobs. ``@@42`` is the text ``@42``."""
    return isinstance(text, str) and _REFERENCE.fullmatch(text) is not None


def unescaped(text: Any) -> Any:
    """A value without the @ that says that it is no reference."""
    return text[1:] if isinstance(text, str) and text.startswith("@@") and is_reference(text[1:]) else text


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


def split(texts: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Pairs of name and text: those that are values, and what the others stand for."""
    plain, jobs = [], {}
    for name, text in texts:
        if is_reference(text):
            jobs[name] = resolved(text)
        else:
            plain.append((name, unescaped(text)))
    return plain, jobs
