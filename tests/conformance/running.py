"""A node, and Schemathesis against what it says of itself in `/openapi.json`.

The node runs in this process, on a free port of loopback; Schemathesis in a thread of its own, over
HTTP like anybody. A request that changes what all the others go by is undone before the next.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext, Response, SerializationContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, events, from_schema

from tests.conformance.excuses import excuse
from tests.conformance.report import Finding, Report
from tlru.engine.settings import DEFAULTS
from tlru.node import Node
from tlru.node.http.snapshots import MEDIA_TYPE

REQUEST_WITHIN_S = 20
UNCHANGED = (400, 401, 403, 413)  # what such an answer is to has changed nothing

Told = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """How much is to be tried, and as whom."""

    examples: int
    seed: int  # the same seed, the same requests
    phases: tuple[str, ...] = ("examples", "coverage", "fuzzing", "stateful")
    token: str | None = None
    only: str | None = None
    """A path; nothing else is tried then."""

    def config(self, url: str) -> SchemathesisConfig:
        """The same as Schemathesis has it."""
        known = ("examples", "coverage", "fuzzing", "stateful")
        told: dict[str, Any] = {
            "seed": self.seed,
            "base-url": url,
            "continue-on-failure": True,
            "max-stream-events": 1,  # a stream of /v1/events ends with its listener
            "generation": {
                "max-examples": self.examples,
                "deterministic": False,  # the seed says it
                "no-shrink": True,
                "database": "none",
            },
            "phases": {name: {"enabled": name in self.phases} for name in known},
            "request-timeout": REQUEST_WITHIN_S,
            "output": {"sanitization": {"enabled": False}},
            "checks": {
                # To call a thing too large is to refuse it.
                "negative_data_rejection": {
                    "expected-statuses": [400, 401, 403, 404, 405, 409, 412, 413, 415, 429, 431]
                },
            },
        }
        if self.token is not None:
            told["headers"] = {"Authorization": f"Bearer {self.token}"}
        return SchemathesisConfig.from_dict(told)


async def check(node: Node, wish: Wish, told: Told = lambda line: None) -> Report:
    """Try all that a node describes; `told` hears how it goes on."""
    over = threading.Event()
    try:
        return await asyncio.to_thread(_check, f"http://127.0.0.1:{node.port}", wish, told, over)
    finally:
        over.set()  # a thread cannot be cancelled: it ends by itself, after its present scenario


def _check(url: str, wish: Wish, told: Told, over: threading.Event) -> Report:
    report = Report()
    document = requests.get(f"{url}/openapi.json", timeout=REQUEST_WITHIN_S).json()
    _teach_headers(document)
    if wish.only is not None:
        document["paths"] = {wish.only: document["paths"][wish.only]}
    schema = schemathesis.openapi.from_dict(document, config=wish.config(url))
    _restore_settings(schema, url, wish)
    _excuse(schema, report)
    stream = from_schema(schema).execute()
    for event in stream:
        if over.is_set():
            stream.stop()
        match event:
            case events.PhaseStarted():
                told(f"{event.phase.name.value} ...")
            case events.ScenarioFinished():
                _take(report, event)
                told(f"  {event.label or 'scenario'}: {report.cases:,} requests so far")
            case events.NonFatalError():
                report.find(Finding(event.label, event.info.title, event.info.message, ""))
            case events.FatalError():
                raise event.exception
            case _:
                pass
    return report


def _take(report: Report, event: events.ScenarioFinished) -> None:
    recorder = event.recorder
    for id, interaction in recorder.interactions.items():
        node = recorder.cases.get(id)
        row = report.row(node.value.operation.label if node else recorder.label)
        row.cases += 1
        answer = interaction.response
        row.answers["none" if answer is None else str(answer.status_code)[0]] += 1
    for id, checks in recorder.checks.items():
        operation = recorder.cases[id].value.operation.label
        for each in checks:
            report.checks[each.name] += 1
            if each.status is Status.FAILURE and each.failure_info is not None:
                found = each.failure_info
                answer = recorder.find_response(case_id=found.failure.case_id or id)
                said = ""
                if answer is not None:  # which may be any bytes
                    start = answer.content[:400].decode(errors="replace")
                    said = f"\n[{answer.status_code}] {start}"
                message = f"{found.failure.title}: {found.failure.message}{said}"
                report.find(Finding(operation, each.name, message, found.code_sample))


def _teach_headers(document: Any) -> None:
    """Schemathesis's phase of coverage makes headers of letters and digits alone, also where a
    pattern wants others; with a format that it has been taught it makes what fits."""
    for name, parameter in document["components"]["parameters"].items():
        pattern = parameter["schema"].get("pattern")
        if pattern is not None and parameter["in"] == "header":
            parameter["schema"]["format"] = name
            schemathesis.openapi.format(name, st.from_regex(pattern, fullmatch=True))


def _restore_settings(schema: Any, url: str, wish: Wish) -> None:
    """What all nodes go by is put back as soon as it was changed: under another bound of bytes
    every later write would be refused, and rightly."""
    headers = {} if wish.token is None else {"Authorization": f"Bearer {wish.token}"}

    def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
        about = (case.method.upper(), case.path)
        if about == ("PATCH", "/v1/settings") and response.status_code not in UNCHANGED:
            put_back = requests.patch(
                f"{url}/v1/settings", json=dict(DEFAULTS), headers=headers, timeout=REQUEST_WITHIN_S
            )
            assert put_back.status_code == 200, put_back.text

    schema.hook(after_call)


def _excuse(schema: Any, report: Report) -> None:
    def filter_failure(
        context: HookContext, failure: Failure, case: Case[Any], response: Response
    ) -> bool:
        reason = excuse(type(failure).__name__, case, response)
        if reason is not None:
            report.excused[reason] += 1
            report.row(case.operation.label).excused += 1
        return reason is None

    schema.hook(filter_failure)


@schemathesis.serializer(MEDIA_TYPE)
def _backup(context: SerializationContext, value: Any) -> bytes:
    """A body that is to be a backup is sent as the bytes that it is."""
    if isinstance(value, bytes):
        return value
    data = getattr(value, "data", None)  # bytes that a schema calls a string of a binary format
    return data if isinstance(data, bytes) else str(value).encode()
