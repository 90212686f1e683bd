"""What a node is asked over HTTP by those who run a cluster, and what it answers.

Decides which server is asked, and what is known when an answer does not come. Every node takes
every wish, so the next server is asked where one cannot be reached, or says that it did nothing and
another may.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tlru.cli.reach import reachable
from tlru.cli.target import Target
from tlru.errors import Retry, Timeout, TlruError, Unavailable, UnknownOutcome, from_wire

MARGIN_S: Final = 2.0  # a node answers within the time that it is given, and a little

Facts = dict[str, Any]  # Any: what a node says


async def ask(
    target: Target, method: str, path: str, body: Facts | None = None, *, waits: bool = False
) -> Facts:
    """What the first server answers that can. `waits`: the node is told how long it may take."""
    servers = await reachable(target.servers, target.cache, target.timeout)
    place = f"{path}?timeout={target.timeout:g}" if waits else path
    refused: TlruError | None = None
    for server in servers:
        try:
            return await asyncio.to_thread(exchange, target, server, method, place, body)
        except TlruError as problem:
            if problem.retry is not Retry.OTHER:
                raise
            refused = problem
    assert refused is not None, "there is at least one server"
    raise refused


def node_path(id: str, what: str = "") -> str:
    """Where a node, or something that can be wished of it, stands."""
    return f"/v1/nodes/{quote(id, safe='')}{what}"


def headers_of(target: Target) -> dict[str, str]:
    """What every request says: which cache is meant, and who asks."""
    headers = {"Tlru-Cache": target.cache, "Accept": "application/json"}
    if target.bearer is not None:
        headers["Authorization"] = f"Bearer {target.bearer}"
    return headers


def exchange(
    target: Target, server: str, method: str, path: str, body: Facts | None = None
) -> Facts:
    """What one server answers. It blocks."""
    parts = urlsplit(server)
    connection = connection_to(target, server, target.timeout + MARGIN_S)
    headers = headers_of(target)
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    before = parts.path.removesuffix("/").removesuffix("/ws")
    try:
        try:
            connection.request(method, before + path, data, headers)
        except OSError as problem:
            raise Unavailable(f"cannot reach {server}: {problem}") from problem
        try:
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException) as problem:
            raise unanswered(method, server, problem) from problem
        return read_answer(server, response.status, said)
    finally:
        connection.close()


def connection_to(target: Target, server: str, patience_s: float) -> http.client.HTTPConnection:
    """A connection to a server, not opened yet, that trusts whom the user trusts."""
    from tlru.client.trust import trusting

    parts = urlsplit(server)
    host = parts.hostname or ""
    if parts.scheme != "wss":
        return http.client.HTTPConnection(host, parts.port, timeout=patience_s)
    context = trusting(target.ca)
    return http.client.HTTPSConnection(host, parts.port, timeout=patience_s, context=context)


def unanswered(method: str, server: str, problem: Exception) -> TlruError:
    """What is known where no answer came."""
    why = str(problem) or type(problem).__name__
    if method == "GET":
        return Unavailable(f"{server} gave no answer: {why}")
    return Timeout(f"{server} gave no answer ({why}); whether it was done is not known")


def read_answer(server: str, status: int, said: bytes) -> Facts:
    """What a node answers. Its error, where it is one."""
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnknownOutcome(f"{server} answers {status} with what is no answer of a node's")
    if status < 400 or "checks" in found:  # a health check that says no is an answer
        return found
    told = {name: fact for name, fact in found.items() if name not in ("type", "title", "detail")}
    raise from_wire({**told, "message": found.get("detail", f"status {status}")})
