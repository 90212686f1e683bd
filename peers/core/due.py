"""When a replica is to be asked what is due: what its shell goes by between one call and the next.

Pure. It decides nothing about the log; asked too often, a replica has nothing to do, and asked too
late, somebody waits.
"""

from __future__ import annotations

from peers.core.replica import Replica
from peers.core.replication import Leading


def has_work(replica: Replica) -> bool:
    """Whether operations wait to be put in order, or forwarded, or to be told of."""
    leading, commit = replica.leading, replica.state.commit
    if leading is None:
        return replica.forwarding.waiting > 0
    if leading.has_gathered:
        return True
    for follower in leading.followers.values():
        if follower.told < follower.waits_for and follower.told < commit:
            return True
    return False


def rests(replica: Replica, now: int) -> bool:
    """Whether nothing is due but by the time alone: it only follows a leader, or leads and has told
    everybody what cannot wait."""
    if not replica.calm or has_work(replica):
        return False
    leading = replica.leading
    return leading is None or (_is_quiet(leading, now) and not replica.office.owes_origins)


def _is_quiet(leading: Leading, now: int) -> bool:
    """Whether a leader without work has sent all that its followers are to have."""
    if leading.transfer_to is not None or now >= leading.beat_at:
        return False
    last, commit = leading.state.log.last.index, leading.state.commit
    tells_soon = leading.has_news
    for node, follower in leading.followers.items():
        if follower.owed or (follower.next.index < last and node not in leading.spared):
            return False
        if follower.told < commit and not tells_soon:
            return False
    return True


def word_due_in(replica: Replica, now: int) -> int:
    """In how many milliseconds a leader's next word to its followers is due; 0 where none is."""
    return 0 if replica.leading is None else max(0, replica.leading.beat_at - now)


def gathers(replica: Replica, now: int) -> bool:
    """Whether something waits for more to go with, not for a leader: operations, or the word that
    some are committed. A tick is due within `GATHER_MS`."""
    if replica.leading is not None:
        return replica.leading.has_gathered or replica.leading.has_news
    return replica.following.in_touch(now) and replica.forwarding.gathers
