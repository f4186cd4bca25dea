"""The store over Redis, when Redis is slow, away, full of other things, or new."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from app.adapters.redis import keys
from app.adapters.redis.connection import open_redis
from app.adapters.redis.embedded import EmbeddedRedis
from app.adapters.redis.queue import ArqQueue
from app.adapters.redis.store import RedisStore
from app.core.errors import StoreError, UserError
from app.core.run.codec import encode
from app.core.run.run import Run, Status
from tests.contract.sample_run import REPO, Records, a_run, completed, taken

pytest_plugins = ["tests.contract.records"]


async def test_a_job_that_arq_has_but_nobody_took_is_leaseless(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        await redis.flushall()
        queue, store = ArqQueue(redis), RedisStore(redis)
        for key in (1, 2, 3):
            await queue.put(a_run(key))

        await redis.set(keys.ARQ_IN_PROGRESS + a_run(2).id, "1", ex=99)
        await redis.zrem(keys.ARQ_QUEUE, a_run(3).id)

        assert await store.leaseless() == (a_run(2).id, a_run(3).id)


async def test_a_run_put_off_is_leaseless_once_it_fell_out_of_the_queue(redis_url: str) -> None:
    """A worker that died before it put the run off leaves nothing; one that woke too late may take it off."""
    async with open_redis(redis_url) as redis:
        await redis.flushall()
        queue, store = ArqQueue(redis), RedisStore(redis)
        held = await taken(Records(queue, store), a_run())
        await store.release(held)
        await queue.put_again(held.id, after_s=60)
        assert await store.leaseless() == ()

        await redis.zrem(keys.ARQ_QUEUE, held.id)

        assert await store.leaseless() == (held.id,)


async def test_a_run_that_this_version_cannot_read_is_left_to_others(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        await redis.flushall()
        queue, store = ArqQueue(redis), RedisStore(redis)
        await queue.put(a_run())
        newer = encode(a_run()).replace(b'"stages":[]', b'"stages":[{"stage":"celebrate"}]')
        await cast(Any, redis).hset(keys.run(a_run().id), "document", newer)

        for _ in range(3):
            with pytest.raises(StoreError, match="cannot be read"):
                await store.acquire(a_run().id, worker="w", ttl_s=30)

        await cast(Any, redis).hset(keys.run(a_run().id), "document", encode(a_run()))
        held = await store.acquire(a_run().id, worker="w", ttl_s=30)
        assert held is not None
        assert held.attempt == 1


async def test_a_document_that_cannot_be_read_is_left_out_of_the_list(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        await redis.flushall()
        for key in (1, 2, 3):
            await ArqQueue(redis).put(a_run(key))
        await cast(Any, redis).hset(keys.run(a_run(1).id), "document", "{}")
        await redis.delete(keys.run(a_run(2).id))

        assert (await RedisStore(redis).list()).runs == (a_run(3),)
        with pytest.raises(StoreError, match="cannot be read"):
            await RedisStore(redis).load(a_run(1).id)


async def test_a_follower_outlives_a_restart_of_redis(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "redis") as server, open_redis(server.url) as redis:
        records = Records(ArqQueue(redis), RedisStore(redis))
        held = await taken(records, a_run())
        async with asyncio.timeout(10), aclosing(cast(Any, records.store.follow(held.id))) as following:
            await anext(following)
            waiting = asyncio.create_task(anext(following))

            await server.__aexit__(None, None, None)
            await server.__aenter__()
            await records.store.save(completed(held))

            assert await waiting == completed(held)


async def test_an_absent_redis_is_an_error_within_three_seconds(tmp_path: Path) -> None:
    async with open_redis(str(tmp_path / "none.sock")) as redis:
        began = time.monotonic()
        with pytest.raises(StoreError, match="Redis"):
            await ArqQueue(redis).put(a_run())
        assert time.monotonic() - began < 3


async def test_a_frozen_redis_is_an_error_within_three_seconds(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "redis") as server, open_redis(server.url, max_connections=2) as redis:
        store = RedisStore(redis)
        await store.ping()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            outcomes = await asyncio.gather(*(store.load("an-id") for _ in range(10)), return_exceptions=True)
            assert time.monotonic() - began < 3
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert {type(outcome) for outcome in outcomes} == {StoreError}
        await store.ping()


async def test_callers_wait_for_one_another_when_all_connections_are_busy(redis_url: str) -> None:
    async with open_redis(redis_url, max_connections=1) as redis, asyncio.TaskGroup() as together:
        for _ in range(50):
            together.create_task(RedisStore(redis).ping())


async def test_a_restart_between_two_calls_is_not_noticed(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "redis") as server, open_redis(server.url) as redis:
        store = RedisStore(redis)
        await asyncio.gather(*(store.ping() for _ in range(10)))

        await server.__aexit__(None, None, None)
        await server.__aenter__()

        await asyncio.gather(*(store.ping() for _ in range(10)))


async def test_a_password_in_the_address_is_percent_decoded(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "redis") as server, open_redis(server.url) as redis:
        await redis.config_set("requirepass", "p@ss/w:rd%")
        async with open_redis(server.url.replace("unix://", "unix://default:p%40ss%2Fw%3Ard%25@")) as known:
            await RedisStore(known).ping()
            for url in (server.url, server.url.replace("unix://", "unix://default:wrong@")):
                async with open_redis(url) as unknown:
                    with pytest.raises(StoreError, match="Redis refuses our name or password"):
                        await RedisStore(unknown).ping()
            await known.config_set("requirepass", "")


async def test_a_replica_is_named_as_such(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "redis") as server, open_redis(server.url) as redis:
        await redis.replicaof("127.0.0.1", "1")

        with pytest.raises(StoreError, match="read-only replica"):
            await ArqQueue(redis).put(a_run())


@pytest.mark.parametrize("url", ["http://localhost", "redis://localhost:port", "redis://localhost?sockettimeout=1", ""])
def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="address of Redis"):
        open_redis(url)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with open_redis(redis_url) as client:
        await client.flushall()
        yield client


async def read_thread(store: RedisStore, **wanted: Any) -> list[str]:
    return [run.id async for run in store.runs_of(REPO, **wanted)]


async def forget_lists(redis: Any, run: Run) -> None:
    """Leave a run as a version stored it that knew of no threads and branches."""
    await redis.hdel(keys.run(run.id), "listed")
    for key in await redis.keys("vibecoder:runs:*[#@]*"):
        await redis.zrem(key, run.id)
    await redis.delete(keys.indexed(REPO))


async def test_runs_of_an_older_version_are_listed_once_by_thread_and_branch(redis: Any) -> None:
    records = Records(ArqQueue(redis), RedisStore(redis))
    older = [await taken(records, a_run(key)) for key in range(30)]
    for run in older:
        await records.store.save(replace(completed(run), branch="vibecode/x"))
        await forget_lists(redis, run)
    await records.queue.put(a_run("new"))
    unreadable = keys.run(older[7].id)
    await redis.hset(unreadable, "document", b"{}")

    wanted = [run.id for run in reversed(older) if run is not older[7]]
    store = cast(RedisStore, records.store)
    assert await read_thread(store, number=12) == [a_run("new").id, *wanted]
    assert await read_thread(store, branch="vibecode/x") == wanted
    assert await read_thread(store, number=12, status=Status.COMPLETED) == wanted
    assert 3_500 < await redis.ttl(keys.indexed(REPO)) <= 3_600, "an older version may still run beside this one"

    await redis.delete(keys.indexed(REPO))
    assert await read_thread(store, branch="vibecode/x") == wanted
    assert await redis.ttl(keys.indexed(REPO)) > keys.DAY_S


async def test_a_run_of_an_older_version_is_listed_as_it_is_saved(redis: Any) -> None:
    records = Records(ArqQueue(redis), RedisStore(redis))
    held = await taken(records, a_run())
    await forget_lists(redis, held)
    await redis.set(keys.indexed(REPO), "1")

    await records.store.save(replace(held, branch="vibecode/x"))

    assert await read_thread(cast(RedisStore, records.store), number=12) == [held.id]
    assert await read_thread(cast(RedisStore, records.store), branch="vibecode/x") == [held.id]


async def test_what_an_older_version_saved_meanwhile_is_listed_anew(redis: Any) -> None:
    """It runs beside this one while a deployment is replaced, and does not know of the lists."""
    records = Records(ArqQueue(redis), RedisStore(redis))
    held = await taken(records, a_run())
    ended = replace(completed(held), branch="vibecode/x")
    await redis.hset(keys.run(held.id), mapping={"document": encode(ended), "status": "completed"})
    store = cast(RedisStore, records.store)

    assert await read_thread(store, number=12, status=Status.QUEUED) == []
    assert await read_thread(store, number=12, status=Status.COMPLETED) == [held.id]
    assert await read_thread(store, branch="vibecode/x") == [held.id]


async def count_commands(redis: Any, store: RedisStore) -> int:
    await redis.config_resetstat()
    assert len(await read_thread(store, number=12, branch="vibecode/x")) == 1
    stats = await redis.info("commandstats")
    return sum(stat["calls"] for name, stat in stats.items() if name != "cmdstat_config|resetstat")


async def test_a_threads_runs_cost_the_same_however_many_others_there_are(redis: Any) -> None:
    queue, store = ArqQueue(redis), RedisStore(redis)
    await queue.put(a_run())
    await read_thread(store, number=12)
    alone = await count_commands(redis, store)

    for key in range(150):
        await queue.put(a_run(key, number=1_000 + key))
    newest = 1_000_000 * time.time()
    for scope in ("", REPO):
        for each in (keys.runs(scope), keys.runs(scope, "queued")):
            await redis.zadd(each, {a_run(key, number=9_000).id: newest + key for key in range(10_000)})

    assert await count_commands(redis, store) == alone
    assert alone <= 5
