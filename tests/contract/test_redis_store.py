"""The store over Redis, when Redis is slow, away, full of other things, or new."""

import asyncio
import os
import signal
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from app.adapters import keys
from app.adapters.connection import open_redis
from app.adapters.queue import ArqQueue
from app.adapters.redis_server import EmbeddedRedis
from app.adapters.store import RedisStore
from app.core.document import encode
from app.core.errors import StoreError, UserError
from tests.contract.sample_run import Records, a_run, completed, taken

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
