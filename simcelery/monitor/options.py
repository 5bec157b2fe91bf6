"""Flower's options, as simcelery wants them, and who may reach it."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import tornado.options

from simcelery.errors import UsageError

ADDRESS, PORT, AUTH = (f"SIMCELERY_FLOWER_{name}" for name in ("ADDRESS", "PORT", "AUTH"))
_EVERYWHERE = "0.0.0.0"  # nosec B104


def flower_options() -> dict[str, Any]:
    """Options by their names, for a configuration file of Flower to have.

    What Flower then goes by is checked at the end of its parsing, since its command line wins over the file.
    """
    options = tornado.options.options
    options.add_parse_callback(_check)
    found: dict[str, Any] = {
        # Flower's own default is all addresses of the machine.
        "address": os.environ.get(ADDRESS) or options.address or "127.0.0.1",
        # The board is the record. Flower's own memory is a pickle written at exit, with only the events that
        # it saw.
        "persistent": False,
        # About 5 kB each: 50 MB, however long it runs.
        "max_tasks": 10_000,
        # Workers on a cluster come and go, each under its own name; those that left stay listed for an hour.
        "purge_offline_workers": 3600,
        # Jobs are told apart by their parameters, of which messages carry a short form.
        "tasks_columns": "name,kwargs,state,received,started,runtime,worker,uuid",
    }
    if os.environ.get(PORT):
        found["port"] = _port(os.environ[PORT])
    if os.environ.get(AUTH):
        # A list, since Flower would split a string at the commas of the password.
        found["basic_auth"] = [os.environ[AUTH]]
    return found


def check(address: str, logins: Sequence[str], *, otherwise_closed: bool = False) -> None:
    """Refuse what would show the jobs to strangers, or let them cancel some.

    Parameters:
        logins: each as ``user:password``.
        otherwise_closed: others cannot connect, or must log in elsewhere.

    Raises:
        UsageError: it would.
    """
    for user in logins:
        name, _, password = user.partition(":")
        # If one login is not ASCII, Flower answers every login with an error 500.
        if not (name and password and user.isascii()):
            raise UsageError(f"{AUTH} must be user:password, without accents")
    if not (logins or otherwise_closed or is_loopback(address)):
        raise UsageError(
            f"the address {address or _EVERYWHERE} is open to the network: "
            f"set {AUTH}=user:password, or leave it at 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine has the address, or means itself by the name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check() -> None:
    options = tornado.options.options
    closed = bool(options.auth or options.unix_socket)
    try:
        check(options.address, options.basic_auth or (), otherwise_closed=closed)
    except UsageError as error:
        _refuse(str(error))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        _refuse(f"{PORT} is {text!r}: write a port number, such as 5555")
    return int(text)


def _refuse(reason: str) -> NoReturn:
    """Flower would go on after an exception in its file's callbacks with a traceback."""
    print(f"flower.conf: {reason}", file=sys.stderr)
    raise SystemExit(2)
