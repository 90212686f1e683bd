"""Which servers can be reached at all, asked once before a command begins.

Decides what a refused connection is told as. A client that runs for days waits for servers to come
back, as it should; somebody at a terminal wants to hear at once that nothing listens there. So each
server is dialled once, and when none answers the command ends with one line for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from urllib.parse import urlsplit

from tlru.client.server import complete_url
from tlru.errors import BadRequest, Unavailable

_ERRNO = re.compile(r"\[Errno (\d+)\]")


async def reachable(servers: tuple[str, ...], cache: str, patience: float) -> tuple[str, ...]:
    """Those of the servers that take a connection. Raises `Unavailable` where none does."""
    urls = [_complete(server, cache) for server in servers]
    problems = await asyncio.gather(*(_dial(url, patience) for url in urls))
    if all(problems):
        raise Unavailable(
            "; ".join(
                f"cannot reach {server}: {problem}"
                for server, problem in zip(servers, problems, strict=True)
            )
        )
    return tuple(server for server, problem in zip(servers, problems, strict=True) if not problem)


def _complete(server: str, cache: str) -> str:
    try:
        return complete_url(server, cache)
    except BadRequest:
        raise
    except ValueError as problem:  # urllib's own word for what it cannot take apart
        raise BadRequest(f"{server!r} is no address of a server: {problem}") from problem


async def _dial(url: str, patience: float) -> str:
    """What keeps a connection from being made, or nothing."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except TimeoutError:
        return f"no answer within {patience:g} s"
    except OSError as problem:
        return _told(problem)
    writer.transport.abort()
    return ""


def _told(problem: OSError) -> str:
    if isinstance(problem, socket.gaierror):
        return f"no such host ({problem.strerror})"
    # Where a name has several addresses asyncio joins their problems in one text.
    numbers = [problem.errno] if problem.errno else map(int, _ERRNO.findall(str(problem)))
    reasons = dict.fromkeys(os.strerror(number).lower() for number in numbers)
    return " and ".join(reasons) or str(problem)
