"""The hard cases of power cuts, of the time after them, and of releases that are taken back."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.staging import all_active, at_rest, recover, stage
from tests.simulation.world import World


def cut_power(world: World) -> None:
    """All machines stop at once."""
    for id in world.nodes:
        world.crash(id)
        world.nodes[id].disk.damaged = True


def one_who_has_missed_a_voter() -> World:
    """While `c` is down `d` becomes a voter. Then the power fails, and the newest log is `d`'s: it
    waits for a word of `c`, whose list does not have it.

    Found by a random run: four who knew enough to begin anew, and never did."""
    world = stage(3)
    world.crash("c")
    world.join("d", priority=120)
    assert world.run(10_000, lambda: world.membership.voters == tuple("abcd"))
    assert world.run(1_000, lambda: at_rest(world))
    cut_power(world)
    for id in "abcd":
        world.restart(id)
    assert world.run(15_000, lambda: all_active(world) and at_rest(world))
    return recover(world)


POWER: tuple[Callable[[], World], ...] = (one_who_has_missed_a_voter,)
