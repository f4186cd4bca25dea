"""Pickup: from the 202 to the first line of `carry_out` in a worker.

People look at the issue right after they labelled it. A plain arq worker polls twice a second; ours is woken by a bell.
Both get the same deliveries at the same random moments, through the same web process. A worker may begin before its
202 has come through: such a time is negative, and left so.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

from arq.connections import ArqRedis
from arq.worker import Worker, func

from app.adapters.redis import keys
from app.adapters.redis.embedded import EmbeddedRedis
from app.adapters.redis.worker import open_queue_worker
from tests.bench.delivery import command, open_door
from tests.bench.figure import Figure, figure
from tests.bench.load import connect

DELIVERIES: Final = 120
SECONDS: Final = 5.0
LAST_S: Final = 5.0

CarryOut = Callable[[str], Awaitable[None]]


async def measure() -> list[Figure]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        redis_url = (await stack.enter_async_context(EmbeddedRedis(folder / "redis"))).url
        port, _ = await stack.enter_async_context(open_door(folder, redis_url))
        polled = figure("plain arq, polling", await _pick_up(port, lambda do: _polling(redis_url, do)), "ms")
        rung = await _pick_up(port, lambda do: _woken(redis_url, do))
    return [polled, figure("our worker, woken by a bell", rung, "ms", against=polled)]


async def _pick_up(port: int, worker: Callable[[CarryOut], Any]) -> list[float]:
    """Milliseconds from 202 to the start of the job, for each delivery."""
    began: dict[str, asyncio.Future[float]] = {}

    async def carry_out(job_id: str) -> None:
        began[job_id].set_result(monotonic())

    connection = await connect(port)
    samples: list[tuple[str, float]] = []
    async with worker(carry_out):
        for wait_s in _gaps():
            await asyncio.sleep(wait_s)
            job_id, request = command()
            began[job_id] = asyncio.get_running_loop().create_future()
            status = await connection.ask(request)
            samples.append((job_id, monotonic()))
            if status != 202:
                raise RuntimeError(f"A command was answered {status}.")
        async with asyncio.timeout(LAST_S):
            await asyncio.gather(*began.values())
    connection.close()
    return [(began[job_id].result() - accepted_at) * 1000 for job_id, accepted_at in samples]


def _gaps() -> list[float]:
    """The same moments each time, at random, so that no poll falls in step with them."""
    chance = random.Random(12)
    return [chance.expovariate(DELIVERIES / SECONDS) for _ in range(DELIVERIES)]


@asynccontextmanager
async def _woken(redis_url: str, carry_out: CarryOut) -> AsyncIterator[None]:
    worker = open_queue_worker(redis_url, carry_out, max_jobs=10, handle_signals=False)
    serving = asyncio.create_task(worker.serve())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait({serving}, timeout=LAST_S)


@asynccontextmanager
async def _polling(redis_url: str, carry_out: CarryOut) -> AsyncIterator[None]:
    """arq's own worker with its own settings, but for what our jobs are written in."""

    async def call(ctx: dict[Any, Any], job_id: str) -> None:
        await carry_out(job_id)

    redis: ArqRedis = ArqRedis.from_url(redis_url)
    worker = Worker(
        [func(call, name="carry_out")],
        redis_pool=redis,
        queue_name=keys.ARQ_QUEUE,
        job_deserializer=json.loads,
        handle_signals=False,
    )
    serving = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        if worker.tasks:
            await asyncio.wait(worker.tasks.values(), timeout=LAST_S)
        serving.cancel()
        await asyncio.wait({serving}, timeout=LAST_S)
        await worker.close()
