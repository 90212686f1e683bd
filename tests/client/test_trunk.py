"""One subscription for several feeds, against a node that says what the protocol lets it say.

The node is a model: a log, a part of it retained, pushes cut anywhere between versions. What it
sends waits in a queue, as on a connection, so what was sent before a request arrives after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tlru.client.changes import Place, Topic
from tlru.client.copies import Copies
from tlru.client.feed import CUT_OFF, Feed
from tlru.client.results import Reply
from tlru.client.trunk import Subscribe, Subscription, Trunk, Unsubscribe
from tlru.errors import TlruError

NUMBER = 7  # of every feed of this topic: a node gives the same one again
KEYS = ("a", "b", "c")


def replay(log: Sequence[Reply], upto: int) -> dict[str, bytes]:
    """What there is at a version."""
    state: dict[str, bytes] = {}
    for event in log:
        if event["version"] > upto:
            break
        if event["type"] == "set":
            state[event["key"]] = event["value"]
        elif event["type"] == "delete":
            state.pop(event["key"], None)
        else:
            state = {key: value for key, value in state.items() if not key.startswith(event["key"])}
    return state


class World:
    """The logs of all epochs."""

    def __init__(self) -> None:
        self.epoch = 1
        self.logs: dict[str, list[Reply]] = {"1-e": []}
        self.retained_after = 0

    @property
    def name(self) -> str:
        return f"{self.epoch}-e"

    @property
    def log(self) -> list[Reply]:
        return self.logs[self.name]

    @property
    def end(self) -> int:
        return self.log[-1]["version"] if self.log else 0


class Recorder:
    """A sink that checks all it is told against the log, and keeps a copy by it."""

    patient = False

    def __init__(self, world: World, *, snapshot: bool) -> None:
        self.world = world
        self.snapshot = snapshot
        self.place: Place | None = None
        self.parts: dict[str, bytes] | None = None
        self.copies: Copies[bytes] = Copies(lambda _, data: data, entries_max=99, whole=True)
        self.takes_more = True
        self.resets: list[str] = []
        self.started = False

    def begun(self, place: Place, reset: str | None) -> None:
        assert (reset is not None) == self.started, "only who had begun begins anew"
        if reset is not None:
            self.resets.append(reset)
        self.started = True
        self.copies.begin(place, anew=reset is not None)
        self.place = None if self.snapshot else place
        self.parts = {} if self.snapshot else None

    def events(self, start: Place, upto: int, events: Sequence[Reply]) -> bool:
        self.started = True
        assert self.place is None or start == self.place, "it goes on from where it was"
        assert upto > start.pos, "it never goes back"
        log = self.world.logs[start.epoch]
        assert list(events) == [each for each in log if start.pos < each["version"] <= upto]
        self.place = Place(start.epoch, upto)
        self.copies.events(self.place, events, 0.0)
        self.check_copy()
        return self.takes_more

    def items(self, upto: Place, time: int, items: Sequence[Reply], last: bool) -> bool:
        assert self.parts is not None, "a snapshot begins"
        self.parts.update((item["key"], item["value"]) for item in items)
        self.copies.items(upto, time, items, 0.0, last=last)
        if last:
            self.place, self.parts = upto, None
            self.check_copy_after_snapshot(upto)
        return self.takes_more

    def check_copy_after_snapshot(self, upto: Place) -> None:
        """What has changed after it is left out, and comes as an event."""
        state = replay(self.world.logs[upto.epoch], upto.pos)
        for key, slot in self.copies.slots.items():
            assert slot.packed == state[key]

    def check_copy(self) -> None:
        """Once it is complete, and what a snapshot left out has come, it is the state."""
        place = self.place
        if self.snapshot and place is not None and self.copies.complete:
            log = self.world.logs[place.epoch]
            state = replay(log, place.pos)
            told = {key: slot.packed for key, slot in self.copies.slots.items()}
            changing = {e["key"] for e in log if e["version"] > place.pos and e["type"] != "clear"}
            cleared = any(e["version"] > place.pos and e["type"] == "clear" for e in log)
            assert set(told) <= set(state)
            assert all(state[key] == value for key, value in told.items())
            assert cleared or set(state) - set(told) <= changing

    def linked(self, linked: bool) -> None: ...

    def ended(self, error: TlruError) -> None: ...

    def forked(self, error: TlruError) -> None: ...


class Node:
    """One connection: what the node at its other end does for its one feed."""

    def __init__(self, world: World, applied: int) -> None:
        self.world = world
        self.epoch = world.name
        self.applied = applied
        self.queue: deque[tuple[str, Any]] = deque()
        self.pos: int | None = None  # of the reader; None where there is none
        self.wants_snapshot = False
        self.walk: deque[list[Reply]] = deque()
        self.walk_upto = 0

    @property
    def log(self) -> list[Reply]:
        return self.world.logs[self.epoch]

    def ask(self, fields: dict[str, Any]) -> None:
        if fields["op"] == "unsubscribe":
            assert fields["feed"] == NUMBER
            self.pos = None
            self.walk.clear()
            self.queue.append(("unsubscribed", None))
            return
        assert self.pos is None, "already subscribed"
        since = fields.get("since")
        self.wants_snapshot = bool(fields.get("snapshot"))
        resumed = bool(
            since is not None
            and since["epoch"] == self.epoch
            and since["pos"] >= self.world.retained_after
        )
        self.pos = since["pos"] if since is not None and resumed else self.applied
        # How far it is, or how far the reader is: both may be said to who resumes.
        upto = self.applied if self.applied % 2 else self.pos
        reply = {"feed": NUMBER, "upto": upto, "resumed": resumed}
        self.queue.append(("subscribed", reply))
        if since is not None and not resumed:
            self.reset()
        elif since is None and self.wants_snapshot:
            self.begin_walk()

    def reset(self) -> None:
        self.pos = self.applied
        self.walk.clear()
        self.queue.append(("reset", self.pos))
        if self.wants_snapshot:
            self.begin_walk()

    def begin_walk(self) -> None:
        assert self.pos is not None
        self.walk_upto = self.pos
        self.walk = deque([[], [], []])  # told by what there is when each is told
        self.walk_keys = list(KEYS)

    def push(self, versions: int) -> None:
        """Say the next thing of the feed."""
        if self.pos is None or self.pos > self.applied:
            return
        if self.walk:
            self.walk.popleft()
            key = self.walk_keys.pop(0)
            value = replay(self.log, self.applied).get(key)
            changed = any(
                each["version"] > self.walk_upto
                and (
                    each["key"] == key or (each["type"] == "clear" and key.startswith(each["key"]))
                )
                for each in self.log
                if each["version"] <= self.applied
            )
            items = []
            if value is not None and not changed:
                items = [{"key": key, "value": value, "version": self.walk_upto, "at": 0}]
            self.queue.append(("items", (self.walk_upto, items, not self.walk)))
            return
        if self.pos < self.world.retained_after:
            self.reset()
            return
        upto = min(self.applied, self.pos + versions)
        events = [each for each in self.log if self.pos < each["version"] <= upto]
        self.pos = upto
        self.queue.append(("events", (upto, events)))


class Trunks(RuleBasedStateMachine):
    """Feeds come, go, lag and resume, while the log grows, and connections and epochs change."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.trunk = Trunk(Topic("prefix", ""), "values")
        self.node: Node | None = None
        self.opening: tuple[Node, Subscription] | None = None
        self.feeds: list[Feed] = []
        self.out: list[Feed] = []

    def advance(self) -> None:
        if self.node is None:
            return
        command = self.trunk.next(self.node.epoch)
        if isinstance(command, Subscribe):
            self.node.ask(command.fields)
        elif isinstance(command, Unsubscribe):
            self.node.ask({"op": "unsubscribe", "feed": command.number})
        self.trunk.check()

    # -- the world

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True))
    def write(self, keys: list[str]) -> None:
        version = self.world.end + 1
        for key in keys:
            value = b"%d" % version
            self.world.log.append(
                {"type": "set", "key": key, "version": version, "at": 0, "value": value}
            )

    @rule(key=st.sampled_from(KEYS), kind=st.sampled_from(("delete", "clear")))
    def remove(self, key: str, kind: str) -> None:
        version = self.world.end + 1
        self.world.log.append({"type": kind, "key": key, "version": version, "at": 0})

    @rule(share=st.floats(0, 1))
    def forget(self, share: float) -> None:
        after = self.world.retained_after
        self.world.retained_after = after + int(share * (self.world.end - after))

    @rule(share=st.floats(0, 1))
    def apply(self, share: float) -> None:
        if self.node is not None and self.node.epoch == self.world.name:
            self.node.applied += round(share * (self.world.end - self.node.applied))

    # -- connections

    @precondition(lambda self: self.node is None and self.opening is None)
    @rule(share=st.floats(0, 1))
    def connect(self, share: float) -> None:
        self.node = Node(self.world, round(share * self.world.end))
        self.advance()

    @precondition(lambda self: self.opening is None and self.trunk.feeds)
    @rule(share=st.floats(0, 1))
    def open_another(self, share: float) -> None:
        """Subscribe elsewhere, in one message with `hello`, while the present one goes on."""
        places = {feed.place.epoch for feed in self.trunk.feeds if feed.place is not None}
        if len(places) <= 1:
            offer = self.trunk.offer()
            node = Node(self.world, round(share * self.world.end))
            node.ask(offer.fields)
            self.opening = node, offer.subscription

    @precondition(lambda self: self.opening is not None)
    @rule()
    def take_up(self) -> None:
        assert self.opening is not None
        (self.node, subscription), self.opening = self.opening, None
        self.trunk.unsubscribed()
        self.trunk.subscription = subscription
        self.advance()

    @precondition(lambda self: self.node is not None)
    @rule()
    def disconnect(self) -> None:
        self.node = None
        self.trunk.unsubscribed()

    @rule(seldom=st.integers(0, 4))
    def another_epoch(self, seldom: int) -> None:
        if seldom:
            return
        self.disconnect()
        self.opening = None
        self.world.epoch += 1
        self.world.logs[self.world.name] = []
        self.world.retained_after = 0

    # -- feeds

    @precondition(lambda self: len(self.feeds) < 5)
    @rule(snapshot=st.booleans(), fold=st.booleans(), back=st.one_of(st.none(), st.integers(0, 9)))
    def add(self, snapshot: bool, fold: bool, back: int | None) -> None:
        recorder = Recorder(self.world, snapshot=snapshot)
        since = None
        if back is not None:
            since = Place(self.world.name, max(0, self.world.end - back))
            recorder.started = True
        feed = Feed(recorder, since=since, snapshot=snapshot, fold=fold)
        self.feeds.append(feed)
        self.trunk.add(feed)
        self.advance()

    @precondition(lambda self: self.feeds)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        feed = data.draw(st.sampled_from(self.feeds))
        self.feeds.remove(feed)
        self.trunk.remove(feed)
        self.advance()

    @precondition(lambda self: self.feeds)
    @rule(data=st.data(), takes_more=st.booleans())
    def lag(self, data: st.DataObject, takes_more: bool) -> None:
        feed = data.draw(st.sampled_from(self.feeds))
        assert isinstance(feed.sink, Recorder)
        feed.sink.takes_more = takes_more
        if takes_more and feed not in self.trunk.feeds:
            self.trunk.add(feed)
            self.advance()

    # -- the conversation

    @precondition(lambda self: self.node is not None)
    @rule(versions=st.integers(0, 4))
    def push(self, versions: int) -> None:
        assert self.node is not None
        self.node.push(versions)
        if self.opening is not None:
            self.opening[0].push(versions)

    @precondition(lambda self: self.node is not None and self.node.queue)
    @rule(count=st.integers(1, 3))
    def deliver(self, count: int) -> None:
        assert self.node is not None
        for _ in range(min(count, len(self.node.queue))):
            self.deliver_one(self.node)

    def deliver_one(self, node: Node) -> None:
        kind, what = node.queue.popleft()
        if kind == "subscribed":
            self.trunk.subscribed(node.epoch, what["feed"], what["upto"], resumed=what["resumed"])
        elif kind == "unsubscribed":
            self.trunk.unsubscribed()
        elif kind == "events":
            self.trunk.events(*what)
        elif kind == "items":
            upto, items, last = what
            self.trunk.items(upto, 0, items, last=last)
        else:
            self.trunk.reset("it is gone", what)
        self.advance()

    @invariant()
    def whoever_rides_is_where_its_sink_is(self) -> None:
        for feed in self.feeds:
            assert isinstance(feed.sink, Recorder)
            if feed.sink.place is not None and feed.place is not None:
                assert feed.place == feed.sink.place

    def teardown(self) -> None:
        """Left alone with a node that is up to date, everyone gets to the end."""
        for feed in self.feeds:
            assert isinstance(feed.sink, Recorder)
            feed.sink.takes_more = True
            if feed not in self.trunk.feeds:
                self.trunk.add(feed)
        self.opening = None
        self.disconnect_if_connected()
        self.node = Node(self.world, self.world.end)
        self.advance()
        for _ in range(200):
            while self.node.queue:
                self.deliver_one(self.node)
            self.node.push(100)
        for feed in self.feeds:
            assert feed.place == Place(self.world.name, self.world.end)
            assert isinstance(feed.sink, Recorder)
            if feed.snapshot and feed.sink.copies.complete:
                told = {key: slot.packed for key, slot in feed.sink.copies.slots.items()}
                assert told == replay(self.world.log, self.world.end)

    def disconnect_if_connected(self) -> None:
        self.node = None
        self.trunk.unsubscribed()


