"""What the staged cases share: a cluster at rest, who leads and holds what, how it is harmed."""

from __future__ import annotations

from peers.core.messages import Append, Envelope
from peers.core.outcomes import Ack, NodeStatus, Settled
from peers.core.timing import Bounds, Timing
from tests.simulation.node import Node
from tests.simulation.world import World
from tlru.engine.machine import Result
from tlru.engine.operations import Set, encode

FOREVER_MS = 1_000_000
HOUR_MS = 3_600_000
# Each batch by itself, and the lead stays where it is: the scenarios move it themselves.
STAGED = Timing(heartbeat_ms=50, election_timeout_ms=500, step_ms=80, hand_back=False)
SINGLE = Bounds(append_bytes=1)
SHORT = Bounds(append_bytes=1, window_entries=8, pieces=1)


class Told:
    """What the client of one write hears."""

    def __init__(self) -> None:
        self.result: Result | None = None
        self.settled: list[Settled] = []

    def answered(self) -> bool:
        """Whether there is a result."""
        return self.result is not None

    def __call__(self, result: Result | None, settled: Settled | None, at: int) -> None:
        if settled is not None:
            self.settled.append(settled)
        else:
            self.result = result


def stage(voters: int, seed: int = 1, bounds: Bounds = SINGLE) -> World:
    """A cluster at rest, led by its highest priority."""
    world = World(seed, voters, timing=STAGED, bounds=bounds)
    assert world.run(5_000, lambda: leads(world, "a")), "a has the highest priority"
    assert world.run(1_000, lambda: all_active(world) and at_rest(world))
    return world


def leads(world: World, id: str) -> bool:
    """Whether a node is up and leads, as far as it knows, with an entry of its own committed."""
    leading = world.nodes[id].replica.leading if world.nodes[id].up else None
    return leading is not None and leading.may_read


def all_active(world: World) -> bool:
    """Whether every node that is up serves."""
    return all(node.status(world.now) is NodeStatus.ACTIVE for node in world.up())


def at_rest(world: World) -> bool:
    """Whether every node that is up has applied all that was committed."""
    return all(node.machine.index == len(world.invariants.committed) for node in world.up())


def write(
    world: World, id: str, key: str, ack: Ack = Ack.QUORUM, life_ms: int | None = None
) -> Told:
    """Write through a node, without waiting."""
    told = Told()
    node = world.nodes[id]
    until = node.cluster_ms(world.now) + 10_000
    node.propose(encode(Set(key, b"\x01", life_ms)), until, ack, told, world.now)
    return told


def holds(node: Node, key: str) -> bool:
    """Whether an entry that sets the key is on the node's disk, committed or not."""
    wanted = encode(Set(key, b"\x01"))
    return any(e.operation == wanted for batch in node.disk.batches for e in batch.entries)


def apart(world: World, *sides: str) -> None:
    """Only nodes of the same side hear each other."""
    world.network.heal()
    for side in sides:
        world.network.cut(set(side), set(world.nodes) - set(side))


def recover(world: World) -> World:
    """No more harm: the cluster comes to rest."""
    world.network.heal()
    world.hold = None
    for id in world.nodes:
        world.restart(id)
    world.run(3_000)
    assert world.run(20_000, lambda: all_active(world) and at_rest(world))
    return world


def no_entries(envelope: Envelope) -> int:
    """Appends that carry entries never arrive; the leader's word alone does."""
    message = envelope.message
    return FOREVER_MS if isinstance(message, Append) and message.batches else 0


def only_a_still_has_x() -> World:
    """Three, of which `c` is cut off: `a` and `b` held x, and `b`, which has lost its log, comes
    back where no entry reaches it."""
    world = stage(3)
    apart(world, "ab", "c")
    told = write(world, "a", "x")
    assert world.run(1_000, lambda: told.answered())
    world.crash("b", lose_log=True)
    world.hold = no_entries
    world.restart("b")
    return world


def recover_without_a_leader_meanwhile(world: World) -> World:
    """The others may not go on without the one who has x, however well they hear each other."""
    world.network.heal()
    world.hold = None
    assert not world.run(5_000, lambda: world.leader() is not None), "nobody knows of x"
    return recover(world)


def write_many(world: World, id: str, count: int) -> None:
    """So many entries, one after another."""
    for number in range(count):
        told = write(world, id, f"m{number}")
        assert world.run(1_000, told.answered)
