"""The worker over a real Redis: how soon it starts, and what happens to jobs when it or Redis goes away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.adapters.redis import keys
from app.adapters.redis.connection import open_redis, read_script
from app.adapters.redis.embedded import EmbeddedRedis
from app.adapters.redis.queue import ArqQueue
from app.adapters.redis.store import RedisStore
from app.adapters.redis.worker import IDLE_S, QueueWorker, open_queue_worker
from app.core.errors import RetryLater, StoreError
from app.core.ports.queue import ConcurrencyLimits, WaitReason, WorkerState
from app.core.run.job import Command, Job, Person, Source, Verb
from app.core.run.run import Run

MANY = ConcurrencyLimits(per_repo=100, per_installation=100)


@dataclass
class Work:
    """A `carry_out` whose jobs last until they are let go; notes what it saw."""

    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    handed_back: list[str] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def carry_out(self, job_id: str) -> None:
        await self._note(self.started, job_id)
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            await self._note(self.handed_back, job_id)
            raise
        await self._note(self.ended, job_id)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(15), self.moved:
            await self.moved.wait_for(holds)

    async def _note(self, where: list[str], job_id: str) -> None:
        async with self.moved:
            where.append(job_id)
            self.moved.notify_all()


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with EmbeddedRedis(tmp_path) as server:
        yield server


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    async with open_redis(server.url) as redis:
        yield redis


@pytest.fixture
def queue(redis: Redis) -> ArqQueue:
    return ArqQueue(redis)


@asynccontextmanager
async def working(
    server: EmbeddedRedis,
    carry_out: Callable[[str], Awaitable[None]],
    *,
    caps: ConcurrencyLimits = MANY,
    **options: Any,
) -> AsyncIterator[tuple[QueueWorker, "asyncio.Task[None]"]]:
    """A worker at work until the block ends; then it ends at once."""
    at_work = open_queue_worker(server.url, carry_out, **{"max_jobs": 4, "handle_signals": False, **options})
    at_work.caps = caps
    serving = asyncio.create_task(at_work.serve())
    try:
        yield at_work, serving
    finally:
        serving.cancel()
        await asyncio.wait({serving}, timeout=30)


def a_run(key: int = 1) -> Run:
    sender, at = Person("maintainer", 1), datetime(2026, 11, 22, tzinfo=UTC)
    return Run(Job(f"acme~greeter~12~comment~{key}", "acme/greeter", 7, Source.COMMENT, sender, at))


async def emptied(redis: Redis) -> None:
    """Wait until arq's queue holds no job, neither waiting nor at work."""
    async with asyncio.timeout(10):
        while await redis.exists(keys.ARQ_QUEUE):
            pass


async def test_work_starts_when_the_bell_rings_and_not_at_the_next_look(
    server: EmbeddedRedis, queue: ArqQueue, work: Work
) -> None:
    async with working(server, work.carry_out):
        await queue.put(a_run(0))
        await work.until(lambda: len(work.started) == 1)
        waits = []
        for run in (a_run(1), a_run(2), a_run(3)):
            began = time.monotonic()
            await queue.put(run)
            await work.until(partial(work.started.__contains__, run.id))
            waits.append(time.monotonic() - began)

    assert min(waits) < IDLE_S / 4


async def test_jobs_are_carried_out_side_by_side_up_to_a_limit(
    server: EmbeddedRedis, redis: Redis, queue: ArqQueue, work: Work
) -> None:
    for key in range(5):
        await queue.put(a_run(key))

    async with working(server, work.carry_out, max_jobs=2):
        await work.until(lambda: len(work.started) == 2)
        assert await queue.depth() == 3
        work.let_go.set()
        await work.until(lambda: len(work.ended) == 5)
        await emptied(redis)