TestTrunks = Trunks.TestCase
TestTrunks.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)


def test_a_snapshot_that_is_cut_off_comes_anew_and_says_so() -> None:
    world = World()
    recorder = Recorder(world, snapshot=True)
    trunk = Trunk(Topic("prefix", ""), "values")
    trunk.add(Feed(recorder, snapshot=True))
    first = trunk.next("1-e")
    assert isinstance(first, Subscribe)
    assert first.fields["snapshot"] is True
    trunk.subscribed("1-e", NUMBER, 5, resumed=False)
    trunk.items(5, 0, [{"key": "a", "value": b"1", "version": 1}], last=False)
    trunk.unsubscribed()
    again = trunk.next("1-e")
    assert isinstance(again, Subscribe)
    assert again.fields == first.fields
    trunk.subscribed("1-e", NUMBER, 6, resumed=False)
    trunk.items(6, 0, [], last=True)
    assert recorder.resets == [CUT_OFF]
    assert recorder.copies.slots == {}


class Told:
    """A sink that keeps a list."""

    patient = False

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.takes_more = True

    def begun(self, place: Place, reset: str | None) -> None:
        self.told.append(("begun", place.pos, reset))

    def events(self, start: Place, upto: int, events: Sequence[Reply]) -> bool:
        self.told.append(("events", start.pos, upto, [event["version"] for event in events]))
        return self.takes_more

    def items(self, upto: Place, time: int, items: Sequence[Reply], last: bool) -> bool:
        self.told.append(("items", upto.pos, [item["key"] for item in items], last))
        return self.takes_more

    def linked(self, linked: bool) -> None: ...

    def ended(self, error: TlruError) -> None: ...

    def forked(self, error: TlruError) -> None: ...


