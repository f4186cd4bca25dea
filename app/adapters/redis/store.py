"""The store over Redis: a run is one hash; a lease is one key; whatever must not be half done is one script.

The fence (`attempt`) and `superseded_by` are fields of their own beside the document, applied to it on reading, so that
no script ever has to take the JSON apart.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Final
from uuid import uuid4

from pydantic import TypeAdapter
from redis.asyncio import Redis

from app.adapters.redis import keys
from app.adapters.redis.connection import Argument, Script, ask, asking
from app.adapters.redis.updates import RunUpdates
from app.core.conversation import Conversation, decode_message, encode_message
from app.core.errors import LeaseLost, StoreError
from app.core.ports.store import Page, QueueNotice, Signal
from app.core.run.codec import decode, pack, read_cursor, scopes_of
from app.core.run.run import Run, Status

_LOOK_S: Final = 5.0
"""How often a follower looks without being told, in case it was not."""
_PATIENCE_S: Final = 30.0
"""How long a follower bears with a Redis that is away."""
_AT_ONCE: Final = 25
"""How many runs of a thread or a branch are read at once."""
_FIELDS: Final = ("document", "attempt", "superseded_by")
_SIGNAL: Final = TypeAdapter(Signal)
_NOTICE: Final = TypeAdapter(QueueNotice)

log = logging.getLogger(__name__)


class RedisStore:
    """`ports.Store` over Redis. Runs are kept for `keep_days`."""

    def __init__(self, redis: Redis, *, keep_days: int = 90) -> None:
        self._redis = redis
        self._keep_s = keep_days * keys.DAY_S
        self._news = RunUpdates(redis)
        self._save = Script(redis, "lists", "save")
        self._index = Script(redis, "lists", "index")
        self._acquire = Script(redis, "acquire")
        self._hold = Script(redis, "hold")
        self._leaseless = Script(redis, "leaseless")
        self._keep = Script(redis, "keep")
        self._reserve = Script(redis, "reserve")
        self._count = Script(redis, "count")
        self._turn = Script(redis, "turn")
        self._supersede = Script(redis, "supersede")
        self._claim = Script(redis, "claim")

    async def load(self, job_id: str) -> Run | None:
        document, *beside = await ask(self._redis, "HMGET", keys.run(job_id), *_FIELDS)
        return _read(document, *beside) if document else None

    async def save(self, run: Run) -> None:
        about = (run.id, run.attempt, pack(run), str(run.status), run.job.repo)
        held = [keys.lease(run.id), keys.run(run.id), keys.OPEN, keys.conversation(run.id)]
        if not await self._save(held, [*about, keys.RUNS, self._keep_s, keys.SAVED, run.job.thread, run.branch]):
            raise _lost(run)

    async def list(self, *, repo: str = "", status: Status | None = None, cursor: str = "", limit: int = 50) -> Page:
        limit = max(1, min(limit, 100))
        below = f"({read_cursor(cursor)}" if cursor else "+inf"
        ids = keys.runs(repo, status or "")
        async with asking():
            found = await self._redis.zrevrangebyscore(ids, below, "-inf", start=0, num=limit + 1, withscores=True)
        runs = await self._readable([job_id.decode() for job_id, _ in found[:limit]])
        return Page(runs, cursor=f"{found[limit - 1][1]:.0f}" if len(found) > limit else "")

    async def runs_of(
        self, repo: str, *, number: int | None = None, branch: str = "", status: Status | None = None
    ) -> AsyncGenerator[Run, None]:
        if not await ask(self._redis, "EXISTS", keys.indexed(repo)):
            await self._index_older(repo)
        lists = [keys.runs(scope, status or "") for scope in scopes_of(repo, number, branch)]
        below: str | None = "+inf"
        while below is not None:
            job_ids, below = await self._newest(lists, below)
            for run in await self._readable(job_ids):
                if status in (None, run.status):
                    yield run

    async def follow(self, job_id: str) -> AsyncGenerator[Run, None]:
        async with self._news.of(job_id) as told:
            run = await self.load(job_id)
            while run is not None:
                yield run
                if run.status is Status.COMPLETED:
                    return
                run = await self._next(run, told)

    async def latest(self, repo: str, number: int) -> Run | None:
        job_id = await ask(self._redis, "GET", keys.latest(repo, number))
        return await self.load(job_id.decode()) if job_id else None

    async def acquire(self, job_id: str, *, worker: str, ttl_s: float) -> Run | None:
        await self.load(job_id)  # one that this version cannot read is left to a newer one, with no attempt counted
        taken = await self._acquire([keys.lease(job_id), keys.run(job_id)], [_ms(ttl_s), worker])
        return _read(*taken) if taken else None

    async def renew(self, run: Run, *, ttl_s: float) -> None:
        if not await self._hold([keys.lease(run.id)], [run.attempt, _ms(ttl_s)]):
            raise _lost(run)

    async def release(self, run: Run) -> None:
        await self._hold([keys.lease(run.id)], [run.attempt, 0])

    async def leaseless(self, *, limit: int = 100) -> tuple[str, ...]:
        free = await self._leaseless(
            [keys.OPEN, keys.ARQ_QUEUE, keys.BEGUN], [limit, keys.RUN, keys.LEASE, keys.ARQ_IN_PROGRESS]
        )
        return tuple(job_id.decode() for job_id in free)

    async def signal(self, job_id: str, signal: Signal) -> None:
        key = keys.signals(job_id)
        async with asking(), self._redis.pipeline(transaction=True) as together:
            together.rpush(key, _SIGNAL.dump_json(signal))
            together.ltrim(key, -keys.MAX_SIGNALS, -1)
            together.expire(key, keys.DAY_S)
            await together.execute()

    async def signals(self, job_id: str) -> tuple[Signal, ...]:
        left = await ask(self._redis, "LPOP", keys.signals(job_id), keys.MAX_SIGNALS)
        return tuple(_SIGNAL.validate_json(signal) for signal in left or ())

    async def keep_conversation(self, run: Run, task: str, conversation: Conversation) -> None:
        messages = tuple(map(encode_message, conversation))
        kept = await self._count_kept(run.id, task, messages)
        about = (run.attempt, keys.CONVERSATION_S, _head(task, messages), kept)
        if not await self._keep([keys.lease(run.id), keys.conversation(run.id)], [*about, *messages[kept:]]):
            raise _lost(run)

    async def conversation(self, job_id: str, task: str) -> Conversation:
        said = await ask(self._redis, "LRANGE", keys.conversation(job_id), 0, -1)
        if not said or said[0] != _head(task, said[1:]):
            return ()
        try:
            return tuple(map(decode_message, said[1:]))
        except StoreError as error:
            log.warning("%s of %s begins anew: %s", task, job_id, error)
            return ()

    async def reserve(self, scope: str, job_id: str, usd: float, *, limit: float) -> bool:
        return bool(await self._reserve([keys.spent(scope)], [job_id, usd, limit, keys.SPENT_S]))

    async def settle(self, scope: str, job_id: str, usd: float) -> None:
        await self.reserve(scope, job_id, usd, limit=inf)

    async def claim(self, name: str, *, ttl_s: float, holder: str = "") -> bool:
        # With a name of its own, asking again after a lost answer does no harm.
        return bool(await self._claim([keys.claim(name)], [holder or uuid4().hex, _ms(ttl_s)]))

    async def agree(self, name: str, text: str, *, ttl_s: float) -> str:
        key = keys.agreement(name)
        while not await ask(self._redis, "SET", key, text, "NX", "PX", _ms(ttl_s)):
            if (agreed := await ask(self._redis, "GET", key)) is not None:
                return str(agreed.decode())
        return text

    async def count(self, scope: str, job_id: str, *, limit: int, ttl_s: float) -> float:
        return float(await self._count([keys.count(scope)], [job_id, limit, _ms(ttl_s)]) / 1000)

    async def take_turn(self, scope: str, windows: Sequence[tuple[int, float]], *, longest_s: float) -> float:
        kept_ms = _ms(max(seconds for _, seconds in windows) + longest_s)
        pairs = [word for count, seconds in windows for word in (count, round(seconds * 1_000_000))]
        about: list[Argument] = [uuid4().hex, round(longest_s * 1_000_000), kept_ms]
        return float(await self._turn([keys.turns(scope)], [*about, *pairs])) / 1_000_000

    async def lead(self, thread: str) -> str:
        return (await ask(self._redis, "GET", keys.lead(thread)) or b"").decode()

    async def set_lead(self, thread: str, job_id: str) -> None:
        await ask(self._redis, "SET", keys.lead(thread), job_id, "EX", keys.NOTE_S)

    async def supersede(self, job_id: str, by: str) -> str:
        return (await self._supersede([keys.run(job_id)], [by]) or b"").decode()

    async def pass_over_reaction(self, reaction_id: int) -> None:
        await ask(self._redis, "SET", keys.reaction(reaction_id), 1, "EX", keys.NOTE_S)

    async def is_passed_over(self, reaction_id: int) -> bool:
        return bool(await ask(self._redis, "EXISTS", keys.reaction(reaction_id)))

    async def queue_notice(self, job_id: str) -> QueueNotice | None:
        kept = await ask(self._redis, "GET", keys.queue_notice(job_id))
        return _NOTICE.validate_json(kept) if kept else None

    async def set_queue_notice(self, job_id: str, notice: QueueNotice) -> None:
        await ask(self._redis, "SET", keys.queue_notice(job_id), _NOTICE.dump_json(notice), "EX", keys.NOTE_S)

    async def note(self, name: str, text: str) -> None:
        await ask(self._redis, "SET", keys.note(name), text, "EX", keys.NOTE_S)

    async def recall(self, name: str) -> str:
        return (await ask(self._redis, "GET", keys.note(name)) or b"").decode()

    async def remind(self, job_id: str, at: datetime | None) -> None:
        async with asking(), self._redis.pipeline(transaction=True) as together:
            if at is None:
                together.zrem(keys.DUE, job_id)
            else:
                together.zadd(keys.DUE, {job_id: at.timestamp()})
                together.zremrangebyrank(keys.DUE, keys.MAX_DUE, -1)
            await together.execute()

    async def due(self, now: datetime, *, limit: int) -> tuple[str, ...]:
        async with asking():
            found = await self._redis.zrangebyscore(keys.DUE, "-inf", now.timestamp(), start=0, num=limit)
        return tuple(job_id.decode() for job_id in found)

    async def ping(self) -> None:
        await ask(self._redis, "PING")

    async def _count_kept(self, job_id: str, task: str, messages: Sequence[bytes]) -> int:
        """How many of the messages are kept; 0 when what is kept is no beginning of them, or of another task."""
        async with asking(), self._redis.pipeline(transaction=True) as together:
            together.lindex(keys.conversation(job_id), 0)
            together.llen(keys.conversation(job_id))
            head, length = await together.execute()
        kept = length - 1
        return kept if 0 < kept <= len(messages) and head == _head(task, messages[:kept]) else 0

    async def _newest(self, lists: Sequence[str], below: str) -> tuple[Sequence[str], str | None]:
        """The newest ids of these lists together, and below which score to go on; None when these were the last."""
        async with asking(), self._redis.pipeline(transaction=False) as together:
            for each in lists:
                together.zrevrangebyscore(each, below, "-inf", start=0, num=_AT_ONCE, withscores=True)
            scores = {job_id.decode(): score for found in await together.execute() for job_id, score in found}
        newest = sorted(scores, key=scores.__getitem__, reverse=True)[:_AT_ONCE]
        return newest, f"({scores[newest[-1]]:.0f}" if len(newest) == _AT_ONCE else None

    async def _index_older(self, repo: str) -> None:
        """List this repository's runs that an older version stored under their threads and branches.

        Done once for each repository; while there are any it is done again an hour later, as an older version may still
        be running beside this one.
        """
        count = 0
        below: str | None = "+inf"
        while below is not None:
            job_ids, below = await self._newest([keys.runs(repo)], below)
            async with asking(), self._redis.pipeline(transaction=False) as together:
                for job_id in job_ids:
                    together.hmget(keys.run(job_id), ["status", "listed"])
                places = await together.execute()
            older = {
                job_id: listed or b""
                for job_id, (status, listed) in zip(job_ids, places, strict=True)
                if status and not (listed or b"").startswith(status + b"@")
            }
            for run in await self._readable(list(older)) if older else ():
                about = (run.id, run.job.repo, run.job.thread, run.branch, older[run.id], keys.RUNS, self._keep_s)
                count += await self._index([keys.run(run.id)], about)
        if count:
            log.info("listed %d older runs of %s by thread and branch", count, repo)
        await ask(self._redis, "SET", keys.indexed(repo), "1", "EX", keys.INDEXED_S if count else self._keep_s)

    async def _readable(self, job_ids: Sequence[str]) -> tuple[Run, ...]:
        """The runs of these ids that exist and can be read; one that cannot is no reason to show no list."""
        async with asking(), self._redis.pipeline(transaction=False) as together:
            for job_id in job_ids:
                together.hmget(keys.run(job_id), list(_FIELDS))
            documents = await together.execute()
        runs: tuple[Run, ...] = ()
        for job_id, (document, *beside) in zip(job_ids, documents, strict=True):
            try:
                runs = (*runs, _read(document, *beside)) if document else runs
            except StoreError as error:
                log.warning("%s is left out of the list: %s", job_id, error)
        return runs

    async def _next(self, run: Run, told: asyncio.Event) -> Run | None:
        """Wait until the run differs from what it was; None when it is gone."""
        patient_until = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await told.wait()
            told.clear()
            try:
                now = await self.load(run.id)
            except StoreError:
                if asyncio.get_running_loop().time() > patient_until:
                    raise
                continue
            if now != run:
                return now
            patient_until = asyncio.get_running_loop().time() + _PATIENCE_S


def _read(document: bytes, attempt: bytes | int | None, superseded_by: bytes | None = None) -> Run:
    run = replace(decode(document), attempt=int(attempt or 0))
    return run.as_superseded(superseded_by.decode()) if superseded_by else run


def _head(task: str, messages: Sequence[bytes]) -> bytes:
    """What stands before the messages of a conversation: a digest of them, and the task they belong to."""
    digest = hashlib.sha256(usedforsecurity=False)
    for message in messages:
        digest.update(b"%d:%s" % (len(message), message))
    return f"{digest.hexdigest()} {task}".encode()


def _lost(run: Run) -> LeaseLost:
    return LeaseLost(f"Attempt {run.attempt} of {run.id} does not hold the run any more.")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
