"""A web service that answers from its own memory, which the cluster keeps as it should be.

tlru demo                                                    (a cluster, in one terminal)
python examples/near_service.py [--port 8080] [ws://...]     (this, in another; and again with 8081)

    curl -X PUT -d 'Hello' localhost:8080/articles/1
    curl -i localhost:8081/articles/1          the header says from where it came: cluster, memory
    curl -X PUT -d 'Hello again' localhost:8080/articles/1
    curl -i localhost:8081/articles/1          the other process has heard of it

A near copy keeps what was read until it changes, on whichever node that happens. While the
connection is down the copy cannot be relied on, and is passed over (`stale="miss"`): then an
article is read from the cluster, or refused with 503. `stale="serve"` would go on from memory.
"""

import argparse
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler

import tlru

ARTICLES = web.AppKey("articles", tlru.Cache[str])
NEAR = web.AppKey("near", tlru.Near[str])
KNOWN_MAX = 10_000  # articles in the memory of a process; those not asked for go first
TEXT = tlru.typed(str)


async def show(request: web.Request) -> web.Response:
    """One article."""
    name, near = request.match_info["name"], request.app[NEAR]
    known = near.peek(name)  # never waits
    text = await near.get(name) if known is None else known
    if text is None:
        raise web.HTTPNotFound(text=f"there is no article {name!r}\n")
    return web.Response(text=text, headers={"From": "cluster" if known is None else "memory"})


async def change(request: web.Request) -> web.Response:
    """Write one. When this has answered, nobody is shown the old one by this process."""
    await request.app[ARTICLES].set(request.match_info["name"], await request.text())
    return web.Response(status=204)


@web.middleware
async def say_when_away(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An answer for whoever asks while the cluster does not."""
    try:
        return await handler(request)
    except tlru.TlruError as error:
        raise web.HTTPServiceUnavailable(text=f"{error}\n") from error


def make_app(servers: list[str]) -> web.Application:
    """The service, with the cluster at `servers`."""
    app = web.Application(middlewares=[say_when_away])
    app.router.add_get("/articles/{name}", show)
    app.router.add_put("/articles/{name}", change)

    async def connected(app: web.Application) -> AsyncIterator[None]:
        async with tlru.connect(*servers) as cache:
            app[ARTICLES] = cache.at("article:", serializer=TEXT)
            async with app[ARTICLES].near(KNOWN_MAX) as app[NEAR]:
                yield

    app.cleanup_ctx.append(connected)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("servers", nargs="*", default=["ws://127.0.0.1:8400"])
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    web.run_app(make_app(given.servers), host="127.0.0.1", port=given.port)
