"""Questions that nodes ask each other beside the log: bytes there, bytes back.

For the layer above, which has to hear of another node what its log does not say, or wants something
done there. It decides who is answered, how many questions may be under way, and what is known when
no answer comes. What bytes mean it does not look at, and the core never sees them.

A question or an answer has the form of an envelope, with a code from `wire.BESIDE_FROM` on:
version, code, sender (id and birth), birth of whom it is for, number, a figure (the patience of who
asks in milliseconds; of an answer, which it is), the bytes, and the reason of a refusal. An older
release passes over it as a message of an unknown kind, and who asks it hears nothing.

Invariant: every `ask` ends, within its time: answered, refused (then nothing was done), or with
`UnknownOutcomeError`. A question is answered at most once, and carried out at most once.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import logging
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

from peers import wire
from peers.core.membership import NodeId
from peers.core.origin import Origin
from peers.core.output import Promise
from peers.core.replica import Replica
from peers.errors import RefusedError, UnknownOutcomeError, WireError
from peers.mesh.mesh import Mesh
from peers.mesh.status import Complaints
from peers.wire_fields import ID_CHARS_MAX, pack_plain, take_int, take_text, unpack_plain

logger = logging.getLogger(__name__)

ASKED_MAX: Final = 256  # questions of this node without an answer; beyond it `ask` refuses
ANSWERING_MAX: Final = 64  # questions of one node that are being answered; it is refused more
BODY_BYTES_MAX: Final = 1 << 20  # of a question, or an answer
PATIENCE_MS_MAX: Final = 120_000  # nobody is worked for longer

_PARTS: Final = 9  # as many as an envelope has: an older release counts them first

Handler = Callable[[NodeId, bytes, float], Awaitable[bytes]]
"""Answers a question of a member, within so many seconds. RefusedError where nothing was done."""


class _Code(enum.IntEnum):
    QUESTION = wire.BESIDE_FROM
    ANSWER = wire.BESIDE_FROM + 1


class _Kind(enum.IntEnum):
    ANSWERED = 0
    REFUSED = 1  # nothing was done, and nothing will be
    FAILED = 2  # who answers does not know either


class _Said(NamedTuple):
    """One question or answer."""

    code: int
    sender: Origin
    birth: str  # of whom it is for
    number: int
    figure: int
    body: bytes
    reason: str


class Asker(Protocol):
    """Whose questions these are."""

    replica: Replica | None
    promise: Promise
    mesh: Mesh

    @property
    def id(self) -> NodeId:
        """Which node it is."""


class Asking:
    """One node's questions, and its answers."""

    def __init__(self, node: Asker) -> None:
        self.handler: Handler | None = None  # of the layer above
        self._node = node
        # An answer to an earlier life of this node must not fit a question of this one.
        self._numbers = itertools.count(secrets.randbits(48))
        self._asked: dict[tuple[NodeId, int], asyncio.Future[_Said]] = {}
        self._answering: Counter[NodeId] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._complaints = Complaints(time.monotonic)
        self._closed = False

    # -- asking

    async def ask(self, to: NodeId, body: bytes, within_s: float) -> bytes:
        """What another member answers. RefusedError: nothing was done. UnknownOutcomeError: no
        answer came, so nobody knows."""
        self._check(to, body)
        number = next(self._numbers)
        answer: asyncio.Future[_Said] = asyncio.get_running_loop().create_future()
        self._asked[to, number] = answer
        try:
            patience_ms = min(round(within_s * 1000), PATIENCE_MS_MAX)
            self._say(to, _Code.QUESTION, self._birth_of(to), number, patience_ms, body)
            async with asyncio.timeout(within_s):
                said = await answer
        except TimeoutError as exc:
            raise UnknownOutcomeError(
                f"{to} gave no answer within {within_s:g} s: it is too busy, or of a release that "
                "does not know such questions"
            ) from exc
        finally:
            del self._asked[to, number]
        match said.figure:
            case _Kind.ANSWERED:
                return said.body
            case _Kind.REFUSED:
                raise RefusedError(said.reason, said.body.decode("utf-8", "replace"))
            case _:
                raise UnknownOutcomeError(said.body.decode("utf-8", "replace"))

    def tell(self, to: NodeId, body: bytes, within_s: float) -> None:
        """Ask without waiting for the answer, which is passed over when it comes. It leaves now, so
        it comes before what is said to that member afterwards; where it cannot, it never does."""
        try:
            self._check(to, body)
        except RefusedError:
            return
        patience_ms = min(round(within_s * 1000), PATIENCE_MS_MAX)
        number = next(self._numbers)
        self._say(to, _Code.QUESTION, self._birth_of(to), number, patience_ms, body)

    def _check(self, to: NodeId, body: bytes) -> None:
        replica = self._node.replica
        if self._closed or replica is None:
            raise RefusedError("starting", f"node {self._node.id} takes no part at the moment")
        if replica.state.membership.get(to) is None:
            raise RefusedError("not_member", f"there is no member {to!r}")
        if len(body) > BODY_BYTES_MAX:
            raise RefusedError("too_large", f"{len(body)} bytes, where {BODY_BYTES_MAX} may be")
        if len(self._asked) >= ASKED_MAX:
            raise RefusedError("overloaded", f"{ASKED_MAX} questions to other nodes are unanswered")
        status = self._node.mesh.status_of(to)
        if status is None or status.dialled is None:
            why = "it has not been met yet" if status is None else status.why
            raise RefusedError("unreachable", f"there is no link with {to}: {why}")

    def _birth_of(self, node: NodeId) -> str:
        replica = self._node.replica
        member = None if replica is None else replica.state.membership.get(node)
        return "" if member is None else member.birth

    # -- what comes

    def hear(self, sender: NodeId, data: bytes) -> None:
        """A question or an answer has come; the mesh has proved whose it is."""
        if self._closed:
            return
        try:
            said = _read(data)
        except WireError as exc:
            if self._complaints.may(sender):
                logger.error("node %s: %s sent %s", self._node.id, sender, exc)
            return
        mine = self._node.promise.birth
        if said is None or said.sender.id != sender or said.birth not in ("", mine):
            return  # of a later release, or for another one of our name
        if said.code == _Code.ANSWER:
            waiting = self._asked.get((sender, said.number))
            if waiting is not None and not waiting.done():
                waiting.set_result(said)
        elif (refusal := self._refusal(said)) is not None:
            self._answer(said, _Kind.REFUSED, str(refusal).encode(), refusal.reason)
        else:
            self._answering[sender] += 1
            task = asyncio.get_running_loop().create_task(self._carry_out(said))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _refusal(self, question: _Said) -> RefusedError | None:
        """Why a question is not even looked at."""
        me, sender, replica = self._node.id, question.sender, self._node.replica
        if replica is None or self.handler is None:
            return RefusedError("starting", f"node {me} takes no part at the moment")
        if not replica.state.membership.has(sender):
            return RefusedError("not_member", f"{sender.id} is no member, as far as {me} knows")
        if len(question.body) > BODY_BYTES_MAX:
            return RefusedError("too_large", f"more than {BODY_BYTES_MAX} bytes")
        if self._answering[sender.id] >= ANSWERING_MAX:
            return RefusedError("overloaded", f"{me} works on {ANSWERING_MAX} questions already")
        return None

    async def _carry_out(self, question: _Said) -> None:
        sender = question.sender.id
        within_s = min(question.figure, PATIENCE_MS_MAX) / 1000
        handler = self.handler
        assert handler is not None, "it was looked at before"
        try:
            async with asyncio.timeout(within_s):
                body = await handler(sender, question.body, within_s)
            if len(body) > BODY_BYTES_MAX:
                raise ValueError(f"an answer of {len(body)} bytes, where {BODY_BYTES_MAX} may be")
            self._answer(question, _Kind.ANSWERED, body)
        except RefusedError as exc:
            self._answer(question, _Kind.REFUSED, str(exc).encode(), exc.reason)
        except UnknownOutcomeError as exc:
            self._answer(question, _Kind.FAILED, str(exc).encode())
        except TimeoutError:
            pass  # whoever asked waits no more either
        except Exception:
            if self._complaints.may((sender, "failed")):
                logger.exception("node %s: a question of %s failed", self._node.id, sender)
            words = f"{self._node.id} failed in a way that nobody foresaw; its log says how"
            self._answer(question, _Kind.FAILED, words.encode())
        finally:
            self._answering[sender] -= 1
            if not self._answering[sender]:
                del self._answering[sender]

    # -- saying

    def _answer(self, question: _Said, kind: _Kind, body: bytes, reason: str = "") -> None:
        to = question.sender
        self._say(to.id, _Code.ANSWER, to.birth, question.number, kind, body, reason)

    def _say(
        self,
        to: NodeId,
        code: _Code,
        birth: str,
        number: int,
        figure: int,
        body: bytes,
        reason: str = "",
    ) -> None:
        sender = Origin(self._node.id, self._node.promise.birth)
        plain = (
            self._node.mesh.version_with(to),
            int(code),
            *sender,
            birth,
            number,
            int(figure),
            body,
            reason[:ID_CHARS_MAX],
        )
        self._node.mesh.send(to, pack_plain(plain))

    # -- ends

    def lost(self, node: NodeId) -> None:
        """There is no link with this node any more: its answers will not come."""
        for (to, _), waiting in self._asked.items():
            if to == node and not waiting.done():
                words = f"the link with {node} broke before its answer came"
                waiting.set_exception(UnknownOutcomeError(words))

    async def close(self) -> None:
        """Ask nothing more, and answer nothing more."""
        self._closed = True
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(UnknownOutcomeError("this node stops"))
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _read(data: bytes) -> _Said | None:
    """What these bytes say; None where only a later release knows. WireError where it is nothing
    that nodes say."""
    parts: Any = unpack_plain(data)
    if not isinstance(parts, tuple) or len(parts) < _PARTS:
        raise WireError("something beside the log that is too short")
    _, code, id, birth, to, number, figure, body, reason = parts[:_PARTS]
    if code not in tuple(_Code):
        return None
    if not isinstance(body, bytes):
        raise WireError("a question without bytes")
    return _Said(
        take_int(code),
        Origin(take_text(id), take_text(birth)),
        take_text(to),
        take_int(number),
        take_int(figure),
        body,
        take_text(reason),
    )
