"""`tlru demo`: a cluster to play with, and what to try on it."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any

import click

from tlru import logs
from tlru.cli import say
from tlru.cli.app import Session
from tlru.cli.commands import NO_BREAK, Command, Kinded
from tlru.cli.exits import CannotStartError, Exit
from tlru.cli.target import DEFAULT_SERVER
from tlru.config import Config
from tlru.config.addresses import PORT_MAX
from tlru.config.numbers import Count
from tlru.config.settings import OPTIONS

if TYPE_CHECKING:
    from tlru.cli.demo_nodes import DemoNode
    from tlru.node import Node

PORT = 8400
NODES = 3
NODES_MAX = 9  # more of them than one machine has use for
# Nobody's work depends on a demo, so it need not wait long for anybody.
GRACE_S = 1.0
CORS = next(one for one in OPTIONS if one.name == "cors_origins")

ONE = """\
A tlru node is running in this terminal. Ctrl-C stops it, and what it holds is gone then.

  WebSocket   {url}
  HTTP        {http}
"""

SEVERAL = """\
{count} tlru nodes share one cache: {leader} leads. They were ready in {seconds:.1f} s.
Ctrl-C stops them, and what they hold is gone then.

{table}
"""

TRY = """
Try in another terminal:

{export}  {tlru} set greeting hello --ttl 1m
  {tlru} get greeting
  {tlru} scan --values
  {tlru} status
  {tlru} bench --seconds 5

or, with nothing of ours installed:

  curl '{http}/v1/keys/greeting'
  curl -X POST '{http}/cache?key=hello&value=world&minutes=5'
"""

KILL = """
Kill one of them: the others go on. Its line starts it again:

  kill -9 {victim}

{lines}
"""


@click.command(
    cls=Command,
    examples=[
        "tlru demo",
        "tlru demo --nodes 1",
        "tlru demo --port 0",
        "tlru demo --cors-origins http://127.0.0.1:8000",
        "tlru demo --json",
    ],
)
@click.option(
    "--nodes",
    "count",
    type=Kinded(Count(1, NODES_MAX)),
    default=NODES,
    metavar="COUNT",
    help=f"How many nodes, each in a process of its own. [default:{NO_BREAK}{NODES}]",
)
@click.option(
    "--port",
    type=Kinded(Count(0, PORT_MAX)),
    default=PORT,
    metavar="PORT",
    help="The first port to serve on, on 127.0.0.1: a node has it and the next one; 0 is any free "
    f"ones. [default:{NO_BREAK}{PORT}]",
)
@click.option(
    CORS.flag,
    "origins",
    type=Kinded(CORS.kind),
    default=(),
    help="The origins whose web pages may talk to the nodes, beside their own.",
)
@click.option("--json", "as_json", is_flag=True, help="Say in JSON where the nodes are.")
@click.pass_obj
def command(
    session: Session, /, count: int, port: int, origins: tuple[str, ...], as_json: bool
) -> Exit:
    """Run a cluster to play with, and say what to try.

    Its nodes listen on this machine alone, keep everything in memory, and need no configuration;
    for anything that should last see `tlru serve`. Ctrl-C stops all of them.
    """
    session.json = as_json
    if count == 1:
        return _one(port, origins, as_json)
    if port and port + 2 * count - 1 > PORT_MAX:
        raise CannotStartError(
            f"{count} nodes need {2 * count} ports, and there are not so many from {port} on; "
            "choose a lower one with --port"
        )
    return asyncio.run(_several(count, port, origins, as_json))


def _one(port: int, origins: tuple[str, ...], as_json: bool) -> Exit:
    logs.setup("warning", "text")
    config = Config(
        id="demo",
        listen=f"127.0.0.1:{port}",
        mesh="127.0.0.1:0",
        grace=GRACE_S,
        cors_origins=origins,
    )
    # Imported here: the server brings aiohttp along, which --help need not wait for.
    from tlru.cli.serving import Terms, run_node

    def announce(node: Node) -> None:
        if as_json:
            say.json_line({"ready": True, "url": node.url, "http": node.http_url})
        else:
            page = ONE.format(url=node.url, http=node.http_url)
            print(page + _try([node.url.removesuffix("/ws")], node.http_url), end="", flush=True)

    return run_node(config, announce, Terms(listen_flag="--port"))


async def _several(count: int, port: int, origins: tuple[str, ...], as_json: bool) -> Exit:
    from tlru.cli import demo_nodes

    stopping = _on_signals()
    began = time.monotonic()
    nodes = demo_nodes.planned(count, port, GRACE_S, origins)
    try:
        starting = asyncio.ensure_future(_start(nodes))
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return Exit.OK
        leader = starting.result()
        _announce(nodes, leader, time.monotonic() - began, as_json)
        return await _watch(nodes, stopping)
    finally:
        gone = [node for node in nodes if not node.runs]
        await demo_nodes.stop(nodes)
        for node in gone:
            if node.process is not None and node.somebody_listens():
                say.word(f"node {node.id} was started again elsewhere: it goes on there")


def _on_signals() -> asyncio.Future[None]:
    """Done with the first signal that stops a demo; the second one is Python's again."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[None] = loop.create_future()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def came() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
        first.set_result(None)

    for number in numbers:
        loop.add_signal_handler(number, came)
    return first


