"""How a run ends: what it holds is given back, and its final comment is recorded, then posted."""

import logging
from datetime import timedelta
from typing import Final

from app.core.errors import LeaseLost, OutsideError
from app.core.run.job import Source
from app.core.run.run import Conclusion, Failure, Run, Stage, Status
from app.core.safety.escape import last_lines
from app.runs.branches import find_own
from app.runs.context import RunContext, open_context
from app.runs.follow_up import review_comments
from app.runs.intake.spending import settle
from app.runs.queue_positions import acquire_run
from app.runs.stages import sandbox
from app.runs.stages.open_branch import drop_unused

log = logging.getLogger(__name__)

MAX_COMMENT_DELAY: Final = timedelta(days=3)
"""How long posting the final comment is tried."""
EXCERPT_CHARS: Final = 2_000
GOOD_CONCLUSIONS: Final = frozenset({Conclusion.SUCCESS, Conclusion.NEUTRAL, Conclusion.ACTION_REQUIRED})


async def end_unclaimed(ctx: RunContext, idle: Run, message: str) -> bool:
    """Stop a run of this repository that waits, where no worker holds it; False when one does.

    The queue still has its job: there is nothing left to do for who takes it.
    """
    held = await acquire_run(ctx.ports, ctx.options, idle.id)
    if held is None:
        return False
    try:
        await end_stopped(open_context(ctx.ports, ctx.options, held, ctx.github), message)
    except LeaseLost:
        return False
    finally:
        await ctx.ports.store.release(held)
    return True


async def fail(ctx: RunContext, conclusion: Conclusion, message: str, *, kind: str, excerpt: str = "") -> None:
    redact = ctx.redactor.redact
    failure = Failure(kind, redact(message), ctx.run.stage, last_lines(redact(excerpt), EXCERPT_CHARS))
    await ctx.progress.change(failure=failure)
    await end(ctx, conclusion, message)


async def end(ctx: RunContext, conclusion: Conclusion, message: str) -> None:
    """Clean up, settle what was spent, record the final comment, and post it."""
    if ctx.machine is not None or ctx.run.sandbox_id:
        async with ctx.progress.stage(Stage.CLEANUP, "Cleaning up"):
            await sandbox.clean_up(ctx)
    await settle(ctx)
    await ctx.progress.change(
        conclusion=conclusion,
        percent=100 if conclusion in GOOD_CONCLUSIONS else ctx.run.percent,
        message=ctx.redactor.redact(message.splitlines()[0] if message else ""),
        ended_at=ctx.ports.clock.now(),
    )
    await post_final_comment(ctx)


async def end_stopped(ctx: RunContext, message: str) -> None:
    """End a run from beside, with what it has on GitHub by GitHub's own answer: the stop may have come while that was
    being made."""
    try:
        await _find_published(ctx)
    except OutsideError as error:
        log.warning("not looked up what is published", extra={"reason": str(error)})
    await end(ctx, Conclusion.CANCELLED, message)


async def _find_published(ctx: RunContext) -> None:
    run, known = ctx.run, {commit.sha for commit in ctx.run.commits}
    if not run.branch or run.job.source is Source.LOCAL:
        return
    head, since = await ctx.github.head(run.branch), run.head_sha or run.began_at or run.base_sha
    if head is None:
        return
    if head != since:
        pushed = [commit for commit in await ctx.github.commits(since, run.branch) if commit.sha not in known]
        found = await find_own(ctx, pushed)
        await ctx.progress.save(commits=(*run.commits, *found), head_sha=head if found else run.head_sha)
    made = await ctx.github.pull_request(run.branch) if ctx.run.commits else None
    if made is not None:
        await ctx.progress.save(pull_request=made)


async def post_final_comment(ctx: RunContext) -> None:
    """Draw the comment a last time. Only then is the run completed: until it is said, the run is taken up again."""
    try:
        await drop_unused(ctx)
        await _post(ctx)
    except OutsideError as error:
        ended_at = ctx.run.ended_at
        is_hopeless = ended_at is not None and ctx.ports.clock.now() - ended_at > MAX_COMMENT_DELAY
        if error.is_passing and not is_hopeless:
            raise
        log.error("final comment not posted", extra={"reason": str(error)})  # noqa: TRY400 -- no traceback is wanted
    await ctx.progress.save(status=Status.COMPLETED)


async def _post(ctx: RunContext) -> None:
    await ctx.progress.redraw(now=True)
    await review_comments.reply_in_threads(ctx)
    reaction = "rocket" if ctx.run.conclusion in GOOD_CONCLUSIONS else "confused"
    await ctx.react(reaction)
    await review_comments.react_to_feedback(ctx, reaction)
