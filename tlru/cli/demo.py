"""`tlru demo`: a node to play with, and what to try on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tlru import logs
from tlru.cli import say
from tlru.cli.app import Session
from tlru.cli.commands import NO_BREAK, Command, Kinded
from tlru.cli.exits import Exit
from tlru.cli.target import DEFAULT_SERVER
from tlru.config import Config
from tlru.config.addresses import PORT_MAX
from tlru.config.numbers import Count

if TYPE_CHECKING:
    from tlru.node import Node

PORT = 8400
# Nobody's work depends on a demo, so it need not wait long for anybody.
GRACE_S = 1.0

PAGE = """\
A tlru node is running in this terminal. Ctrl-C stops it, and what it holds is gone then.

  WebSocket   {url}
  HTTP        {http}

Try in another terminal:

{export}  tlru set greeting hello --ttl 1m
  tlru get greeting
  tlru scan --values
  tlru status
  tlru bench --seconds 5

or, with nothing of ours installed:

  curl '{http}/v1/keys/greeting'
  curl -X POST '{http}/cache?key=hello&value=world&minutes=5'
"""


@click.command(
    cls=Command,
    examples=["tlru demo", "tlru demo --port 0", "tlru demo --json"],
)
@click.option(
    "--port",
    type=Kinded(Count(0, PORT_MAX)),
    default=PORT,
    metavar="PORT",
    help=f"The port to serve on, on 127.0.0.1; 0 is any free one. [default:{NO_BREAK}{PORT}]",
)
@click.option("--json", "as_json", is_flag=True, help="Say in JSON where the node is.")
@click.pass_obj
def command(session: Session, /, port: int, as_json: bool) -> Exit:
    """Run a node to play with, and say what to try.

    It listens on this machine alone, keeps everything in memory, and needs no configuration; for
    anything that should last see `tlru serve`.
    """
    session.json = as_json
    logs.setup("warning", "text")
    config = Config(id="demo", listen=f"127.0.0.1:{port}", mesh="127.0.0.1:0", grace=GRACE_S)
    # Imported here: the server brings aiohttp along, which --help need not wait for.
    from tlru.cli.serving import Terms, run_node

    def announce(node: Node) -> None:
        if as_json:
            say.json_line({"ready": True, "url": node.url, "http": node.http_url})
        else:
            print(_page(node), end="", flush=True)

    return run_node(config, announce, Terms(listen_flag="--port"))


def _page(node: Node) -> str:
    usual = node.http_url == DEFAULT_SERVER.replace("ws://", "http://")
    export = "" if usual else f"  export TLRU_SERVER={node.url.removesuffix('/ws')}\n"
    return PAGE.format(url=node.url, http=node.http_url, export=export)
