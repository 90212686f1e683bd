"""A chat in the terminal; the page beside this file joins the same one.

tlru demo                                    (a cluster, in one terminal)
python examples/chat/chat.py --name ann      (this, in as many others as there are people)

What is typed is published to a channel, and everybody is told of it in the same order. Nobody
stores it: whoever comes in is told first what the nodes still retain. For the page:

tlru demo --cors-origins http://127.0.0.1:8001                   (instead of the demo above)
python -m http.server 8001 --bind 127.0.0.1 -d examples/chat     (then open http://127.0.0.1:8001)
"""

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Sequence
from typing import Any

import tlru

CHANNEL = "chat:lobby"
HISTORY = 5_000  # entries of the log to look back over, whatever they are about
PATIENCE_S = 10.0


def typed() -> asyncio.StreamReader:
    """What is typed (or comes through a pipe), without a thread that waits for one line more."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()
    lines = asyncio.StreamReader()

    def take() -> None:
        data = os.read(stdin, 4_096)
        if data:
            lines.feed_data(data)
        else:
            loop.remove_reader(stdin)
            lines.feed_eof()

    loop.add_reader(stdin, take)
    return lines


async def send(cache: tlru.Cache[Any], name: str) -> None:
    """Publish line after line, until there are no more."""
    lines = typed()
    while line := await lines.readline():
        if text := line.decode(errors="replace").strip():
            try:
                # Delivered once, through whichever nodes it takes: a publication bears a name.
                await cache.publish(CHANNEL, {"name": name, "text": text}, timeout=PATIENCE_S)
            except tlru.TlruError as error:
                sent = "perhaps sent" if error.retry == "unknown" else "not sent"
                print(f"! {sent}: {error}", file=sys.stderr)


async def listen(cache: tlru.Cache[Any], since: str) -> None:
    """Show what is said, from a position on."""
    async for change in cache.watch(f"#{CHANNEL}", since=since):
        match change:
            case tlru.Message(value={"name": str(name), "text": str(text)}):
                # Anybody may have written it, and a terminal obeys what is not printable.
                said = f"{name[:20]}: {text[:500]}"
                print("".join(filter(str.isprintable, said)), flush=True)
            case tlru.Reset():
                print("(what was said before is not retained any more)", flush=True)


async def main(servers: Sequence[str], name: str) -> None:
    """Listen and send, until the input ends."""
    async with tlru.connect(*servers) as cache:
        status = await cache.status(timeout=PATIENCE_S)
        since = f"{status['epoch']}-{max(0, status['pos'] - HISTORY)}"
        listening = asyncio.create_task(listen(cache, since))
        sending = asyncio.create_task(send(cache, name))
        done, _ = await asyncio.wait((listening, sending), return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        sending.cancel()
        for task in done:
            task.result()  # raises what has ended it


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("servers", nargs="*", default=["ws://127.0.0.1:8400"])
    parser.add_argument("--name", default=getpass.getuser())
    given = parser.parse_args()
    try:
        asyncio.run(main(given.servers, given.name))
    except KeyboardInterrupt:
        pass  # that is how it is ended
    except tlru.TlruError as error:
        sys.exit(f"chat: {error}")