async def test_a_job_at_work_here_is_not_started_twice(server: EmbeddedRedis, queue: ArqQueue, work: Work) -> None:
    async with working(server, work.carry_out):
        await queue.put(a_run(1))
        await work.until(lambda: len(work.started) == 1)

        await queue.put_again(a_run(1).id)
        await queue.put(a_run(2))
        await work.until(lambda: a_run(2).id in work.started)

    assert work.started == [a_run(1).id, a_run(2).id]


async def test_a_worker_that_is_stopped_hands_its_jobs_back(server: EmbeddedRedis, queue: ArqQueue, work: Work) -> None:
    await queue.put(a_run())
    async with working(server, work.carry_out) as (at_work, serving):
        await work.until(lambda: work.started == [a_run().id])
        at_work.stop()
        async with asyncio.timeout(5):
            await serving
    assert work.handed_back == [a_run().id]
    assert await queue.depth() == 1

    async with working(server, work.carry_out):
        await work.until(lambda: len(work.started) == 2)


async def test_a_job_that_puts_its_things_in_order_is_left_to_do_so(
    server: EmbeddedRedis, queue: ArqQueue, work: Work
) -> None:
    in_order, done = asyncio.Event(), []

    async def carry_out(job_id: str) -> None:
        try:
            await work.carry_out(job_id)
        finally:
            await in_order.wait()
            done.append(job_id)

    await queue.put(a_run())
    async with working(server, carry_out) as (at_work, serving):
        await work.until(lambda: work.started == [a_run().id])
        at_work.stop()
        await work.until(lambda: work.handed_back == [a_run().id])
        await asyncio.wait({serving}, timeout=0.3)
        assert not serving.done(), "it did not wait for the job"
        in_order.set()
        async with asyncio.timeout(5):
            await serving
    assert (work.handed_back, done) == ([a_run().id], [a_run().id])


async def test_a_worker_told_by_a_signal_hands_its_jobs_back(
    server: EmbeddedRedis, queue: ArqQueue, work: Work
) -> None:
    await queue.put(a_run())
    async with working(server, work.carry_out, handle_signals=True) as (_, serving):
        await work.until(lambda: work.started == [a_run().id])
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await serving

    assert work.handed_back == [a_run().id]
    assert await queue.depth() == 1


async def test_a_worker_that_drains_lets_its_jobs_end_and_starts_none(
    server: EmbeddedRedis, queue: ArqQueue, work: Work
) -> None:
    async with working(server, work.carry_out, drain_s=10) as (at_work, serving):
        await queue.put(a_run(1))
        await work.until(lambda: len(work.started) == 1)
        at_work.stop()
        await queue.put(a_run(2))
        work.let_go.set()
        async with asyncio.timeout(5):
            await serving

    assert (work.started, work.ended, work.handed_back) == ([a_run(1).id], [a_run(1).id], [])
    assert await queue.depth() == 1


async def test_an_idle_worker_ends_at_once(server: EmbeddedRedis, queue: ArqQueue, work: Work) -> None:
    work.let_go.set()
    async with working(server, work.carry_out, drain_s=10) as (at_work, serving):
        await queue.put(a_run())
        await work.until(lambda: len(work.ended) == 1)
        at_work.stop()
        async with asyncio.timeout(3):
            await serving


@pytest.mark.parametrize("end", ["restart", "kill"])
async def test_a_worker_goes_on_after_redis_was_away(
    server: EmbeddedRedis, redis: Any, queue: ArqQueue, work: Work, end: str
) -> None:
    async with working(server, work.carry_out):
        await queue.put(a_run(1))
        await work.until(lambda: len(work.started) == 1)

        await redis.execute_command("WAITAOF", 1, 0, 5_000)
        if end == "kill":
            os.kill(server.pid, signal.SIGKILL)
        await server.__aexit__(None, None, None)
        work.let_go.set()
        await work.until(lambda: len(work.ended) == 1)
        await server.__aenter__()

        await queue.put(a_run(2))
        await work.until(lambda: len(work.ended) == 2)
        await emptied(redis)

    assert work.started == [a_run(1).id, a_run(2).id]


