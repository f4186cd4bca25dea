import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import LeaseLost, SandboxError, Stopped, StoreError
from app.core.ports.bundle import Ports
from app.core.ports.store import Signal
from app.core.run.run import Run
from app.runs.lease import KEEP_ALIVE_AGAIN_S, KEEP_ALIVE_S, LEASE_S, LISTEN_S, RENEW_S, LeaseHooks, finish, hold
from tests.text.runs import JOB


class Hourglass:
    """A clock whose sleeps take no time and move it on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._alarms: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        alarm = self.seconds + seconds
        self._alarms.append(alarm)
        try:
            await asyncio.sleep(0)
            while alarm > min(self._alarms):  # noqa: ASYNC110 - the clock rings no bell
                await asyncio.sleep(0)
        finally:
            self._alarms.remove(alarm)
        self.seconds = max(self.seconds, alarm)


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


BEAT = LeaseHooks(cast(Callable[[Signal], Awaitable[None]], nothing), nothing)


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
        await hold(ports(store), run, until_cancelled(), LeaseHooks(stop, nothing))


async def test_an_outage_is_borne_for_as_long_as_the_lease_lasts() -> None:
    class Away:
        async def signals(self, job_id: str) -> tuple[Signal, ...]:
            raise StoreError("Redis is away.")

    world = ports(Away())
    with pytest.raises(LeaseLost, match="longer than the lease"):
        await hold(world, Run(JOB), until_cancelled(), BEAT)
    assert world.clock.monotonic() > LEASE_S


async def test_the_sandbox_is_kept_alive_every_five_minutes_and_sooner_after_a_failure() -> None:
    store, calls = MemoryStore(), list[float]()
    world = ports(store)

    async def keep_alive() -> None:
        calls.append(world.clock.monotonic())
        if len(calls) == 2:
            raise SandboxError("E2B is away.", is_passing=True)
        if len(calls) == 4:
            raise Stopped("the test")

    with pytest.raises(Stopped):
        await hold(world, await held(store), until_cancelled(), LeaseHooks(nothing, keep_alive))
    assert calls == [
        pytest.approx(at, abs=2 * LISTEN_S)
        for at in (KEEP_ALIVE_S, 2 * KEEP_ALIVE_S, 2 * KEEP_ALIVE_S + KEEP_ALIVE_AGAIN_S, 3 * KEEP_ALIVE_S + 30)
    ]


async def test_a_vendor_that_does_not_answer_costs_neither_the_lease_nor_a_stop_nor_the_time_limit() -> None:
    store, renewals = MemoryStore(), list[float]()
    run, world = await held(store), ports(store)
    renew = store.renew

    async def renewed(run: Run, *, ttl_s: float) -> None:
        renewals.append(world.clock.monotonic())
        await renew(run, ttl_s=ttl_s)

    async def check() -> None:
        while world.clock.monotonic() < KEEP_ALIVE_S + 2 * LEASE_S:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        await store.signal(run.id, Signal("stop", "ada"))

    async def stop(signal: Signal) -> None:
        raise Stopped(signal.by)

    store.renew = renewed  # type: ignore[method-assign]
    asking = asyncio.create_task(check())
    with pytest.raises(Stopped, match="ada"):
        await hold(world, run, until_cancelled(), LeaseHooks(stop, until_cancelled))
    await asking
    assert max(later - earlier for earlier, later in pairwise(renewals)) <= RENEW_S + 2 * LISTEN_S
    assert renewals[-1] > KEEP_ALIVE_S + LEASE_S


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
