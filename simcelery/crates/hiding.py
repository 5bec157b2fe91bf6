"""Take passwords of URLs out of whatever is written into a crate."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from simcelery.errors import SimceleryError
from simcelery.settings import get_settings
from simcelery.urls import is_sentinel, masked, sentinels

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_LEAST = 8  # characters: a shorter password may well be a word of something else
_INSTEAD = "***"


class Hiding:
    """Hides the passwords of all URLs, and those of the servers also where they stand alone."""

    def __init__(self) -> None:
        self._passwords = sorted(_passwords(), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without them."""
        if "://" in text:
            text = _URL.sub(lambda found: masked(found[0]), text)
        for password in self._passwords:
            text = text.replace(password, _INSTEAD)
        return text

    def value(self, value: Any) -> Any:
        """A plain value, in which they may be anywhere."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(name): self.value(item) for name, item in value.items()}
        return value


def _passwords() -> set[str]:
    """Of the servers that this process knows."""
    settings = get_settings()
    found: set[str] = set()
    for url in (settings.board_url, settings.redis_url, _mail_via):
        with suppress(SimceleryError, ValueError):
            found |= _of(url())
    return {password for password in found if len(password) >= _LEAST}


def _of(url: str) -> set[str]:
    if is_sentinel(url):
        known = sentinels(url)
        return {known.password, known.login.get("password", "")}
    password = urlsplit(url).password or ""
    return {password, unquote(password)}


def _mail_via() -> str:
    via = get_settings().mail_via
    return "" if via is None else via.get_secret_value()