async def _start(nodes: list[DemoNode]) -> str:
    """All of them at once; who leads."""
    from tlru.cli.demo_nodes import until_active

    starts = [node.start("--log-level", "error") for node in nodes]
    for each in await asyncio.gather(*starts, return_exceptions=True):
        if each is not None:
            raise each
    return await until_active(nodes)


async def _watch(nodes: list[DemoNode], stopping: asyncio.Future[None]) -> Exit:
    """Tell of each that ends, until the demo is stopped or none is left."""
    ends: dict[asyncio.Future[None], DemoNode] = {
        asyncio.ensure_future(node.wait()): node for node in nodes
    }
    while ends and not stopping.done():
        done, _ = await asyncio.wait((*ends, stopping), return_when=asyncio.FIRST_COMPLETED)
        for each in [each for each in done if each in ends]:
            node = ends.pop(each)
            if not stopping.done():
                how = node.how_it_ended()
                say.word(f"node {node.id} has ended {how}; start it again with: {node.line()}")
    for each in ends:
        each.cancel()
    await asyncio.gather(*ends, return_exceptions=True)
    if stopping.done():
        return Exit.OK
    say.word("none of the nodes that this demo started runs any more")
    return Exit.UNAVAILABLE


def _announce(nodes: list[DemoNode], leader: str, seconds: float, as_json: bool) -> None:
    facts = [_facts(node) for node in nodes]
    try:
        if as_json:
            first = {name: facts[0][name] for name in ("url", "http")}
            ready = {"ready": True, **first, "seconds": round(seconds, 3), "leader": leader}
            say.json_line({**ready, "nodes": facts})
        else:
            print(_page(nodes, leader, seconds), end="", flush=True)
    except OSError:  # it goes on, whether or not somebody reads what it says
        say.abandon_stdout()


def _facts(node: DemoNode) -> dict[str, Any]:
    assert node.process is not None
    return {
        "id": node.id,
        "url": f"ws://{node.address}/ws",
        "http": f"http://{node.address}",
        "pid": node.process.pid,
        "start": node.line(),
    }


def _page(nodes: list[DemoNode], leader: str, seconds: float) -> str:
    facts = [_facts(node) for node in nodes]
    table = "\n".join(f"  {f['id']}   {f['http']}   {f['url']}   process {f['pid']}" for f in facts)
    victim = next(each["pid"] for each in facts if each["id"] == leader)
    return "".join(
        (
            SEVERAL.format(count=len(nodes), leader=leader, seconds=seconds, table=table),
            _try([f"ws://{node.address}" for node in nodes], facts[0]["http"]),
            KILL.format(victim=victim, lines="\n".join(f"  {node.line()}" for node in nodes)),
        )
    )


def _try(servers: list[str], http: str) -> str:
    from tlru.cli.demo_nodes import shown_command

    export = f"  export TLRU_SERVER={','.join(servers)}\n"
    if servers == [DEFAULT_SERVER]:
        export = ""  # it is where every command looks first
    return TRY.format(http=http, export=export, tlru=shown_command())
