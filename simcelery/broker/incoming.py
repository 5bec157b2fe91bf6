"""What a worker takes from a message: a task id and a name, and nothing else.

Whoever has the password of Redis can write messages, and Celery acts on many parts of them: callbacks,
time limits, compression, whom to reply to. So none of this reaches Celery. Each message is read here, and
a clean one is made from the few parts that count.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from simcelery.broker.lanes import queue_and_workflow
from simcelery.workflows import registry

MAX_BYTES = 64 * 1024  # of one message; ours take about one
_SHOWN = 200  # characters of a text for the monitor
_LONGEST_NAME = 500

_NOTHING_ATTACHED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class Unusable(ValueError):
    """A message that is dropped.

    Attributes:
        reason: why, in words that contain nothing the sender wrote.
        detail: the little of it that helps to find out where it comes from.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason + detail)
        self.reason = reason


@dataclass(frozen=True)
class Plain:
    """The plain Celery tasks that a worker runs besides workflows; more of their messages is kept."""

    names: Collection[str] = ()
    max_bytes: int = MAX_BYTES


def task(raw: bytes, queue: str, redis_priority: int, plain: Plain) -> dict[str, Any]:
    """A clean version of a message that was taken from a queue.

    Raises:
        Unusable: it cannot be read, or its workflow is not that of the lane.
    """
    message = parsed(raw, max(MAX_BYTES, plain.max_bytes) if plain.names else MAX_BYTES)
    headers = _object(message.get("headers"), "its headers")
    name = headers.get("task")
    _, workflow = queue_and_workflow(queue)
    if not isinstance(name, str) or not name:
        raise Unusable("it names no workflow")
    if name not in plain.names and registry.find(name) is None:
        raise Unusable("there is no workflow of this name here", f": {shown(name)!r}")
    if name not in plain.names and name != workflow:
        raise Unusable("its workflow is not that of its lane", f", but of {name!r}")
    task_id = _task_id(headers.get("id"))
    kept: dict[str, Any] = {"kwargsrepr": shown(headers.get("kwargsrepr")), "retries": 0}
    args: Any = []
    kwargs: Any = {}
    if name in plain.names:
        args, kwargs = _arguments(message)
        kept = {**kept, **_timing(headers)}
    return _clean(
        {"id": task_id, "root_id": task_id, "task": name, "lang": "py", "argsrepr": "()", **kept},
        [args, kwargs, _NOTHING_ATTACHED],
        {"exchange": "", "routing_key": queue},
        correlation_id=task_id,
        priority=redis_priority,
    )


@dataclass(frozen=True)
class Command:
    """A remote command.

    Attributes:
        destination: the workers it is meant for; None: all.
        reply_to: the reply queue for the answer; None: nobody waits for one.
        ticket: by which the asker recognises the answer.
    """

    method: str
    arguments: dict[str, Any]
    destination: list[str] | None
    reply_to: str | None
    ticket: str | None


def command(raw: bytes) -> dict[str, Any]:
    """A clean version of a remote-control message, for `command_of`.

    Raises:
        Unusable: it is not a valid command.
    """
    message = parsed(raw, MAX_BYTES)
    given = _object(_body(message), "its body")
    method = given.get("method")
    if not isinstance(method, str) or not 0 < len(method) <= _LONGEST_NAME:
        raise Unusable("it names no command")
    reply_to = given.get("reply_to")
    clean = {
        "method": method,
        "arguments": _object(given.get("arguments") or {}, "its arguments"),
        "destination": _destination(given),
        "reply_to": _reply_queue(_object(reply_to, "its reply_to")) if reply_to else None,
        "ticket": shown(given.get("ticket")) or None,
    }
    return _clean({}, clean, {"exchange": "", "routing_key": ""})


def command_of(body: bytes) -> Command:
    """A remote command from the body of its clean message."""
    return Command(**json.loads(body))


def parsed(raw: bytes, max_bytes: int) -> dict[str, Any]:
    """A message as Redis holds it, parsed.

    Raises:
        Unusable: it is too large, or not a JSON object.
    """
    if len(raw) > max_bytes:
        raise Unusable("it is too large", f": {len(raw)} bytes")
    return _object(_json(raw), "it")


def shown(text: Any) -> str:
    """A text for the monitor: printable and short."""
    if not isinstance(text, str):
        return ""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:_SHOWN])


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):  # nested too deeply; UnicodeDecodeError is a ValueError
        raise Unusable("it is not JSON") from None


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unusable(f"{what} should be a JSON object")
    return value


def _task_id(text: Any) -> str:
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        raise Unusable("it has no task id") from None


def _body(message: dict[str, Any]) -> Any:
    """The body, which is JSON, most often in base64."""
    body, properties = message.get("body"), message.get("properties")
    if not isinstance(body, str):
        raise Unusable("it has no body")
    raw = body.encode("utf-8", "surrogatepass")
    if isinstance(properties, dict) and properties.get("body_encoding") == "base64":
        try:
            raw = base64.b64decode(raw, validate=True)
        except ValueError:
            raise Unusable("its body is not base64") from None
    return _json(raw)


def _arguments(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    body = _body(message)
    if not isinstance(body, list) or len(body) != 3 or not isinstance(body[0], list):
        raise Unusable("its body should be [args, kwargs, …]")
    return body[0], _object(body[1], "its kwargs")


def _timing(headers: dict[str, Any]) -> dict[str, Any]:
    """When a plain task should run, and how often it has been retried: it publishes its own retries."""
    retries = headers.get("retries")
    return {
        "retries": retries if type(retries) is int and 0 <= retries < 10**6 else 0,
        "eta": _moment(headers.get("eta")),
        "expires": _moment(headers.get("expires")),
    }


def _moment(text: Any) -> str | None:
    try:
        return dt.datetime.fromisoformat(text).isoformat()
    except (ValueError, TypeError):
        return None


def _destination(given: dict[str, Any]) -> list[str] | None:
    """The names of the workers it is meant for. Patterns are for clients of other brokers."""
    destination = given.get("destination")
    if given.get("pattern"):
        raise Unusable("it names workers by a pattern")
    if not destination:
        return None
    names = [destination] if isinstance(destination, str) else destination
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Unusable("its destination should be a list of names")
    return names


def _reply_queue(reply_to: dict[str, Any]) -> str:
    """The reply queue, as an id chosen by Celery, so that no answer can be sent into a queue of jobs."""
    return _task_id(reply_to.get("routing_key"))


def _clean(
    headers: dict[str, Any], body: Any, delivery_info: dict[str, str], priority: int = 0, **properties: Any
) -> dict[str, Any]:
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {
            **properties,
            "priority": priority,
            "body_encoding": "base64",
            "delivery_mode": 2,
            "delivery_info": delivery_info,
            "delivery_tag": str(uuid.uuid4()),
        },
    }