async def test_a_redis_that_is_killed_under_a_worker_is_back_without_anybodys_help(
    server: EmbeddedRedis, redis: Redis, queue: ArqQueue, work: Work
) -> None:
    async with working(server, work.carry_out):
        await queue.put(a_run(1))
        await work.until(lambda: len(work.started) == 1)

        os.kill(server.pid, signal.SIGKILL)
        await queue.put(a_run(2))
        work.let_go.set()
        await work.until(lambda: len(work.ended) == 2)
        await emptied(redis)

    assert sorted(work.started) == [a_run(1).id, a_run(2).id]


async def test_a_job_whose_run_cannot_be_read_is_tried_again(server: EmbeddedRedis, queue: ArqQueue) -> None:
    tries: asyncio.Queue[str] = asyncio.Queue()

    async def carry_out(job_id: str) -> None:
        await tries.put(job_id)
        if tries.qsize() == 1:
            raise StoreError("Redis does not answer in time.")

    await queue.put(a_run())
    async with working(server, carry_out), asyncio.timeout(10):
        while tries.qsize() < 2:
            await queue.depth()


async def test_a_job_that_fails_otherwise_is_over(server: EmbeddedRedis, redis: Redis, queue: ArqQueue) -> None:
    tries = []

    async def carry_out(job_id: str) -> None:
        tries.append(job_id)
        raise ValueError("A bug.")

    await queue.put(a_run())
    async with working(server, carry_out):
        await emptied(redis)

    assert tries == [a_run().id]


async def test_a_job_put_off_starts_when_its_moment_comes_and_not_before(
    server: EmbeddedRedis, redis: Redis, queue: ArqQueue
) -> None:
    starts: list[float] = []

    async def carry_out(job_id: str) -> None:
        starts.append(time.monotonic())
        if len(starts) == 1:
            raise RetryLater("GitHub is away.", 0.7)

    await queue.put(a_run())
    async with working(server, carry_out):
        await emptied(redis)

    assert starts[1] - starts[0] >= 0.7
    assert await redis.keys("arq:*") == []


async def test_a_job_that_puts_itself_off_stays_in_the_queue(
    server: EmbeddedRedis, redis: Redis, queue: ArqQueue
) -> None:
    starts: list[float] = []

    async def carry_out(job_id: str) -> None:
        starts.append(time.monotonic())
        if len(starts) == 1:
            await queue.put_again(job_id, after_s=0.7)

    await queue.put(a_run())
    async with working(server, carry_out):
        await emptied(redis)

    assert starts[1] - starts[0] >= 0.7


async def test_a_worker_that_slept_does_not_take_anothers_job_off_the_queue(
    server: EmbeddedRedis, redis: Redis, queue: ArqQueue, work: Work
) -> None:
    slow, quick = Work(), work
    await queue.put(a_run())
    async with working(server, slow.carry_out):
        await slow.until(lambda: len(slow.started) == 1)
        await queue.put_again(a_run().id)  # as a recovery does that believes the worker dead
        async with working(server, quick.carry_out):
            await quick.until(lambda: len(quick.started) == 1)
            slow.let_go.set()
            await slow.until(lambda: len(slow.ended) == 1)
            await queue.put(a_run(2))
            await slow.until(lambda: a_run(2).id in slow.ended + quick.started)

            assert await redis.zscore(keys.ARQ_QUEUE, a_run().id) is not None
            assert await redis.exists(keys.ARQ_JOB + a_run().id, keys.ARQ_IN_PROGRESS + a_run().id) == 2

            quick.let_go.set()
            await emptied(redis)


