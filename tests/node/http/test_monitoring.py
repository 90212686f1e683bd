"""The dashboard and the alerts of `config/`: they ask for what a node gives, and say what to do."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.node.http.visiting import visit
from tests.running import a_node, run

CONFIG = Path(__file__).parents[3] / "config"
ALERTS = CONFIG / "prometheus" / "alerts.yml"
ALERTS_TEST = CONFIG / "prometheus" / "alerts_test.yml"
DASHBOARD = CONFIG / "grafana" / "tlru.json"

NAME = re.compile(r"\b(?:tlru|process|python)_[a-z_]+\b")
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}


@pytest.fixture(scope="module")
def given() -> set[str]:
    """The names that samples of a running node can have."""

    async def scenario() -> set[str]:
        async with a_node() as node:
            told = await visit(node, "GET", "/metrics")
        return {
            f"{family.name}{suffix}"
            for family in text_string_to_metric_families(told.body.decode())
            for suffix in SUFFIXES.get(family.type, ("",))
        }

    return run(scenario())


def panels() -> Iterator[dict[str, Any]]:
    """All of the dashboard but the headings of its rows."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_dashboard_asks_only_for_what_a_node_gives(given: set[str]) -> None:
    asked = {name for text in expressions() for name in NAME.findall(text)}
    assert len(asked) > 30
    assert asked - given == set()
    variables = json.dumps(json.loads(DASHBOARD.read_text())["templating"])
    assert set(NAME.findall(variables)) <= given


def test_every_expression_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    """By Prometheus itself, once Grafana's variables stand for something."""
    rules = [
        {"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(expressions())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_the_dashboard_is_whole() -> None:
    board = json.loads(DASHBOARD.read_text())
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
    used = set(re.findall(r"\$(\w+)", " ".join(expressions())))
    assert used <= {*variables, "__rate_interval"}
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == [
        *("The cluster", "The nodes", "Latency at the nodes", "What the cache does"),
        *("Memory", "Feeds", "Replication"),
    ]


def test_alerts_ask_only_for_what_a_node_gives(given: set[str]) -> None:
    for file in (ALERTS, ALERTS_TEST):
        asked = set(NAME.findall(file.read_text()))
        bare = {re.sub("_(bucket|count|sum)$", "", name) for name in given}
        assert asked - given - bare == set(), file.name


def test_prometheus_takes_the_alerts_and_they_fire_when_they_should() -> None:
    done = promtool("check", "rules", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = promtool("test", "rules", ALERTS_TEST)
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_every_alert_says_what_to_do_by_commands_that_there_are() -> None:
    text = ALERTS.read_text()
    assert text.count("- alert:") == text.count("summary: >-") == text.count("severity: ")
    words = re.findall(r"`tlru ([a-z]+)(?: ([a-z]+))?`", " ".join(text.split()))
    assert len(words) > 3
    reference = (CONFIG.parent / "docs" / "cli.md").read_text()
    for command, of_it in words:
        name = f"tlru {command} {of_it}".strip()
        assert f"### {name}\n" in reference, name
