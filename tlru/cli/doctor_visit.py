"""Visits to the members of a cluster: what each of them says, asked of itself.

Decides whom to ask (whoever is named, and every member that those know of, at each of its
addresses until one answers) and what becomes of a question that is not answered. It judges nothing.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from tlru.cli.one_server import look_at
from tlru.cli.over_http import Facts, exchange
from tlru.cli.target import Target
from tlru.errors import Overloaded, RateLimited, TlruError, Unavailable

MEMBERS_MAX: Final = 256  # a list that a stranger serves must not have us dial for ever
AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of asking one server."""

    url: str
    status: Facts = field(default_factory=dict)  # empty where it gave no answer
    checks: Facts = field(default_factory=dict)  # of its health, by name
    ready: bool = False  # to write
    view: Facts = field(default_factory=dict)  # the members, as it knows them
    settings: Facts = field(default_factory=dict)
    trouble: TlruError | None = None
    websocket: str = ""  # why a WebSocket could not be used, though HTTP could
    ahead_s: float = 0.0  # its wall clock, before this machine's
    ahead_error_s: float = 0.0

    @property
    def id(self) -> str:
        """Which node answered."""
        return str(self.status.get("node", ""))

    @property
    def answered(self) -> bool:
        """Whether it did."""
        return bool(self.status)

    @property
    def distrusted(self) -> str:
        """Why its certificate is not believed, if that is what keeps us from it."""
        cause = None if self.trouble is None else self.trouble.__cause__
        return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else ""

    @property
    def serves(self) -> bool:
        """Whether it takes part, by its own word."""
        return bool(self.status.get("status") == "active")


@dataclass(frozen=True, slots=True)
class Round:
    """Everything that was found out, at about one time."""

    visits: dict[str, Visit]  # of the members, by id; of one that gave no answer, the last try
    members: dict[str, Facts]  # as the node knows them that has come farthest
    named: tuple[Visit, ...] = ()  # servers that were named, are no member's, and gave no answer

    @property
    def answering(self) -> dict[str, Visit]:
        """Those who answered."""
        return {id: visit for id, visit in self.visits.items() if visit.answered}

    @property
    def serving(self) -> dict[str, Visit]:
        """Those who answered, and take part."""
        return {id: one for id, one in self.answering.items() if one.serves}

    @property
    def leaders(self) -> set[str]:
        """Who leads, by the word of those who take part: whoever was cut off believes what was."""
        return {str(one.status["leader"]) for one in self.serving.values() if one.status["leader"]}

    @property
    def voters(self) -> list[str]:
        """Who votes."""
        return [id for id, seat in self.members.items() if seat.get("role") == "voter"]

    @property
    def serving_voters(self) -> list[str]:
        """Voters that take part, by their own word, or by another node's that reaches them."""
        return [id for id in self.voters if self.said_status(id) == "active"]

    def said_status(self, id: str) -> str:
        """A member's status: by its own word, or else by what another knows."""
        visit = self.visits.get(id)
        if visit is not None and visit.answered:
            return str(visit.status.get("status"))
        return str(self.members[id].get("status", "silent"))


async def go_round(target: Target) -> Round:
    """Visit everybody. TlruError where nobody who was named answers."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        first = await _visit_all(target, target.servers, pool)
        told = [visit for visit in first if visit.answered]
        if not told:
            raise _nobody(first)
        members = _members(told)
        visits = {visit.id: visit for visit in told}
        missing = [id for id in members if id not in visits]
        again = await asyncio.gather(*(_visit_member(target, members[id], pool) for id in missing))
    visits |= dict(zip(missing, again, strict=True))
    known = {_place(url) for seat in members.values() for url in seat.get("addresses") or ()}
    lost = tuple(visit for visit in first if not visit.answered and _place(visit.url) not in known)
    # Whoever was reached only now may know more than those who were named.
    return Round(visits, _members(visit for visit in visits.values() if visit.answered), lost)


def _place(url: str) -> tuple[str | None, int]:
    """Where an address leads, however it is written."""
    parts = urlsplit(url if "//" in url else f"ws://{url}")
    return parts.hostname, parts.port or (443 if parts.scheme in ("wss", "https") else 80)


def _nobody(visits: Iterable[Visit]) -> TlruError:
    troubles = [visit.trouble for visit in visits if visit.trouble is not None]
    refused = [each for each in troubles if not isinstance(each, Unavailable)]
    return refused[0] if refused else Unavailable("; ".join(str(each) for each in troubles))


def _members(visits: Iterable[Visit]) -> dict[str, Facts]:
    def far(visit: Visit) -> tuple[bool, int, int]:
        said = visit.status
        return said.get("status") == "active", said.get("term", 0), said.get("pos", 0)

    best = max(visits, key=far)
    return {str(each["id"]): each for each in best.view.get("nodes", [])[:MEMBERS_MAX]}


async def _visit_all(
    target: Target, urls: Iterable[str], pool: ThreadPoolExecutor
) -> tuple[Visit, ...]:
    return tuple(await asyncio.gather(*(_visit(target, url, pool) for url in urls)))


async def _visit_member(target: Target, seat: Facts, pool: ThreadPoolExecutor) -> Visit:
    found = Visit("", trouble=Unavailable("no address of it is known"))
    for url in seat.get("addresses") or ():
        found = await _visit(target, str(url), pool)
        if found.answered:
            break
    return found


async def _visit(target: Target, url: str, pool: ThreadPoolExecutor) -> Visit:
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(pool, _ask, target, url)
    if not found.answered:
        return found
    return replace(found, websocket=await _open_websocket(target, url))


def _ask(target: Target, url: str) -> Visit:
    """One after another, by HTTP: a node that stands still costs one wait."""
    try:
        began = time.time()
        status = exchange(target, url, "GET", "/v1/status")
        ended = time.time()
        ready = exchange(target, url, "GET", "/health/ready?for=write")
        view = exchange(target, url, "GET", "/v1/nodes")
        settings = exchange(target, url, "GET", "/v1/settings")
    except TlruError as problem:
        return Visit(url, trouble=problem)
    wall = status.get("started", 0) / 1_000 + status.get("uptime_s", 0)
    return Visit(
        url,
        status,
        ready.get("checks", {}),
        ready.get("status") == "ready",
        view,
        settings,
        ahead_s=wall - (began + ended) / 2,
        ahead_error_s=(ended - began) / 2,
    )


async def _open_websocket(target: Target, url: str) -> str:
    """What keeps a client from it: a proxy may let HTTP through, and no WebSocket."""
    try:
        await look_at(target, url)
    except (Overloaded, RateLimited):
        return ""  # it was answered, over this very WebSocket
    except TlruError as problem:
        return str(problem)
    return ""