def a_trunk(*feeds: Feed) -> tuple[Trunk, list[Told]]:
    trunk = Trunk(Topic("prefix", ""), "values")
    for feed in feeds:
        trunk.add(feed)
    sinks = [feed.sink for feed in feeds]
    return trunk, [sink for sink in sinks if isinstance(sink, Told)]


def asked(command: Subscribe | Unsubscribe | None) -> dict[str, Any]:
    assert isinstance(command, Subscribe)
    return {name: value for name, value in command.fields.items() if value is not None}


def set_at(version: int) -> Reply:
    return {"type": "set", "key": "a", "version": version, "at": 0, "value": b"v"}


def test_who_is_ahead_is_not_told_twice_what_another_lacks() -> None:
    trunk, (behind, ahead) = a_trunk(
        Feed(Told(), since=Place("1-e", 3)), Feed(Told(), since=Place("1-e", 8))
    )
    fields = asked(trunk.next("1-e"))
    assert fields == {"op": "subscribe", "pattern": "*", "since": {"epoch": "1-e", "pos": 3}}
    trunk.subscribed("1-e", NUMBER, 3, resumed=True)
    trunk.events(5, [set_at(4)])
    trunk.events(9, [set_at(7), set_at(9)])
    assert behind.told == [("events", 3, 5, [4]), ("events", 5, 9, [7, 9])]
    assert ahead.told == [("events", 8, 9, [9])]


