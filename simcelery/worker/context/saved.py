"""What the attempts of a job save to go on from: steps, which are not made twice, and a checkpoint."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from simcelery.errors import EncodingError, ServiceError
from simcelery.failpoints import failpoint
from simcelery.settings import get_settings
from simcelery.worker.context.calls import Calls, other_calls
from simcelery.worker.waiting import wait_within, waiting_for_schema
from simcelery.workflows.encoding import check_size, decode, encode
from simcelery.workflows.sameness import difference
from simcelery.workflows.steps import Step

if TYPE_CHECKING:
    from simcelery.board.values import Claim, SavedStep

log = logging.getLogger(__name__)
T = TypeVar("T")


class Saved:
    """What one attempt finds there, and adds to it."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._earlier: dict[tuple[str, str], SavedStep] | None = None
        self._used: set[tuple[str, str]] = set()
        self._said: set[str] = set()
        self._said_changed: set[str] = set()
        self._calls = Calls()
        self._lock = threading.Lock()  # a workflow may make steps in several threads

    def step(self, step: Step, call: Callable[[], Any]) -> Any:
        """The output of a step: the saved one, or that of the call, which is saved now.

        Raises:
            Exception: as the call.
            EncodingError: its output cannot be stored.
            ServiceError: the board could not be reached until the worker had to stop.
        """
        with self._calls.next(step.key) as key:
            earlier = self._known().get((step.name, key))
            for output in self._output(step, earlier):
                return step.restored(output)
            self._tell_why_again(step)
            began = time.monotonic()
            with step.changing():
                made = call()
            output = step.stored(made, get_settings().max_payload)
            if changed := step.changed():
                self._say_changed(step, changed)
            else:
                self._save(step, key, output, time.monotonic() - began)
            return step.restored(output)

    def _output(self, step: Step, earlier: SavedStep | None) -> list[Any]:
        """The output of a step that was saved earlier, encoded, as the only item."""
        from simcelery.board import saved  # not before: clients import this package, too

        if earlier is None:
            return []
        found = self._ask(step, lambda: saved.output_of(self._claim.job_id, earlier))
        if found:
            self._used.add((earlier.name, earlier.key))
            self._say_uncounted(step, earlier)
        return found

    def save_checkpoint(self, state: Any) -> None:
        """Store it in place of the one before; a board that cannot be reached is said, and no error."""
        from simcelery.board import saved  # as above

        encoded = encode(state, "checkpoint", exact=True)
        if changed := difference(state, decode(encoded), "checkpoint", open=True):
            raise EncodingError(f"{changed}; save what it consists of: numbers, text, lists, dictionaries")
        check_size(encoded, "checkpoint", get_settings().max_payload)
        try:
            mine = waiting_for_schema(lambda: saved.save_checkpoint(self._claim, encoded))
        except ServiceError as error:
            log.warning("job %s: its checkpoint is not saved: %s", self._claim.job_id, error)
            return
        failpoint("after_checkpoint")
        if not mine:
            self._say_given_away("checkpoint")

    def last_checkpoint(self) -> Any:
        """What was saved last, by this attempt or an earlier one; None: nothing."""
        from simcelery.board import saved  # as above

        number = self._claim.job_id
        found = wait_within(number, "for its checkpoint", lambda: saved.checkpoint_of(number))
        return None if found is None else decode(found.state)

    def _known(self) -> dict[tuple[str, str], SavedStep]:
        with self._lock:
            if self._earlier is None:
                found = [] if self._claim.attempt == 1 else self._read()  # before it nothing can be saved
                self._earlier = {(one.name, one.key): one for one in found}
            return self._earlier

    def _read(self) -> list[SavedStep]:
        from simcelery.board import saved  # as above

        number = self._claim.job_id
        return wait_within(number, "for its saved steps", lambda: saved.steps_of(number))

    def _ask(self, step: Step, action: Callable[[], T]) -> T:
        return wait_within(self._claim.job_id, f"with its step {step.name!r}", action)

    def _save(self, step: Step, key: str, output: Any, seconds: float) -> None:
        from simcelery.board import saved  # as above
        from simcelery.board.values import SavedStep

        made = SavedStep(step.name, key, step.code, step.given, self._claim.attempt, seconds)
        failpoint("before_step_saved")
        if not self._ask(step, lambda: saved.save_step(self._claim, made, output)):
            self._say_given_away(f"step {step.name!r}")
        with self._lock:
            assert self._earlier is not None
            self._earlier[step.name, key] = made
            self._used.add((step.name, key))
        failpoint("after_step")
        failpoint(f"after {step.name}")

    def _tell_why_again(self, step: Step) -> None:
        """Say what differs, if an earlier attempt made a step of this name with something else."""
        known = self._known()
        with self._lock:  # other threads add theirs
            unused = [one for key, one in known.items() if one.name == step.name and key not in self._used]
        same = other_calls(step.key, len(known) + 1) if unused else ()
        unused = [one for one in unused if one.key not in same]
        if unused:
            earlier = unused[-1]
            print(
                f"simcelery: step {step.name!r} is made again, although attempt {earlier.attempt} saved its "
                f"output: {_difference(earlier, step)}",
                file=sys.stderr,
            )

    def _say_uncounted(self, step: Step, earlier: SavedStep) -> None:
        """Say once of what nobody can tell whether it is still the same."""
        if new := [name for name in step.uncounted if name not in self._said]:
            self._said.update(new)
            print(
                f"simcelery: step {step.name!r} is not made again, since attempt {earlier.attempt} saved its "
                f"output; it does not count {', '.join(new)}, since whether that has changed cannot be told",
                file=sys.stderr,
            )

    def _say_changed(self, step: Step, changed: list[str]) -> None:
        """Say once that a later attempt, which finds the output only, would go on with something else."""
        if step.name in self._said_changed:
            return
        self._said_changed.add(step.name)
        print(
            f"simcelery: step {step.name!r} is not saved, and will be made again after a crash, since it "
            f"changes {', '.join(changed)} in place; let it return what it changes",
            file=sys.stderr,
        )

    def _say_given_away(self, what: str) -> None:
        log.warning(
            "job %s: its %s is not saved, since another attempt has the job by now", self._claim.job_id, what
        )


def _difference(earlier: SavedStep, step: Step) -> str:
    changed = [
        f"{name} is {step.given.get(name, 'not given')} now, and was {earlier.given.get(name, 'not given')}"
        for name in sorted(earlier.given.keys() | step.given.keys())
        if earlier.given.get(name) != step.given.get(name)
    ]
    if changed:
        return "; ".join(changed)
    if earlier.code != step.code:
        return "its code, or something that it uses, has changed"
    return "an argument, or the step around it, has changed"  # which its short form does not show
