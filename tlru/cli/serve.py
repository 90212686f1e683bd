"""`tlru serve`: run a node until it is told to stop."""

from __future__ import annotations

import logging
import os
from typing import Any

import click

from tlru import logs
from tlru.cli import say
from tlru.cli.app import Session
from tlru.cli.commands import Command
from tlru.cli.exits import Exit
from tlru.cli.node_flags import given, node_flags
from tlru.config import Config, Resolved, resolve

logger = logging.getLogger(__name__)


@click.command(
    cls=Command,
    examples=[
        "tlru serve",
        "tlru serve --listen 127.0.0.1:9000 --max-bytes 512MiB",
        "tlru serve --config node.toml --id cache-1",
        "TLRU_LOG_FORMAT=json tlru serve --data-dir /var/lib/tlru",
    ],
)
@node_flags
@click.option(
    "--until-stdin-ends",
    is_flag=True,
    help="Stop, as with SIGTERM, once stdin ends: the node goes when its starter does.",
)
@click.option("--json", "as_json", is_flag=True, help="Say in JSON that the node is ready.")
@click.pass_obj
def command(
    session: Session, /, file: Any, until_stdin_ends: bool, as_json: bool, **flags: Any
) -> Exit:
    """Run a node until it is told to stop.

    Once the node serves, one line on stdout says where; its log goes to stderr. SIGTERM or Ctrl-C
    stops it within --grace, a second one at once. SIGHUP has it read its configuration again, and
    take up what can change in place.

    A SIZE is 512MiB, 1GB or a number of bytes; a DURATION 500ms, 10s, 1h30m or a number of seconds.
    A flag with a list may be repeated, or hold several values with commas between.

    Every option may also stand in a TOML file, or in the environment as TLRU_ and its name in
    capitals (TLRU_MAX_BYTES). `tlru config show` tells where each value comes from.
    """
    session.json = as_json

    resolved = resolve(file, None, given(flags))
    config = resolved.config
    logs.setup(config.log_level, config.log_format)
    _tell(resolved)

    def read_again() -> Config:
        return _tell(resolve(file, None, given(flags)))

    # Imported here: the server brings aiohttp along, which a mistake in a flag need not wait for.
    from tlru.cli.serving import Terms, run_node
    from tlru.node import Node

    def announce(node: Node) -> None:
        if as_json:
            ready = {"ready": True, "node": config.id, "url": node.url}
            say.json_line({**ready, "http": node.http_url, "pid": os.getpid()})
        else:
            name = config.id
            print(f"tlru: node {name} is ready at {node.url} and {node.http_url}", flush=True)

    return run_node(config, announce, Terms(read_again, until_stdin_ends))


def _tell(resolved: Resolved) -> Config:
    for note in resolved.notes:
        logger.warning(note)
    return resolved.config
