"""What a node's process writes: every line says which node, and an audit file can be rotated."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.cli.commands import PATIENCE_S, RunningNode, serving


def until(holds: Callable[[], object]) -> None:
    """Look again and again, until another process has done something."""
    late = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < late
        time.sleep(0.02)


def ask(node: RunningNode, method: str, path: str, body: str = "") -> int:
    place = node.http.removeprefix("http://").rstrip("/")
    connection = HTTPConnection(place, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_an_audit_file_is_opened_again_at_sighup_which_is_audited_too(tmp_path: Path) -> None:
    file, old = tmp_path / "audit.jsonl", tmp_path / "audit.1"
    flags = ("--id", "n7", "--audit-file", str(file), "--log-format", "json")
    with serving(*flags) as node:
        assert ask(node, "PATCH", "/v1/settings", '{"max_entries": 9}') == 200
        file.rename(old)
        node.process.send_signal(signal.SIGHUP)
        until(lambda: lines(file))
        assert ask(node, "POST", "/v1/nodes/n7/lead") == 200
        ended = node.end()
    assert [(one["who"], one["action"]) for one in lines(old)] == [("anybody", "settings")]
    assert [(one["who"], one["action"], one["outcome"]) for one in lines(file)] == [
        ("SIGHUP", "reload", "ok"),
        ("anybody", "lead", "ok"),
    ]
    said = [json.loads(line) for line in ended.err.splitlines()]
    assert {one["node"] for one in said} == {"n7"}
    admin = [one for one in said if one["logger"] == "tlru.audit"]
    assert [one["action"] for one in admin] == ["settings", "reload", "lead"]
    assert all(one["term"] >= 0 for one in admin)
    assert [one.get("request") for one in admin] == ["http-1", None, "http-2"]
