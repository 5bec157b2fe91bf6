"""Messages that nobody but an attacker, or a fault, would send: what a worker makes of them must be nothing.

Each shape is what lies in Redis: `for_lane` in a list that a worker takes messages from, `for_control`
published to its remote control. Whatever would execute one of them makes the file `trap`.
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONTROL = "/0.celery.pidbox"  # where remote commands are published
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def message(
    task: Any = "sims.add",
    task_id: Any = None,
    body: Any = ([], {}, _EMBED),
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    **top: Any,
) -> dict[str, Any]:
    """A message in Celery's own format, and whatever is changed of it."""
    task_id = str(uuid.uuid4()) if task_id is None else task_id
    raw = body if isinstance(body, str) else base64.b64encode(json.dumps(body).encode()).decode()
    return {
        "body": raw,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": task_id,
            "root_id": task_id,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "()",
            "kwargsrepr": "{}",
            **(headers or {}),
        },
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "default"},
            "priority": 4,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
            **(properties or {}),
        },
        **top,
    }


def _without(found: dict[str, Any], *path: str) -> dict[str, Any]:
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return found


def trap_signature(trap: Path) -> dict[str, Any]:
    """A signature of the workflow ``command`` that makes the file."""
    return {
        "task": "command",
        "args": [["touch", str(trap)]],
        "kwargs": {},
        "options": {},
        "subtask_type": None,
        "immutable": True,
    }


def for_lane(trap: Path, job: str, workflow: str = "sims.add") -> Iterator[tuple[str, bytes]]:
    """Shapes for a lane, each with a name.

    Parameters:
        job: the task id of an honest job that waits or runs, of `workflow`.
    """
    yield from _no_messages()
    for name, shape in (
        *_built_in_tasks(trap, job),
        *_attached(trap, job, workflow),
        *_wrong_types(job, workflow),
        *_lies(trap, job, workflow),
    ):
        yield name, json.dumps(shape).encode()


def _no_messages() -> Iterator[tuple[str, bytes]]:
    yield "text", b"hello"
    yield "nothing", b""
    yield "a space", b" "
    yield "bytes", bytes(range(256))
    yield "NUL", b"\0"
    yield "bad UTF-8", b'{"headers": "\xff\xfe"}'
    yield "UTF-16", '{"headers": {}}'.encode("utf-16")
    yield "BOM", b'\xef\xbb\xbf{"headers": {}}'
    yield "half of a message", json.dumps(message()).encode()[:200]
    yield "two messages", json.dumps(message()).encode() * 2
    for literal in (b"null", b"true", b"1", b"1.5", b"-0", b"1e999", b"NaN", b"Infinity", b'"text"'):
        yield f"the value {literal.decode()}", literal
    yield "a number of 5,000 digits", b"9" * 5000
    for literal in (b"[]", b"[1]", b"{}", b'{"headers": null}', b'[{"headers": {}}]'):
        yield f"the value {literal.decode()}", literal
    yield "deep lists", b"[" * 30_000 + b"]" * 30_000
    yield "deep objects", b'{"headers":' * 5_000 + b"{}" + b"}" * 5_000
    yield "unclosed lists", b"[" * 60_000
    yield "repeated keys", b'{"headers": {"task": "a", "task": "b"}, "headers": 1}'
    yield "200 kB of text", b"x" * 200_000
    yield "5 MB in one message", json.dumps(message(headers={"kwargsrepr": "x" * 5_000_000})).encode()
    yield "pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix"
    yield "terminal", b"\x1b]0;owned\x07\x1b[2J\n\nFAKE LOG LINE\n"


def _built_in_tasks(trap: Path, job: str) -> Iterator[tuple[str, dict[str, Any]]]:
    bomb = trap_signature(trap)
    argv = ["touch", str(trap)]
    for task, args, kwargs in (
        ("celery.map", [], {"task": bomb, "it": [argv]}),
        ("celery.starmap", [], {"task": bomb, "it": [[argv]]}),
        ("celery.chunks", [bomb, [[argv]], 1], {}),
        ("celery.group", [[bomb], {"task_id": job}, None, []], {}),
        ("celery.chain", [bomb], {}),
        ("celery.chord", [[bomb], bomb], {}),
        ("celery.chord_unlock", [job, bomb], {"result": []}),
        ("celery.accumulate", [1, 2], {}),
        ("celery.backend_cleanup", [], {}),
        ("celery.ping", [], {}),
        ("plain.task", [1], {}),
        ("os.system", [f"touch {trap}"], {}),
        ("simcelery.worker.builtin.command", [argv], {}),
    ):
        yield f"{task} in a lane", message(task, job, [args, kwargs, _EMBED])
        for link in ("callbacks", "errbacks", "chain"):
            yield f"{task} with {link}", message(task, None, [args, kwargs, {**_EMBED, link: [bomb]}])


