"""Reading as of now, at the node where the reader is: the leader is asked from which index on.

Pure. What the leader answers, and when, is decided in `replication.py`.
"""

from __future__ import annotations

from peers.core.messages import AskBarrier, BarrierAnswer, BarrierAsk
from peers.core.output import Barrier
from peers.core.state import State


class Reading:
    """The readers of this node that wait for an answer."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._asked: dict[int, int] = {}  # number -> when to give up

    def ask(self, ask: AskBarrier, now: int) -> None:
        """Ask the leader; without one there is no answer."""
        state = self.state
        if state.leader is None:
            self.refuse(ask)
            return
        self._asked[ask.number] = now + state.timing.election_timeout_ms
        state.draft.tell(state.leader, BarrierAsk(ask.number))

    def refuse(self, ask: AskBarrier) -> None:
        """Nobody can say."""
        self.state.draft.barriers.append(Barrier(ask.number, None, 0))

    def on_answer(self, answer: BarrierAnswer) -> None:
        """The leader has said."""
        if self._asked.pop(answer.number, None) is not None:
            barrier = Barrier(answer.number, answer.index, answer.time)
            self.state.draft.barriers.append(barrier)

    def give_up(self) -> None:
        """This node belongs no more, and nobody answers it: they are to ask elsewhere, at once."""
        for number in self._asked:
            self.state.draft.barriers.append(Barrier(number, None, 0))
        self._asked.clear()

    def tick(self, now: int) -> None:
        """Who has waited for long gets no answer."""
        for number in [n for n, until in self._asked.items() if now >= until]:
            del self._asked[number]
            self.state.draft.barriers.append(Barrier(number, None, 0))
