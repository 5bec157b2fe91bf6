"""What is sent: JSON to any URL, and the forms that Slack and ntfy understand; a mail."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from simcelery.notifying.addresses import mailboxes

# What somebody may be told about a submission. `maintenance/events.py` says when each has happened.
DONE = "done"
EVENTS = (DONE, "first-failure", "held", "stalled")
ID_HEADER = "Simcelery-Notification"  # its value stays the same, however often a notification is sent


@dataclass(frozen=True)
class Post:
    """A POST request."""

    url: str
    headers: dict[str, str]
    body: bytes


def post(address: str, notification: Mapping[str, Any]) -> Post:
    """The request for an http or https address.

    Its form is that of ``#slack``, ``#ntfy`` or ``#json`` at its end, which is not sent, or else that of its
    host: ``hooks.slack.com``, or a host called ``ntfy``. Everybody else is sent the notification as JSON.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    form = parts.fragment
    if form not in _FORMS:
        form = "slack" if host == "hooks.slack.com" else "ntfy" if host.split(".")[0] == "ntfy" else "json"
    path, content = _FORMS[form](parts.path, notification)
    netloc = parts.netloc.rpartition("@")[2]
    headers = {"Content-Type": "application/json", "User-Agent": "simcelery", ID_HEADER: notification["id"]}
    if parts.username is not None:
        headers["Authorization"] = _basic(parts)
    url = SplitResult(parts.scheme, netloc, path, parts.query, "").geturl()
    return Post(url, headers, json.dumps(content).encode())


def _basic(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _json(path: str, notification: Mapping[str, Any]) -> tuple[str, Any]:
    return path, dict(notification)


def _slack(path: str, notification: Mapping[str, Any]) -> tuple[str, Any]:
    # Its own signs for links and mentions: a job's error must not notify a whole channel.
    text = notification["text"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return path, {"text": text}


def _ntfy(path: str, notification: Mapping[str, Any]) -> tuple[str, Any]:
    """As JSON, which goes to the root: in headers only ASCII would arrive."""
    root, _, topic = path.rstrip("/").rpartition("/")
    title = f"simcelery: {notification['event']}"
    return f"{root}/", {"topic": unquote(topic), "title": title, "message": notification["text"]}


_FORMS: dict[str, Callable[[str, Mapping[str, Any]], tuple[str, Any]]] = {
    "json": _json,
    "slack": _slack,
    "ntfy": _ntfy,
}


def mail(address: str, notification: Mapping[str, Any], sender: str) -> EmailMessage:
    """The mail for a ``mailto:`` address."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(mailboxes(address))
    message["Subject"] = " ".join(notification["text"].split())[:200]
    message["Message-ID"] = f"<{notification['id']}@simcelery>"
    message[ID_HEADER] = notification["id"]
    message.set_content(f"{notification['text']}\n\n{json.dumps(dict(notification), indent=2)}\n")
    return message