@pytest.mark.parametrize("off_ms", [-86_400_000, 86_400_000])
async def test_a_clock_that_is_wrong_starts_nothing_late_and_nothing_early(
    server: EmbeddedRedis, queue: ArqQueue, work: Work, monkeypatch: pytest.MonkeyPatch, off_ms: int
) -> None:
    monkeypatch.setattr("arq.worker.timestamp_ms", lambda: round(time.time() * 1000) + off_ms)
    await queue.put(a_run(1))
    await queue.put_again(a_run(1).id, after_s=60)

    async with working(server, work.carry_out):
        await queue.put(a_run(2))
        await work.until(lambda: len(work.started) == 1)

    assert work.started == [a_run(2).id]


async def test_a_take_whose_answer_was_lost_takes_the_same_jobs(redis: Redis, queue: ArqQueue) -> None:
    for key in range(3):
        await queue.put(a_run(key))
    take = redis.register_script(read_script("schedule", "take"))
    first, same, other = [
        await take(keys.SCHEDULE, [*keys.schedule_arguments(MANY), 2, 4, 60_000, token])
        for token in ("one", "one", "two")
    ]

    assert first[::3] == same[::3] == [a_run(0).id.encode(), a_run(1).id.encode()]
    assert other[::3] == [a_run(2).id.encode()]


async def test_nothing_of_a_job_is_left_in_arqs_keys(
    server: EmbeddedRedis, redis: Redis, queue: ArqQueue, work: Work
) -> None:
    work.let_go.set()
    await queue.put(a_run())
    async with working(server, work.carry_out):
        await emptied(redis)

    assert await redis.keys("arq:*") == []


async def test_a_job_that_a_killed_worker_had_is_found_and_put_again(
    server: EmbeddedRedis, redis: Any, queue: ArqQueue, work: Work
) -> None:
    await queue.put(a_run())
    await redis.set(keys.ARQ_IN_PROGRESS + a_run().id, "1", ex=9_999)  # what a killed worker leaves behind

    async with working(server, work.carry_out):
        for job_id in await RedisStore(redis).leaseless():
            await queue.put_again(job_id)
        await work.until(lambda: work.started == [a_run().id])


async def test_a_live_worker_shows_that_it_is_well(
    server: EmbeddedRedis, redis: Redis, queue: ArqQueue, work: Work
) -> None:
    await queue.put(a_run())
    async with working(server, work.carry_out):
        await work.until(lambda: len(work.started) == 1)
        async with asyncio.timeout(5):
            while (lives_s := await redis.ttl("arq:queue:health-check")) < 0:
                pass

    assert 14 <= lives_s <= 16


def of(number: int, key: int = 1, *, verb: Verb = Verb.START) -> Run:
    """A run of a thread."""
    run = a_run(number * 100 + key)
    return replace(run, job=replace(run.job, number=number, command=Command(verb)))


async def test_two_workers_hold_one_repositorys_cap_and_take_what_comes_free(
    server: EmbeddedRedis, queue: ArqQueue, work: Work
) -> None:
    at_once = most = 0

    async def carry_out(job_id: str) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await work.carry_out(job_id)
        at_once -= 1

    for number in range(6):
        await queue.put(of(number))
    caps = ConcurrencyLimits(per_repo=2)
    async with working(server, carry_out, caps=caps), working(server, carry_out, caps=caps):
        await work.until(lambda: len(work.started) == 2)
        work.let_go.set()
        await work.until(lambda: len(work.ended) == 6)

    assert most == 2


async def test_two_workers_never_have_two_runs_of_a_thread(server: EmbeddedRedis, queue: ArqQueue, work: Work) -> None:
    at_once: set[str] = set()

    async def carry_out(job_id: str) -> None:
        assert not at_once
        at_once.add(job_id)
        await work.carry_out(job_id)
        at_once.remove(job_id)

    for key in range(5):
        await queue.put(of(1, key))
    work.let_go.set()
    async with working(server, carry_out), working(server, carry_out):
        await work.until(lambda: len(work.ended) == 5)

    assert work.ended == [of(1, key).id for key in range(5)]


