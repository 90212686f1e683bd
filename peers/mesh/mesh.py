"""The mesh: one persistent WebSocket for each pair of nodes, both ends authenticated.

It carries the owner's messages and measures how far away the others are. It decides nothing about
the log: who belongs is told to it, what messages say is not looked at, and a message that cannot go
is dropped and counted, because the log's core sends again what matters. docs/mesh.md is its page.

Invariants: messages of one node come in the order in which they were sent, each at most once; what
one node does not read costs the others nothing; what strangers can make it keep or log is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from peers.core.membership import NodeId
from peers.errors import LinkError
from peers.mesh.certified import nodes_named
from peers.mesh.dialler import Dialler
from peers.mesh.door import Door
from peers.mesh.ends import Close, End
from peers.mesh.greeting import CHALLENGE_BYTES, MARKER, Greeting, Handshake, Side
from peers.mesh.link import Link, Phase
from peers.mesh.lives import Lives
from peers.mesh.peer import Peer, taken
from peers.mesh.settings import Identity, Lineage, MeshSettings
from peers.mesh.status import Complaints, PeerStatus
from peers.resilience import TokenBucket

logger = logging.getLogger(__name__)

NONCE_BYTES: Final = 16
SEEKERS_MAX: Final = 16  # addresses that are dialled without knowing who is there
# Whoever knows the secret may come and go as often as it likes; a disk is not to be filled by it.
LINES_A_SECOND: Final = 1.0
LINES_AT_ONCE: Final = 100
_NO_COMPLAINT: Final = frozenset((Close.ABNORMAL, Close.STOPPING, Close.DUPLICATE))
_STOPPING: Final = "the node stops"


class Owner(Protocol):
    """Whose mesh it is. All of it is called within the event loop, and none of it may wait."""

    def lineage(self) -> Lineage:
        """Where the own log belongs, for a greeting."""

    def accept(self, greeting: Greeting) -> str | None:
        """None, or in a sentence why there is to be no link with this node, which is proved."""

    def seat_of(self, node: NodeId) -> str | None:
        """The birth of the member of this id; None where the list has none."""

    def on_message(self, sender: NodeId, data: bytes) -> None:
        """A message has come."""

    def on_turn_end(self) -> None:
        """All messages of one read have been handed over."""

    def on_up(self, node: NodeId) -> None:
        """There is a link with this node."""

    def on_down(self, node: NodeId, end: End) -> None:
        """There is none any more; what was on its way may be lost."""

    def on_copy(self, node: NodeId) -> None:
        """Two processes run on copies of this node's state directory; the second was refused."""

    def on_being_a_copy(self) -> None:
        """Another node says so of this one."""


