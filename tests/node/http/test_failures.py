"""What is answered and logged when something fails that nobody foresaw, and what a log may say."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.node.http.visiting import exchange, get, parse, put, request, until, visit
from tests.running import a_node, run
from tlru import errors
from tlru.node.http import problems
from tlru.node.http.answers import Answer


def _fails(*_: Any) -> None:
    raise RuntimeError("a defect of ours")


def test_a_defect_is_500_in_our_own_words_and_logged_with_its_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            with monkeypatch.context() as broken:
                broken.setattr(node.services["default"], "handle", _fails)
                failed = await get(node, "a")
                assert (failed.status, failed.code) == (500, "internal")
                assert "defect" not in failed.json["detail"]
                assert failed.json["retry"] == "unknown"
            assert node.rates.errors["internal"] == 1
            assert (await put(node, "a", 1)).status == 201

    run(scenario())
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert "a defect of ours" in str(record.exc_info[1])


def test_a_defect_in_one_operation_leaves_the_rest_of_a_batch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            monkeypatch.setattr("tlru.node.cluster.members.Members.told", _fails)
            told = await visit(node, "POST", "/v1/batch", json=[{"op": "nodes"}, {"op": "ping"}])
            failed, pong = told.json
            assert failed["error"]["code"] == "internal"
            assert pong["ok"] is True

    run(scenario())
    assert "nobody foresaw" in caplog.text


def test_a_defect_in_the_answer_itself_is_500_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = Answer.to_aiohttp
    times = iter([True])

    def broken(answer: Answer, *more: Any) -> Any:
        if next(times, False):
            _fails()
        return good(answer, *more)

    async def scenario() -> None:
        async with a_node() as node:
            monkeypatch.setattr(Answer, "to_aiohttp", broken)
            failed = parse(await exchange(node, request("GET", "/health/live")), "GET")
            assert (failed.status, failed.code) == (500, "internal")
            assert node.rates.http["unread", "5xx"] == 1

    run(scenario())
    assert "nobody foresaw" in caplog.text


def test_an_error_with_a_time_to_wait_says_so_in_retry_after() -> None:
    for after, told in ((0.1, "1"), (2.3, "3"), (60, "60")):
        answer = problems.problem(errors.RateLimited("too fast", after=after, limit="writes"))
        assert answer.status == 429
        assert answer.headers["Retry-After"] == told
        assert not answer.close


def test_half_a_surrogate_pair_in_an_error_does_not_keep_it_from_being_told() -> None:
    answer = problems.problem(errors.BadRequest("not \udcff"))
    assert b'"detail":"not \\\\udcff"' in answer.body


def test_a_log_line_names_the_route_and_never_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tlru.node.http")

    async def scenario() -> None:
        async with a_node() as node:
            await visit(node, "PUT", "/v1/keys/secret-key?ttl=60", json="secret value")
            await exchange(node, b"nonsense\r\n\r\n")

    run(scenario())
    lines = [each for each in caplog.records if each.message == "http request"]
    facts = [(vars(each)["method"], vars(each)["route"], vars(each)["status"]) for each in lines]
    assert facts == [("PUT", "/v1/keys/{key}", 201), ("?", "unread", 400)]
    assert not [each for each in caplog.records if "secret" in str(vars(each))]


def test_a_body_that_breaks_its_framing_on_the_way_is_kept_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiohttp's two parsers differ: one tells at once, with the other no more of the body comes."""
    monkeypatch.setattr("tlru.node.http.request.BODY_WITHIN_S", 0.1)

    async def scenario() -> None:
        async with a_node() as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            head = request("PUT", "/v1/keys/a", headers={"Transfer-Encoding": "chunked"})
            writer.write(head + b"2\r\nab\r\n")
            await until(lambda: node.http.connections)
            writer.write(b"nonsense\r\n")
            refused = parse(await reader.read(), "PUT")
            writer.close()
            assert (refused.status, refused.code) in ((400, "bad_request"), (408, "timeout"))
            assert (await get(node, "a")).status == 404

    run(scenario())