def test_where_one_place_is_gone_the_other_is_tried_before_it_is_given_up() -> None:
    trunk, (old, recent) = a_trunk(
        Feed(Told(), since=Place("1-e", 3)), Feed(Told(), since=Place("1-e", 8))
    )
    trunk.next("1-e")
    trunk.subscribed("1-e", NUMBER, 10, resumed=False)
    trunk.reset("too long ago", 11)
    assert trunk.next("1-e") == Unsubscribe(NUMBER)
    trunk.unsubscribed()
    assert asked(trunk.next("1-e"))["since"] == {"epoch": "1-e", "pos": 8}
    trunk.subscribed("1-e", NUMBER, 8, resumed=True)
    trunk.events(12, [set_at(9), set_at(12)])
    (begun, *rest) = old.told
    assert begun[:2] == ("begun", 11)
    assert "too long ago" in begun[2]
    assert rest == [("events", 11, 12, [12])]
    assert recent.told == [("events", 8, 12, [9, 12])]


def test_one_that_falls_behind_what_is_kept_is_told_so_and_one_at_the_end_is_not() -> None:
    trunk, (behind, there) = a_trunk(
        Feed(Told(), since=Place("1-e", 9)), Feed(Told(), since=Place("1-e", 10))
    )
    trunk.next("1-e")
    trunk.subscribed("1-e", NUMBER, 9, resumed=True)
    trunk.reset("it was too slow", 10)
    assert trunk.next("1-e") is None
    assert [told[:2] for told in behind.told] == [("begun", 10)]
    assert there.told == []


