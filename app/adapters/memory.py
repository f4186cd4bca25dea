"""Queue and store in one process's memory, with the promises of the ones over Redis, for `vibecoder run` and tests.

Runs are kept as documents, as Redis keeps them, so that nothing works here that would not work there.
"""

import asyncio
import time
from bisect import insort
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from typing import Final

from app.core.conversation import Conversation, decode_message, encode_message
from app.core.errors import LeaseLost
from app.core.ports.queue import Waiting, WaitReason, WorkerState
from app.core.ports.store import Page, QueueNotice, Signal
from app.core.run.codec import decode, pack, read_cursor, scopes_of, thread_of
from app.core.run.run import Run, Status

MAX_RUNS: Final = 1_000
"""The oldest go first."""
SEEN_S: Final = 7 * 86_400
SIGNALS_S: Final = 86_400
SAID_S: Final = 2 * 86_400
NOTE_S: Final = 30 * 86_400
MAX_DUE: Final = 10_000


@dataclass(slots=True)
class _Kept:
    """A run as it is kept. `at` orders the list; `scopes` are the thread and branch that it is listed under.
    `held_by` is the attempt with the lease, good until `held_until`."""

    at: int
    document: bytes
    status: Status
    repo: str
    scopes: tuple[str, ...] = ()
    attempt: int = 0
    held_by: int = 0
    held_until: float = 0.0
    signals: deque[tuple[float, Signal]] = field(default_factory=lambda: deque(maxlen=100))
    task: str = ""
    said: tuple[bytes, ...] = ()
    said_until: float = 0.0
    followers: set[asyncio.Event] = field(default_factory=set)
    superseded_by: str = ""

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self.held_until

    def read(self) -> Run:
        run = replace(decode(self.document), attempt=self.attempt)
        return run.as_superseded(self.superseded_by) if self.superseded_by else run

    def is_held_by(self, run: Run) -> bool:
        return self.is_held and self.held_by == run.attempt


