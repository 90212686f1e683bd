"""Backups that earlier releases wrote are read by this one, and restored from.

Where this fails, the release would leave people without their backups: mend the reading, and leave
the files as they are. Where a format grows, a file of the new one is added beside them
(`old_backups/making.py`), and those of before stay.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import msgpack
import pytest

import tlru
from tests.node.http.visiting import visit
from tests.node.old_backups.making import LIFE_S, MANY
from tests.running import a_node, run
from tlru.backups import files
from tlru.backups.form import FORMAT
from tlru.engine.items import is_reserved
from tlru.engine.snapshot import FORMAT as STATE_FORMAT
from tlru.node.seats import LEVEL

PLACE = Path(__file__).parent / "old_backups"

# Format and format of the state, and what the bytes are: nobody writes one of them anew.
PINNED = {"format-1.2.tlru": "1ffeee7dc97926aa67332dcdd85d9edf576c9cdcc818f6dfc8297a6f1d85e5b8"}
PLAIN = {
    "text": "größer als ∅",
    "bytes": bytes(range(256)),
    "nested": {"list": [1, 2.5, None, True], "map": {"a": "b"}},
    "living": "a day",
    "with a revision": "7",
    "counted": 3,
    **{f"many:{number}": number for number in range(MANY)},
}


def test_there_is_one_of_each_format_and_none_was_written_anew() -> None:
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in PLACE.glob("*.tlru")
    }
    assert found == PINNED
    assert f"format-{FORMAT}.{STATE_FORMAT}.tlru" in found


@pytest.mark.parametrize("name", sorted(PINNED))
def test_all_that_is_in_it_is_read(name: str) -> None:
    """Items, lives, revisions of what is there and gone, settings, members and locks."""
    head, state = files.verify(PLACE / name, LEVEL)
    entries = {k: v for k, v in state.items.store.entries.items() if not is_reserved(k)}
    assert (head.cache, head.node, head.items) == ("default", "n1", len(PLAIN))
    assert {key: msgpack.unpackb(item.value) for key, item in entries.items()} == PLAIN
    assert len({item.version for item in entries.values()}) == len(PLAIN)
    life = entries["living"].expires
    assert life is not None
    assert LIFE_S * 1000 - 60_000 < life - head.time <= LIFE_S * 1000
    assert entries["with a revision"].rev == 7
    gone, revs, clears = (list(table.rows()) for table in state.tombstones.tables())
    assert [stone.key for stone in gone] == ["plainly gone"]
    assert [(stone.key, stone.rev) for stone in revs] == [("gone", 9)]
    assert [cleared.prefix for cleared in clears] == ["empty:"]
    assert state.settings["max_entries"] == 5_000
    assert sorted(member.id for member in state.membership.members) == ["n1", "n2", "n3"]
    held, waiters = (list(table.rows()) for table in state.locks.tables())
    assert ([lock.name for lock in held], [wait.name for wait in waiters]) == (["held"], ["held"])
    assert all(list(table.rows()) for table in state.tables().values()), "something of all"


@pytest.mark.parametrize("name", sorted(PINNED))
def test_a_node_of_this_release_begins_anew_from_it(name: str) -> None:
    async def test() -> None:
        body = await asyncio.to_thread((PLACE / name).read_bytes)
        async with a_node(id="b") as node:
            target = "/v1/snapshot?as_new_epoch=true&lives=backup"
            heard = await visit(node, "POST", target, body=body)
            assert (heard.status, heard.json["keys"]) == (200, len(PLAIN)), heard.body
            node.services["default"].machine.check()
            async with tlru.connect(node.url) as cache:
                for key, value in PLAIN.items():
                    assert await cache.get(key) == value
                assert (await cache.set("with a revision", "6", rev=6)).applied is False
                assert (await cache.set("new", 1)).applied

    run(test())
