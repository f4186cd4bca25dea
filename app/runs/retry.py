"""An attempt that ends before its run does: what is recorded for the attempt that goes on where this one stopped."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Final

from app.core.errors import LeaseLost, OutsideError, RetryLater, SandboxError, SandboxGone, StoreError
from app.runs.context import RunContext
from app.text.render import clock_time

log = logging.getLogger(__name__)

MAX_WAITS: Final = 20
"""In a row with the usual intervals, some 80 minutes; then the run fails."""
HAND_BACK_S: Final = 5.0
SHOW_WAIT_S: Final = 5.0


async def retry_later(ctx: RunContext, error: OutsideError) -> RetryLater:
    """Record that the run waits for another system, its sandbox alive. A sandbox that is gone counts as a lost worker
    does, one that cannot be reached does not; a final comment that is still to be posted stays as it is."""
    run, now = ctx.run, ctx.ports.clock.now()
    waits_s = ctx.options.intervals.outage_s
    after_s = max(error.retry_after_s or 0.0, waits_s[min(run.waits, len(waits_s) - 1)])
    is_in_order = not isinstance(error, SandboxGone)
    wake_at = now + timedelta(seconds=after_s)
    waiting = ctx.redactor.redact(f"Retrying at {clock_time(now, wake_at)}: {error}")
    log.warning("run rescheduled", extra={"reason": str(error), "after_s": after_s, "stage": run.stage})
    await ctx.progress.save(
        waits=run.waits + 1,
        unsure_since=run.unsure_since and now,
        handed_back=run.handed_back + is_in_order,
        waited_s=run.waited_s + after_s,
        wake_at=wake_at,
        message=waiting if run.conclusion is None else run.message,
    )
    if ctx.machine is not None and is_in_order:
        with suppress(SandboxError, TimeoutError):
            async with asyncio.timeout(HAND_BACK_S):
                await ctx.machine.keep_alive(after_s + ctx.options.sandbox_ttl_s)
    await _show_wait(ctx)
    return RetryLater(str(error), after_s)


async def keep_count(ctx: RunContext) -> None:
    """Redis did not answer, and this worker lives: where it answers again in time, none is counted as lost."""
    run = ctx.run
    if run.waits < MAX_WAITS:
        with suppress(LeaseLost, StoreError):
            await ctx.progress.save(waits=run.waits + 1, handed_back=run.handed_back + 1)


async def _show_wait(ctx: RunContext) -> None:
    """Say in the run's comment what it waits for, where it has one: before it was let in it says nothing. The comment
    may be on the system that is away, so this is tried once and may fail."""
    if ctx.run.conclusion is None and ctx.run.comment_id is not None:
        with suppress(OutsideError, StoreError, TimeoutError):
            async with asyncio.timeout(SHOW_WAIT_S):
                await ctx.progress.redraw(now=True)


async def pause(ctx: RunContext, wait: RetryLater) -> None:
    """Record that the run looks again later: nothing went wrong, so no wait is counted, and the time is not its own."""
    run = ctx.run
    await ctx.progress.save(
        handed_back=run.handed_back + 1,
        waited_s=run.waited_s + wait.delay_s,
        wake_at=ctx.ports.clock.now() + timedelta(seconds=wait.delay_s),
        message=f"Waiting: {wait}",
    )


async def hand_back(ctx: RunContext) -> None:
    """Say that this attempt ended in order, as the worker is told to go; the sandbox stays for the next."""
    log.info("run handed back", extra={"stage": ctx.run.stage})
    with suppress(LeaseLost, StoreError, TimeoutError):
        async with asyncio.timeout(HAND_BACK_S):
            now = ctx.ports.clock.now()
            unsure_since = ctx.run.unsure_since and now
            await ctx.progress.save(handed_back=ctx.run.handed_back + 1, unsure_since=unsure_since)
