"""What goes wrong in a simulated cluster, one kind a function.

Each does its harm now and undoes it later by itself, or leaves that to the healing at the end.
Which of them happen, and when, comes from the seed. A minority of voters at the most is without
what it promised to keep at any one moment: beyond that nothing is promised either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from random import Random

from peers.core.changes import Changing
from peers.core.membership import Membership, Role
from peers.core.messages import Envelope, Vote, VoteAnswer
from peers.errors import RefusedError
from tests.simulation.node import FIRST_LEVEL, Node
from tests.simulation.world import World

NODES_MAX = 9
LEVEL_MAX = 3
WALL_JUMPS_MS = (-86_400_000, -3_600_000, -2_000, 2_000, 3_600_000, 86_400_000)

Fault = Callable[[World, Random], None]


def _some(world: World, random: Random, least: int = 1) -> list[str]:
    ids = sorted(world.nodes)
    return random.sample(ids, random.randint(least, max(least, len(ids) - 1)))


def _leader_or_any(world: World, random: Random) -> Node:
    leader = world.leader()
    if leader is not None and random.random() < 0.6:
        return leader
    return world.nodes[random.choice(sorted(world.nodes))]


def _minority(world: World) -> int:
    """How many voters may be without something."""
    return len(world.membership.voters) - world.membership.majority


def _may_lose(world: World, node: Node) -> bool:
    """Whether this one may lose what it promised to keep, beside those who have already."""
    # A snapshot of a state that is corrupt may be unreadable at the next start.
    impaired = world.impaired() | {n.id for n in world.nodes.values() if n.corrupted}
    if node.impaired or node.id in impaired:
        return False
    # By the list that is in force, and by one that is on its way to be, or stands on a disk.
    lists = [world.membership, *(n.replica.state.membership for n in world.nodes.values())]
    return all(
        len(impaired & set(each.voters)) < len(each.voters) - each.majority
        for each in lists
        if each.is_voter(node.id)
    )


def _heal_later(world: World, random: Random) -> None:
    world.after(random.randint(200, 6_000), lambda now: world.network.heal())


def partition(world: World, random: Random) -> None:
    """Two sides that do not hear each other."""
    side = set(_some(world, random))
    world.network.cut(side, set(world.nodes) - side)
    _heal_later(world, random)


def isolate(world: World, random: Random) -> None:
    """One node alone, often the leader."""
    node = _leader_or_any(world, random)
    world.network.cut({node.id}, set(world.nodes))
    _heal_later(world, random)


def one_way(world: World, random: Random) -> None:
    """One node is heard and does not hear, or the other way round."""
    node = _leader_or_any(world, random)
    others = set(_some(world, random)) - {node.id}
    if random.random() < 0.5:
        world.network.cut({node.id}, others, both=False)
    else:
        world.network.cut(others, {node.id}, both=False)
    _heal_later(world, random)


def chain(world: World, random: Random) -> None:
    """Each hears its two neighbours alone."""
    ids = random.sample(sorted(world.nodes), len(world.nodes))
    for place, id in enumerate(ids):
        near = set(ids[max(0, place - 1) : place + 2])
        world.network.cut({id}, set(ids) - near)
    _heal_later(world, random)


def star(world: World, random: Random) -> None:
    """All hear one, and nobody else."""
    hub = _leader_or_any(world, random).id
    others = set(world.nodes) - {hub}
    world.network.cut(others, others)
    _heal_later(world, random)


def flapping_link(world: World, random: Random) -> None:
    """One link that comes and goes."""
    if len(world.nodes) == 1:
        return
    one, other = random.sample(sorted(world.nodes), 2)
    every = random.randint(50, 700)

    def flap(now: int, left: int = 12) -> None:
        for link in (world.network.link(one, other), world.network.link(other, one)):
            link.cut = left > 0 and not link.cut
        if left > 0:
            world.after(every, lambda at: flap(at, left - 1))

    flap(world.now)


def broken_links(world: World, random: Random) -> None:
    """Connections break at the other end, although nobody is gone: most often those with one."""
    node = _leader_or_any(world, random)
    for other in _some(world, random):
        if other != node.id:
            world.lose_link(other, node.id, random.randint(0, 50))
            if random.random() < 0.5:
                world.lose_link(node.id, other, random.randint(0, 50))


def bad_network(world: World, random: Random) -> None:
    """Messages get lost, come twice, and overtake each other."""
    loss, doubled = random.choice([0.01, 0.1, 0.3]), random.choice([0, 0.1])
    for one in sorted(world.nodes):
        for other in sorted(world.nodes):
            link = world.network.link(one, other)
            link.loss, link.doubled = loss, doubled
            link.ordered = False
            link.most_ms = link.least_ms + random.choice([5, 50, 200])
    _heal_later(world, random)


def slow_votes(world: World, random: Random) -> None:
    """Elections take long: what is said in them is held up, each message by itself."""
    kinds = (Vote, VoteAnswer)

    def hold(envelope: Envelope) -> int:
        late = isinstance(envelope.message, kinds) and random.random() < 0.5
        return random.randint(300, 1_200) if late else 0

    world.hold = hold
    _release_later(world, random)


def late_messages(world: World, random: Random) -> None:
    """One message in twenty comes when nobody expects it any more."""
    world.hold = lambda envelope: random.randint(300, 2_500) if random.random() < 0.05 else 0
    _release_later(world, random)


def _release_later(world: World, random: Random) -> None:
    def release(now: int) -> None:
        world.hold = None

    world.after(random.randint(500, 6_000), release)


def crash_after_vote(world: World, random: Random) -> None:
    """The next voter to give its vote stops right after it, and comes back at once."""

    def after_sending(envelope: Envelope) -> None:
        message = envelope.message
        if isinstance(message, VoteAnswer) and message.granted:
            world.after_sending = None
            id = envelope.sender.id
            world.after(0, lambda now: world.crash(id))
            world.after(random.choice([1, 50]), lambda now: world.restart(id))

    world.after_sending = after_sending


def slow_links(world: World, random: Random) -> None:
    """Somebody is far away."""
    node = _leader_or_any(world, random)
    delay = random.choice([50, 150, 400, 900])
    for other in sorted(world.nodes):
        for link in (world.network.link(node.id, other), world.network.link(other, node.id)):
            link.least_ms, link.most_ms = delay, delay * 2
    _heal_later(world, random)


def crash(world: World, random: Random) -> None:
    """A node stops at once, and comes back with its disk."""
    node = _leader_or_any(world, random)
    world.crash(node.id)
    world.after(random.choice([1, 100, 1_000, 5_000]), lambda now: world.restart(node.id))


def crash_everything(world: World, random: Random) -> None:
    """The power fails: all of them stop, and come back one by one."""
    for id in sorted(world.nodes):
        world.crash(id)
        world.after(random.randint(1, 2_000), lambda now, id=id: world.restart(id))  # type: ignore[misc]


def power_cut(world: World, random: Random) -> None:
    """All stop, and none of them can know whether its disk has all that it was given. It has."""
    if world.impaired():
        return
    for node in list(world.nodes.values()):
        world.crash(node.id)
        node.disk.damaged, node.disk.power_took = True, False
        node.disk.lost_at = world.now
        world.after(random.randint(1, 3_000), lambda now, id=node.id: world.restart(id))  # type: ignore[misc]
    world.counts["power cuts"] += 1


def unplug(world: World, random: Random) -> None:
    """One machine loses its power, and what it has not synced: where that is done now and then, it
    cannot know how much of its log is gone."""
    node = _leader_or_any(world, random)
    if world.fsync_ms is not None and not _may_lose(world, node):
        return
    world.cut_power(node.id)
    world.counts["machines unplugged"] += 1
    world.after(random.choice([1, 100, 1_000, 5_000]), lambda now: world.restart(node.id))


def blackout(world: World, random: Random) -> None:
    """All machines lose their power at once. Where the log is synced only now and then, something
    that was acknowledged may be gone from all of them: the cluster goes on in another epoch."""
    if world.fsync_ms is not None and not _could_begin_anew(world):
        return
    all_of_it = random.random() < 0.7
    for id in sorted(world.nodes):
        world.cut_power(id, all_of_it=all_of_it)
        world.after(random.randint(1, 3_000), lambda now, id=id: world.restart(id))  # type: ignore[misc]
    world.counts["blackouts"] += 1


def _could_begin_anew(world: World) -> bool:
    """Whether all voters of whichever list is left will be there. If not, a person has to decide:
    who was removed or replaced stays so, though the others may have forgotten it."""
    if world.impaired():
        return False
    left = [each for node in world.nodes.values() for each in node.disk.could_be_left()]
    voters = {m.origin for membership in left for m in membership.members if m.role is Role.VOTER}
    there = {n.origin for n in world.nodes.values() if not n.disk.promise.removed}
    return voters <= there


def lose_log(world: World, random: Random) -> None:
    """A node comes back with its promises, and without its log."""
    node = _leader_or_any(world, random)
    if not _may_lose(world, node):
        return
    world.crash(node.id, lose_log=True)
    world.after(random.choice([1, 100, 1_000, 5_000]), lambda now: world.restart(node.id))


def flip_a_bit(world: World, random: Random) -> None:
    """A node comes back, and a part of its log or its snapshot is not what was written."""
    node = _leader_or_any(world, random)
    if not _may_lose(world, node):
        return
    world.crash(node.id)
    node.disk.flip_a_bit(random, world.now)
    world.counts["bits flipped"] += 1
    world.after(random.choice([1, 100, 1_000, 5_000]), lambda now: world.restart(node.id))


def corrupt(world: World, random: Random) -> None:
    """A node's state is not what its log made of it: a defect, or memory that failed."""
    corrupted = [n.id for n in world.nodes.values() if n.corrupted]
    node = _leader_or_any(world, random)
    if len(corrupted) + 1 > _minority(world) or not node.up:
        return
    world.corrupt(node.id)


