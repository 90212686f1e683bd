"""A web service in front of a slow source, with a shared cache between them.

python examples/web_service.py [ws://127.0.0.1:8400]      then: curl localhost:8080/users/7

However many requests for one user arrive at however many processes, the source is asked once; a
value that was changed meanwhile is never overwritten by an older load; and while the cache is away,
requests are served from the source.
"""

import asyncio
import sys
from typing import Any

from aiohttp import web

import tlru

LOADS = web.AppKey("loads", list[str])
USERS = web.AppKey("users", tlru.Cache[Any])


async def load_from_database(app: web.Application, user: str) -> dict[str, str]:
    """What takes long."""
    await asyncio.sleep(0.05)
    app[LOADS].append(user)
    return {"id": user, "name": f"User {user}"}


async def show_user(request: web.Request) -> web.Response:
    """One user, from the cache or else from the database."""
    user = request.match_info["user"]

    async def load() -> dict[str, str]:
        return await load_from_database(request.app, user)

    return web.json_response(await request.app[USERS].get_or_set(user, load))


async def change_user(request: web.Request) -> web.Response:
    """The database has changed: what the cache holds is no longer true."""
    await request.app[USERS].delete(request.match_info["user"])
    return web.Response(status=204)


def make_app(url: str) -> web.Application:
    """The service, with the cache at `url`."""
    app = web.Application()
    cache = tlru.connect(url, timeout=1)
    app[LOADS] = []
    app[USERS] = cache.at("user:", ttl=300)
    app.router.add_get("/users/{user}", show_user)
    app.router.add_delete("/users/{user}", change_user)

    async def close(_: web.Application) -> None:
        await cache.close()

    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    web.run_app(
        make_app(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8400"),
        host="127.0.0.1",
        port=8080,
    )
