"""A leaderboard: many games add to the scores of many players, and everybody sees who is ahead.

tlru demo                                                      (a cluster, in one terminal)
python examples/leaderboard.py [ws://127.0.0.1:8400] ...       (this, in another)

`incr` adds to what is there, whoever else adds at the same moment, and bears a name: it counts
once, also where a node dies before it has answered. The board is a mirror: reading it asks nobody.
"""

import asyncio
import heapq
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import tlru

PLAYERS = ("ann", "bob", "cat", "dan", "eve")
SHOWN = 3
LIFE_S = 7 * 24 * 3600  # a board of this week: a score goes a week after its first point


async def play(scores: tlru.Cache[Any], rounds: int, chance: random.Random) -> dict[str, int]:
    """One game: whoever wins a round is given points. What this game has given to each."""
    given = dict.fromkeys(PLAYERS, 0)
    for _ in range(rounds):
        winner, points = chance.choice(PLAYERS), chance.randint(1, 10)
        await scores.incr(winner, points, ttl=LIFE_S)
        given[winner] += points
    return given


def leaders(board: Mapping[str, int]) -> str:
    """The best, from memory."""
    best = heapq.nlargest(SHOWN, board.items(), key=lambda each: (each[1], each[0]))
    return ", ".join(f"{player} {score}" for player, score in best)


async def main(servers: Sequence[str]) -> None:
    """Play several games at once, and show the board as it changes."""
    async with tlru.connect(*servers, timeout=10) as cache:
        scores = cache.at("score:")
        async with await scores.mirror() as board:
            before = board.copy()
            shown = ""

            def show(_: object) -> None:
                nonlocal shown
                now = leaders(board)
                if now != shown:
                    shown = now
                    print(shown)

            board.on_change(show)
            games = [play(scores, 20, random.Random(number)) for number in range(5)]
            added = await asyncio.gather(*games)
            # Who writes sees it in its own mirror: a call ends when that has come.
            for player in PLAYERS:
                points = sum(game[player] for game in added)
                print(f"{player} had {before.get(player, 0)}, won {points}: {board[player]}")


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:] or ["ws://127.0.0.1:8400"]))
    except tlru.TlruError as error:
        sys.exit(f"leaderboard: {error}")
