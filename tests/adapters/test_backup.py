"""Backups of the embedded Redis, taken while it works and restored elsewhere, by the commands of the README."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.adapters.redis.connection import open_redis
from app.adapters.redis.embedded import EmbeddedRedis
from app.adapters.redis.queue import ArqQueue
from app.adapters.redis.store import RedisStore
from app.adapters.redis.worker import open_queue_worker
from app.core.conversation import UserMessage
from app.core.run.run import Run
from tests.contract.sample_run import Records, a_run, completed, taken


@asynccontextmanager
async def records_in(folder: Path) -> AsyncIterator[tuple[EmbeddedRedis, Any, Records]]:
    async with EmbeddedRedis(folder) as server, open_redis(server.url) as redis:
        yield server, redis, Records(ArqQueue(redis), RedisStore(redis))


async def fill(records: Records) -> tuple[Run, ...]:
    """A run that is over, one at work, one put off and one that waits; newest first, as they are listed."""
    over = completed(await taken(records, a_run(1)))
    await records.store.save(over)
    at_work = await taken(records, a_run(2), ttl_s=0.5)
    await records.store.keep_conversation(at_work, "plan", (UserMessage("Mend it."),))
    put_off = await taken(records, a_run(3))
    await records.store.release(put_off)
    await records.queue.put_again(put_off.id, after_s=0.5)
    await records.queue.put(a_run(4))
    return (a_run(4), put_off, at_work, over)


async def by_dump(redis: Any, folder: Path, backup: Path) -> None:
    await redis.save()
    shutil.move(folder / "dump.rdb", backup / "dump.rdb")


async def by_files(redis: Any, folder: Path, backup: Path) -> None:
    await redis.config_set("auto-aof-rewrite-percentage", 0)
    shutil.copytree(folder / "appendonlydir", backup / "appendonlydir")
    await redis.config_set("auto-aof-rewrite-percentage", 100)


@pytest.mark.parametrize("back_up", [by_dump, by_files])
async def test_what_was_backed_up_while_it_worked_goes_on_elsewhere(tmp_path: Path, back_up: Any) -> None:
    backup = tmp_path / "restored"
    backup.mkdir()
    async with records_in(tmp_path / "old") as (_, redis, records):
        runs = await fill(records)
        await back_up(redis, tmp_path / "old", backup)
        await records.queue.put(a_run("too late"))

    async with records_in(backup) as (server, _, records):
        assert (await records.store.list()).runs == runs
        assert await records.store.conversation(a_run(2).id, "plan") == (UserMessage("Mend it."),)
        assert not await records.queue.put(a_run(4))
        await work_until_none_is_open(server, records)
        assert {run.status for run in (await records.store.list()).runs} == {"completed"}

    async with records_in(backup) as (_, _, records):
        assert {run.status for run in (await records.store.list()).runs} == {"completed"}


async def work_until_none_is_open(server: EmbeddedRedis, records: Records) -> None:
    """Be a worker, and its recovery, until each of four runs is over."""
    over: set[str] = set()

    async def carry_out(job_id: str) -> None:
        held = await records.store.acquire(job_id, worker="w", ttl_s=30)
        if held is not None:
            await records.store.save(completed(held))
            over.add(job_id)

    at_work = open_queue_worker(server.url, carry_out, max_jobs=2, handle_signals=False)
    serving = asyncio.create_task(at_work.serve())
    async with asyncio.timeout(15):
        while len(over) < 3:
            for job_id in await records.store.leaseless():
                await records.queue.put_again(job_id)
    at_work.stop()
    await asyncio.wait({serving}, timeout=10)


async def test_a_dump_never_takes_the_place_of_data(tmp_path: Path) -> None:
    async with records_in(tmp_path) as (_, redis, records):
        await redis.save()
        await records.queue.put(a_run())

    async with records_in(tmp_path) as (_, _, records):
        assert (await records.store.list()).runs == (a_run(),)
