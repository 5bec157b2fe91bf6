"""Who may see the board in a browser."""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler, authenticated

from simcelery.monitor.options import is_loopback

# What a browser is allowed: only what comes from here. Bootstrap's own style sheet has pictures in it.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With no referrer at all, a browser would send our own forms without their origin, too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def check(handler: RequestHandler) -> None:
    """Answer whoever may not see it: with Flower's login, if it has one.

    Raises:
        HTTPError: a wrong login; or somebody else's page has led here, where nobody needs to log in.
    """
    options = handler.application.options  # type: ignore[attr-defined]
    if not (options.basic_auth or options.auth or options.unix_socket):
        _must_be_meant(handler)
    _log_in(handler)


def may_act(handler: RequestHandler) -> bool:
    """Whether who sees it may change it, too: only whoever has logged in, as in Flower's own API."""
    options = handler.application.options  # type: ignore[attr-defined]
    return bool(options.basic_auth or options.auth) and not options.read_only


def check_may_act(handler: RequestHandler) -> None:
    """Refuse an act where it may only be seen.

    Raises:
        HTTPError: it may.
    """
    if not may_act(handler):
        raise HTTPError(403, "this monitor only shows: to act, start it with a login and not --read-only")


def who(handler: RequestHandler) -> str:
    """Whoever has logged in, for the record."""
    if isinstance(handler.current_user, str):
        return f"{handler.current_user}, in the monitor"
    _, _, encoded = handler.request.headers.get("Authorization", "").partition(" ")
    return f"{b64decode(encoded).decode().partition(':')[0]}, in the monitor"


def check_origin(handler: RequestHandler) -> None:
    """Refuse a change that a page of another site asks for, with the login that the browser remembers.

    Flower asks for no token where there is a password; Tornado always does, so it is asked.

    Raises:
        HTTPError: it does not come from a page of ours.
    """
    site, origin = (handler.request.headers.get(name) for name in ("Sec-Fetch-Site", "Origin"))
    if (site and site != "same-origin") or (origin and urlsplit(origin).netloc != handler.request.host):
        raise HTTPError(403, "another site has asked for this")
    RequestHandler.check_xsrf_cookie(handler)


@authenticated
def _log_in(handler: RequestHandler) -> None:
    """Flower asks in each method of its pages; ours are asked before any."""


def _must_be_meant(handler: RequestHandler) -> None:
    """Without a login, refuse a browser that was told another name of this machine.

    A page of the web can give its own name the address 127.0.0.1, and would then read what is here.
    """
    name = handler.request.host_name.strip("[]")
    if not is_loopback(name):
        raise HTTPError(
            403, f"without a login, the board is shown at localhost, but not at {name}: set a login"
        )