class Mesh:
    """The links of one node."""

    def __init__(
        self,
        identity: Identity,
        settings: MeshSettings,
        owner: Owner,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity, self.settings, self.clock = identity, settings, clock
        self.address = ""  # where it listens, once it has started
        self.nonce = os.urandom(NONCE_BYTES).hex()
        self.dropped = 0  # messages to nodes that are not known at all
        self.on_message: Callable[[str, bytes], None] = owner.on_message
        self.on_turn_end: Callable[[], None] = owner.on_turn_end
        self._owner = owner
        self._lives = Lives(identity.node, identity.birth)
        self._peers: dict[NodeId, Peer] = {}
        self._wanted: dict[NodeId, tuple[str, ...]] = {}
        self._seekers: dict[str, tuple[Dialler, asyncio.Task[None]]] = {}
        self._sought: tuple[str, ...] = ()
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # of all diallers
        self._unsent: list[Link] = []
        self._complaints = Complaints(time.monotonic)
        self._lines = TokenBucket(LINES_A_SECOND, LINES_AT_ONCE)  # of links that come and go
        self._door: Door | None = None  # open while the mesh runs
        self._sweep: asyncio.TimerHandle | None = None
        self._changing = asyncio.Lock()

    # -- life

    async def start(self) -> None:
        """Listen, and dial whoever is to be reached. OSError where it cannot listen."""
        async with self._changing:
            if self._door is not None:
                return
            self._loop = asyncio.get_running_loop()
            door = Door(self, self.complain)
            self.address = await door.open(self.settings.host, self.settings.port)
            self._door = door
            self.reach(self._wanted)
            self.seek(self._sought)
            self._sweep_strangers()

    async def go_by(self, settings: MeshSettings) -> None:
        """Take these settings for all links to come: those that are there stay. A new door is open
        before the old one is closed. OSError where it cannot be; then nothing has changed."""
        async with self._changing:
            old = self._door
            if old is None or settings.place == self.settings.place:
                self.settings = settings
                return
            door = Door(self, self.complain)
            self.address = await door.open(settings.host, settings.port, beside=old)
            self.settings, self._door = settings, door
            await old.close()

    async def stop(self) -> None:
        """Send what is queued, say goodbye, and leave nothing behind; within `close_s`, doubled."""
        async with self._changing:
            door, self._door = self._door, None
            if door is None:
                return
            await door.close()
            assert self._sweep is not None
            self._sweep.cancel()
            await self._stop_dialling()
            await self._close_links()
            self._peers = {}
            self.address = ""

    async def __aenter__(self) -> Mesh:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _stop_dialling(self) -> None:
        self._seekers = {}
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _close_links(self) -> None:
        for link in self._links:
            link.close(Close.STOPPING, _STOPPING)
        for patience in (self.settings.timing.close_s, None):
            gone = [link.gone for link in self._links]
            if gone:
                await asyncio.wait(gone, timeout=patience)
            for link in self._links:
                link.abort(_STOPPING)

    # -- what the owner asks for

    def send(self, to: NodeId, data: bytes) -> None:
        """Queue a message to a node; dropped and counted where there is no link or no room."""
        peer = self._peers.get(to)
        if peer is None:
            self.dropped += 1
        else:
            peer.send(data)

    def version_with(self, node: NodeId) -> int:
        """Which version of the protocol a node is spoken to in: it refuses any other."""
        peer = self._peers.get(node)
        link = None if peer is None else peer.link
        return self.settings.versions[1] if link is None else link.version

    def reach(self, nodes: Mapping[NodeId, Sequence[str]]) -> None:
        """Have a link with each of these nodes, at these addresses, and with no other that left."""
        me = self.identity.node
        self._wanted = {node: tuple(found) for node, found in nodes.items() if node != me}
        if self._door is None:
            return
        for peer in list(self._peers.values()):
            if peer.listed and peer.node not in self._wanted:
                self._unlist(peer)
        for node, addresses in self._wanted.items():
            peer = self._peer(node)
            peer.listed = True
            if peer.dialler is None:
                self._dial(peer, addresses)
            else:
                peer.dialler.move(addresses)

    def seek(self, addresses: Sequence[str]) -> None:
        """Have links with whoever is at these addresses: a newcomer knows no ids yet."""
        self._sought = tuple(addresses[:SEEKERS_MAX])
        if self._door is None:
            return
        for address in [each for each in self._seekers if each not in self._sought]:
            self._seekers.pop(address)[1].cancel()
        for address in self._sought:
            if address not in self._seekers:
                dialler = Dialler(self, "", (address,), self._complainer(address))
                self._seekers[address] = dialler, self._spawn(dialler)

    def hurry(self, node: NodeId) -> None:
        """This node is known to be back: dial it at once, if there is no link."""
        peer = self._peers.get(node)
        if peer is not None and peer.dialler is not None and peer.link is None:
            peer.dialler.hurry()

    def status(self) -> list[PeerStatus]:
        """How it stands with each node, in the order of their ids."""
        return [self._peers[node].status() for node in sorted(self._peers)]

    def status_of(self, node: NodeId) -> PeerStatus | None:
        """How it stands with one node; None where it is not known at all."""
        peer = self._peers.get(node)
        return None if peer is None else peer.status()

    def _peer(self, node: NodeId) -> Peer:
        peer = self._peers.get(node)
        if peer is None:
            timing = self.settings.timing
            me, seat_of = self.identity.node, self._owner.seat_of
            peer = self._peers[node] = Peer(node, me, timing, self._changed, seat_of)
        return peer

    def _dial(self, peer: Peer, addresses: tuple[str, ...]) -> None:
        peer.dialler = Dialler(self, peer.node, addresses, self._complainer(peer.node))
        if peer.link is not None:
            peer.dialler.up(peer.link)
        peer.task = self._spawn(peer.dialler)

    def _spawn(self, dialler: Dialler) -> asyncio.Task[None]:
        whom = dialler.node or ", ".join(dialler.addresses)
        task = self._loop.create_task(dialler.run(), name=f"mesh dials {whom}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _unlist(self, peer: Peer) -> None:
        """It has left: its links close once what is queued has gone."""
        assert peer.task is not None, "a listed node is dialled"
        peer.task.cancel()
        peer.listed, peer.dialler, peer.task = False, None, None
        peer.close(Close.LEFT, f"{peer.node} is not among the nodes any more")
        if not peer.links:
            del self._peers[peer.node]

    def _changed(self, node: NodeId, end: End | None) -> None:
        told = not self._lines.take(1, self.clock())
        if end is None:
            if told:
                logger.info("linked with %s", node)
            self._owner.on_up(node)
        else:
            if told:
                logger.info("no link with %s any more: %s", node, end.sentence)
            self._owner.on_down(node, end)

    # -- what links ask for

    def arrived(self, link: Link) -> None:
        """Somebody is there."""
        self._links.add(link)
        if self._door is None:
            link.abort(_STOPPING)

    def handshake(self, link: Link) -> Handshake:
        """What is to be said over this link."""
        identity, settings, lineage = self.identity, self.settings, self._owner.lineage()
        mine = Greeting(
            marker=MARKER,
            version_min=settings.versions[0],
            version=settings.versions[1],
            node=identity.node,
            birth=identity.birth,
            incarnation=identity.incarnation,
            nonce=self.nonce,
            to="" if link.caller is None else link.caller.node,
            secured=settings.secret is not None,
            challenge=os.urandom(CHALLENGE_BYTES),
            epoch=lineage.epoch,
            ancestors=lineage.ancestors,
            addresses=settings.advertise or (self.address,),
        )
        return Handshake(
            mine,
            link.side,
            settings.secret,
            self._judge,
            secret_also=settings.secret_also,
            certified=nodes_named(link.certificate) if settings.mutual_tls else None,
        )

    def _judge(self, greeting: Greeting) -> LinkError | None:
        verdict = self._lives.judge(greeting)
        peer = self._peers.get(greeting.node)
        if verdict is None and peer is not None and peer.is_taken(greeting.birth):
            # Not for good: it may have lost its state, and be back before its end was noticed.
            return LinkError(Close.TAKEN, taken(greeting.node))
        if verdict is None:
            sentence = self._owner.accept(greeting)
            return None if sentence is None else LinkError(Close.REFUSED, sentence)
        if verdict.code == Close.COPY and self._lives.is_news(greeting):
            self._owner.on_copy(greeting.node)
        return verdict

    def greeted(self, link: Link) -> None:
        """It is known who it is."""
        self._proved(link)
        node = link.greeting.node
        if node not in self._peers:
            strangers = sum(not peer.listed for peer in self._peers.values())
            if strangers >= self.settings.strangers_max:
                link.close(Close.FULL, "too many nodes that are no members are here: come later")
                return
        self._lives.met(link.greeting)
        self._peer(node).greeted(link)

    def told_to_use(self, link: Link) -> None:
        """The other node has chosen it."""
        self._peer(link.node).told_to_use(link)

    def ended(self, link: Link) -> None:
        """It is gone."""
        self._links.discard(link)
        self._proved(link)
        end = link.end
        assert end is not None
        if end.code == Close.COPY and not end.ours and link.proved:
            self._owner.on_being_a_copy()
        # Who only knocked and left is not worth a line, nor who came while the node stops.
        if not link.node and link.side is Side.LISTENER and end.code not in _NO_COMPLAINT:
            self.complain(f"a connection from {link.address}", end)
        peer = self._peers.get(link.node)
        if peer is not None:
            peer.ended(link)
            if not (peer.listed or peer.links):
                del self._peers[peer.node]

    def _proved(self, link: Link) -> None:
        if self._door is not None:
            self._door.proved(link)

    def flush_later(self, link: Link) -> None:
        """Have it write at the end of this turn of the loop, with all others."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(link)

    def flush(self) -> None:
        """Write what has gathered: who waits for it need not wait for what else there is to do."""
        links, self._unsent = self._unsent, []
        for link in links:
            link.flush()

    # -- what goes wrong, and housekeeping

    def _complainer(self, whom: str) -> Callable[[End], None]:
        return lambda end: self.complain(whom, end)

    def complain(self, whom: str, end: End) -> None:
        """Log why there is no link; not more than a little of it, whatever others do."""
        kind: Any = (whom, end.code) if whom in self._wanted or whom in self._sought else end.code
        if self._complaints.may(kind):
            logger.warning("no link with %s: %s (%s)", whom, end.sentence, int(end.code))

    def _sweep_strangers(self) -> None:
        idle_s = self.settings.timing.stranger_idle_s
        self._sweep = self._loop.call_later(idle_s / 4, self._sweep_strangers)
        now = time.monotonic()
        for peer in list(self._peers.values()):
            link = peer.link
            idle = now - peer.traffic.spoke >= idle_s
            if not peer.listed and idle and link is not None and link.phase is Phase.IN_USE:
                link.close(Close.IDLE, "nothing was said for long, and you are no member here")
