"""Remote control of a worker: it answers questions, hears of news on the board, and ends when it is told to.

What would change how jobs run is refused: whoever can reach Redis can send a command. A command of any shape
costs one line in the log at most, and never the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.consumer.control import Control
from celery.worker.control import Panel
from celery.worker.pidbox import Pidbox
from kombu.messaging import Producer

from simcelery.broker import NEWS, incoming
from simcelery.broker.incoming import Command
from simcelery.broker.sparing import Sparing

log = logging.getLogger(__name__)
sparing = Sparing(log)


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _yes_or_no(value: Any) -> bool:
    return isinstance(value, bool)


# What is answered, and the arguments that are passed on, each with what it must be.
_ANSWERED: dict[str, dict[str, Callable[[Any], bool]]] = {
    "ping": {},
    "stats": {},
    "report": {},
    "conf": {"with_defaults": _yes_or_no},
    "clock": {},
    "active": {"safe": _yes_or_no},
    "reserved": {},
    "scheduled": {},
    "revoked": {},
    "registered": {"builtins": _yes_or_no},
    "active_queues": {},
    "query_task": {"ids": _names},
    "memsample": {},
    # Flower turns events on, and takes a worker that sends no heartbeat for dead.
    "heartbeat": {},
    "enable_events": {},
    "disable_events": {},
}
_INSTEAD = {
    "revoke": "cancel jobs with 'simcelery cancel', Job.cancel() or Flower's button",
    "terminate": "cancel jobs with 'simcelery cancel', Job.cancel() or Flower's button",
}
_ALIASES = {meta.alias: name for name, meta in Panel.meta.items() if meta.alias}


def answer(state: Any, command: Command) -> dict[str, Any] | list[Any]:
    """What a worker answers. Errors are answers, too, and are logged."""
    name = _ALIASES.get(command.method, command.method)
    controller = state.consumer.controller
    if name == NEWS:
        controller.lease.hurry()
        return {"ok": "asking the board"}
    if name == "shutdown":
        controller.shutdown.wind_up(reason="told by remote control to stop")
        return {"ok": "it ends"}
    if name not in _ANSWERED:
        return _refusal(name)
    wanted = {
        argument: command.arguments[argument]
        for argument, fits in _ANSWERED[name].items()
        if argument in command.arguments and fits(command.arguments[argument])
    }
    try:
        return Panel.data[name](state, **wanted)  # type: ignore[no-any-return]
    except Exception as error:
        text = f"{type(error).__name__}: {incoming.shown(str(error))}"
        sparing.warning(name, f"remote command {name} failed: {text}")
        return {"error": text}


def _refusal(name: str) -> dict[str, str]:
    known = name in Panel.data
    text = f"remote command {name if known else repr(incoming.shown(name))} is refused: " + (
        _INSTEAD.get(name, "workers accept none that changes what they do")
        if known
        else "there is no such command"
    )
    sparing.warning(name if known else "unknown", text)
    return {"error": text}


class RemoteControl(Pidbox):  # type: ignore[misc]
    """Celery's mailbox of a worker. Commands reach it only after `incoming` has cleaned them."""

    def start(self, c: Any) -> None:
        """Listen on this connection."""
        super().start(c)
        self.consumer.on_message = self._received

    def _received(self, message: Any) -> None:
        command = incoming.command_of(message.body)
        if command.destination is not None and self.hostname not in command.destination:
            return
        answered = answer(self.node.state, command)
        if command.reply_to is not None:
            self._reply(answered, command.reply_to, command.ticket)

    def _reply(self, answered: Any, reply_to: str, ticket: str | None) -> None:
        try:
            # Into the asker's queue itself: who is bound to the exchange of replies stands in Redis.
            Producer(self.node.channel, auto_declare=False).publish(
                {self.hostname: answered},
                exchange="",
                routing_key=f"{reply_to}.{self.node.mailbox.reply_exchange.name}",
                headers={"ticket": ticket, "clock": self.c.app.clock.forward()},
                serializer="json",
            )
        except Exception as error:
            text = f"{type(error).__name__}: {incoming.shown(str(error))}"
            sparing.warning("reply", f"could not answer a remote command: {text}")


class RemoteControlStep(Control):  # type: ignore[misc]
    """Starts it with each connection, unless the setting ``remote_control`` is off."""

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self.box = RemoteControl(c)
        self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown
