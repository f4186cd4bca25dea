"""A queue and the store beside it, once in memory and once over a real Redis. A plug-in of the tests that name it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.adapters.redis.connection import open_redis
from app.adapters.redis.embedded import EmbeddedRedis
from app.adapters.redis.queue import ArqQueue
from app.adapters.redis.store import RedisStore
from tests.contract.sample_run import Records


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    asyncio.run(server.__aenter__())
    yield server.url
    asyncio.run(server.__aexit__(None, None, None))


@pytest.fixture(params=["memory", "redis"])
async def records(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Records]:
    if request.param == "memory":
        store = MemoryStore()
        yield Records(MemoryQueue(store), store)
        return
    async with open_redis(redis_url) as redis:
        await redis.flushall()
        yield Records(ArqQueue(redis), RedisStore(redis))
