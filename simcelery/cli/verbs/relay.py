"""``relay``: lead workers whose nodes reach only HTTPS to board and broker; make and revoke their tokens."""

from __future__ import annotations

import logging
import socket
from importlib.util import find_spec

import click

from simcelery.cli.options import Output, Verbs, command, output_option
from simcelery.cli.output import Column, say, show_ids, show_json, show_table
from simcelery.errors import UsageError
from simcelery.relay import tokens
from simcelery.settings import get_settings

_HERE = ("127.0.0.1", "localhost", "::1")


@command(
    "relay",
    "simcelery relay token uni-cluster",
    "simcelery relay --listen 0.0.0.0:443 --certificate cert.pem --key key.pem",
    "simcelery relay      # behind a web server of this machine that has the certificate",
    "simcelery relay revoke uni-cluster",
    cls=Verbs,
    invoke_without_command=True,
)
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:8443", help="Where; 127.0.0.1:8443.")
@click.option("--certificate", type=click.Path(exists=True), help="Its certificate and those above, in PEM.")
@click.option("--key", type=click.Path(exists=True), help="The certificate's key, in PEM.")
@click.option("--plain", is_flag=True, help="Listen without TLS where others can connect, too.")
@click.pass_context
def relay(ctx: click.Context, listen: str, certificate: str | None, key: str | None, plain: bool) -> None:
    """Lead workers whose nodes reach only HTTPS to the board and the broker of the settings here.

    Such a worker has the settings relay_url and relay_token, and is otherwise like any other. If it cannot
    reach the relay, it waits, as for Postgres and Redis; so a relay may be restarted at any time.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not find_spec("uvicorn") or not find_spec("websockets"):
        raise UsageError("relay needs other packages: pip install 'simcelery[relay]'")
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal():
        raise UsageError("--listen: write HOST:PORT, such as 0.0.0.0:443")
    if bool(certificate) != bool(key):
        raise UsageError("--certificate and --key belong together")
    if not certificate and host not in _HERE and not plain:
        raise UsageError("without --certificate and --key, tokens could be read on the way: see --plain")
    from simcelery.relay import server

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    app = server.Relay(server.places(get_settings()), get_settings().home)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, int(port)), family=family)
        say(f"relay on {host}:{listening.getsockname()[1]}{'' if certificate else ', without TLS'}")
        server.serve(app, listening, certificate, key)
    except (OSError, OverflowError) as error:  # those of TLS are, too
        raise UsageError(f"the relay cannot start on {listen}: {error}") from None


@command("token", "simcelery relay token uni-cluster")
@click.argument("name")
@output_option
def token(name: str, output: Output) -> None:
    """Make a token for a worker, or for all workers of a cluster, and print it: it cannot be shown again."""
    made = tokens.make(get_settings().home, name)
    show_json({"name": name, "token": made}) if output == "json" else say(made)


@command("list", "simcelery relay list", "simcelery relay list -o json")
@output_option
def list_(output: Output) -> None:
    """List the tokens, and since when there is each."""
    found = [(name, at.isoformat(" ", "seconds")) for name, at in tokens.listed(get_settings().home).items()]
    if output == "json":
        show_json([{"name": name, "created_at": at.replace(" ", "T")} for name, at in found])
    elif output == "quiet":
        show_ids(name for name, _ in found)
    else:
        show_table([Column("token"), Column("created")], found)


@command("revoke", "simcelery relay revoke uni-cluster")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@output_option
def revoke(names: tuple[str, ...], output: Output) -> None:
    """Revoke tokens: within seconds they open nothing any more, and what they have opened is closed."""
    tokens.revoke(get_settings().home, list(names))
    show_json({"revoked": sorted(set(names))}) if output == "json" else show_ids(sorted(set(names)))


for _verb in (token, list_, revoke):
    relay.add_command(_verb)
