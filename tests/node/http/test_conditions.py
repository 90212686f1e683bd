"""`If-Match` and `If-None-Match`: what is demanded of an item, and what is told where it fails."""

from __future__ import annotations

from typing import Any

import pytest

from tests.node.http.visiting import get, put, visit
from tests.running import a_node, run


def test_if_none_match_star_puts_only_where_nothing_is() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            only = {"If-None-Match": "*"}
            first = await visit(node, "PUT", "/v1/keys/a", json=1, headers=only)
            second = await visit(node, "PUT", "/v1/keys/a", json=2, headers=only)
            assert first.status == 201
            assert second.status == 412
            assert second.code == "not_applied"
            assert second.headers["etag"] == first.headers["etag"]
            assert second.json["version"] == first.json["version"]
            assert (await get(node, "a")).json == 1

    run(scenario())


def test_if_match_puts_only_over_that_very_version() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            first = await put(node, "a", 1)
            held = {"If-Match": first.headers["etag"]}
            second = await visit(node, "PUT", "/v1/keys/a", json=2, headers=held)
            third = await visit(node, "PUT", "/v1/keys/a", json=3, headers=held)
            assert second.status == 200
            assert third.status == 412
            assert third.headers["etag"] == second.headers["etag"]
            assert (await get(node, "a")).json == 2

    run(scenario())


def test_if_match_star_demands_that_something_is_there() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            any_item = {"If-Match": "*"}
            absent = await visit(node, "PUT", "/v1/keys/a", json=1, headers=any_item)
            assert absent.status == 412
            assert "etag" not in absent.headers
            await put(node, "a", 1)
            present = await visit(node, "PUT", "/v1/keys/a", json=2, headers=any_item)
            assert present.status == 200

    run(scenario())


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ('"7-00000000-3"', "wrong_epoch"),  # of another life
        ('"something"', "not_applied"),  # of somebody else
        ('W/"{epoch}-{version}"', "not_applied"),  # weak, and weak ones never match a write
        ('"{epoch}-99999999"', "not_applied"),
    ],
)
def test_an_etag_that_is_not_the_items_is_412_with_the_one_that_is(tag: str, code: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await put(node, "a", 1)
            epoch, version = node.services["default"].log.epoch, done.json["version"]
            held = {"If-Match": tag.format(epoch=epoch, version=version)}
            for method, sent in (("PUT", b"2"), ("DELETE", b"")):
                refused = await visit(node, method, "/v1/keys/a", body=sent, headers=held)
                assert refused.status == 412
                assert refused.code == code
                assert refused.headers["etag"] == done.headers["etag"]
            assert (await get(node, "a")).json == 1

    run(scenario())


def test_one_of_several_tags_may_be_the_one_of_this_life() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await put(node, "a", 1)
            held = {"If-Match": f'"7-00000000-3" , W/"x", {done.headers["etag"]},"y"'}
            assert (await visit(node, "PUT", "/v1/keys/a", json=2, headers=held)).status == 200

    run(scenario())


def test_a_delete_may_demand_a_version_too() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            first = await put(node, "a", 1)
            second = await put(node, "a", 2)
            stale = {"If-Match": first.headers["etag"]}
            refused = await visit(node, "DELETE", "/v1/keys/a", headers=stale)
            assert refused.status == 412
            assert refused.headers["etag"] == second.headers["etag"]
            held = {"If-Match": second.headers["etag"]}
            assert (await visit(node, "DELETE", "/v1/keys/a", headers=held)).json["deleted"] == 1

    run(scenario())


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", {"If-Match": "*", "If-None-Match": "*"}),
        ("PUT", {"If-None-Match": '"1-00000000-1"'}),
        ("PUT", {"If-Match": "no quotes"}),
        ("PUT", {"If-Match": ""}),
        ("PUT", {"If-Match": '"a" "b"'}),
        ("PUT", {"If-Match": ", ".join(f'"{n}"' for n in range(65))}),
        ("PUT", {"If-Match": '"{epoch}-1", "{epoch}-2"'}),
        ("DELETE", {"If-None-Match": "*"}),
        ("GET", {"If-Match": "oops"}),
        ("GET", {"If-None-Match": 'W"x"'}),
    ],
)
def test_a_condition_that_cannot_be_kept_is_refused(method: str, headers: Any) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            epoch = str(node.services["default"].log.epoch)
            told = {name: text.replace("{epoch}", epoch) for name, text in headers.items()}
            refused = await visit(node, method, "/v1/keys/a", body=b"1", headers=told)
            assert refused.status == 400
            assert refused.code == "bad_request"

    run(scenario())


def test_get_with_the_etag_one_has_is_304() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await put(node, "a", 1, ttl=50)
            tag = done.headers["etag"]
            for text in (tag, f"W/{tag}", f'"x", {tag}', "*"):
                same = await get(node, "a", If_None_Match=text)
                assert same.status == 304
                assert same.body == b""
                assert same.headers["etag"] == tag
                assert same.headers["cache-control"].startswith("max-age=")
                assert "tlru-position" in same.headers
            assert (await get(node, "a", If_None_Match='"x"')).status == 200
            assert (await get(node, "nothing", If_None_Match="*")).status == 404

    run(scenario())


def test_get_with_if_match_answers_that_version_or_412() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await put(node, "a", 1)
            assert (await get(node, "a", If_Match=done.headers["etag"])).status == 200
            assert (await get(node, "a", If_Match="*")).status == 200
            refused = await get(node, "a", If_Match='"x"')
            assert refused.status == 412
            assert refused.headers["etag"] == done.headers["etag"]
            assert (await get(node, "nothing", If_Match="*")).status == 412

    run(scenario())
