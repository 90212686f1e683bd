"""What the leader does: puts operations in order, sees that everybody gets them, and says what is
committed.

Pure. Who leads is decided in `election.py`, which operations come in `forwarding.py`.

An entry is committed when a majority of the voters holds it on their disks, and it, or a later
one, is of the leader's own term: one of an earlier term may yet be replaced although a majority
holds it. Who does not count (a node that lost what it promised to keep) is heard, but holds
nothing. A leader that hears no majority is suspended: it keeps its term and commits nothing.

A leader whose clock a majority refuses steps aside, and takes back what it entered and could not
commit: in its term nobody but itself could have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peers.core.digests import Digests
from peers.core.entry import Batch, Dot, Entry, Places, Position, Proposal
from peers.core.follower import ROUND_TRIP_SHARE, Follower, Question
from peers.core.membership import Membership, NodeId
from peers.core.messages import (
    Append,
    AppendAnswer,
    BarrierAnswer,
    Probe,
    ProbeAnswer,
    Progress,
    TransferLead,
)
from peers.core.output import Barrier
from peers.core.sparing import NOBODY_SPARED, whom_to_spare
from peers.core.state import Part, State
from peers.core.succession import better_leader, first_in_line
from peers.core.timing import GATHER_MS, stamped_at

_new = tuple.__new__  # a third of the time that a named tuple takes, for each entry and message

PackBatch = Callable[[Sequence[Entry], Places], Batch]
"""Makes a batch of entries, encoding them once and for all."""


class Leading:
    """The leader of one term."""

    def __init__(self, state: State, pack: PackBatch, now: int) -> None:
        self.state = state
        self._pack = pack
        self._gathered: list[Proposal] = []
        self._untold_since: int | None = None  # somebody is not told yet how far is committed
        self.spared = NOBODY_SPARED  # who gets the last batch when it is told that
        self._all_wait = False  # an operation of ours is done when everybody holds it
        self._questions: list[Question] = []
        self.beat_at = now
        self._sealed_at = now
        self.transfer_to: NodeId | None = None
        self._transfer_until = 0
        self._told = False
        self.everywhere = 0  # every voter holds the log up to here
        last = state.log.last
        self.followers: dict[NodeId, Follower] = {}
        self.digests = Digests(state, self.followers)
        self._suspended: tuple[int, bool] = (-1, False)  # at which moment, and whether
        self._follow_membership(now)
        # Until an entry of its own term is committed, a leader commits nothing of its predecessors.
        self.first = last.index + 1
        for follower in self.followers.values():
            follower.waits_for = self.first  # with what the leader before did not tell of
        if not state.log.says_who_belongs:
            # Who comes late to a new epoch learns it by this.
            self.enter_membership(state.membership, now)
        else:
            self._append([(None, None, b"")], now)

    # -- putting in order

    @property
    def is_busy(self) -> bool:
        """Whether the tail that is not committed has grown to its bound."""
        return self.state.log.bytes_after(self.state.commit) > self.state.bounds.tail_bytes

    @property
    def has_gathered(self) -> bool:
        """Whether operations wait for their place."""
        return bool(self._gathered)

    @property
    def has_news(self) -> bool:
        """Whether somebody is to be told soon how far is committed."""
        return self._untold_since is not None

    def spare_nobody(self) -> None:
        """Somebody waits until every voter holds what is gathered."""
        self._all_wait = True

    def gather(self, proposal: Proposal) -> None:
        """Take an operation into the next batch."""
        self._gathered.append(proposal)

    def seal(self, now: int) -> None:
        """Put all that was gathered in order, unless the lead is being handed over."""
        if not self._gathered or self.transfer_to is not None:
            return
        self._sealed_at, before = now, self.state.log.last.index
        gathered, self._gathered = self._gathered, []
        part: list[tuple[Dot | None, int | None, bytes]] = []
        size = 0
        for proposal in gathered:
            bounds = self.state.bounds
            too_long = size + len(proposal.operation) > bounds.batch_bytes
            if part and (too_long or len(part) >= bounds.batch_entries):
                self._append(part, now)
                part, size = [], 0
            part.append((proposal.dot, proposal.until, proposal.operation))
            size += len(proposal.operation)
        self._append(part, now)
        self._note_who_waits(gathered)
        self._spare(before, now)

    def _note_who_waits(self, gathered: Sequence[Proposal]) -> None:
        """Whoever forwarded some of this answers its clients when it hears what is committed."""
        for origin in {proposal.dot.origin for proposal in gathered}:
            follower = self.followers.get(origin.id)
            if follower is not None:
                follower.waits_for = self.state.log.last.index

    def _spare(self, before: int, now: int) -> None:
        all_wait, self._all_wait = self._all_wait, False
        self.spared = NOBODY_SPARED
        if not all_wait:
            self.spared = whom_to_spare(self.state, self.followers, before, now)
        if self.spared and self._untold_since is None:
            self._untold_since = now

    def _gathers(self, now: int) -> bool:
        """Whether more is to be gathered first: one batch is under way, and has only just left. So
        there are few large ones where there is much, and a lone operation waits for nobody."""
        under_way = self.state.log.last.index > self.state.commit
        return under_way and now - self._sealed_at < GATHER_MS

    def _append(self, rows: Sequence[tuple[Dot | None, int | None, bytes]], now: int) -> None:
        state = self.state
        log = state.log
        index = log.last.index
        at = max(state.clock.running(now), log.last_at)
        entries = []
        for dot, until, operation in rows:
            index += 1
            entries.append(_new(Entry, (index, state.term, at, dot, until, operation, None)))
        self._add(self._pack(entries, tuple(log.vector.places())))

    def enter_membership(self, membership: Membership, now: int) -> None:
        """Change who belongs, behind all that was gathered by now. It is in force at once."""
        self.seal(now)
        state = self.state
        log = state.log
        at = max(state.clock.running(now), log.last_at)
        entry = Entry(log.last.index + 1, state.term, at, None, None, b"", membership)
        self._add(self._pack([entry], tuple(log.vector.places())))
        self.spared = NOBODY_SPARED
        self._follow_membership(now)

    def _add(self, batch: Batch) -> None:
        state = self.state
        state.append(batch)
        state.agreed = batch.last.index
        if state.volatile:
            self._commit()

    # -- sending

    def tick(self, now: int) -> None:
        """Seal, send what is new, and be heard every so often."""
        if self.transfer_to is not None:
            self.watch_transfer(now)
        if not self._gathers(now):
            self.seal(now)
        beats = now >= self.beat_at
        if beats:
            self.beat_at = now + self.state.timing.heartbeat_ms
            self._follow_membership(now)
        if self.spared and (self.transfer_to is not None or self._is_time_to_tell(now)):
            self.spared = NOBODY_SPARED
        suspended, untold = self.is_suspended(now), False
        last, commit = self.state.log.last.index, self.state.commit
        for node, follower in self.followers.items():
            if suspended and follower.counts:
                if beats:
                    stamp = self.state.stamps.next(now)
                    self.state.draft.tell(node, Probe(self.state.term, stamp))
                continue
            anyway = beats or follower.owed
            if anyway or follower.next.index < last:
                if not anyway and node in self.spared:
                    untold = True
                    continue
                self._send(node, follower, now, anyway=anyway)
            if follower.told < commit and not self._tell(node, follower, now):
                untold = True
        if not untold:
            self._untold_since = None

    def _follow_membership(self, now: int) -> None:
        """Who is new is taken to hold everything, and says what it does; of who is in the place of
        another birth nothing is known that was known of that one."""
        state = self.state
        for member in state.membership.members:
            follower = self.followers.get(member.id)
            if member.id != state.id and (follower is None or follower.birth != member.birth):
                self.followers[member.id] = Follower(state.log.last, now, now, member.birth)
        for node in [node for node in self.followers if state.membership.get(node) is None]:
            del self.followers[node]
        self._look_again()

    def _tell(self, node: NodeId, follower: Follower, now: int) -> bool:
        """Say how far is committed, now that nothing else says so; False where that has time. Who
        waits for it hears it at once, and all others with the next append, if there is one soon."""
        if follower.told >= follower.waits_for:
            if self._untold_since is None:
                self._untold_since = now
            if not self._is_time_to_tell(now):
                return False
        follower.told = commit = self.state.commit
        self.state.draft.tell(node, Progress(self.state.term, commit, self.everywhere))
        return True

    def _is_time_to_tell(self, now: int) -> bool:
        return self._untold_since is None or now - self._untold_since >= GATHER_MS

    def beat_soon(self) -> None:
        """Somebody waits for the next heartbeat's answers: send it with the next turn."""
        self.beat_at = 0

    def _send(self, node: NodeId, follower: Follower, now: int, *, anyway: bool) -> None:
        state = self.state
        if follower.next.index < state.log.base.position.index:
            follower.next = state.log.base.position  # what it lacks is no longer kept
        while True:
            batches: tuple[Batch, ...] = ()
            if (
                not follower.behind
                and follower.next.index < state.log.last.index
                and follower.in_flight_bytes < state.bounds.in_flight_bytes
            ):
                bounds = state.bounds
                batches = state.log.after(
                    follower.next.index, bounds.append_bytes, bounds.append_batches
                )
            if not batches and not anyway:
                return
            anyway = False
            since, time = state.log.base.position.index, state.clock.running(now)
            where = (state.term, follower.next, batches, state.commit, since, self.everywhere)
            append = _new(Append, (*where, time, state.stamps.next(now), follower.sent))
            state.draft.tell(node, append)
            follower.told, follower.owed = state.commit, False
            if batches:
                size = 0
                for batch in batches:
                    size += len(batch.packed)
                follower.next = batches[-1].last
                follower.in_flight.append((follower.next.index, size))
                follower.in_flight_bytes += size

    # -- answers

    def on_answer(self, node: NodeId, incarnation: int, answer: AppendAnswer, now: int) -> None:
        """A follower says how far it is."""
        follower = self.followers.get(node)
        if follower is None:
            return
        if incarnation != follower.incarnation:
            self._begin_life(follower, incarnation, now)
        self._hear(node, follower, answer.echo, now)
        if follower.sent is None:
            follower.owed = True
        follower.sent = max(answer.sent, follower.sent or 0)
        follower.counts = answer.counts
        follower.able = answer.counts and answer.able
        follower.ahead = answer.ahead
        follower.noted = answer.noted
        follower.reaches = frozenset(answer.reaches)
        if answer.matched is None:
            if answer.echo >= follower.reset:
                self._look_further_back(follower, answer.last, now)
            return
        follower.behind = False
        self._note_match(follower, answer.matched)
        if answer.ahead and self._is_refused(now):
            self._step_aside(now)
        else:
            before = self.state.commit
            self._commit()
            if self._untold_since is None and self.state.commit > before:
                self._untold_since = now

    def _is_refused(self, now: int) -> bool:
        """Whether those who are heard and take our clock for right are no majority."""
        followers = self.followers
        taking = [n for n in self.heard(now) if n not in followers or not followers[n].ahead]
        return not self.state.membership.is_majority(taking)

    def _step_aside(self, now: int) -> None:
        state = self.state
        if state.log.last.index >= self.first:
            state.cut(max(state.commit, self.first - 1))
        state.clock.stop(state.log.last_at)
        state.part = Part.FOLLOWER
        state.leader = None

    def _begin_life(self, follower: Follower, incarnation: int, now: int) -> None:
        """What it held in an earlier life it may hold no more."""
        follower.behind = follower.ahead = False
        follower.noted = None
        if follower.incarnation:
            follower.match = 0
            follower.sent = None  # its stamps may begin anew: what it never said measures nothing
            follower.steady_since = now
            follower.in_flight.clear()
            follower.in_flight_bytes = 0
        follower.incarnation = incarnation

    def _hear(self, node: NodeId, follower: Follower, echo: int, now: int) -> None:
        if now - follower.heard >= self.state.timing.election_timeout_ms:
            follower.steady_since = now
        follower.heard = now
        took = now - stamped_at(echo)
        follower.round_trip_ms += (took - follower.round_trip_ms) * ROUND_TRIP_SHARE
        follower.echo = max(follower.echo, echo)
        if self._suspended[1]:
            self._look_again()
        self._answer_questions(now)

    def _look_again(self) -> None:
        """Who is heard has changed, or who counts."""
        self._suspended = (-1, False)

    def _look_further_back(self, follower: Follower, hint: Position, now: int) -> None:
        """It lacks what we took it to have: begin where its log may be ours."""
        log = self.state.log
        if hint.index < log.base.position.index:
            # Nothing that it has reaches our window. What follows there would be sent, and refused,
            # with every answer, for as long as its snapshot takes.
            follower.behind = True
        place = hint
        while log.term_at(place.index) != place.term:
            place = log.end_before(min(place.index, log.last.index + 1))
        follower.next = place
        follower.in_flight.clear()
        follower.in_flight_bytes = 0
        follower.reset = self.state.stamps.next(now)
        if not follower.behind:
            self.beat_at = min(self.beat_at, now)

    def _note_match(self, follower: Follower, matched: int) -> None:
        follower.match = max(follower.match, matched)
        while follower.in_flight and follower.in_flight[0][0] <= matched:
            follower.in_flight_bytes -= follower.in_flight.popleft()[1]
        if matched > follower.next.index:
            term = self.state.log.term_at(matched)
            if term is not None:  # else it lies before the window, and we send from our base
                follower.next = Position(term, matched)

    def on_probe_answer(self, node: NodeId, answer: ProbeAnswer, now: int) -> None:
        """A suspended leader is heard after all."""
        follower = self.followers.get(node)
        if follower is not None:
            self._hear(node, follower, answer.echo, now)
            self.beat_soon()

    # -- committing

    def on_stored(self) -> None:
        """Our own disk has more."""
        self._commit()

    def _held(self) -> list[int]:
        """How far each voter holds the log, as far as it counts."""
        state = self.state
        held = []
        for node in state.membership.voters:
            if node == state.id:
                held.append(state.stored if state.counts else 0)
            else:
                follower = self.followers.get(node)
                held.append(follower.match if follower is not None and follower.counts else 0)
        return held

    def _commit(self) -> None:
        state = self.state
        held = sorted(self._held(), reverse=True)
        index = held[state.membership.majority - 1]
        if index > state.commit and state.log.term_at(index) == state.term:
            state.commit_to(index)
            if self._questions:
                self.beat_soon()  # the first of this term: only now can they be answered
        self.everywhere = min(held[-1], state.commit)

    def resign(self, now: int) -> None:
        """Let the next in line stand, and lead no more: we belong to those who may no longer."""
        to = self.next_in_line(now)
        if to is not None:
            self.state.draft.tell(to, TransferLead(self.state.term))
        self.state.part = Part.FOLLOWER
        self.state.leader = None

    @property
    def may_read(self) -> bool:
        """Whether an entry of this term is committed: before, a leader does not know what is."""
        return self.state.commit >= self.first

    # -- in office, or suspended

    def heard(self, now: int) -> list[NodeId]:
        """The members that answered within an election timeout, and this one."""
        since = now - self.state.timing.election_timeout_ms
        others = [node for node, follower in self.followers.items() if follower.heard > since]
        return [self.state.id, *others]

    def is_suspended(self, now: int) -> bool:
        """Whether no majority is heard. It may be that another leads already."""
        moment, suspended = self._suspended
        if moment != now:
            suspended = not self.state.membership.is_majority(self.heard(now))
            self._suspended = (now, suspended)
        return suspended

    # -- reading as of now

    def ask(self, asker: NodeId | None, number: int, now: int) -> None:
        """Somebody wants to read as of now: a majority has to say, later than now, that we lead."""
        if self.is_suspended(now):
            self._answer(asker, number, None, now)
            return
        self._questions.append(Question(asker, number, self.state.stamps.next(now)))
        self.beat_soon()
        self._answer_questions(now)

    def _answer_questions(self, now: int) -> None:
        if not self._questions or not self.may_read:
            return
        waiting = []
        for question in self._questions:
            later = [node for node, f in self.followers.items() if f.echo > question.stamp]
            if self.state.membership.is_majority([self.state.id, *later]):
                self._answer(question.asker, question.number, self.state.commit, now)
            else:
                waiting.append(question)
        self._questions = waiting

    def _answer(self, asker: NodeId | None, number: int, index: int | None, now: int) -> None:
        time = self.state.clock.running(now)
        if asker is None:
            self.state.draft.barriers.append(Barrier(number, index, time))
        else:
            self.state.draft.tell(asker, BarrierAnswer(number, index, time))
            if index is not None and (follower := self.followers.get(asker)) is not None:
                follower.waits_for = max(follower.waits_for, index)

    def give_up_questions(self, now: int) -> None:
        """We lead no more, or cannot tell: whoever asked is to ask again."""
        questions, self._questions = self._questions, []
        for question in questions:
            self._answer(question.asker, question.number, None, now)

    # -- handing over

    def hand_over(self, to: NodeId, now: int) -> None:
        """Let a member that holds everything stand at once; until it leads nothing is appended."""
        self.transfer_to = to
        self._transfer_until = now + self.state.timing.election_timeout_ms
        self._told = False

    def hand_over_to_next(self, now: int) -> None:
        """Let whoever comes next stand at once, if there is one."""
        to = self.next_in_line(now)
        if to is not None:
            self.hand_over(to, now)

    def watch_transfer(self, now: int) -> None:
        """Give the lead to whom it is being given to, once that can be; or to who is better."""
        node = self.transfer_to
        if node is None:
            if self.state.timing.hand_back and (heir := self._heir(now)) is not None:
                self.hand_over(heir, now)
            return
        follower = self.followers.get(node)
        if follower is None or now >= self._transfer_until:
            self.transfer_to = None  # it did not come to be: we lead on
        elif not self._told and follower.match == self.state.log.last.index:
            self._told = True
            self.state.draft.tell(node, TransferLead(self.state.term))

    def next_in_line(self, now: int) -> NodeId | None:
        """The voter of the highest priority that is heard and holds the most."""
        return first_in_line(self.state, self.followers, self.heard(now))

    def _heir(self, now: int) -> NodeId | None:
        return better_leader(self.state, self.followers, self.heard(now), now)
