"""Which of several links with a node is used: exactly one, the same on both sides.

The node of the lower id decides, and says so over the link itself; the other side follows. So there
is no moment in which each of them holds on to another one, and no message goes over a link that was
not chosen: nothing of a link that gives way is lost, because nothing was ever sent over it.

The link in use stays, unless it is dead. When the other node dials although there is one, it may
know more than we do: then the present link has a moment to answer, and gives way if it does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from peers.core.membership import NodeId
from peers.errors import LinkError
from peers.mesh.dialler import Dialler
from peers.mesh.ends import Close, End
from peers.mesh.greeting import Side
from peers.mesh.link import Caller, Link, Phase, Traffic
from peers.mesh.settings import MeshTiming
from peers.mesh.status import PeerState, PeerStatus


def taken(node: NodeId) -> str:
    """What whoever comes under the name of another is told."""
    return f"another node called {node} is linked here: give one of them another id"


class Peer:
    """One node, and all links with it."""

    def __init__(
        self,
        node: NodeId,
        me: NodeId,
        timing: MeshTiming,
        changed: Callable[[NodeId, End | None], None],
        seat_of: Callable[[NodeId], str | None],
    ) -> None:
        """`seat_of`: the birth that the list of members has under a name."""
        self.node = node
        self.decides = me < node
        self.listed = False
        self.dialler: Dialler | None = None
        self.task: asyncio.Task[None] | None = None  # of the dialler
        self.link: Link | None = None
        self.links: set[Link] = set()  # all that have been greeted
        self.traffic = Traffic()
        self._timing, self._changed, self._seat_of = timing, changed, seat_of
        self._spare: Link | None = None
        self._doubt: asyncio.TimerHandle | None = None

    # -- messages

    def send(self, data: bytes) -> None:
        """Queue a message, or drop it where there is no link or no room."""
        link = self.link
        if link is None or link.phase is not Phase.IN_USE or not link.send(data):
            self.traffic.dropped += 1
        elif not self.listed:
            self.traffic.spoke = time.monotonic()

    # -- links

    def is_taken(self, birth: str) -> bool:
        """Whether a node of another birth is linked under this name, and stays: it gives way to the
        member alone. Whoever lost its state comes in once its old link is known to be gone."""
        present = self.link
        return (
            present is not None
            and present.greeting.birth != birth
            and self._seat_of(self.node) != birth
        )

    def greeted(self, link: Link) -> None:
        """There is one more."""
        self.links.add(link)
        if self._turned_away(link) or not self.decides:
            return  # where we do not decide the other node says which
        present = self.link
        if present is None:
            self._use(link)
        elif link.greeting.nonce != present.greeting.nonce:
            # The other end of the present one was in a process that is no more.
            self._use(link)
        else:
            self._keep_as_spare(link, present)

    def told_to_use(self, link: Link) -> None:
        """The other node has decided."""
        if self.decides:
            raise LinkError(Close.PROTOCOL, "the node of the higher id does not choose the link")
        if not self._turned_away(link):
            self._use(link)

    def _turned_away(self, link: Link) -> bool:
        """Another may have come since it was let in."""
        if not self.is_taken(link.greeting.birth):
            return False
        link.close(Close.TAKEN, taken(self.node))
        return True

    def ended(self, link: Link) -> None:
        """One is gone."""
        self.links.discard(link)
        if link is self._spare:
            self._settle_doubt()
        if link is not self.link:
            return
        assert link.end is not None, "it has ended"
        spare = self._settle_doubt()
        self._leave(link, link.end)
        if spare is not None and spare.phase is Phase.WAITING:
            self._use(spare)

    def close(self, code: int, sentence: str) -> None:
        """Say goodbye over all of them."""
        for link in sorted(self.links, key=lambda link: link.since):
            link.close(code, sentence)

    def _use(self, link: Link) -> None:
        present, spare = self.link, self._settle_doubt()
        if spare is not None and spare is not link:
            spare.close(Close.DUPLICATE, "there is another link with this node already")
        if present is not None:
            end = End(Close.DUPLICATE, "another link has taken its place", ours=self.decides)
            self._leave(present, end)
            present.abort(end.sentence)
        self.link = link
        self.traffic.links += 1
        self.traffic.spoke = time.monotonic()
        link.use(self.traffic, say=self.decides)
        for caller in self._callers(link):
            caller.up(link)
        self._changed(self.node, None)

    def _leave(self, link: Link, end: End) -> None:
        self.link = None
        for caller in self._callers(link):
            caller.down(link, end)
        self._changed(self.node, end)

    def _callers(self, link: Link) -> list[Caller]:
        """Who is to know of a link: who dials this node, and who dialled not knowing whom."""
        callers: list[Caller] = [] if self.dialler is None else [self.dialler]
        if link.caller is not None and link.caller is not self.dialler:
            callers.append(link.caller)
        return callers

    def _keep_as_spare(self, link: Link, present: Link) -> None:
        former = self._settle_doubt()
        if former is not None:
            former.close(Close.DUPLICATE, "a newer link waits")
        self._spare = link
        self._doubt = asyncio.get_running_loop().call_later(
            self._timing.doubt_s, present.abort, "it did not answer when the node dialled again"
        )
        present.doubt(self._present_lives)

    def _present_lives(self) -> None:
        spare = self._settle_doubt()
        if spare is not None:
            spare.close(Close.DUPLICATE, "there is another link with this node already")

    def _settle_doubt(self) -> Link | None:
        """The spare link, which is none from now on."""
        if self._doubt is not None:
            self._doubt.cancel()
        self._doubt, spare, self._spare = None, self._spare, None
        return spare

    # -- what it tells

    def status(self) -> PeerStatus:
        """How it stands with this node."""
        link, dialler, traffic = self.link, self.dialler, self.traffic
        state, why, next_s, address = PeerState.STOPPED, "", None, ""
        if link is not None:
            state, address = PeerState.CONNECTED, link.address
        elif dialler is not None:
            state, next_s, address = dialler.state, dialler.next_s, dialler.address
            why = dialler.problem.sentence if dialler.problem else "it has not been tried yet"
        return PeerStatus(
            node=self.node,
            listed=self.listed,
            state=state,
            why=why,
            next_s=next_s,
            circuit="closed" if link is not None or dialler is None else dialler.circuit,
            address=address,
            dialled=None if link is None else link.side is Side.DIALLER,
            version=None if link is None else link.version,
            round_trip_s=None if link is None else link.pulse.round_trip,
            least_round_trip_s=None if link is None else link.pulse.least,
            offset_s=None if link is None else link.pulse.offset,
            messages_in=traffic.messages_in,
            messages_out=traffic.messages_out,
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            queued_bytes=0 if link is None else link.queued(),
            dropped=traffic.dropped,
            reconnects=max(0, traffic.links - 1),
        )
