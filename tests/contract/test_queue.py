"""What every queue promises, and what the one over Redis writes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from arq import constants
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool

from app.adapters.memory import MemoryQueue, MemoryStore
from app.adapters.redis import keys
from app.adapters.redis.connection import open_redis
from app.adapters.redis.queue import ArqQueue
from app.adapters.redis.store import RedisStore
from app.core.errors import StoreError
from app.core.ports.store import Signal
from app.core.run.codec import MAX_DOCUMENT_BYTES
from app.core.run.job import Verb
from app.core.run.run import Kind
from tests.contract.sample_run import AT, Records, a_full_run, a_run, in_progress, taken

pytest_plugins = ["tests.contract.records"]


async def test_a_run_that_was_put_is_stored_and_waits(records: Records) -> None:
    assert await records.queue.put(a_full_run())

    assert await records.store.load(a_full_run().id) == a_full_run()
    assert await records.queue.depth() == 1


async def test_an_id_is_put_once(records: Records) -> None:
    await records.queue.put(a_run())

    assert not await records.queue.put(replace(a_run(), message="Another of the same id."))

    assert await records.store.load(a_run().id) == a_run()
    assert await records.queue.depth() == 1


async def test_five_puts_at_once_make_one_job(records: Records) -> None:
    async with asyncio.TaskGroup() as together:
        puts = [together.create_task(records.queue.put(a_run())) for _ in range(5)]

    assert sum(put.result() for put in puts) == 1
    assert await records.queue.depth() == 1


async def test_a_job_put_again_waits_once(records: Records) -> None:
    await records.queue.put(a_run())

    await records.queue.put_again(a_run().id)
    await records.queue.put_again(a_run().id)

    assert await records.queue.depth() == 1


async def test_a_run_that_is_not_stored_cannot_be_put_again(records: Records) -> None:
    await records.queue.put_again("acme~greeter~1~comment~404")

    assert await records.queue.depth() == 0


async def test_a_job_put_off_waits_and_is_not_stuck(records: Records) -> None:
    held = await taken(records, a_run())
    await records.queue.put_again(held.id, after_s=60)
    await records.store.release(held)

    assert await records.queue.depth() == 1
    assert await records.store.leaseless() == ()


async def test_a_job_that_waited_until_its_moment_is_stuck_when_nobody_takes_it(records: Records) -> None:
    held = await taken(records, a_run())
    await records.store.release(held)
    await records.queue.put_again(held.id, after_s=0.2)
    assert await records.store.leaseless() == ()

    async with asyncio.timeout(5):
        while await records.store.leaseless() == ():
            pass
    assert await records.store.leaseless() == (held.id,)


async def test_the_last_call_says_when_a_job_may_start(records: Records) -> None:
    held = await taken(records, a_run())
    await records.store.release(held)
    await records.queue.put_again(held.id, after_s=60)
    await records.queue.put_again(held.id)
    assert await records.store.leaseless() == (held.id,)

    await records.queue.put_again(held.id, after_s=60)

    assert await records.store.leaseless() == ()
    assert await records.queue.depth() == 1


async def test_a_run_that_is_too_large_loses_its_oldest_activities(records: Records) -> None:
    run = a_run()
    for _ in range(200):
        run = run.with_activity(AT, Kind.TOOL, "é" * 2_000)

    await records.queue.put(run)

    kept = await records.store.load(run.id)
    assert kept is not None
    assert kept.activities == run.activities[100:]


async def test_a_run_that_is_too_large_without_activities_is_refused(records: Records) -> None:
    run = replace(a_run(), summary="x" * MAX_DOCUMENT_BYTES)

    with pytest.raises(StoreError, match=r"takes 52[0-9],[0-9]{3} bytes; at most 524,288"):
        await records.queue.put(run)

    assert await records.queue.depth() == 0
    assert await records.queue.put(a_run())


async def test_in_memory_a_job_is_taken_when_it_may_start() -> None:
    store = MemoryStore()
    queue = MemoryQueue(store)
    for key in (1, 2, 3):
        await queue.put(a_run(key, number=key))
    await queue.put_again(a_run(1, number=1).id, after_s=0.05)
    began = time.monotonic()

    async with asyncio.timeout(5):
        assert [await queue.take() for _ in range(3)] == [a_run(key, number=key).id for key in (2, 3, 1)]

    assert time.monotonic() - began >= 0.05


async def test_in_memory_a_taker_that_waits_is_woken() -> None:
    queue = MemoryQueue(MemoryStore())
    await queue.put(a_run(1))
    await queue.put_again(a_run(1).id, after_s=60)

    async with asyncio.timeout(5), asyncio.TaskGroup() as together:
        taking = together.create_task(queue.take())
        await queue.put(a_run(2))

    assert taking.result() == a_run(2).id


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with open_redis(redis_url) as redis:
        await redis.flushall()
        yield redis


async def test_arq_reads_the_job_as_put(redis: Any, redis_url: str) -> None:
    await ArqQueue(redis).put(a_run('"quoted"'))
    now = int((await redis.time())[0])

    async with ArqRedis(ConnectionPool.from_url(redis_url), job_deserializer=json.loads) as arq:
        (job,) = await arq.queued_jobs()
        await arq.connection_pool.disconnect()

    assert job.function == "carry_out"
    assert list(job.args) == [a_run('"quoted"').id]
    assert job.score is not None
    assert 0 <= now - job.score // 1000 <= 1
    assert int(job.enqueue_time.timestamp() * 1000) == job.score


def test_the_names_of_arqs_keys_are_arqs() -> None:
    ours = (keys.ARQ_QUEUE, keys.ARQ_JOB, keys.ARQ_IN_PROGRESS, keys.ARQ_RETRY, keys.ARQ_ABORT)

    assert ours == (
        constants.default_queue_name,
        constants.job_key_prefix,
        constants.in_progress_key_prefix,
        constants.retry_key_prefix,
        constants.abort_jobs_ss,
    )


async def test_every_key_ends_or_is_bounded(redis: Any) -> None:
    queue, store = ArqQueue(redis), RedisStore(redis)
    await queue.put(a_run())
    await queue.put_again(a_run().id)
    run = await store.acquire(a_run().id, worker="w", ttl_s=30)
    assert run is not None
    await store.save(replace(in_progress(run), branch="vibecode/12-x"))
    await store.signal(run.id, Signal("stop", "maintainer"))
    assert [found.id async for found in store.runs_of(run.job.repo, number=12)] == [run.id]

    kept = {key.decode() for key in await redis.keys("*") if await redis.ttl(key) < 0}

    assert kept == {keys.ARQ_QUEUE, keys.OPEN, keys.WAKE_UP}
    assert len(await redis.keys("*")) == 18


async def test_a_job_put_off_is_called_as_long_as_it_waits_and_longer(redis: Any) -> None:
    queue = ArqQueue(redis)
    await queue.put(a_run())
    await queue.put_again(a_run().id, after_s=30 * keys.DAY_S)
    now_ms = int((await redis.time())[0]) * 1000

    assert await redis.ttl(keys.ARQ_JOB + a_run().id) > 36 * keys.DAY_S
    score = await redis.zscore(keys.ARQ_QUEUE, a_run().id)
    assert abs(score - now_ms - 30 * keys.DAY_S * 1000) < 2_000


async def test_the_bell_rings_for_jobs_that_may_start_at_once(redis: Any) -> None:
    queue = ArqQueue(redis)
    await queue.put(a_run())
    await redis.delete(keys.WAKE_UP)

    await queue.put_again(a_run().id, after_s=0.001)
    assert await redis.llen(keys.WAKE_UP) == 0

    await queue.put_again(a_run().id)
    assert await redis.llen(keys.WAKE_UP) == 1


async def test_the_bell_holds_a_hundred_rings_at_most(redis: Any) -> None:
    for key in range(105):
        await ArqQueue(redis).put(a_run(key))

    assert await redis.llen(keys.WAKE_UP) == 100


async def test_lists_forget_runs_older_than_they_are_kept(redis: Any) -> None:
    await redis.zadd(keys.runs(), {"an-old-run": 1})

    await ArqQueue(redis).put(a_run())

    assert await redis.zrange(keys.runs(), 0, -1) == [a_run().id.encode()]


async def test_a_put_survives_a_redis_that_forgot_its_scripts(redis: Any) -> None:
    queue = ArqQueue(redis)
    await queue.put(a_run(1))
    await redis.script_flush()

    assert await queue.put(a_run(2))


async def test_a_job_put_again_is_free_of_what_stood_in_its_way(redis: Any) -> None:
    queue = ArqQueue(redis)
    await queue.put(a_run())
    await redis.set(keys.ARQ_IN_PROGRESS + a_run().id, "1", ex=99)
    await redis.set(keys.ARQ_RETRY + a_run().id, "999", ex=99)
    await redis.zadd(keys.ARQ_ABORT, {a_run().id: 1})
    assert await queue.depth() == 0

    await queue.put_again(a_run().id)

    assert await queue.depth() == 1
    assert not await redis.exists(keys.ARQ_RETRY + a_run().id, keys.ARQ_ABORT)


async def test_a_job_put_again_after_arq_dropped_it_waits(redis: Any) -> None:
    queue = ArqQueue(redis)
    await queue.put(a_run())
    await redis.delete(keys.ARQ_JOB + a_run().id, keys.ARQ_QUEUE)

    await queue.put_again(a_run().id)

    assert await queue.depth() == 1
    assert await redis.exists(keys.ARQ_JOB + a_run().id)


async def test_a_status_command_does_not_become_the_threads_latest_run(redis: Any) -> None:
    await ArqQueue(redis).put(a_run(1))
    await ArqQueue(redis).put(a_run(2, verb=Verb.STATUS))

    assert await RedisStore(redis).latest("acme/greeter", 12) == a_run(1)


async def test_a_full_redis_refuses_a_put_whole(redis: Any) -> None:
    queue = ArqQueue(redis)
    await queue.put(a_run(1))
    before = await redis.keys("*")
    await redis.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(StoreError, match="Redis is full"):
            await queue.put(a_run(2))
    finally:
        await redis.config_set("maxmemory", "512mb")

    assert sorted(await redis.keys("*")) == sorted(before)
    assert await queue.put(a_run(2))


async def test_a_put_takes_one_round_trip(redis_url: str, tmp_path: Path) -> None:
    async with counting(redis_url, tmp_path / "proxy.sock") as (url, asked), open_redis(url) as redis:
        queue = ArqQueue(redis)
        await queue.put(a_run("warms the connection and the script"))
        asked.clear()

        await queue.put(a_run("is counted"))

        assert len(asked) == 1


@asynccontextmanager
async def counting(redis_url: str, socket: Path) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy before Redis that notes what it is asked, one entry per turn of the conversation."""
    asked: list[bytes] = []

    async def pass_on(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        redis, to_redis = await asyncio.open_unix_connection(redis_url.removeprefix("unix://"))
        while request := await client.read(1_000_000):
            asked.append(request)
            to_redis.write(request)
            to_client.write(await redis.read(1_000_000))
        for writer in (to_redis, to_client):
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_unix_server(pass_on, socket):
        yield f"unix://{socket}", asked
