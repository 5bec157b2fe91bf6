"""Celery's canvas as jobs: a chain or chord of workflows becomes jobs and dependencies in one transaction.

In Celery's own form the later parts travel inside the messages of the earlier ones and are recorded
nowhere until they run. Here all of them are on the board before anything is sent: the result of one
is the first parameter of the next (unless its signature is immutable), as in Celery.

A chord reaches us in pieces: Celery announces it (`open_chord`), then applies its header tasks one by one.
They are collected, and recorded with the body when the last one has come.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from celery.canvas import Signature, group, maybe_signature
from celery.result import AsyncResult, GroupResult

from simcelery import broker
from simcelery.board.task_ids import new_task_id
from simcelery.board.values import NewJob, Recorded
from simcelery.errors import CanvasError
from simcelery.submission import tasks
from simcelery.submission.options import NONE, Options
from simcelery.submission.publishing import publish_recorded
from simcelery.submission.submit import prepare, record, recording
from simcelery.workflows import registry
from simcelery.workflows.definition import Definition
from simcelery.workflows.encoding import JobRef

_REFUSED = {
    "link": "write a chain instead",
    "link_error": "ask the board for failed jobs instead",
    "expires": "jobs do not expire; cancel them",
    "exchange": "name a queue",
    "routing_key": "name a queue",
    "soft_time_limit": "give it to @workflow",
}
_TAKEN = frozenset({"queue", "priority", "countdown", "eta", "time_limit"})
# What Celery's machinery adds, and what concerns only the sending of messages.
_WITHOUT_MEANING = frozenset(
    {
        "task_id",
        "root_id",
        "parent_id",
        "group_id",
        "group_index",
        "chord",
        "chain",
        "add_to_parent",
        "route_name",
        "producer",
        "publisher",
        "connection",
        "retries",
        "retry",
        "retry_policy",
        "serializer",
        "compression",
        "ignore_result",
        "headers",
        "stamped_headers",
        "stamps",
        "shadow",
        "reply_to",
        "replaced_task_nesting",
        "delivery_mode",
        "result_cls",
        "task_type",
        "immutable",
    }
)


_MIXED = "a chain or chord cannot mix workflows with plain Celery tasks; make them all workflows"


_NOT_YET = object()


class JobResult(AsyncResult):  # type: ignore[misc]
    """The `AsyncResult` of a job: Celery's own does not tell what kind of task it belongs to."""

    _backend: Any = _NOT_YET

    def __init__(self, id: str, backend: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(id, backend or _NOT_YET, *args, **kwargs)

    def __del__(self) -> None:
        if self._backend is not _NOT_YET:
            super().__del__()

    @property
    def backend(self) -> Any:
        """That of the app. It is made when somebody asks for the outcome: it loads all of a worker."""
        if self._backend is _NOT_YET:
            self._backend = tasks.app().backend
        return self._backend

    @backend.setter
    def backend(self, backend: Any) -> None:
        self._backend = backend


class Planned(JobRef):
    """A job that is about to be recorded. It has its id from the moment of recording."""

    id: int


Outcome = Planned | list["Outcome"]


@dataclass
class _Node:
    ref: Planned
    definition: Definition
    given: dict[str, Any]
    options: Options
    task_id: uuid.UUID
    after: list[Planned]


@dataclass
class Plan:
    """Jobs to be recorded together."""

    nodes: list[_Node] = field(default_factory=list)

    def add(self, signature: Any, previous: Outcome | None) -> Outcome:
        """Add what a signature stands for; `previous` is what came before it in the chain.

        Raises:
            CanvasError: part of it cannot be recorded.
        """
        signature = maybe_signature(signature, app=broker.app())
        if signature.subtask_type is not None and _TAKEN & {
            name for name, value in signature.options.items() if value is not None
        }:
            raise CanvasError(
                f"options of a {signature.subtask_type} as a whole cannot be recorded: set them on its tasks"
            )
        match signature.subtask_type:
            case "group":
                return [self.add(task, previous) for task in signature.tasks]
            case "chain":
                for task in signature.tasks:
                    previous = self.add(task, previous)
                return previous if previous is not None else []
            case "chord":
                tasks = signature.tasks
                if not isinstance(tasks, Signature):
                    tasks = group(tasks)
                return self.add(signature.body, self.add(tasks, previous))
            case None:
                return self._add_task(signature, previous)
        raise CanvasError(f"a {signature.subtask_type} cannot be recorded as jobs: use submit_many")

    def _add_task(self, signature: Signature, previous: Outcome | None) -> Planned:
        args = signature.args
        if previous is not None and not signature.immutable:
            args = (previous, *args)
        options = {name: value for name, value in signature.options.items() if name != "task_id"}
        return self.add_call(
            workflow_of(signature.task),
            args,
            signature.kwargs,
            signature.options.get("task_id"),
            options,
            list(_refs(previous)),
        )

    def add_call(
        self,
        definition: Definition,
        args: Iterable[Any],
        kwargs: Mapping[str, Any],
        task_id: str | None,
        options: Mapping[str, Any],
        after: list[Planned],
    ) -> Planned:
        """Add one job of a workflow."""
        node = _Node(
            ref=Planned(),
            definition=definition,
            given=definition.parameters.bind(tuple(args or ()), dict(kwargs or {})),
            options=job_options(options),
            task_id=_uuid(task_id),
            after=after,
        )
        self.nodes.append(node)
        return node.ref

    def record(self) -> None:
        """Validate everything, then record all of it in one transaction and publish."""
        publish_recorded(*(self._record_one() if len(self.nodes) == 1 else self._record_all()))

    def _record_one(self) -> tuple[list[NewJob], list[Recorded]]:
        """What is just one job is recorded as any other."""
        [node] = self.nodes
        new = [replace(prepare(node.definition, node.given, node.options), task_id=node.task_id)]
        recorded = record(new, "retry")
        node.ref.id = recorded[0].id
        return new, recorded

    def _record_all(self) -> tuple[list[NewJob], list[Recorded]]:
        from simcelery.board import transitions  # SQLAlchemy loads when it is first needed

        with recording(len(self.nodes)) as connection:
            ids = transitions.allocate_ids(connection, len(self.nodes))
            for node, number in zip(self.nodes, ids, strict=True):
                node.ref.id = number
            new = []
            for node in self.nodes:
                job = prepare(node.definition, node.given, node.options)
                parents = job.parents | {ref.id for ref in node.after}
                new.append(replace(job, id=node.ref.id, task_id=node.task_id, parents=parents))
            return new, transitions.record(connection, new)


def apply_async(
    definition: Definition,
    args: Any,
    kwargs: Any,
    *,
    task_id: str | None,
    chain: Any = None,
    chord: Any = None,
    group_id: str | None = None,
    **options: Any,
) -> AsyncResult:
    """``Task.apply_async`` of a workflow.

    Raises:
        CanvasError: something is attached that cannot be recorded.
        ParametersError, EncodingError, BoardUnreachableError: as `submit`; nothing is recorded.
    """
    pending = _pending_chord(chain, chord, group_id)
    plan = pending.plan if pending else Plan()
    try:
        task_id = str(_uuid(task_id))
        last: Outcome = plan.add_call(definition, args, kwargs, task_id, options, [])
        for signature in reversed(chain or []):
            last = plan.add(signature, last)
        if pending is None:
            plan.record()
        elif pending.complete(last):
            plan.add(pending.body, pending.outcomes)
            plan.record()
    except BaseException:
        if pending is not None:
            _chords().pop(pending.group_id, None)
        raise
    return JobResult(task_id, app=broker.app())


def job_options(options: Mapping[str, Any]) -> Options:
    """Celery's options of a call as a job's. Those that concern only messages mean nothing here.

    Raises:
        CanvasError: one asks for what cannot be recorded.
    """
    if not options:
        return NONE
    for name, instead in _REFUSED.items():
        if options.get(name):
            raise CanvasError(f"a workflow cannot be submitted with {name}: {instead}")
    if unknown := sorted(set(options) - _TAKEN - _WITHOUT_MEANING - set(_REFUSED)):
        raise CanvasError(f"there is no option {unknown[0]!r}; workflows take: {', '.join(sorted(_TAKEN))}")
    return Options(
        queue=options.get("queue"),
        priority=options.get("priority"),
        delay=options.get("countdown"),
        run_at=options.get("eta"),
        time_limit=options.get("time_limit"),
    )


def workflow_of(task: str) -> Definition:
    """The workflow behind a task name.

    Raises:
        CanvasError: it is a plain Celery task.
    """
    definition = registry.find(task)
    if definition is None:
        raise CanvasError(f"{task!r} is not a workflow: {_MIXED}")
    return definition


def refuse_workflows_behind(*attached: Any) -> None:
    """Refuse what is attached to a plain Celery task, where it involves a workflow.

    It would travel in messages and be recorded nowhere until it runs.

    Raises:
        CanvasError: it does.
    """
    for signatures in attached:
        for signature in signatures if isinstance(signatures, list | tuple) else [signatures]:
            if signature and any(registry.find(name) for name in _signature_names(signature)):
                raise CanvasError(_MIXED)


def refuse_plain(name: str, has_attached: bool, allowed: Collection[str]) -> None:
    """Refuse a plain Celery task that workers would not run, or not as it is.

    Raises:
        CanvasError: its name is not among the `allowed` ones, or something is attached to it.
    """
    if name not in allowed:
        raise CanvasError(
            f"{name!r} is a plain Celery task, and workers run none: make it a workflow, or name it in the "
            "setting plain_tasks, theirs and yours"
        )
    if has_attached:
        raise CanvasError(
            f"workers drop what is attached to a plain Celery task such as {name!r}: make it a "
            "workflow, or call the next task from it"
        )


# --- chords ---


@dataclass
class _PendingChord:
    group_id: str
    body: Any
    size: int
    plan: Plan = field(default_factory=Plan)
    outcomes: list[Outcome] = field(default_factory=list)

    def complete(self, outcome: Outcome) -> bool:
        """Note the outcome of one more header task; whether it was the last."""
        self.outcomes.append(outcome)
        if len(self.outcomes) < self.size:
            return False
        _chords().pop(self.group_id, None)
        return True


_local = threading.local()


def _chords() -> dict[str, _PendingChord]:
    if not hasattr(_local, "chords"):
        _local.chords = {}
    return _local.chords  # type: ignore[no-any-return]


def open_chord(header_result_args: Any, body: Any) -> bool:
    """Begin to collect a chord of workflows. False: it consists of plain Celery tasks and is not ours.

    Raises:
        CanvasError: it mixes both.
    """
    group_id, results, *_ = header_result_args
    ours = [is_ours for result in results for is_ours in _of_workflows(result)]
    ours += [registry.find(name) is not None for name in _signature_names(body)]
    if not any(ours):
        return False
    if not all(ours):
        raise CanvasError(_MIXED)
    if any(isinstance(result, GroupResult) for result in results):
        raise CanvasError(
            "a group inside the header of a chord cannot be recorded: put its tasks side by side"
        )
    _chords().clear()  # what another one left behind that was never completed
    _chords()[group_id] = _PendingChord(group_id, body, len(results))
    return True


def _pending_chord(chain: Any, chord: Any, group_id: str | None) -> _PendingChord | None:
    """The chord that a call belongs to: said by the call itself, or by the last task of its chain."""
    if chord is None and chain:
        options = maybe_signature(chain[0], app=broker.app()).options
        chord, group_id = options.get("chord"), options.get("group_id")
    if chord is None:
        return None
    pending = _chords().get(group_id or "")
    if pending is None:
        raise CanvasError(
            "a chord of this form cannot be recorded as jobs: submit its body with the jobs of its "
            "header as parameters"
        )
    return pending


def _of_workflows(result: Any) -> Iterator[bool]:
    """For each task behind a result, its predecessors included, whether it is a workflow's."""
    while result is not None:
        if isinstance(result, GroupResult):
            for child in result.results:
                yield from _of_workflows(child)
        else:
            yield isinstance(result, JobResult)
        result = result.parent


def _signature_names(signature: Any) -> list[str]:
    signature = maybe_signature(signature, app=broker.app())
    if signature.subtask_type in ("group", "chain"):
        return [name for task in signature.tasks for name in _signature_names(task)]
    if signature.subtask_type == "chord":
        return [name for task in (*_members(signature), signature.body) for name in _signature_names(task)]
    return [signature.task]


def _members(chord: Any) -> list[Any]:
    tasks = chord.tasks
    return list(getattr(tasks, "tasks", tasks))


def _refs(outcome: Outcome | None) -> Iterable[Planned]:
    if isinstance(outcome, Planned):
        yield outcome
    elif outcome is not None:
        for part in outcome:
            yield from _refs(part)


def _uuid(text: str | None) -> uuid.UUID:
    if text is None:
        return new_task_id()
    try:
        return uuid.UUID(text)
    except ValueError:
        raise CanvasError(
            f"task_id must be a UUID, not {text!r}: leave it out, or use key=… to find an existing job"
        ) from None
