"""Feature flags: a service that knows every flag at the speed of memory, and how far to trust that.

tlru demo                                             (a cluster, in one terminal)
python examples/flags.py [--port 8080] [ws://...]     (this, in another)

    curl localhost:8080/flags/new-checkout?user=7
    tlru set --type int flag:new-checkout 25      (a quarter of the users, in every process)
    curl localhost:8080/flags

A flag is a percentage of users. The service mirrors the keys `flag:*`. While the mirror is not
coherent (the cluster is away), flags stay as they were last, and every answer says so; before it
was ever filled, the defaults below hold. No request waits for the cluster, and none fails by it.
"""

import argparse
import asyncio
import contextlib
import logging
import zlib
from collections.abc import AsyncIterator

from aiohttp import web

import tlru

DEFAULTS = {"new-checkout": 0, "dark-mode": 100}
FILLED_WITHIN_S = 10.0
AGAIN_S = 1.0

logger = logging.getLogger("flags")


class Flags:
    """What is on, for whom."""

    def __init__(self) -> None:
        self.mirror: tlru.Mirror[int] | None = None  # there is one once it has been filled

    async def keep_up(self, cache: tlru.Cache[int]) -> None:
        """Fill the mirror, however long the cluster is away. From then on it keeps itself up."""
        while self.mirror is None:
            try:
                self.mirror = await cache.mirror(stale="serve", timeout=FILLED_WITHIN_S)
            except (tlru.Timeout, tlru.Unavailable) as error:
                logger.warning("the defaults hold: %s", error)
                await asyncio.sleep(AGAIN_S)

    def percentage(self, flag: str) -> int:
        """Of how many users in a hundred a flag is on."""
        default = DEFAULTS.get(flag, 0)
        try:
            return default if self.mirror is None else self.mirror.get(flag, default)
        except tlru.BadValue as error:
            logger.warning("the default holds: %s", error)
            return default

    def known(self) -> dict[str, int]:
        """All flags."""
        return {flag: self.percentage(flag) for flag in sorted({*DEFAULTS, *(self.mirror or ())})}

    def trusted(self) -> str:
        """How far to trust what is known."""
        if self.mirror is None:
            return "defaults"
        return "current" if self.mirror.coherent else "as last known"

    def is_on(self, flag: str, user: str) -> bool:
        """The same for one user everywhere, whichever process is asked."""
        return zlib.crc32(f"{flag}/{user}".encode()) % 100 < self.percentage(flag)


FLAGS = web.AppKey("flags", Flags)


async def show_one(request: web.Request) -> web.Response:
    """Whether a flag is on for a user."""
    flags, name = request.app[FLAGS], request.match_info["name"]
    on = flags.is_on(name, request.query.get("user", ""))
    return web.json_response({"flag": name, "on": on, "trusted": flags.trusted()})


async def show_all(request: web.Request) -> web.Response:
    """All flags."""
    flags = request.app[FLAGS]
    return web.json_response({"flags": flags.known(), "trusted": flags.trusted()})


def make_app(servers: list[str]) -> web.Application:
    """The service, with the cluster at `servers`."""
    app = web.Application()
    app[FLAGS] = Flags()
    app.router.add_get("/flags", show_all)
    app.router.add_get("/flags/{name}", show_one)

    async def connected(app: web.Application) -> AsyncIterator[None]:
        async with tlru.connect(*servers) as cache:
            filling = asyncio.create_task(
                app[FLAGS].keep_up(cache.at("flag:", serializer=tlru.typed(int)))
            )
            yield
            filling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await filling

    app.cleanup_ctx.append(connected)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("servers", nargs="*", default=["ws://127.0.0.1:8400"])
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    web.run_app(make_app(given.servers), host="127.0.0.1", port=given.port)