def leap(world: World, random: Random) -> None:
    """A node's own clock goes forward at once, by more than a lease."""
    node = _leader_or_any(world, random)
    leapt = [n.id for n in world.nodes.values() if n.leapt]
    if len(leapt) + 1 > _minority(world):
        return
    world.leap(node.id, random.choice([700, 3_000, 20_000, 3_600_000]))


def wall_jump(world: World, random: Random) -> None:
    """Somebody sets the time of day on some machines, or what tells it to all of them does. Nobody
    goes by it while anything runs; when all stop, it says how long they were down."""
    together = random.random() < 0.3
    ms = random.choice(WALL_JUMPS_MS)
    for id in sorted(world.nodes) if together else _some(world, random):
        world.set_wall(id, ms if together else random.choice(WALL_JUMPS_MS))
    if random.random() < 0.3:
        crash_everything(world, random)


def pause(world: World, random: Random) -> None:
    """A node stands still for longer than a lease, and goes on as if nothing had been."""
    node = _leader_or_any(world, random)
    node.paused_until = world.now + random.choice([100, 600, 3_000])
    world.counts["pauses"] += 1


def slow_disk(world: World, random: Random) -> None:
    """A disk takes its time."""
    node = _leader_or_any(world, random)
    node.disk.slow_ms = random.choice([20, 200, 800])

    def mend(now: int) -> None:
        node.disk.slow_ms = 0

    world.after(random.randint(500, 5_000), mend)


