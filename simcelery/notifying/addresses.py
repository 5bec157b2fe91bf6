"""Where a notification goes: ``http://…``, ``https://…``, ``mailto:…``, or through apprise.

Such a URL is often itself the password. So no message quotes one, and it is shown only `masked`.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from simcelery.errors import ParametersError

APPRISE = "apprise:"
_LONGEST = 2000
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$&'*+/=^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_KNOWN = "write http://…, https://… or mailto:name@host"
_COMMAND = "a command runs only on your own machine: simcelery watch --exec COMMAND"
# What a URL may hold as it is; the rest is escaped.
_PLAIN = "/?#[]@!$&'()*+,;=:%~-._"


def checked(address: Any) -> str:
    """The address as it is stored.

    Raises:
        ParametersError: nothing can be sent there; one line says why, without any part of the address.
    """
    if not isinstance(address, str) or not address:
        raise ParametersError(f"notify must be an address as text: {_KNOWN}")
    if len(address) > _LONGEST:
        raise ParametersError(f"notify: the address is longer than {_LONGEST:,} characters")
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", address)
    if not scheme:
        raise ParametersError(f"notify: this is no address ({_KNOWN}); {_COMMAND}")
    if not address.isprintable() or " " in address:
        raise ParametersError("notify: the address contains a space, a line break or something unprintable")
    kind = scheme[0].lower()
    if kind == "mailto:":
        return _checked_mail(address)
    if kind in ("http:", "https:"):
        return _checked_url(address)
    if kind == APPRISE:
        return _checked_apprise(address)
    raise ParametersError(f"notify: nothing is sent to {scheme[0]} addresses: {_KNOWN}; {_COMMAND}")


def mailboxes(address: str) -> list[str]:
    """The recipients of a ``mailto:`` address."""
    return address.partition(":")[2].split(",")


def masked(address: str) -> str:
    """The address as people may see it: of a URL only its host, since the rest is most often a secret."""
    if address.lower().startswith("mailto:"):
        return address
    if address.lower().startswith(APPRISE):
        return f"{APPRISE}{address[len(APPRISE) :].partition(':')[0]}://***"
    try:
        parts = urlsplit(address)
    except ValueError:  # others than simcelery may have written it on the board
        return "***"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***"


def _checked_mail(address: str) -> str:
    for mailbox in mailboxes(address):
        if not _MAILBOX.fullmatch(mailbox):
            raise ParametersError(
                "notify: mailto: takes mailboxes and nothing else: mailto:me@example.org,you@example.org"
            )
    return address


def _checked_url(address: str) -> str:
    try:
        parts = urlsplit(address)
        _ = parts.port  # refuses what is no number
        host = (parts.hostname or "").encode("idna").decode()
    except (ValueError, UnicodeError):
        raise ParametersError("notify: the host or the port of the URL is not valid") from None
    if not host or not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", host) or "\\" in address:
        raise ParametersError("notify: the URL has no valid host: write https://host/path")
    return _ascii(parts, host)


def _ascii(parts: SplitResult, host: str) -> str:
    """The URL in ASCII, as it goes over the line."""
    user, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port is not None else ""
    netloc = quote(user, safe=_PLAIN) + at + (f"[{host}]" if ":" in host else host) + port
    rest = (quote(part, safe=_PLAIN) for part in (parts.path, parts.query, parts.fragment))
    return SplitResult(parts.scheme.lower(), netloc, *rest).geturl()


def _checked_apprise(address: str) -> str:
    if not find_spec("apprise"):
        raise ParametersError("notify: apprise: needs the package: pip install 'simcelery[apprise]'")
    import apprise

    if not apprise.Apprise.instantiate(address[len(APPRISE) :], suppress_exceptions=True):
        raise ParametersError("notify: apprise does not know this address: see its list of services")
    return address
