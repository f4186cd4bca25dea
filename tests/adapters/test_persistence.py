"""What is said about a Redis that may lose what it is given."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from app.adapters.redis.connection import open_redis
from app.adapters.redis.embedded import EmbeddedRedis
from app.adapters.redis.persistence import check_persistence, try_out
from app.core.errors import StoreError


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Any]:
    async with EmbeddedRedis(tmp_path) as server, open_redis(server.url) as redis:
        yield redis


async def set_up(redis: Any, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        await redis.config_set(name, value)


async def test_the_embedded_redis_keeps_what_it_is_given(redis: Any) -> None:
    assert await check_persistence(redis) == ()


async def test_a_redis_without_a_file_is_told_of(redis: Any) -> None:
    await set_up(redis, {"appendonly": "no"})

    assert await check_persistence(redis) == snapshot(
        ("Redis keeps nothing on disk: a restart of it loses every run and job. Set `appendonly yes`.",)
    )


async def test_a_redis_with_snapshots_alone_is_told_of(redis: Any) -> None:
    await set_up(redis, {"appendonly": "no", "save": "3600 1 300 100"})

    assert await check_persistence(redis) == snapshot(
        (
            "Redis writes to disk now and then (`save 3600 1 300 100`): a crash loses what came since. "
            "Set `appendonly yes`.",
        )
    )


async def test_a_redis_that_evicts_is_told_of(redis: Any) -> None:
    await set_up(redis, {"maxmemory-policy": "allkeys-lru"})

    assert await check_persistence(redis) == snapshot(
        ("Redis may throw runs away when it is full (allkeys-lru). Set `maxmemory-policy noeviction`.",)
    )


async def test_a_redis_that_does_not_tell_its_settings_is_asked_otherwise(redis: Any) -> None:
    await set_up(redis, {"appendonly": "no", "maxmemory-policy": "volatile-ttl"})
    await redis.execute_command("ACL SETUSER default -config")

    assert await check_persistence(redis) == snapshot(
        (
            "Redis keeps no append-only file: a crash of it may lose runs and jobs. Set `appendonly yes`.",
            "Redis may throw runs away when it is full (volatile-ttl). Set `maxmemory-policy noeviction`.",
        )
    )


async def test_a_redis_that_is_away_is_an_error(tmp_path: Path) -> None:
    async with open_redis(str(tmp_path / "none.sock")) as redis:
        with pytest.raises(StoreError, match="Redis"):
            await check_persistence(redis)


async def test_a_redis_is_tried_out_and_nothing_is_left_in_it(redis: Any) -> None:
    assert (await try_out(redis)).startswith("Valkey ")
    assert await redis.keys("*") == []


async def test_a_redis_that_takes_nothing_is_an_error(redis: Any) -> None:
    await set_up(redis, {"maxmemory": "1"})
    with pytest.raises(StoreError, match="Redis is full"):
        await try_out(redis)
