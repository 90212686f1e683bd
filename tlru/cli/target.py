"""Which servers and which cache a command talks to, and how it is told.

Decides the flags that every command of a client has, and what they become. A server may be written
as `host:port`, as one would for a browser, or in full; what is no address of a server is told
before anything is sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from tlru.cli.app import Session
from tlru.cli.commands import NO_BREAK, Flag, Kinded
from tlru.cli.exits import Exit
from tlru.config.kinds import Name
from tlru.config.numbers import Duration
from tlru.errors import BadRequest

if TYPE_CHECKING:
    from tlru.client import Cache
    from tlru.client.settings import OnLink

SECTION = "Which cache"
DEFAULT_SERVER = "ws://127.0.0.1:8400"
DEFAULT_TIMEOUT_S = 5.0
TIMEOUT_S_MAX = 3_600.0
BEARER_CHARS_MAX = 16 << 10

_SCHEMES = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class Target:
    """What the flags of a client came to."""

    servers: tuple[str, ...]
    cache: str
    timeout: float
    json: bool
    servers_file: str | None = None
    region: str = ""
    ca: str | None = None  # a file with the authorities to believe; None: the system's
    bearer: str | None = field(default=None, repr=False)  # the token that says who asks

    @asynccontextmanager
    async def connect(self, on_link: OnLink = None) -> AsyncGenerator[Cache[bytes], None]:
        """A client whose values stay in the bytes that the cache keeps, closed at the end."""
        from tlru.cli.reach import reachable
        from tlru.client import Raw, connect

        servers = await reachable(self.servers, self.cache, self.timeout)
        client = connect(
            *servers,
            servers_file=self.servers_file,
            region=self.region,
            cache=self.cache,
            timeout=self.timeout,
            ca=self.ca,
            token=self.bearer,
            serializer=Raw(),
            on_link=on_link,
        )
        async with client as cache:
            yield cache


def client_command(work: Callable[..., Coroutine[Any, Any, Exit]]) -> Callable[..., Exit]:
    """Make a coroutine of a client the callback of a command, with the flags that it needs."""

    @click.pass_obj
    @wraps(work)
    def callback(
        session: Session,
        /,
        servers: tuple[str, ...],
        servers_file: str | None,
        region: str,
        cache: str,
        timeout: float,
        ca: str | None,
        bearer_file: str | None,
        as_json: bool,
        **rest: Any,  # Any: the command's own flags, checked where they are declared
    ) -> Exit:
        import asyncio  # not for --help, which is asked for more often than one thinks

        session.json = as_json
        known = _complete(servers)
        if not known:
            known = (DEFAULT_SERVER,) if servers_file is None else _in_file(servers_file, cache)
        bearer = None if bearer_file is None else _bearer_in(bearer_file)
        target = Target(known, cache, timeout, as_json, servers_file, region, ca, bearer)
        return asyncio.run(work(target, **rest))

    for flag in reversed(_FLAGS):
        callback = flag(callback)
    return callback


def complete(server: str) -> str:
    """The ws:// or wss:// URL of a server, however it was written."""
    if "://" not in server:
        server = f"ws://{server}"
    scheme, rest = server.split("://", 1)
    return f"{_SCHEMES.get(scheme, scheme)}://{rest}"


def _complete(servers: tuple[str, ...]) -> tuple[str, ...]:
    """All servers that were named, each by itself or several with commas between."""
    named = [one.strip() for text in servers for one in text.split(",")]
    return tuple(complete(one) for one in named if one)


def _bearer_in(path: str) -> str:
    """The token in a file: on a command line everybody on the machine could read it."""
    try:
        with open(path, encoding="ascii") as file:
            found = file.read(BEARER_CHARS_MAX + 1).strip()
    except (OSError, ValueError) as exc:
        raise BadRequest(f"--bearer-file: {path} cannot be read: {exc}") from exc
    if not found or not found.isprintable() or len(found) > BEARER_CHARS_MAX or " " in found:
        raise BadRequest(f"--bearer-file: {path} holds no token; `tlru token make` prints one")
    return found


def _in_file(path: str, cache: str) -> tuple[str, ...]:
    """All servers that a file names."""
    from tlru.client.servers_file import UnusableError, read
    from tlru.errors import Unavailable

    try:
        found = read(path, cache)
    except UnusableError as exc:
        raise Unavailable(f"no server is known: {exc}; mend it, or use --server") from exc
    return tuple(server.url for server in (*found.own, *found.told))


def _flag(*names: str, env: str, **settings: Any) -> Callable[[Any], Any]:
    settings["help"] = f"{settings['help']} [env:{NO_BREAK}{env}]"
    return click.option(*names, cls=Flag, section=SECTION, envvar=env, **settings)


_FLAGS = (
    _flag(
        "--server",
        "servers",
        env="TLRU_SERVER",
        metavar="URL",
        multiple=True,
        help="A server to ask; repeat it to name others for when that one is away. "
        f"[default:{NO_BREAK}{DEFAULT_SERVER}]",
    ),
    _flag(
        "--servers-file",
        env="TLRU_SERVERS_FILE",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="A file with a list of servers (JSON), which is kept as the cluster tells it.",
    ),
    _flag(
        "--region",
        env="TLRU_REGION",
        type=Kinded(Name(empty=True)),
        default="",
        help="Where this is: of servers that are equally near, those of the same are preferred.",
    ),
    _flag(
        "--cache",
        env="TLRU_CACHE",
        type=Kinded(Name()),
        default="default",
        help=f"The named cache to use. [default:{NO_BREAK}default]",
    ),
    _flag(
        "--timeout",
        env="TLRU_TIMEOUT",
        type=Kinded(Duration(0.001, TIMEOUT_S_MAX)),
        default=DEFAULT_TIMEOUT_S,
        help=f"How long to wait for an answer. [default:{NO_BREAK}5s]",
    ),
    _flag(
        "--ca",
        env="TLRU_CA",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="The authorities to believe about servers at wss://, as PEM. [default: the system's]",
    ),
    _flag(
        "--bearer-file",
        env="TLRU_BEARER_FILE",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="A file with the token that says who asks, where servers want one (`tlru token`).",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too."),
)
