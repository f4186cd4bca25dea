"""Following up on the bot's own pull request: what people said about it, on the same branch, in the same pull request.

Every comment and review comes as a job of its own, and each job says what it wants. The first that a worker takes hears
those that wait behind it: all that comes within `Options.gather_s` of one another before it plans, and what comes later
with each turn of the model. A job that was heard is completed; its run says in which one it is carried out.

    job ─▶ run ─▶ adopt the branch ─▶ gather ─▶ plan ─▶ steps (listening) ─▶ … ─▶ answer in each review thread
    job ─────────────────────────────────┘                    │
    job ──────────────────────────────────────────────────────┘
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from app.core.errors import GitHubError, UserError
from app.core.policy.authorization import Action
from app.core.run.job import Job, Source
from app.core.run.run import Conclusion, Run, Stage, Status
from app.runs.context import RunContext
from app.runs.intake.adoption import feedback_of
from app.runs.intake.authorization import may_request
from app.runs.queue_positions import acquire_run
from app.text.comment import marker_of
from app.text.prompt import render_feedback
from app.text.pull_request import render_reply

log = logging.getLogger(__name__)


MAX_FEEDBACK: Final = 50
GATHER_AT_MOST_S: Final = 120.0


async def gather_feedback(ctx: RunContext) -> None:
    """Wait until nobody has said more for a while, then hear it all.

    Raises:
        UserError: there is nothing in it to be done.
    """
    clock, options = ctx.ports.clock, ctx.options
    until = clock.now().timestamp() + GATHER_AT_MOST_S
    newest = ctx.run.job.created_at
    while True:
        newest = max([newest, *(job.created_at for job in await _collect(ctx))])
        wait_s = newest.timestamp() + options.gather_s - clock.now().timestamp()
        if wait_s <= 0 or clock.now().timestamp() > until:
            break
        await clock.sleep(min(wait_s, options.gather_s))
    if not ctx.run.heard:
        raise UserError(
            "The review requests changes but doesn't say which. Describe them in the review or in a line comment."
        )


async def collect_new_feedback(ctx: RunContext) -> Sequence[str]:
    """Hear what came since; the words that tell the model at work."""
    if ctx.run.stage not in {Stage.PLAN, Stage.STEPS}:
        return []
    first = len(ctx.run.heard)
    await _collect(ctx)
    return [render_feedback(number, heard) for number, heard in enumerate(ctx.run.heard[first:], start=first + 1)]


async def _collect(ctx: RunContext) -> list[Job]:
    """Hear the jobs that wait in this thread and say only what is to be done, by people who may. They are completed.

    Whether a job was heard is on record in this run first, so that a worker which dies in between loses none.
    """
    job, taken = ctx.run.job, []
    if job.number is None:
        return []
    queued = ctx.ports.store.runs_of(job.repo, number=job.number, status=Status.QUEUED)
    waiting = [run async for run in queued if run.id != job.id and run.job.can_join_run]
    for run in sorted(waiting, key=lambda run: run.job.created_at)[: MAX_FEEDBACK - len(ctx.run.heard)]:
        if await may_request(ctx, run.job.sender, Action.STEER):
            held = await acquire_run(ctx.ports, ctx.options, run.id)
            if held is not None:
                await _absorb(ctx, held)
                taken.append(run.job)
    return taken


async def _absorb(ctx: RunContext, run: Run) -> None:
    """Take up what a waiting run asks for, and complete it. Its lease is held."""
    if all(heard.job_id != run.id for heard in ctx.run.heard):
        words = [feedback_of(run.job)] if run.job.command.instruction else []
        await ctx.progress.change(heard=(*ctx.run.heard, *words))
    await _react(ctx, run.job.source, run.job.comment_id, "eyes")
    now = ctx.ports.clock.now()
    done = replace(
        run,
        status=Status.COMPLETED,
        conclusion=Conclusion.NEUTRAL,
        message=f"Included in {ctx.run.id}",
        summary=f"The run in progress{_run_link(ctx)} will handle this.",
        started_at=now,
        ended_at=now,
        updated_at=now,
    )
    await ctx.ports.store.save(done)
    await ctx.ports.store.release(done)
    if done.comment_id is not None:  # its place in line was shown
        await ctx.draw(done)


def _run_link(ctx: RunContext) -> str:
    return f" ([{ctx.run.id}]({ctx.page_url}))" if ctx.page_url else ""


async def reply_in_threads(ctx: RunContext) -> None:
    """Tell each reviewer, in the thread of their comment, what became of it. Repeatable."""
    for heard in ctx.run.heard:
        if heard.source is Source.REMARK and heard.comment_id is not None and ctx.run.job.number is not None:
            marker = marker_of(heard.job_id)
            await ctx.progress.begin_creating()
            body = f"{marker}\n{ctx.redactor.redact_markdown(render_reply(ctx.run, heard))}"
            await _put_reply(ctx, ctx.run.job.number, heard.comment_id, body, marker)


async def react_to_feedback(ctx: RunContext, content: str) -> None:
    for heard in ctx.run.heard:
        if heard.job_id != ctx.run.id:
            await _react(ctx, heard.source, heard.comment_id, content)


async def _put_reply(ctx: RunContext, number: int, comment_id: int, body: str, marker: str) -> None:
    try:
        await ctx.github.pulls.put_reply(number, comment_id, body, marker=marker)
    except GitHubError as error:
        if error.is_passing:
            raise
        log.warning("reply not posted", extra={"reason": str(error)})  # it was deleted, or is locked


async def _react(ctx: RunContext, source: Source, comment_id: int | None, content: str) -> None:
    if comment_id is None or ctx.run.job.number is None:
        return
    await ctx.react_to(content, ctx.run.job.number, source, comment_id)
