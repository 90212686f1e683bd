"""get, set, delete, incr, touch and scan, as processes against a node that is one too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import PATIENCE_S, TLRU, RunningNode, environment, tlru
from tlru.cli.exits import Exit

ODD_KEYS = [
    "a/b//c",
    "..",
    "with space",
    " edges ",
    "100%",
    "%41%zz",
    "?key=1&b#x",
    "café",
    "e\u0301",  # another key than é: keys are not normalised
    "🎉🇪🇺",
    "\u202eright to left",
    "quote'\"`$(x)",
    "--dash",
    "-x",
    "--",
    "-",
    "tab\tnewline\n",
    "k" * 1_024,
]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_is_taken_as_it_is(node: RunningNode, key: str) -> None:
    assert node.run("set", "--", key, f"of {key}").status == Exit.OK
    got = node.run("get", "--json", "--", key)
    assert (got.json["key"], got.json["value"]) == (key, f"of {key}")
    assert node.run("delete", "--", key).out == "1\n"


def test_a_string_is_kept_and_printed_bare(node: RunningNode) -> None:
    done = node.run("set", "string", "two words 🎉")
    assert (done.status, done.out, done.err) == (Exit.OK, "", "")
    got = node.run("get", "string")
    assert (got.status, got.out, got.err) == (Exit.OK, "two words 🎉\n", "")


def test_the_type_of_a_value_is_as_it_was_said(node: RunningNode, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(b"\x89PNG\n\xff")
    for kind, text in (("json", '{"a": [1, null]}'), ("int", "-7"), ("file", str(file))):
        assert node.run("set", "--type", kind, f"kind:{kind}", "--", text).status == Exit.OK
    assert node.run("get", "kind:json").out == '{"a":[1,null]}\n'
    assert node.run("get", "kind:int").out == "-7\n"
    assert node.run("get", "kind:file").out.encode("utf-8", "surrogateescape") == b"\x89PNG\n\xff"
    assert node.run("get", "--json", "kind:file").json["value"] == {"$b64": "iVBORwr/"}


def test_a_value_may_come_from_stdin(node: RunningNode) -> None:
    assert node.run("set", "stdin", "-", stdin=b"zwei\nZeilen\n").status == Exit.OK
    assert node.run("get", "--json", "stdin").json["value"] == "zwei\nZeilen\n"
    assert node.run("set", "--type", "bytes", "stdin", "-", stdin=b"\xff\n\0").status == Exit.OK
    assert node.run("get", "stdin").out.encode("utf-8", "surrogateescape") == b"\xff\n\0"


def test_a_shell_that_is_not_utf_8_can_keep_bytes_but_no_text(node: RunningNode) -> None:
    refused = node.run("set", "latin", b"\xe9")
    assert (refused.status, refused.out) == (Exit.REFUSED, "")
    assert refused.err == "tlru: the value is not UTF-8 text (byte 0); keep it with --type bytes\n"
    assert node.run("set", "--type", "bytes", "latin", b"\xe9").status == Exit.OK


def test_what_is_not_there_is_said_and_told_by_the_status(node: RunningNode) -> None:
    absent = node.run("get", "nothing")
    assert (absent.status, absent.out) == (Exit.ABSENT, "")
    assert absent.err == "tlru: nothing is kept under 'nothing'\n"
    as_json = node.run("get", "--json", "nothing")
    assert (as_json.status, as_json.json, as_json.err) == (
        Exit.ABSENT,
        {"key": "nothing", "found": False},
        "",
    )


def test_an_item_tells_what_is_known_of_it(node: RunningNode) -> None:
    written = node.run("set", "--json", "--ttl", "1h", "--rev", "7", "item", "x").json
    assert written == {"key": "item", "applied": True, "version": written["version"]}
    item = node.run("get", "--json", "item").json
    assert {name: item[name] for name in ("found", "value", "version", "rev")} == {
        "found": True,
        "value": "x",
        "version": written["version"],
        "rev": 7,
    }
    assert 3_500 < item["ttl"] <= 3_600
    assert item["at"].startswith("20")
    assert item["at"].endswith("+00:00")


def test_a_life_ends_is_kept_or_is_given_anew(node: RunningNode) -> None:
    node.run("set", "life", "1", "--ttl", "1h")
    node.run("set", "life", "2", "--keep-ttl")
    assert node.run("get", "--json", "life").json["ttl"] > 3_000
    assert node.run("touch", "life", "--ttl", "1m").status == Exit.OK
    assert node.run("get", "--json", "life").json["ttl"] <= 60
    assert node.run("touch", "life", "--forever").status == Exit.OK
    assert "ttl" not in node.run("get", "--json", "life").json
    node.run("set", "life", "3", "--ttl", "1h")
    node.run("set", "life", "4")
    assert "ttl" not in node.run("get", "--json", "life").json
    gone = node.run("touch", "never there", "--ttl", "1m")
    assert (gone.status, gone.err) == (
        Exit.ABSENT,
        "tlru: nothing is kept under 'never there'\n",
    )
    assert node.run("touch", "--json", "never there", "--ttl", "1m").json["found"] is False


def test_a_condition_that_is_not_met_changes_nothing_and_says_why(node: RunningNode) -> None:
    missing = node.run("set", "--if", "present", "cond", "x")
    assert (missing.status, missing.err) == (
        Exit.NOT_APPLIED,
        "tlru: 'cond' was left as it is: --if present is not met, since nothing is kept there\n",
    )
    version = node.run("set", "--json", "--if", "absent", "cond", "first").json["version"]
    again = node.run("set", "--json", "--if", "absent", "cond", "second")
    assert (again.status, again.json["applied"]) == (Exit.NOT_APPLIED, False)
    assert (again.json["current"]["value"], again.json["current"]["version"]) == ("first", version)
    assert node.run("set", "--if", str(version), "cond", "third").status == Exit.OK
    stale = node.run("set", "--if", str(version), "cond", "fourth")
    assert stale.status == Exit.NOT_APPLIED
    assert f"--if {version} is not met, since version " in stale.err
    assert node.run("get", "cond").out == "third\n"


def test_an_older_revision_is_not_written_over_a_newer_one(node: RunningNode) -> None:
    assert node.run("set", "--rev", "9", "rev", "new").status == Exit.OK
    older = node.run("set", "--rev", "8", "rev", "old")
    assert older.status == Exit.NOT_APPLIED
    assert older.err.endswith(", of revision 9\n")
    assert node.run("get", "rev").out == "new\n"


def test_numbers_are_counted(node: RunningNode) -> None:
    assert node.run("incr", "count").out == "1\n"
    assert node.run("incr", "count", "--by", "-11", "--ttl", "1m").out == "-10\n"
    assert node.run("incr", "--json", "count", "--by", "5").json == {"key": "count", "value": -5}
    assert "ttl" not in node.run("get", "--json", "count").json
    assert node.run("incr", "lived", "--ttl", "1h").out == "1\n"
    assert node.run("get", "--json", "lived").json["ttl"] > 3_000


def test_what_is_no_number_cannot_be_counted(node: RunningNode) -> None:
    node.run("set", "word", "seven")
    refused = node.run("incr", "word")
    assert (refused.status, refused.out) == (Exit.REFUSED, "")
    assert refused.err.startswith("tlru: ")
    assert refused.err.count("\n") == 1
    as_json = node.run("incr", "--json", "word")
    assert (as_json.error["code"], as_json.error["retry"]) == ("not_integer", "no")


def test_deleting_tells_how_many_were_there(node: RunningNode) -> None:
    for name in ("a", "b"):
        node.run("set", f"del:{name}", name)
    assert node.run("delete", "del:a", "del:b", "del:c", "del:a").out == "2\n"
    none = node.run("delete", "del:a")
    assert (none.status, none.out) == (Exit.ABSENT, "0\n")
    assert node.run("delete", "--json", "del:a").json == {"keys": ["del:a"], "deleted": 0}


def test_keys_are_listed_in_the_order_of_their_bytes(node: RunningNode) -> None:
    for key in ("é", "b", "a b", "B", "🎉"):
        node.run("set", f"order:{key}", key)
    listed = ["order:B", "order:a b", "order:b", "order:é", "order:🎉"]
    assert node.run("scan", "order:").out.splitlines() == listed
    assert node.run("scan", "order:", "--limit", "2").out.splitlines() == listed[:2]
    assert node.run("scan", "order:b", "--values").out == "order:b\tb\n"
    rows = node.run("scan", "order:", "--values", "--json", "--limit", "2").out.splitlines()
    assert len(rows) == 2
    assert rows[0].startswith('{"key":"order:B","value":"B","version":')
    assert node.run("scan", "order:nothing").out == ""
    assert node.run("scan", "order:", "--json", "--limit", "1").json == {"key": "order:B"}


def test_more_keys_than_a_page_are_listed_whole(node: RunningNode) -> None:
    keys = [f"page:{number:05}" for number in range(2_345)]
    lines = [f'{{"op":"set","id":{n},"key":"{key}","value":1}}' for n, key in enumerate(keys)]
    _send(node, lines)
    assert node.run("scan", "page:").out.splitlines() == keys
    assert len(node.run("scan", "page:", "--limit", "1500").out.splitlines()) == 1_500


def test_a_reader_that_goes_away_ends_a_scan_quietly(node: RunningNode) -> None:
    _send(
        node,
        [f'{{"op":"set","id":{n},"key":"pipe:{n}","value":"{"x" * 90}"}}' for n in range(2_000)],
    )
    scan = subprocess.Popen(
        [*TLRU, "scan", "--values", "--server", node.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert scan.stdout is not None
    assert scan.stderr is not None
    with scan:
        scan.stdout.readline()
        scan.stdout.close()
        assert scan.stderr.read() == b""
        assert scan.wait(PATIENCE_S) == Exit.CLOSED_PIPE


def test_caches_are_apart(node: RunningNode) -> None:
    node.run("set", "--cache", "other", "apart", "there")
    assert node.run("get", "apart").status == Exit.ABSENT
    assert node.run("get", "--cache", "other", "apart").out == "there\n"
    assert node.run("get", "apart", TLRU_CACHE="other").out == "there\n"
    unknown = node.run("get", "--cache", "third", "apart", "--timeout", "1s")
    assert unknown.status in (Exit.REFUSED, Exit.UNAVAILABLE)
    assert "third" in unknown.err or "no answer within" in unknown.err


def test_a_server_may_be_written_in_many_ways(node: RunningNode) -> None:
    node.run("set", "written", "ok")
    host = node.http.removeprefix("http://")
    for server in (host, f"ws://{host}", node.http, node.url, f"127.0.0.1:1,{host}"):
        assert tlru("get", "--server", server, "written").out == "ok\n"
    two = tlru("get", "--server", "127.0.0.1:1", "--server", host, "written")
    assert (two.out, two.err) == ("ok\n", "")
    spaced = tlru("get", "written", env={"TLRU_SERVER": f"127.0.0.1:1 {host}"})
    assert spaced.out == "ok\n"


def test_a_file_of_servers_says_whom_to_ask_and_is_kept(node: RunningNode, tmp_path: Path) -> None:
    """By the same name as flag, in the environment and for `connect`."""
    node.run("set", "filed", "ok")
    file = tmp_path / "servers.json"
    file.write_text(json.dumps([node.url.replace("127.0.0.1", "localhost")]))
    ran = tlru("get", "--servers-file", str(file), "--region", "eu", "filed")
    assert (ran.out, ran.err) == ("ok\n", "")
    assert json.loads(file.read_text())[1]["url"] == node.url
    assert tlru("status", env={"TLRU_SERVERS_FILE": str(file)}).status == Exit.OK

    file.write_text("[")
    named = tlru("get", "--server", node.url, "--servers-file", str(file), "filed")
    assert named.out == "ok\n"
    alone = tlru("get", "--servers-file", str(file), "filed")
    assert (alone.status, alone.out) == (Exit.UNAVAILABLE, "")
    assert alone.err.count("\n") == 1
    assert f"the file of servers {file} is damaged" in alone.err


def _send(node: RunningNode, lines: list[str]) -> None:
    """Many requests at once, over a connection of the test's own."""
    from websockets.sync.client import connect

    with connect(node.url, subprotocols=["tlru.v1.json"], max_size=None) as socket:  # type: ignore[list-item]  # a NewType of str
        for start in range(0, len(lines), 1_000):
            part = lines[start : start + 1_000]
            socket.send("\n".join(part))
            answered = 0
            while answered < len(part):
                replies = str(socket.recv(PATIENCE_S)).split("\n")
                assert all('"ok":true' in reply for reply in replies), replies[:3]
                answered += len(replies)
