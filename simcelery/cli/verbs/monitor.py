"""``monitor``: show board, workers and messages in a browser."""

from __future__ import annotations

import click

from simcelery.cli.options import Number, command


@command(
    "monitor",
    "simcelery monitor",
    "simcelery monitor --port 8080 --read-only",
    "SIMCELERY_FLOWER_AUTH=ada:secret simcelery monitor --address 0.0.0.0",
    "simcelery monitor --url-prefix monitor    # behind a web server that has TLS",
)
@click.option("--port", type=Number(0, 65535), help="Where to listen; 5555, or SIMCELERY_FLOWER_PORT.")
@click.option(
    "--address", metavar="HOST", help="The same; 127.0.0.1, or SIMCELERY_FLOWER_ADDRESS. Others need a login."
)
@click.option(
    "--auth",
    metavar="USER:PASSWORD",
    help="Who may look; SIMCELERY_FLOWER_AUTH shows it to nobody.",
)
@click.option("--read-only", is_flag=True, help="Let nobody change anything.")
@click.option("--url-prefix", metavar="PATH", help="Where a web server in front has it.")
def monitor(
    port: int | None, address: str | None, auth: str | None, read_only: bool, url_prefix: str | None
) -> None:
    """Show board, workers and messages in a browser: Flower, with a tab for the board. Ctrl-C ends it.

    The tab Board shows what is on the board, so it loses nothing when the monitor is restarted. The other
    tabs are Flower's own, and show what it has seen since it was started.

    It listens on this machine only, at http://127.0.0.1:5555. Where others can connect, a login is needed;
    its password travels in clear, unless a web server with TLS is in front.
    """
    from simcelery.monitor import launching

    launching.replace_process(
        address=address, port=port, auth=auth, options={"read_only": read_only, "url_prefix": url_prefix}
    )