# -- who belongs


def join(world: World, random: Random) -> None:
    """One more comes."""
    if len(world.nodes) >= NODES_MAX:
        return
    id = chr(ord("a") + len(world.nodes))
    role = Role.OBSERVER if random.random() < 0.3 else Role.VOTER
    world.join(id, random.randint(0, 120), role)


def remove(world: World, random: Random) -> None:
    """An operator takes one out, the leader too."""
    node = _leader_or_any(world, random)
    rest = world.membership.without(node.id)
    if _would_be_left(world, rest):
        _change(world, lambda changing: changing.remove(node.id, _leaders_now(world)))


def alter(world: World, random: Random) -> None:
    """Somebody is given another priority or role."""
    member = random.choice(world.membership.members)
    role = Role.OBSERVER if random.random() < 0.3 else Role.VOTER
    altered = dataclasses.replace(member, priority=random.randint(0, 120), role=role)
    if _would_be_left(world, world.membership.with_member(altered)):
        _change(world, lambda changing: changing.alter(altered, _leaders_now(world)))


def replace(world: World, random: Random) -> None:
    """A machine is gone with all that was on it; another comes under its name."""
    node = _leader_or_any(world, random)
    if world.membership.get(node.id) is None or not _may_lose(world, node):
        return
    world.replace(node.id)
    world.after(random.choice([1, 100, 1_000, 5_000]), lambda now: world.restart(node.id))