async def test_a_full_worker_takes_what_is_only_answered(server: EmbeddedRedis, queue: ArqQueue, work: Work) -> None:
    async with working(server, work.carry_out, max_jobs=1):
        await queue.put(of(1))
        await work.until(lambda: len(work.started) == 1)
        await queue.put(of(2))
        await queue.put(of(1, 2, verb=Verb.STOP))
        await work.until(lambda: of(1, 2, verb=Verb.STOP).id in work.started)

    assert of(2).id not in work.started


async def test_the_slot_of_a_killed_worker_comes_free_with_its_run(
    server: EmbeddedRedis, redis: Any, queue: ArqQueue, work: Work
) -> None:
    await queue.put(of(1))
    await redis.script_flush()
    take = redis.register_script(read_script("schedule", "take"))
    caps = ConcurrencyLimits(per_repo=1)
    await take(keys.SCHEDULE, [*keys.schedule_arguments(caps), 1, 1, 9_999_999, "a worker that is killed"])
    await queue.put(of(2))
    async with working(server, work.carry_out, caps=caps):
        assert [each.reason for each in await ArqQueue(redis, caps=caps).waiting()] == [WaitReason.REPO]
        for job_id in await RedisStore(redis).leaseless():
            await queue.put_again(job_id)
        await work.until(lambda: work.started == [of(1).id])
        work.let_go.set()
        await work.until(lambda: work.ended == [of(1).id, of(2).id])


async def test_runs_wait_for_the_disk_only_while_no_worker_has_room(
    server: EmbeddedRedis, queue: ArqQueue, work: Work
) -> None:
    full, free = (
        "The worker's disk is full.",
        open_queue_worker(server.url, work.carry_out, max_jobs=0, handle_signals=False),
    )
    free.name = "free"

    async def states(*expected: WorkerState) -> None:
        async with asyncio.timeout(10):
            while await queue.workers() != expected:
                pass

    async with working(server, work.carry_out) as (at_work, _):
        at_work.name = "full"
        at_work.why_no_room = lambda: full
        await states(WorkerState("full", full))
        await queue.put(of(1))
        assert [each.reason for each in await queue.waiting()] == [WaitReason.DISK]
        serving = asyncio.create_task(free.serve())
        await states(WorkerState("free"), WorkerState("full", full))
        assert [each.reason for each in await queue.waiting()] == [WaitReason.WORKERS]
        serving.cancel()
        await asyncio.wait({serving})
        await states(WorkerState("full", full))
        at_work.why_no_room = str
        await work.until(lambda: work.started == [of(1).id])
        await states(WorkerState("full"))
    await states()


async def test_a_worker_that_stopped_reporting_is_forgotten(redis: Any, queue: ArqQueue) -> None:
    now, _ = await redis.time()
    await redis.hset(keys.WORKERS, mapping={"killed": f"{now - keys.WORKER_S - 1} It is full.", "alive": f"{now} "})
    await redis.register_script(read_script("report"))([keys.WORKERS], ["newest", "", keys.WORKER_S])
    assert [state.name for state in await queue.workers()] == ["alive", "newest"]
    assert 0 < await redis.ttl(keys.WORKERS) <= keys.WORKER_S


async def test_what_turns_out_to_be_work_waits_in_line(server: EmbeddedRedis, queue: ArqQueue, work: Work) -> None:
    asked: list[str] = []

    async def carry_out(job_id: str) -> None:
        if job_id == of(2, verb=Verb.BUDGET).id:
            asked.append(job_id)
            if len(asked) == 1:
                raise RetryLater("its turn", 0.0, works=True)
        await work.carry_out(job_id)

    caps = ConcurrencyLimits(per_repo=1)
    async with working(server, carry_out, caps=caps):
        await queue.put(of(1))
        await work.until(lambda: len(work.started) == 1)
        await queue.put(of(2, verb=Verb.BUDGET))
        async with asyncio.timeout(5):
            while not await queue.waiting():
                pass
        assert len(asked) == 1
        work.let_go.set()
        await work.until(lambda: work.ended == [of(1).id, of(2).id])