class MemoryStore:
    """`ports.Store` in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._latest: dict[tuple[str, int], str] = {}
        self._lists: dict[str, set[str]] = {}
        self._spent: dict[str, dict[str, float]] = {}
        self._claims: dict[str, tuple[float, str]] = {}
        self._agreed: dict[str, tuple[float, str]] = {}
        self._counts: dict[str, tuple[float, set[str]]] = {}
        self._turns: dict[str, list[float]] = {}
        self._notes: dict[str, tuple[float, str]] = {}
        self._leads: dict[str, tuple[float, str]] = {}
        self._passed_over: dict[int, float] = {}
        self._queue_notices: dict[str, tuple[float, QueueNotice]] = {}
        self._due: dict[str, datetime] = {}
        self._count = 0
        self.waiting: dict[str, float] = {}
        """When each job that waits may start, for `MemoryQueue`."""
        self.begun: set[str] = set()
        """Runs that were taken and are not over, for `MemoryQueue`."""

    def add(self, run: Run) -> None:
        """Keep a new run, for `MemoryQueue`."""
        self._count += 1
        self._forget(run.id)
        self._kept[run.id] = _Kept(self._count, pack(run), run.status, run.job.repo)
        self._list(run)
        if (thread := thread_of(run.job)) is not None:
            self._latest[thread] = run.id
        while len(self._kept) > MAX_RUNS:
            self._forget(next(iter(self._kept)))
            self._latest = {thread: job_id for thread, job_id in self._latest.items() if job_id in self._kept}

    async def load(self, job_id: str) -> Run | None:
        kept = self._kept.get(job_id)
        return kept.read() if kept else None

    async def save(self, run: Run) -> None:
        document = pack(run)
        kept = self._held(run)
        kept.document, kept.status = document, run.status
        self._list(run)
        if run.status is Status.COMPLETED:
            kept.said = ()
            self.begun.discard(run.id)
        for event in kept.followers:
            event.set()

    async def list(self, *, repo: str = "", status: Status | None = None, cursor: str = "", limit: int = 50) -> Page:
        limit = max(1, min(limit, 100))
        below = read_cursor(cursor) if cursor else self._count + 1
        found = [
            kept
            for kept in reversed(self._kept.values())
            if kept.at < below and repo in ("", kept.repo) and status in (None, kept.status)
        ]
        more = str(found[limit - 1].at) if len(found) > limit else ""
        return Page(tuple(kept.read() for kept in found[:limit]), more)

    async def runs_of(
        self, repo: str, *, number: int | None = None, branch: str = "", status: Status | None = None
    ) -> AsyncGenerator[Run, None]:
        job_ids = {job_id for scope in scopes_of(repo, number, branch) for job_id in self._lists.get(scope, ())}
        for kept in sorted((self._kept[job_id] for job_id in job_ids), key=lambda kept: kept.at, reverse=True):
            if status in (None, kept.status):
                yield kept.read()

    async def follow(self, job_id: str) -> AsyncGenerator[Run, None]:
        kept = self._kept.get(job_id)
        if kept is None:
            return
        told = asyncio.Event()
        kept.followers.add(told)
        try:
            while True:
                told.clear()
                run = kept.read()
                yield run
                if run.status is Status.COMPLETED:
                    return
                await told.wait()
        finally:
            kept.followers.discard(told)

    async def latest(self, repo: str, number: int) -> Run | None:
        return await self.load(self._latest.get((repo, number), ""))

    async def acquire(self, job_id: str, *, worker: str, ttl_s: float) -> Run | None:
        kept = self._kept.get(job_id)
        if kept is None or kept.status is Status.COMPLETED or kept.is_held:
            return None
        kept.attempt += 1
        kept.held_by, kept.held_until = kept.attempt, time.monotonic() + ttl_s
        return kept.read()

    async def renew(self, run: Run, *, ttl_s: float) -> None:
        self._held(run).held_until = time.monotonic() + ttl_s

    async def release(self, run: Run) -> None:
        kept = self._kept.get(run.id)
        if kept and kept.is_held_by(run):
            kept.held_until = 0.0

    async def leaseless(self, *, limit: int = 100) -> tuple[str, ...]:
        now = time.monotonic()
        free = (
            job_id
            for job_id, kept in self._kept.items()
            if kept.attempt and kept.status is not Status.COMPLETED and not kept.is_held
            if self.waiting.get(job_id, now) <= now and not (job_id in self.begun and job_id in self.waiting)
        )
        return tuple(job_id for job_id, _ in zip(free, range(limit), strict=False))

    async def signal(self, job_id: str, signal: Signal) -> None:
        if job_id in self._kept:
            self._kept[job_id].signals.append((time.monotonic(), signal))

    async def signals(self, job_id: str) -> tuple[Signal, ...]:
        kept = self._kept.get(job_id)
        if kept is None:
            return ()
        left, now = tuple(kept.signals), time.monotonic()
        kept.signals.clear()
        return tuple(signal for at, signal in left if now - at < SIGNALS_S)

    async def keep_conversation(self, run: Run, task: str, conversation: Conversation) -> None:
        kept = self._held(run)
        kept.task, kept.said = task, tuple(map(encode_message, conversation))
        kept.said_until = time.monotonic() + SAID_S

    async def conversation(self, job_id: str, task: str) -> Conversation:
        kept = self._kept.get(job_id)
        if kept is None or kept.task != task or time.monotonic() > kept.said_until:
            return ()
        return tuple(map(decode_message, kept.said))

    async def reserve(self, scope: str, job_id: str, usd: float, *, limit: float) -> bool:
        spent = self._spent.setdefault(scope, {})
        if usd + sum(other for name, other in spent.items() if name != job_id) > limit:
            return False
        spent[job_id] = usd
        return True

    async def settle(self, scope: str, job_id: str, usd: float) -> None:
        await self.reserve(scope, job_id, usd, limit=inf)

    async def claim(self, name: str, *, ttl_s: float, holder: str = "") -> bool:
        now = time.monotonic()
        until, held_by = self._claims.get(name, (-inf, ""))
        if until > now and not (holder and held_by == holder):
            return False
        self._claims[name] = (now + ttl_s, holder)
        return True

    async def agree(self, name: str, text: str, *, ttl_s: float) -> str:
        now = time.monotonic()
        self._agreed = {key: kept for key, kept in self._agreed.items() if kept[0] > now}
        return self._agreed.setdefault(name, (now + ttl_s, text))[1]

    async def count(self, scope: str, job_id: str, *, limit: int, ttl_s: float) -> float:
        now = time.monotonic()
        until, counted = self._counts.get(scope, (-inf, set()))
        if until <= now:
            until, counted = self._counts[scope] = (now + ttl_s, set())
        if job_id not in counted and len(counted) >= limit:
            return until - now
        counted.add(job_id)
        return 0.0

    async def take_turn(self, scope: str, windows: Sequence[tuple[int, float]], *, longest_s: float) -> float:
        now = time.monotonic()
        turns = self._turns.setdefault(scope, [])
        starts = [turns[-count] + seconds for count, seconds in windows if len(turns) >= count]
        turn = max([now, *starts])
        if turn - now <= longest_s:
            insort(turns, turn)
            del turns[: -max(count for count, _ in windows)]
        return turn - now

    async def lead(self, thread: str) -> str:
        until, job_id = self._leads.get(thread, (-inf, ""))
        return job_id if time.monotonic() < until else ""

    async def set_lead(self, thread: str, job_id: str) -> None:
        self._leads[thread] = (time.monotonic() + NOTE_S, job_id)

    async def supersede(self, job_id: str, by: str) -> str:
        kept = self._kept.get(job_id)
        if kept is None or kept.status is not Status.COMPLETED:
            return ""
        kept.superseded_by = kept.superseded_by or by
        return kept.superseded_by

    async def pass_over_reaction(self, reaction_id: int) -> None:
        self._passed_over[reaction_id] = time.monotonic() + NOTE_S

    async def is_passed_over(self, reaction_id: int) -> bool:
        return time.monotonic() < self._passed_over.get(reaction_id, -inf)

    async def queue_notice(self, job_id: str) -> QueueNotice | None:
        until, notice = self._queue_notices.get(job_id, (-inf, None))
        return notice if time.monotonic() < until else None

    async def set_queue_notice(self, job_id: str, notice: QueueNotice) -> None:
        self._queue_notices[job_id] = (time.monotonic() + NOTE_S, notice)

    async def note(self, name: str, text: str) -> None:
        self._notes[name] = (time.monotonic() + NOTE_S, text)

    async def recall(self, name: str) -> str:
        until, text = self._notes.get(name, (-inf, ""))
        return text if time.monotonic() < until else ""

    async def remind(self, job_id: str, at: datetime | None) -> None:
        self._due.pop(job_id, None)
        if at is not None:
            self._due[job_id] = at
        while len(self._due) > MAX_DUE:
            del self._due[max(self._due, key=lambda each: self._due[each])]

    async def due(self, now: datetime, *, limit: int) -> tuple[str, ...]:
        found = sorted((at, job_id) for job_id, at in self._due.items() if at <= now)
        return tuple(job_id for _, job_id in found[:limit])

    async def ping(self) -> None:
        return

    def _list(self, run: Run) -> None:
        """List a run under its thread and its branch, and no longer under those that were its before."""
        kept = self._kept[run.id]
        scopes = scopes_of(run.job.repo, run.job.number, run.branch)
        if scopes != kept.scopes:
            self._unlist(run.id, kept)
            kept.scopes = scopes
            for scope in scopes:
                self._lists.setdefault(scope, set()).add(run.id)

    def _unlist(self, job_id: str, kept: _Kept) -> None:
        for scope in kept.scopes:
            self._lists[scope].discard(job_id)
            if not self._lists[scope]:
                del self._lists[scope]

    def _forget(self, job_id: str) -> None:
        kept = self._kept.pop(job_id, None)
        if kept is not None:
            self._unlist(job_id, kept)

    def _held(self, run: Run) -> _Kept:
        kept = self._kept.get(run.id)
        if kept is None or not kept.is_held_by(run):
            raise LeaseLost(f"Attempt {run.attempt} of {run.id} does not hold the run any more.")
        return kept


class MemoryQueue:
    """`ports.Queue` in memory, over the store it shares runs with; `take` is its worker's end.

    It gives jobs in their order and knows no limits: those are the scheduler's in Redis (`redis/scripts/schedule.lua`).
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._seen: dict[str, float] = {}
        self._rung = asyncio.Condition()

    async def put(self, run: Run) -> bool:
        now = time.monotonic()
        while self._seen and now - next(iter(self._seen.values())) > SEEN_S:
            del self._seen[next(iter(self._seen))]
        if run.id in self._seen:
            return False
        self._store.add(run)
        self._seen[run.id] = now
        await self._ring(run.id, now)
        return True

    async def put_again(self, job_id: str, *, after_s: float = 0.0) -> None:
        if await self._store.load(job_id) is None:
            return
        now = time.monotonic()
        at = now + after_s if after_s > 0 else min(now, self._store.waiting.get(job_id, now))
        await self._ring(job_id, at)

    async def depth(self) -> int:
        return len(self._store.waiting)

    async def workers(self) -> tuple[WorkerState, ...]:
        return ()

    async def waiting(self) -> tuple[Waiting, ...]:
        now = time.monotonic()
        due = [(await self._store.load(job_id), at) for job_id, at in self._due(now)]
        runs = [(run, at) for run, at in due if run and run.job.works and run.status is not Status.COMPLETED]
        return tuple(
            Waiting(run.id, place, WaitReason.WORKERS, waited_s=now - at, has_begun=run.id in self._store.begun)
            for place, (run, at) in enumerate(runs, start=1)
        )

    async def take(self) -> str:
        """The job that is next, once there is one that may start."""
        async with self._rung:
            while True:
                now = time.monotonic()
                for job_id, _ in self._due(now)[:1]:
                    del self._store.waiting[job_id]
                    self._store.begun.add(job_id)
                    return job_id
                next_in_s = min((at - now for at in self._store.waiting.values()), default=None)
                with suppress(TimeoutError):
                    async with asyncio.timeout(next_in_s):
                        await self._rung.wait()

    def _due(self, now: float) -> list[tuple[str, float]]:
        """The ids of jobs that may start and since when, the longest first."""
        due = ((job_id, at) for job_id, at in self._store.waiting.items() if at <= now)
        return sorted(due, key=lambda each: each[1])

    async def _ring(self, job_id: str, at: float) -> None:
        async with self._rung:
            self._store.waiting[job_id] = at
            self._rung.notify()
