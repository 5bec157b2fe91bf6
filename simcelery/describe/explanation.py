"""Why a job is not running, or where it runs, or how it ended: all the reasons, and what can be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simcelery.describe.reasons import Reason, reasons
from simcelery.describe.story import Story
from simcelery.describe.words import one_line


@dataclass(frozen=True)
class Explanation:
    """What `simcelery explain` says of a job; as text it is what that prints.

    Attributes:
        id, workflow, state: the job, and where it is now.
        reasons: each with a ``code`` for scripts, a ``text``, and ``advice`` if something can be done.
    """

    id: int
    workflow: str
    state: str
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        return "\n".join((self.title, *self.lines()))

    @property
    def title(self) -> str:
        """The job in one line."""
        return one_line(f"job {self.id}  {self.workflow}  {self.state}")

    def lines(self) -> Iterator[str]:
        """The reasons in words, and then what can be done."""
        for reason in self.reasons:
            yield f"  {one_line(reason.text)}"
        for reason in self.reasons:
            if reason.advice:
                yield f"  → {one_line(reason.advice)}"


def explanation(story: Story) -> Explanation:
    """The explanation of a job from its story. Asks nobody."""
    job = story.job
    return Explanation(job.id, job.workflow, str(job.state), tuple(reasons(story)))
