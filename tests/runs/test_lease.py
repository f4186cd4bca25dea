import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import LeaseLost, Stopped, StoreError
from app.core.ports import Ports
from app.core.records import Signal
from app.core.run import Run
from app.runs.lease import LEASE_S, RENEW_S, Beat, finish, hold
from tests.text.runs import JOB


class Hourglass:
    """A clock whose sleeps take no time and move it on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


async def nothing(*_: object) -> None:
    return


async def until_cancelled() -> None:
    await asyncio.Event().wait()


async def held(store: MemoryStore) -> Run:
    await MemoryQueue(store).put(Run(JOB))
    run = await store.acquire(JOB.id, worker="one", ttl_s=LEASE_S)
    assert run is not None
    return run


def ports(store: object) -> Ports:
    return cast(Ports, SimpleNamespace(store=store, clock=Hourglass()))


BEAT = Beat(cast(Callable[[Signal], Awaitable[None]], nothing), nothing)


async def test_what_the_work_returns_is_returned() -> None:
    async def work() -> str:
        return "done"

    store = MemoryStore()
    assert await hold(ports(store), await held(store), work(), BEAT) == "done"


async def test_work_whose_lease_is_lost_is_cancelled() -> None:
    store = MemoryStore()
    run = await held(store)
    with pytest.raises(LeaseLost):
        await hold(ports(store), replace(run, attempt=run.attempt - 1), until_cancelled(), BEAT)


async def test_a_signal_that_raises_ends_the_work() -> None:
    async def stop(signal: Signal) -> None:
        raise Stopped(signal.by)

    store = MemoryStore()
    run = await held(store)
    await store.signal(run.id, Signal("stop", "ada"))
    with pytest.raises(Stopped, match="ada"):
        await hold(ports(store), run, until_cancelled(), Beat(stop, nothing))


async def test_an_outage_is_borne_for_as_long_as_the_lease_lasts() -> None:
    class Away:
        async def signals(self, job_id: str) -> tuple[Signal, ...]:
            raise StoreError("Redis is away.")

    world = ports(Away())
    with pytest.raises(LeaseLost, match="longer than the lease"):
        await hold(world, Run(JOB), until_cancelled(), BEAT)
    assert world.clock.monotonic() > LEASE_S


async def test_the_sandbox_is_kept_alive_with_the_lease() -> None:
    beats = 0

    async def renewed() -> None:
        nonlocal beats
        beats += 1
        if beats == 3:
            raise Stopped("the test")

    store = MemoryStore()
    world = ports(store)
    with pytest.raises(Stopped):
        await hold(world, await held(store), until_cancelled(), Beat(nothing, renewed))
    assert world.clock.monotonic() == pytest.approx(3 * RENEW_S, abs=3)


async def test_what_is_being_written_comes_to_its_end_when_the_work_is_cancelled() -> None:
    begun, answered, noted = asyncio.Event(), asyncio.Event(), False

    async def write() -> None:
        nonlocal noted
        begun.set()
        await answered.wait()
        noted = True

    work = asyncio.create_task(finish(write()))
    await begun.wait()
    work.cancel()
    asyncio.get_running_loop().call_soon(answered.set)
    with pytest.raises(asyncio.CancelledError):
        await work
    assert noted
