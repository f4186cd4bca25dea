"""What was accepted is what is stored, and each id is one job: from many processes at once, while things are killed."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.adapters.redis import keys
from app.adapters.redis.connection import open_redis
from app.adapters.redis.embedded import EmbeddedRedis
from app.adapters.redis.queue import ArqQueue
from app.adapters.redis.store import RedisStore
from app.core.errors import StoreError
from tests.contract.sample_run import a_run

CLIENTS = 4
IDS = range(60)


async def put_all(url: str, seed: int) -> None:
    """Put every id once per client, each in an order of its own, and say what came of each."""

    async def put_one_by_one(client: int) -> None:
        order = random.Random(f"{seed} {client}").sample(IDS, len(IDS))
        async with open_redis(url, max_connections=2) as redis:
            for key in order:
                run = a_run(key)
                try:
                    is_new = await ArqQueue(redis).put(run)
                except StoreError:
                    print("refused", run.id, flush=True)  # noqa: T201
                else:
                    print("accepted" if is_new else "known", run.id, flush=True)  # noqa: T201

    async with asyncio.TaskGroup() as together:
        for client in range(CLIENTS):
            together.create_task(put_one_by_one(client))


@asynccontextmanager
async def putting(url: str, seed: int) -> AsyncIterator[asyncio.subprocess.Process]:
    script = f"import asyncio; from {__name__} import put_all; asyncio.run(put_all({url!r}, {seed}))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        yield process
        await process.wait()
    except BaseException:
        process.kill()
        raise


async def said(process: asyncio.subprocess.Process, *, lines: int = 1_000) -> list[tuple[str, str]]:
    """What a process said came of its puts: that many, or all."""
    assert process.stdout is not None
    heard: list[tuple[str, str]] = []
    while len(heard) < lines and (line := await process.stdout.readline()).endswith(b"\n"):
        word, job_id = line.decode().split()
        heard.append((word, job_id))
    return heard


async def stored(redis: Any) -> set[str]:
    """The ids of all runs, each of which waits as exactly one job and is in the lists once."""
    ids = {key.decode().removeprefix(keys.RUN) for key in await redis.keys(keys.RUN + "*")}
    waiting = [job_id.decode() for job_id in await redis.zrange(keys.ARQ_QUEUE, 0, -1)]
    assert sorted(waiting) == sorted(ids)
    assert sorted(run.id for run in (await RedisStore(redis).list(limit=100)).runs) == sorted(ids)
    assert await redis.exists(*(keys.ARQ_JOB + job_id for job_id in ids)) == len(ids)
    assert await redis.exists(*(keys.seen(job_id) for job_id in ids)) == len(ids)
    return ids


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with EmbeddedRedis(tmp_path) as server:
        yield server


async def test_many_processes_put_the_same_ids_and_each_is_one_job(server: EmbeddedRedis) -> None:
    async with asyncio.timeout(50), putting(server.url, 1) as one, putting(server.url, 2) as two:
        heard = [*await said(one), *await said(two)]

    accepted = Counter(job_id for word, job_id in heard if word == "accepted")
    assert len(heard) == 2 * CLIENTS * len(IDS)
    assert set(accepted.values()) == {1}
    async with open_redis(server.url) as redis:
        assert set(accepted) == await stored(redis) == {a_run(key).id for key in IDS}


async def test_a_process_killed_in_the_middle_leaves_no_half_a_job(server: EmbeddedRedis) -> None:
    async with asyncio.timeout(50), putting(server.url, 1) as process:
        heard = await said(process, lines=70)
        process.kill()
        heard += await said(process)

    accepted = Counter(job_id for word, job_id in heard if word == "accepted")
    assert set(accepted.values()) == {1}
    async with open_redis(server.url) as redis:
        assert set(accepted) <= await stored(redis)


async def test_a_redis_killed_in_the_middle_keeps_all_that_was_accepted(server: EmbeddedRedis) -> None:
    async with asyncio.timeout(50), putting(server.url, 1) as one, putting(server.url, 2) as two:
        heard = await said(one, lines=100)
        os.kill(server.pid, signal.SIGKILL)
        heard += [*await said(one), *await said(two)]

    accepted = Counter(job_id for word, job_id in heard if word == "accepted")
    answered = {job_id for word, job_id in heard if word != "refused"}
    assert len(heard) == 2 * CLIENTS * len(IDS)
    assert set(accepted.values()) == {1}
    async with open_redis(server.url) as redis:
        assert answered == await stored(redis)
