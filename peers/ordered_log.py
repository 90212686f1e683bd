"""The ordered log as the layer above sees it: all that a node knows of its peers.

This module decides nothing. `SingleLog` (one node) is one answer to it; an application is written
once against the interface, and does not notice which answer it runs on.

The promises:
- whatever can be refused is refused by `propose` itself, before the operation has a dot;
- from then on only the log decides: the application sees its own dot among the applied entries, or
  is told by `settle` what else became of it;
- `apply` is called with every committed entry, once, in the order of the indexes, on every node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from peers.core.digests import Digests
from peers.core.entry import Dot, Entry, Epoch
from peers.core.outcomes import Ack as Ack
from peers.core.outcomes import NodeStatus as NodeStatus
from peers.core.outcomes import Settled as Settled


@dataclass(frozen=True, slots=True)
class LogStatus:
    """What a node can say of its place in the cluster."""

    status: NodeStatus
    role: str
    leader: str | None
    term: int
    epoch: Epoch
    committed: int
    applied: int
    vector: Mapping[str, int]
    clock_error_ms: int
    lag: int = 0
    members: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


class Checked(NamedTuple):
    """What the application found at the last checkpoint among entries that it has applied."""

    index: int  # type: ignore[assignment]  # our word for it; tuple.index is of no use here
    digest: int
    agrees: bool  # with what the majority had, as far as one of these entries says that


class Notes(NamedTuple):
    """What the voters have noted of their states at checkpoints, where this node leads."""

    agreed: tuple[int, int] | None  # the newest index and digest that a majority noted alike
    lacking: bool  # somebody noted nothing at the newest, and will not before there is another

    @classmethod
    def of(cls, digests: Digests | None, now: int) -> Notes:
        """By what the leader has heard."""
        if digests is None:
            return cls(None, lacking=False)
        noted, lacking = digests.agreed(), digests.lacks_one(now)
        return cls(noted and (noted.index, int.from_bytes(noted.digest)), lacking)


class Arriving(Protocol):
    """A snapshot that comes piece by piece, put together beside the state that there is. One of
    which no piece has come is the state of an application that has applied nothing."""

    def take(self, chunk: bytes) -> None:
        """Take up the next piece."""

    def finish(self) -> int:
        """All have come, and it is whole: the index that it is exact at."""

    def install(self) -> None:
        """It takes the place of the state, at once."""


class Snapshot(Protocol):
    """The application's state, exact at one index, while the application goes on."""

    @property
    def index(self) -> int:
        """The index that it is exact at."""

    def chunks(self) -> Iterator[bytes]:
        """The state in pieces, once, none of them empty; the application may change between two of
        them."""

    def close(self) -> None:
        """Stop keeping old state for this snapshot."""


class Application(Protocol):
    """What the log drives."""

    def begin(self, epoch: Epoch) -> None:
        """The log goes on in this epoch: positions of another one mean nothing from now on."""

    def apply(self, entries: Sequence[Entry]) -> Checked | None:
        """Carry out committed entries, and answer whoever waits under the dot of one; what was
        found at a checkpoint, where one was among them.

        An entry without a dot is the log's own: nothing is to be done. One without bytes under its
        dot is a void, and one whose `at` is later than its `until` has come too late: whoever waits
        is told that nothing was done, and never will be.

        `OutdatedError`, before anything has changed, where one is above this release, or nothing
        that any release knows (in a cluster, that is a void from then on); any other exception
        means that the state is not to be trusted any more, and the log serves nothing of it from
        then on. So an answer that cannot be delivered is not to raise anything here."""

    def settle(self, dot: Dot, outcome: Settled) -> None:
        """Hear what became of an operation that this node proposed, beside being applied: before
        that, `APPENDED` to whom that is enough; after it, `HELD_BY_ALL`; and `NOT_DONE` or
        `UNKNOWN` instead of it, where this node will not see it applied. A leader that hears no
        majority any more says `UNKNOWN` too, of what may yet be applied: nobody is to wait on."""

    def capture(self) -> Snapshot:
        """Begin a snapshot at the last applied index."""

    def arriving(self) -> Arriving:
        """A snapshot is about to come. Whatever its pieces raise, and until it is installed, the
        state that there is stays as it is."""


def put_together(application: Application, chunks: Iterable[bytes]) -> tuple[Arriving, int]:
    """A snapshot of which all is there, ready to be installed, and its index."""
    arriving = application.arriving()
    for chunk in chunks:
        arriving.take(chunk)
    return arriving, arriving.finish()


class OrderedLog(Protocol):
    """Puts operations in one order that every node sees."""

    @property
    def epoch(self) -> Epoch:
        """The life of the log that positions belong to."""

    @property
    def node_status(self) -> NodeStatus:
        """Which status this node has; asked for with every request, so it costs nothing."""

    @property
    def leads(self) -> bool:
        """True where this node is to write the leader's entries (expiry, eviction, checkpoints)."""

    async def start(self, application: Application) -> None:
        """Come up; what is kept on disk is restored into the application first."""

    async def stop(self) -> None:
        """Refuse what is new, finish what is in flight, keep what is to be kept."""

    def propose(self, operation: bytes, ack: Ack = Ack.QUORUM, until: int | None = None) -> Dot:
        """Put an operation in order. Raises `RefusedError` if that is impossible here and now.

        Nothing is applied before this returns, so there is time to remember who waits for the dot.
        An operation has bytes: none at all are a void."""

    def flush(self) -> None:
        """The caller has proposed all that it has at the moment: a log that gains nothing by
        waiting for more may order it at once, before this returns."""

    async def read_barrier(self) -> int:
        """The index that a linearizable read must wait for: the caller sees to that, by what it
        has applied. Raises `RefusedError` where the log cannot say."""

    def barrier_now(self) -> int | None:
        """The same, where nobody has to be asked for it; else None."""

    def notes(self) -> Notes:
        """What the voters noted at checkpoints. The next checkpoint says what is agreed."""

    def now(self) -> int:
        """Cluster time in milliseconds."""

    def behind_ms(self) -> int | None:
        """For how long at the most this node may lack what others have; None where it was never
        known to have it all. Of one that serves it is nothing to speak of."""

    def status(self) -> LogStatus:
        """Where this node stands."""
