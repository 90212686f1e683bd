"""What a snapshot lists while the cache goes on: all that no event will tell."""

from __future__ import annotations

from tests.engine.machine_helpers import Writer
from tests.simulation.desk import PlainEncoding, Push
from tests.simulation.following import Listed, Pushed
from tlru.engine.feeds import Feeds, Reader
from tlru.engine.operations import Delete, Set, Touch
from tlru.engine.patterns import Pattern


class Shelf:
    """A sink that takes everything."""

    def __init__(self) -> None:
        self.stalled = False
        self.told: list[Push] = []

    def deliver(self, data: Push) -> bool:
        self.told.append(data)
        return True


def test_what_was_touched_since_is_listed_and_what_was_set_since_is_not() -> None:
    """The event of a touch brings no value: who is not told of it in the snapshot would never be
    (seed 11 with the fault follows_the_wall_back)."""
    writer, shelf = Writer(), Shelf()
    machine = writer.machine
    feeds: Feeds[Push] = Feeds(machine, 1 << 20)
    for key in ("gone", "set", "stays", "touched"):
        writer(Set(key, b"old"))
        feeds.extend(writer.last.events)
    feeds.flush(machine.index)
    reader: Reader[Push]
    encoding = PlainEncoding(1 << 20, lambda: machine.index)
    reader, _ = feeds.subscribe(Pattern.parse("*"), "plain", lambda: encoding, shelf, snapshot=True)
    events = []
    for operation in (Touch("touched", 5_000), Set("set", b"new"), Delete(("gone",))):
        writer(operation)
        feeds.extend(writer.last.events)
        events += writer.last.events
    feeds.flush(machine.index)
    while not reader.live:
        feeds.serve()
    listed, pushed = shelf.told
    assert isinstance(listed, Listed)
    assert (listed.upto, listed.last) == (4, True)
    assert [(key, held.value, held.expires) for key, held in listed.items] == [
        ("stays", b"old", None),
        ("touched", b"old", writer.at + 5_000),
    ]
    assert pushed == Pushed(7, tuple(events))
