"""One worker at a time: work goes on only while its lease is held, and ends when that is lost or a person says stop.

held ──renew every 10 s──▶ held ──30 s without──▶ free ──acquire──▶ held by another, attempt + 1

The sandbox is kept alive in a task of its own: a vendor that does not answer must hold up neither renewals nor stops.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Final, TypeVar

from app.core.errors import AccessRevoked, LeaseLost, SandboxError, Stopped, StoreError
from app.core.inbound import access_revoked, closing
from app.core.ports.bundle import Ports
from app.core.ports.store import Signal
from app.core.run.run import Run
from app.runs.progress import Progress

log = logging.getLogger(__name__)

LEASE_S: Final = 30.0
RENEW_S: Final = 10.0
LISTEN_S: Final = 0.5
"""How often a run in progress asks for signals; bounds how long a stop takes."""
KEEP_ALIVE_S: Final = 300.0
KEEP_ALIVE_AGAIN_S: Final = 30.0
"""The same after a failure."""
KEEP_ALIVE_LIMIT_S: Final = 60.0
FINISH_S: Final = 4.0
"""How long a stop waits for what is being written to GitHub."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LeaseHooks:
    """What is done beside the work: `on_signal` with each word people leave, `keep_alive` of the sandbox every five
    minutes, `check` as often as it listens."""

    on_signal: Callable[[Signal], Awaitable[None]]
    keep_alive: Callable[[], Awaitable[None]]
    check: Callable[[], None] = lambda: None


async def hold(ports: Ports, run: Run, work: Coroutine[None, None, T], hooks: LeaseHooks) -> T:
    """Carry `work` out in a task of its own while the lease is renewed beside it.

    When the lease is lost, or `hooks` raises (a stop does), the work is cancelled and that error raised.
    """
    carrying_out = asyncio.create_task(work, name=f"work {run.id}")
    keepers = {
        asyncio.create_task(_keep(ports, run, hooks), name=f"lease {run.id}"),
        asyncio.create_task(_keep_alive(ports, hooks), name=f"sandbox {run.id}"),
    }
    try:
        ended, _ = await asyncio.wait({carrying_out, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        if carrying_out not in ended:
            ended.pop().result()
        return await carrying_out
    finally:
        for task in (carrying_out, *keepers):
            task.cancel()
        await asyncio.wait({carrying_out, *keepers})


async def finish(write: Coroutine[None, None, T]) -> T:
    """Let what is being written to GitHub come to its end and be put on record, also when the work is cancelled
    meanwhile: a request that was sent may be carried out whoever waits for its answer. Waits a few seconds at most."""
    task = asyncio.create_task(write)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=FINISH_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


async def _keep(ports: Ports, run: Run, hooks: LeaseHooks) -> None:
    """Renew and listen for ever. Redis may be away for as long as the lease lasts, not longer."""
    clock = ports.clock
    held_until, renew_at = clock.monotonic() + LEASE_S, clock.monotonic() + RENEW_S
    while True:
        hooks.check()
        try:
            for signal in await ports.store.signals(run.id):
                await hooks.on_signal(signal)
            if clock.monotonic() >= renew_at:
                await ports.store.renew(run, ttl_s=LEASE_S)
                held_until, renew_at = clock.monotonic() + LEASE_S, clock.monotonic() + RENEW_S
        except StoreError as error:
            if clock.monotonic() > held_until:
                raise LeaseLost("Redis was away for longer than the lease lasts.") from error
        await clock.sleep(LISTEN_S)


async def _keep_alive(ports: Ports, hooks: LeaseHooks) -> None:
    """Keep the sandbox alive for ever; sooner again after a failure."""
    wait_s = KEEP_ALIVE_S
    while True:
        await ports.clock.sleep(wait_s)
        try:
            async with asyncio.timeout(KEEP_ALIVE_LIMIT_S):
                await hooks.keep_alive()
            wait_s = KEEP_ALIVE_S
        except (SandboxError, TimeoutError) as error:
            log.warning("sandbox not kept alive", extra={"reason": str(error) or "no answer in time"})
            wait_s = KEEP_ALIVE_AGAIN_S


async def _nothing(signal: Signal) -> None:
    return


def stop_on_signal(
    progress: Progress | None,
    on_budget: Callable[[Signal], Awaitable[None]] = _nothing,
    on_closed: Callable[[Signal], Awaitable[None]] = _nothing,
) -> Callable[[Signal], Awaitable[None]]:
    """What a run in progress does with a signal: end on `stop` or `gone`, let the budget grow, see what was closed.
    Without `progress` it is too late."""

    async def on_signal(signal: Signal) -> None:
        if progress is None or progress.run.conclusion is not None:
            return
        if signal.kind == "stop":
            raise Stopped(signal.by)
        if signal.kind == access_revoked.KIND:
            raise AccessRevoked(signal.by)
        if signal.kind == closing.KIND:
            await on_closed(signal)
        if signal.kind == "budget":
            await on_budget(signal)

    return on_signal
