"""The stage that opens the sandbox, and the one that destroys it."""

import asyncio
import logging
from typing import Final

from app.core.errors import SandboxError, SandboxGone
from app.core.run.run import Kind, Stage
from app.runs.context import RunContext

log = logging.getLogger(__name__)


CLEAN_UP_S: Final = 10.0
MAX_UNREACHABLE: Final = 3
"""How often in a row a run waits for its sandbox to be reachable before it takes another."""


async def open_sandbox(ctx: RunContext) -> None:
    """The machine of an earlier attempt when it lives and was set up, else a new one."""
    if await _reconnect(ctx):
        return
    async with ctx.progress.stage(Stage.SANDBOX, "Starting a sandbox"):
        run = ctx.run
        metadata = {"job_id": run.id, "repo": run.job.repo, "deployment": ctx.options.deployment}
        key = f"{run.id}-{run.attempt}"
        ttl_s = ctx.options.sandbox_ttl_s
        ctx.machine = await ctx.ports.sandboxes.create(key=key, metadata=metadata, timeout_s=ttl_s)
        await ctx.progress.change(sandbox_id=ctx.machine.id, start_tree="", message="The sandbox is ready")


async def _reconnect(ctx: RunContext) -> bool:
    run = ctx.run
    if not run.sandbox_id:
        return False
    if not run.start_tree:
        await ctx.ports.sandboxes.kill(run.sandbox_id)
        return False
    try:
        ctx.machine = await ctx.ports.sandboxes.reconnect(run.sandbox_id)
        await ctx.keep_sandbox_alive()
        await ctx.progress.show(Kind.NOTE, "Resuming in the same sandbox")
    except SandboxError as error:
        ctx.machine = None
        if not isinstance(error, SandboxGone) and error.is_passing and run.waits < MAX_UNREACHABLE:
            raise
        log.info("sandbox no longer exists", extra={"sandbox_id": run.sandbox_id, "reason": str(error)})
        if not isinstance(error, SandboxGone):
            await clean_up(ctx)
            await ctx.progress.save(handed_back=max(0, run.handed_back - 1))  # counts as a lost worker after all
        return False
    ctx.is_reconnected = True
    return True


async def clean_up(ctx: RunContext) -> None:
    """Destroy the sandbox, also one that this attempt did not reach. Where that fails or takes long, the run does not
    wait: `recovery.kill_orphans` does it later."""
    machine, ctx.machine = ctx.machine, None
    try:
        async with asyncio.timeout(CLEAN_UP_S):
            if machine is not None:
                await machine.close()
            elif ctx.run.sandbox_id:
                await ctx.ports.sandboxes.kill(ctx.run.sandbox_id)
    except (SandboxError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        log.warning("sandbox not destroyed", extra={"sandbox_id": ctx.run.sandbox_id, "reason": reason})