def _attached(trap: Path, job: str, workflow: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Messages of the job itself, or of none, with more than an id and a name."""
    bomb = trap_signature(trap)
    for task_id in (job, str(uuid.uuid4())):
        whose = "the job's" if task_id == job else "no job's"
        for link in ("callbacks", "errbacks", "chain"):
            embed = {**_EMBED, link: [bomb]}
            yield f"{whose} with {link}", message(workflow, task_id, [[], {}, embed])
        yield f"{whose} with a chord", message(workflow, task_id, [[], {}, {**_EMBED, "chord": bomb}])
        yield f"{whose} in a group", message(workflow, task_id, headers={"group": "g", "group_index": 0})
        for name, value in (
            ("timelimit", [0.001, 0.001]),
            ("timelimit", [1, None]),
            ("timelimit", "soon"),
            ("timelimit", [None]),
            ("timelimit", [-1, -1]),
            ("timelimit", [[], {}]),
            ("eta", "2999-01-01T00:00:00"),
            ("eta", "never"),
            ("eta", 5),
            ("expires", "2000-01-01T00:00:00+00:00"),
            ("expires", {}),
            ("ignore_result", True),
            ("is_eager", True),
            ("called_directly", True),
            ("shadow", "\x1b[31mred"),
            ("shadow", ["a"]),
            ("reply_to", "default"),
            ("root_id", [1]),
            ("stamped_headers", ["x"]),
            ("stamps", {"x": [1]}),
            ("retries", -1),
            ("retries", "many"),
            ("lang", {"a": 1}),
            ("compression", "zlib"),
            ("compression", "no such"),
            ("compression", ["zlib"]),
            ("claim_id", str(uuid.uuid4())),
            ("recorded", True),
            ("hostname", "elsewhere"),
        ):
            yield f"{whose} with {name} {value!r}", message(workflow, task_id, headers={name: value})


def _wrong_types(job: str, workflow: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in ("headers", "properties", "body", "content-type", "content-encoding"):
        yield f"without {part}", _without(message(workflow), part)
        for value in (None, [], "text", 5, {"a": {"b": []}}):
            yield f"{part} {value!r}", {**message(workflow), part: value}
    for name in ("delivery_tag", "delivery_info", "body_encoding", "priority"):
        yield f"without {name}", _without(message(workflow), "properties", name)
        for value in (None, ["a"], {"a": 1}, "x" * 1000):
            yield f"{name} {str(value)[:20]}", message(workflow, properties={name: value})
    for value in (None, 5, 1.5, True, [], ["a"], {"a": 1}, "", "x" * 10_000, "\0", "a\nb", "\ud800"):
        yield f"task {str(value)[:20]!a}", message(value, job)
        yield f"id {str(value)[:20]!a}", message(workflow, value if value is not None else [None])
    yield "without a task", _without(message(workflow), "headers", "task")
    yield "without an id", _without(message(workflow), "headers", "id")


def _lies(trap: Path, job: str, workflow: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Bodies and encodings that would cost much, or be acted upon, if anybody looked at them."""
    bomb = base64.b64encode(zlib.compress(b"x" * 30_000_000)).decode()
    yield "a bomb of zlib", message(workflow, None, bomb, {"compression": "zlib"})
    yield "a bomb of gzip", message(workflow, None, bomb, {"compression": "application/x-gzip"})
    yield "bad base64", message(workflow, None, "!!!")
    yield "an unknown encoding of the body", message(workflow, properties={"body_encoding": "rot13"})
    for kind in ("application/x-python-serialize", "application/x-yaml", "pickle", "text/plain", ""):
        yield f"content type {kind!r}", message(workflow, None, **{"content-type": kind})
    pickled = base64.b64encode(f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode()).decode()
    yield (
        "pickled body",
        message(workflow, None, pickled, **{"content-type": "application/x-python-serialize"}),
    )
    yield "typed JSON", message(workflow, None, [[{"__type__": "uuid", "__value__": []}], {}, _EMBED])
    yield "first protocol", {**message(workflow), "headers": {}, "task": workflow, "id": job, "args": []}
    first = {"task": "command", "id": job, "args": [["touch", str(trap)]], "kwargs": {}}
    yield "first protocol in the body", {**message(workflow, None, first), "headers": {}}
    yield "another workflow of the job's id", message("command", job, [[["touch", str(trap)]], {}, _EMBED])
    yield "no such workflow", message("nobody.knows", job)
    yield "the job again", message(workflow, job)
    yield "nobody's job", message(workflow, None, [[["touch", str(trap)]], {}, _EMBED])
    yield "another queue", message(workflow, None, properties={"delivery_info": {"routing_key": "x"}})


def command(method: Any, arguments: Any = None, **more: Any) -> bytes:
    """A remote command as Celery publishes it."""
    body = {
        "method": method,
        "arguments": {} if arguments is None else arguments,
        "destination": None,
        **more,
    }
    return json.dumps(message(body=body)).encode()


def for_control(trap: Path, job: str) -> Iterator[tuple[str, bytes]]:
    """Shapes for remote control, each with a name. None of them ends a worker that keeps its promise."""
    yield from _no_messages()
    for part in ("headers", "properties", "body"):
        for value in (None, [], "text", 5):
            yield f"{part} {value!r}", json.dumps({**message(body={"method": "ping"}), part: value}).encode()
    for method in (None, 5, [], {"a": 1}, "", "x" * 10_000, "__init__", "no_such", "\x1b[2J", "a\nb"):
        yield f"method {str(method)[:20]!a}", command(method)
    for arguments in ([], "text", 5, [[1]], {"state": 1}, {"self": 1}, {"ids": [[1]]}, {"nobody": "asked"}):
        for method in ("ping", "query_task", "conf", "registered", "stats"):
            yield f"{method} with {arguments!r}", command(method, arguments)
    for destination in (5, {"a": 1}, [1], [None], [["w"]], "elsewhere@nowhere", ["elsewhere@nowhere"]):
        yield f"destination {destination!r}", command("ping", destination=destination)
    yield "a pattern", command("ping", pattern=".*", matcher="pcre")
    yield "a pattern that takes for ever", command("ping", pattern="(a+)+$", matcher="pcre")
    for reply_to in (
        5,
        "default",
        [],
        {},
        {"exchange": "", "routing_key": "default:sims.add"},
        {"routing_key": 1},
    ):
        yield f"reply to {reply_to!r}", command("ping", reply_to=reply_to, ticket="t")
    for ticket in (5, [], {"a": 1}, "x" * 30_000):
        yield (
            f"ticket {str(ticket)[:20]}",
            command("ping", reply_to={"routing_key": str(uuid.uuid4())}, ticket=ticket),
        )
    for method, arguments in (
        ("rate_limit", {"task_name": "sims.add", "rate_limit": "1/h"}),
        ("time_limit", {"task_name": "sims.add", "hard": 0.001, "soft": 0.001}),
        ("add_consumer", {"queue": "elsewhere"}),
        ("cancel_consumer", {"queue": "default"}),
        ("cancel_consumer", {"queue": "default:sims.add"}),
        ("pool_grow", {"n": 100}),
        ("pool_shrink", {"n": 2}),
        ("pool_restart", {"modules": ["os"], "reload": True}),
        ("autoscale", {"max": 0, "min": 0}),
        ("revoke", {"task_id": job}),
        ("revoke", {"task_id": [job], "terminate": True, "signal": "SIGKILL"}),
        ("revoke", {"task_id": [[job]]}),
        ("revoke_by_stamped_headers", {"headers": {"x": [1]}, "terminate": True}),
        ("terminate", {"task_id": job, "signal": "KILL"}),
        ("hello", {"from_node": "x@y", "revoked": {job: 0}}),
        ("election", {"id": "x", "topic": "y", "action": "z"}),
        ("objgraph", {"type": "Request"}),
    ):
        yield f"{method} {arguments}", command(method, arguments)