def test_one_that_is_full_leaves_and_comes_back_where_it_was() -> None:
    full = Feed(Told(), since=Place("1-e", 1))
    trunk, (slow, quick) = a_trunk(full, Feed(Told(), since=Place("1-e", 1)))
    trunk.next("1-e")
    trunk.subscribed("1-e", NUMBER, 1, resumed=True)
    slow.takes_more = False
    assert trunk.events(2, [set_at(2)]) == [full]
    assert trunk.next("1-e") is None, "the other goes on"
    trunk.events(3, [set_at(3)])
    trunk.add(full)
    assert trunk.next("1-e") == Unsubscribe(NUMBER)
    trunk.events(4, [set_at(4)])  # was on its way already
    trunk.unsubscribed()
    assert asked(trunk.next("1-e"))["since"] == {"epoch": "1-e", "pos": 2}
    trunk.subscribed("1-e", NUMBER, 2, resumed=True)
    trunk.events(4, [set_at(3), set_at(4)])
    assert slow.told == [("events", 1, 2, [2]), ("events", 2, 4, [3, 4])]
    assert [told[1:3] for told in quick.told] == [(1, 2), (2, 3), (3, 4)]


def test_what_a_subscription_says_while_it_is_being_left_resets_nobody() -> None:
    trunk, (sink,) = a_trunk(Feed(Told(), since=Place("1-e", 5)))
    trunk.next("1-e")
    trunk.subscribed("1-e", NUMBER, 5, resumed=True)
    trunk.add(Feed(Told(), since=Place("1-e", 2)))
    assert trunk.next("1-e") == Unsubscribe(NUMBER)
    trunk.reset("it was too slow", 9)
    trunk.events(11, [set_at(10)])  # and nobody knows what has happened between 5 and 9
    trunk.unsubscribed()
    assert asked(trunk.next("1-e"))["since"] == {"epoch": "1-e", "pos": 2}
    assert sink.told == []


def test_one_that_comes_back_in_the_middle_of_a_snapshot_gets_another_of_its_own() -> None:
    leaver, stayer = Feed(Told(), snapshot=True), Feed(Told(), snapshot=True)
    trunk, (told, _) = a_trunk(leaver, stayer)
    trunk.next("1-e")
    trunk.subscribed("1-e", NUMBER, 5, resumed=False)
    trunk.items(5, 0, [{"key": "a"}], last=False)
    trunk.remove(leaver)
    trunk.add(leaver)
    trunk.items(5, 0, [{"key": "b"}], last=True)
    assert trunk.next("1-e") == Unsubscribe(NUMBER)
    trunk.items(6, 0, [{"key": "c"}], last=True)
    trunk.unsubscribed()
    assert asked(trunk.next("1-e"))["snapshot"] is True
    trunk.subscribed("1-e", NUMBER, 7, resumed=False)
    trunk.items(7, 0, [{"key": "a"}, {"key": "b"}], last=True)
    assert told.told == [
        ("begun", 5, None),
        ("items", 5, ["a"], False),
        ("begun", 7, CUT_OFF),
        ("items", 7, ["a", "b"], True),
    ]


def test_another_epoch_is_a_reset_and_a_snapshot_where_one_was_wanted() -> None:
    trunk, (plain, whole) = a_trunk(
        Feed(Told(), since=Place("1-e", 5)), Feed(Told(), since=Place("1-e", 5), snapshot=True)
    )
    assert asked(trunk.next("2-e"))["snapshot"] is True
    trunk.subscribed("2-e", NUMBER, 3, resumed=False)
    trunk.items(3, 0, [], last=True)
    trunk.next("2-e")
    assert [told[:2] for told in plain.told] == [("begun", 3)]
    assert [told[:2] for told in whole.told] == [("begun", 3), ("items", 3)]


def test_a_fold_is_asked_for_only_if_everyone_folds() -> None:
    trunk, _ = a_trunk(Feed(Told(), fold=True))
    assert asked(trunk.next("1-e"))["fold"] is True
    trunk.subscribed("1-e", NUMBER, 3, resumed=False)
    trunk.add(Feed(Told()))
    assert trunk.next("1-e") == Unsubscribe(NUMBER)
    trunk.unsubscribed()
    assert "fold" not in asked(trunk.next("1-e"))