def upgrade(world: World, random: Random) -> None:
    """One node after another gets the next release."""
    node = _leader_or_any(world, random)
    _install(world, random, node, min(node.level + 1, LEVEL_MAX))


def take_back(world: World, random: Random) -> None:
    """A node gets an earlier release: perhaps one that cannot apply what is in force."""
    node = _leader_or_any(world, random)
    _install(world, random, node, max(node.level - 1, FIRST_LEVEL))


def _install(world: World, random: Random, node: Node, level: int) -> None:
    if level != node.level:
        world.install(node.id, level)
        world.after(random.choice([1, 100, 1_000]), lambda now: world.restart(node.id))


def raise_level(world: World, random: Random) -> None:
    """An operator puts the next feature level in force, where all can apply it."""
    level = world.membership.level + 1
    _change(world, lambda changing: changing.raise_level(level, _leaders_now(world)))


def _would_be_left(world: World, membership: Membership) -> bool:
    """Whether those who would be left have what was acknowledged: all but a minority of them."""
    voters = len(membership.voters)
    corrupted = {node.id for node in world.nodes.values() if node.corrupted}
    impaired = (world.impaired() | corrupted) & set(membership.voters)
    return voters > 0 and len(impaired) <= voters - membership.majority


def _leaders_now(world: World) -> int:
    leader = world.leader()
    assert leader is not None
    return leader.clock.read(world.now)


def _change(world: World, wish: Callable[[Changing], None]) -> None:
    leader = world.leader()
    if leader is None or world.now < leader.paused_until:
        return
    try:
        leader.change(wish, world.now)
    except RefusedError:
        world.counts["changes refused"] += 1


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        partition,
        isolate,
        one_way,
        chain,
        star,
        flapping_link,
        broken_links,
        bad_network,
        slow_links,
        slow_votes,
        late_messages,
        crash_after_vote,
        crash,
        crash_everything,
        power_cut,
        unplug,
        blackout,
        lose_log,
        flip_a_bit,
        corrupt,
        leap,
        wall_jump,
        pause,
        slow_disk,
        join,
        remove,
        alter,
        replace,
        upgrade,
        take_back,
        raise_level,
    )
}


def heal_everything(world: World) -> None:
    """The end of all faults."""
    world.network.heal()
    world.hold = world.after_sending = None
    newest = max(world.membership.level, *(node.stated_level for node in world.nodes.values()))
    for node in world.nodes.values():
        node.paused_until = min(node.paused_until, world.now)
        node.disk.slow_ms = 0
        if node.level < newest:
            world.install(node.id, newest)
        world.restart(node.id)
