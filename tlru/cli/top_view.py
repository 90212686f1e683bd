"""What `tlru top` shows: members, totals and the hottest prefixes, in as much room as there is.

Decides what is left out where a terminal is small: columns by their weight, then rows at the end of
each table, which says how many. Draws nothing itself; facts go in, lines come out.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tlru.cli import say
from tlru.cli.status import _size, uptime
from tlru.cli.top_prefixes import Hot

Facts = dict[str, Any]  # Any: what nodes say of themselves

BARS: Final = "▁▂▃▄▅▆▇█"
SPARK: Final = 20  # looks in a sparkline
GAP: Final = 2
CELL_MAX: Final = 40
HOT_MIN: Final = 3  # rows that the prefixes keep, however many members there are
KEYS: Final = "q quit   p pause   s sort prefixes   n sort nodes"
RIGHT: Final = frozenset(
    ("term", "pos", "lag", "clock", "keys", "memory", "ops/s", "hits", "clients", "prio")
)
# The first of them go where there is too little room; what is not here always stays.
DROPPED: Final = ("release", "prio", "up", "links", "pos", "term", "region", "clock", "clients",
                  "memory", "hits", "lag", "role")  # fmt: skip


class NodeSort(enum.Enum):
    """By what the members are sorted."""

    ID = "id"
    OPS = "ops/s"
    LAG = "lag"
    CLIENTS = "clients"


class HotSort(enum.Enum):
    """By what the prefixes are sorted."""

    CHANGES = "changes"
    SETS = "sets"
    REMOVALS = "removals"
    PREFIX = "prefix"


@dataclass(slots=True)
class History:
    """The totals of the last looks."""

    ops: deque[float] = field(default_factory=lambda: deque(maxlen=SPARK))
    changes: deque[float] = field(default_factory=lambda: deque(maxlen=SPARK))
    keys: deque[float] = field(default_factory=lambda: deque(maxlen=SPARK))

    def add(self, nodes: Sequence[Facts], hot: Sequence[Hot]) -> None:
        """One more look."""
        self.ops.append(sum(_rate(each, "ops_per_s") for each in nodes))
        self.changes.append(sum(each.changes for each in hot))
        self.keys.append(float(_largest(nodes, "keys")))


@dataclass(slots=True)
class Seen:
    """All that a view is made of."""

    cache: str
    changed: Callable[[], None]
    told: Facts = field(default_factory=dict)
    hot: list[Hot] = field(default_factory=list)
    share: float = 1.0
    unwatched: str = ""
    """Why changes are not counted."""
    history: History = field(default_factory=History)
    server: str | None = None
    problem: str = ""
    age_s: float = 0.0
    clock: str = ""
    paused: bool = False
    node_sort: NodeSort = NodeSort.ID
    hot_sort: HotSort = HotSort.CHANGES

    @property
    def nodes(self) -> list[Facts]:
        """The members, in the order that was asked for."""
        nodes = sorted(self.told.get("nodes") or (), key=lambda each: str(each["id"]))
        match self.node_sort:
            case NodeSort.OPS:
                nodes.sort(key=lambda each: -_rate(each, "ops_per_s"))
            case NodeSort.LAG:
                nodes.sort(key=lambda each: -int(each.get("lag") or 0))
            case NodeSort.CLIENTS:
                nodes.sort(key=lambda each: -int(each.get("connections") or 0))
        return nodes


def page(seen: Seen, width: int, height: int | None = None, keys: str = "") -> list[Text]:
    """The lines of the view; `height`: no more than so many. `keys`: what the last line says."""
    top = [*_head(seen, width), Text(), *_totals(seen, width), Text()]
    room = None if height is None else max(0, height - len(top) - bool(keys))
    members = _table(*_members(seen), width)
    if room is not None:
        members = _cut(members, max(2, room - HOT_MIN - 2), "nodes")
    hot = [Text(), *_hot(seen, width)]
    if room is not None:
        hot = _cut(hot, room - len(members), "prefixes")
    lines = [*top, *members, *hot]
    if height is not None:
        lines = lines[: height - bool(keys)]
        lines += [Text()] * (height - bool(keys) - len(lines))
    if keys:
        lines.append(Text(_fitted(keys, width), style="dim"))
    return lines


def _head(seen: Seen, width: int) -> list[Text]:
    told = seen.told
    leader = told.get("leader")
    leads = f"{leader} leads in term {told.get('term')}" if leader else "nobody leads"
    words = [f"tlru top: cache {seen.cache}", leads, str(seen.server or ""), seen.clock]
    line = Text(_fitted("   ".join(one for one in words if one), width), style="bold")
    if seen.problem:
        age = f"{seen.age_s:.0f} s old: " if told and seen.age_s >= 1 else ""
        return [line, Text(_fitted(age + seen.problem, width), style="bold red")]
    alarms = [f"{each['id']}: {one}" for each in seen.nodes for one in each.get("alarms") or ()]
    if alarms:
        return [line, Text(_fitted("; ".join(alarms), width), style="yellow")]
    return [line, Text("paused: p goes on" if seen.paused else "", style="reverse")]


def _totals(seen: Seen, width: int) -> list[Text]:
    nodes = seen.nodes
    past = seen.history
    serving = sum(each.get("status") == "active" for each in nodes)
    left = [
        ("ops/s", f"{sum(_rate(each, 'ops_per_s') for each in nodes):,.0f}", past.ops),
        ("changes/s", f"{sum(each.changes for each in seen.hot):,.1f}", past.changes),
        ("keys", f"{_largest(nodes, 'keys'):,}", past.keys),
    ]
    right = [
        ("nodes", f"{serving} of {len(nodes)} serve"),
        ("hits", _hits(nodes)),
        ("memory", _memory(nodes)),
    ]
    lines = []
    for (name, value, values), (other, its) in zip(left, right, strict=True):
        line = Text()
        line.append(f"{name:<10}", style="dim").append(f"{value:>11}  ")
        line.append(f"{spark(values):<{SPARK}}", style="cyan")
        line.append(f"   {other:<8}", style="dim").append(its)
        line.truncate(width)
        lines.append(line)
    return lines


def _members(seen: Seen) -> tuple[list[str], list[list[tuple[str, str]]]]:
    """The head, and for each member its cells, each with its style."""
    columns = ["id", "region", "role", "prio", "status", "term", "pos", "lag", "clock", "keys",
               "memory", "ops/s", "hits", "clients", "up", "release", "links"]  # fmt: skip
    rows = [[_cell(each, name, seen.told.get("leader")) for name in columns] for each in seen.nodes]
    told = [
        at
        for at, name in enumerate(columns)
        if name not in DROPPED or any(row[at][0] for row in rows)
    ]  # what nobody has is no column
    return [columns[at] for at in told], [[row[at] for at in told] for row in rows]


def _cell(facts: Facts, name: str, leader: Any) -> tuple[str, str]:
    here = facts.get("status") not in ("silent", "unknown")
    match name:
        case "id":
            return str(facts["id"]), "bold"
        case "role":
            leads = facts["id"] == leader
            return ("leads", "bold green") if leads else (str(facts.get("role", "")), "")
        case "status":
            return _status(facts)
        case "prio":
            return str(facts.get("priority", "")), ""
        case "region":
            return str(facts.get("region") or ""), ""
        case "links":
            return _links(facts), ""
    if not here:
        return "", ""
    match name:
        case "term" | "pos" | "keys":
            return f"{facts.get(name, 0):,}", ""
        case "lag":
            lag = int(facts.get("lag") or 0)
            return f"{lag:,}", "yellow" if lag else ""
        case "clock":
            return f"{facts.get('clock_error_ms') or 0:g}ms", ""
        case "memory":
            return _size(facts.get("bytes")), ""
        case "ops/s":
            return f"{_rate(facts, 'ops_per_s'):,.0f}", ""
        case "hits":
            ratio = (facts.get("rates") or {}).get("hit_ratio")
            return ("" if ratio is None else f"{ratio:.0%}"), ""
        case "clients":
            return f"{facts.get('connections', 0):,}", ""
        case "up":
            return uptime(facts), ""
        case _:
            return str(facts.get(name) or ""), ""


def _status(facts: Facts) -> tuple[str, str]:
    status = str(facts.get("status", ""))
    if status == "silent":
        silent_s = facts.get("silent_s")
        since = "" if silent_s is None else f" {uptime({'uptime_s': silent_s})}"
        return f"silent{since}", "bold red"
    return status, "green" if status == "active" else "yellow"


def _links(facts: Facts) -> str:
    """The round trip to each of the others, in ms; or how the link is."""
    return ", ".join(
        f"{link['to']} {link['round_trip_ms']:.1f}"
        if link.get("state") == "connected" and link.get("round_trip_ms") is not None
        else f"{link['to']} {link.get('state')}"
        for link in facts.get("links") or ()
    )


def _hot(seen: Seen, width: int) -> list[Text]:
    keys = {
        HotSort.CHANGES: lambda hot: -hot.changes,
        HotSort.SETS: lambda hot: -hot.sets,
        HotSort.REMOVALS: lambda hot: -hot.removals,
        HotSort.PREFIX: lambda hot: hot.prefix,
    }
    rows = [
        [
            (hot.prefix, ""),
            (f"{hot.changes:,.1f}", ""),
            (f"{hot.sets:,.1f}", ""),
            (f"{hot.removals:,.1f}", ""),
        ]
        for hot in sorted(seen.hot, key=keys[seen.hot_sort])
    ]
    sampled = "" if seen.share > 0.99 else f"; sampled, {seen.share:.0%} of the time"
    title = f"changes of keys in the last seconds, by {seen.hot_sort.value}{sampled}"
    if seen.unwatched:
        return [Text(_fitted(f"changes are not counted: {seen.unwatched}", width), style="yellow")]
    head = ["prefix", "changes/s", "sets/s", "removals/s"]
    return [Text(_fitted(title, width), style="dim"), *_table(head, rows, width)]


def _table(head: list[str], rows: list[list[tuple[str, str]]], width: int) -> list[Text]:
    """Lines in columns; those that count least go until the rest fits."""
    rows = [[(_short(text), style) for text, style in row] for row in rows]
    widths = [
        max([cell_len(name), *(cell_len(row[at][0]) for row in rows)])
        for at, name in enumerate(head)
    ]
    shown = list(range(len(head)))
    for name in DROPPED:
        if sum(widths[at] + GAP for at in shown) - GAP <= width:
            break
        shown = [at for at in shown if head[at] != name]
    lines = []
    for row in [[(name, "bold") for name in head], *rows]:
        line = Text()
        for at in shown:
            text, style = row[at]
            room = " " * (widths[at] - cell_len(text))
            right = head[at] in RIGHT or head[at].endswith("/s")
            line.append((room if right else "") + text, style=style)
            line.append(("" if right else room) + " " * GAP)
        line.rstrip()
        line.truncate(width)
        lines.append(line)
    return lines


def _cut(lines: list[Text], most: int, what: str) -> list[Text]:
    if len(lines) <= most:
        return lines
    most = max(1, most)
    return [*lines[: most - 1], Text(f"... and {len(lines) - most + 1} {what} more", style="dim")]


def spark(values: Sequence[float]) -> str:
    """Bars of the values, the highest of which is full."""
    most = max(values, default=0.0)
    if most <= 0:
        return BARS[0] * len(values)
    return "".join(BARS[round(value / most * (len(BARS) - 1))] for value in values)


def _short(text: str) -> str:
    return _fitted(say.one_line(text), CELL_MAX)


def _fitted(text: str, width: int) -> str:
    text = say.one_line(text)
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"


def _rate(facts: Facts, name: str) -> float:
    return float((facts.get("rates") or {}).get(name) or 0.0)


def _largest(nodes: Sequence[Facts], name: str) -> int:
    """Every member holds everything; one that is behind holds less."""
    return max((int(each.get(name) or 0) for each in nodes), default=0)


def _hits(nodes: Sequence[Facts]) -> str:
    """Over all of them, weighed by what they do."""
    told = [each for each in nodes if (each.get("rates") or {}).get("hit_ratio") is not None]
    weight = sum(_rate(each, "ops_per_s") for each in told)
    if not weight:
        return "no reads"
    return f"{sum(_rate(e, 'ops_per_s') * e['rates']['hit_ratio'] for e in told) / weight:.1%}"


def _memory(nodes: Sequence[Facts]) -> str:
    most = _largest(nodes, "max_bytes")
    return _size(_largest(nodes, "bytes")) + (f" of {_size(most)}" if most else "")
