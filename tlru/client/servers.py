"""Which server next, and whether another would be better than the one in use.

Pure: time and chance are handed in. How servers are preferred, `choosing` says; here is who they
are, and what befell the client at them.

The servers are those that the program (or a person, in a file) named, and those that the cluster
tells of. Whom the cluster tells of no longer is forgotten, unless he was named.

Until one is of use, each is tried once before any is tried again, however badly it stands. One that
is in use stays so until it fails, or another was clearly nearer in several rounds of measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from tlru.client.choosing import Candidate, Standing, ranked
from tlru.client.nearness import NOISE_S, clearly_nearer
from tlru.client.server import Server, parse

LEARNED_MAX: Final = 64  # servers that a cluster may add to the list
ROUNDS: Final = 3  # of measurements in a row, before a nearer server is believed to be one
MEASURED_MAX: Final = 8  # servers that are measured in one round


class Servers:
    """The servers known, and what is known of each."""

    def __init__(
        self,
        named: Iterable[Server],
        cache: str,
        *,
        chance: Callable[[], float],
        region: str = "",
        zone: str = "",
    ) -> None:
        self.problems: dict[str, str] = {}
        self.listed: tuple[Server, ...] = ()  # the whole list, as the cluster told it last
        self.in_use: str | None = None
        self._cache = cache
        self._chance = chance
        self._region = region
        self._zone = zone
        self._known: dict[str, Candidate] = {}
        self._named: dict[str, Server] = {}
        self._tried: set[str] = set()
        self._met: dict[str, str] = {}  # which node was met at an address
        self.name(named)

    def __len__(self) -> int:
        return len(self._known)

    # Who they are.

    def name(self, servers: Iterable[Server]) -> None:
        """These are named by somebody, and stay, whatever the cluster tells."""
        for server in servers:
            if server.url not in self._named:
                place = len(self._named)
                self._named[server.url] = server
                self._take_up(server).place = place

    def learn(self, entries: Any, *, whole: bool = True) -> bool:
        """Take up a cluster's list, `[{"url", "status", ...}]`; what is of no use in it is left.

        A list that is not the whole one (a node that goes names only who else is well) adds to
        what is known, and takes nothing away. Gives whether there was anything in it.
        """
        found: dict[str, Server] = {}
        for entry in entries if isinstance(entries, list) else ():
            server = parse(entry, self._cache)
            if server is not None and len(found) < LEARNED_MAX:
                found.setdefault(server.url, server)
        self._learn(found, whole=whole)
        return bool(found)

    def recall(self, servers: Iterable[Server]) -> None:
        """The cluster told of these some time ago: they count until it tells anew."""
        self._learn({each.url: each for each in servers}, whole=False)

    def _learn(self, found: dict[str, Server], *, whole: bool) -> None:
        if not found:
            return
        if whole:
            self.listed = tuple(found.values())
            for url in [url for url in self._known if url not in found]:
                self._unlist(url)
        for server in found.values():
            if server.url in self._known or len(self._known) < LEARNED_MAX + len(self._named):
                self._take_up(server).listed = True
        self._forget_strangers()

    def _take_up(self, server: Server) -> Candidate:
        candidate = self._known.get(server.url)
        if candidate is None:
            candidate = self._known[server.url] = Candidate(server, self._chance())
        own = self._named.get(server.url, server)
        server = replace(server, region=server.region or own.region, zone=server.zone or own.zone)
        candidate.server = server
        candidate.at_home = self._region != "" and server.region == self._region
        candidate.in_zone = candidate.at_home and self._zone != "" and server.zone == self._zone
        return candidate

    def _unlist(self, url: str) -> None:
        candidate = self._known[url]
        if url not in self._named:
            del self._known[url]
            return
        # The node behind it may be listed by another of its entrances.
        behind = self._met.get(url) or candidate.server.id
        same = next((each for each in self.listed if behind and each.id == behind), None)
        if same is None:
            self._take_up(self._named[url]).listed = False
        else:
            self._take_up(replace(same, url=url)).listed = True

    def _forget_strangers(self) -> None:
        known = {*self._known, self.in_use}
        self.problems = {url: why for url, why in self.problems.items() if url in known}
        self._met = {url: id for url, id in self._met.items() if url in known}
        self._tried &= self._known.keys()

    # What befell the client at them.

    def next(self, now: float) -> str:
        """The address to try now."""
        if self._tried.issuperset(self._known):
            self._tried.clear()
        nodes = {self._node_at(url) for url in self._tried} - {""}
        left = [each for each in self._ranked(now) if each.server.url not in self._tried]
        # Another entrance of a node that was tried just now says little new.
        left.sort(
            key=lambda each: (self._standing(each, now), self._node_at(each.server.url) in nodes)
        )
        left[0].breaker.allows(now)  # this is the trial, if it is in doubt
        return left[0].server.url

    def failed(self, url: str, problem: str, now: float, *, rest_s: float = 0.0) -> None:
        """An address was of no use; it is left in peace for so long, where it has asked for it."""
        self.problems[url] = problem
        self._tried.add(url)
        if url == self.in_use:
            self.in_use = None
        if (candidate := self._known.get(url)) is not None:
            candidate.breaker.failed(now)
            candidate.nearer_for = 0
            candidate.rests_until = now + rest_s

    def rest(self, url: str, now: float) -> float:
        """Seconds that this address is to be left in peace."""
        candidate = self._known.get(url)
        return 0.0 if candidate is None else max(0.0, candidate.rests_until - now)

    def worked(self, url: str, node: str = "") -> None:
        """An address is of use, and leads to this node: what was wrong anywhere is old news."""
        self.in_use = url
        self.problems.clear()
        self._tried.clear()
        if node:
            self._met[url] = node
        if (candidate := self._known.get(url)) is not None:
            candidate.unreached = False
        for each in self._known.values():
            each.nearer_for = 0

    def lasted(self, url: str) -> None:
        """An address has been of use for long: its earlier failures do not count any more."""
        if (candidate := self._known.get(url)) is not None:
            candidate.breaker.succeeded()

    def elsewhere(self, url: str) -> bool:
        """Whether there is another node than the one at this address, or may be."""
        node = self._node_at(url)
        others = (self._node_at(each) for each in self._known if each != url)
        return any(not node or other != node for other in others)

    def all_failed(self) -> bool:
        """Whether every server has been tried, in vain, since one was last of use."""
        return all(url in self.problems for url in self._known)

    def told(self) -> str:
        """What is wrong with each, for a message to the user."""
        if not self.problems:
            return f"{self.in_use or next(iter(self._known), 'no server')}: not connected yet"
        return "; ".join(f"{url}: {problem}" for url, problem in self.problems.items())

    # How far they are.

    def to_measure(self, now: float) -> list[str]:
        """Whose round trip to look at in this round, the one in use before all others.

        Where it is so near that nobody can be clearly nearer, others are measured a few times, so
        that it is known where to go if it fails, and then left in peace.
        """
        used = self._known.get(self.in_use or "")
        if used is None or not self.elsewhere(used.server.url):
            return []
        trip = used.round_trip
        others = [
            each
            for each in self._known.values()
            if each is not used
            and self._standing(each, now) is not Standing.UNFIT
            and (trip is None or trip > NOISE_S or len(each.trips) < ROUNDS)
        ]
        others.sort(key=lambda each: each.measured_at)
        return [each.server.url for each in (used, *others)][:MEASURED_MAX]

    def measured(self, url: str, seconds: float | None, now: float) -> None:
        """The way to an address and back took so long; None where nobody was found there."""
        if (candidate := self._known.get(url)) is None:
            return
        candidate.measured_at = now
        candidate.unreached = seconds is None
        if seconds is None:
            candidate.trips.forget()
        else:
            candidate.trips.note(seconds)

    def better(self, now: float) -> str | None:
        """After a round of measurements: the address to move to, where there is a better one."""
        used = self._known.get(self.in_use or "")
        if used is None:
            return None
        unfit = self._standing(used, now) is Standing.UNFIT
        for each in self._ranked(now):
            if each is used or self._standing(each, now) is not Standing.WELL:
                each.nearer_for = 0
                continue
            nearer = clearly_nearer(each.round_trip, used.round_trip)
            each.nearer_for = each.nearer_for + 1 if nearer else 0
        for each in self._ranked(now):
            if each.nearer_for >= ROUNDS or (unfit and self._reached(each, now)):
                return each.server.url
        return None

    def _reached(self, candidate: Candidate, now: float) -> bool:
        well = self._standing(candidate, now) is Standing.WELL
        return well and candidate.round_trip is not None

    # All of them.

    def _standing(self, candidate: Candidate, now: float) -> Standing:
        return candidate.standing(now, list_known=bool(self.listed))

    def _ranked(self, now: float) -> list[Candidate]:
        """All of them, the preferred one first."""
        by_standing: dict[Standing, list[Candidate]] = {}
        for each in self._known.values():
            by_standing.setdefault(self._standing(each, now), []).append(each)
        return [each for _, group in sorted(by_standing.items()) for each in ranked(group)]

    def _node_at(self, url: str) -> str:
        candidate = self._known.get(url)
        return self._met.get(url) or ("" if candidate is None else candidate.server.id)
