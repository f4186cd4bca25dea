"""Commands that start no work: help, status, stop, and a line that could not be read. Each is answered at once."""

import asyncio
from contextlib import aclosing
from typing import Final

from app.core.errors import OutsideError, UserError
from app.core.policy.authorization import Action, stopping
from app.core.ports.store import Signal
from app.core.run.job import Job, Verb
from app.core.run.run import Conclusion, Run, Status
from app.runs.context import RunContext
from app.runs.ending import end_unclaimed
from app.runs.intake.authorization import decide
from app.runs.intake.threads import find_earlier, find_open
from app.text.comment import describe_status, render_help, render_stopped
from app.text.render import format_usd

STOP_S: Final = 5.0
"""How long a run in progress may take to end; then it is told again."""
GRANT_S: Final = 10.0
"""How long a run in progress may take to hear of a grant."""


async def carry_out_command(ctx: RunContext) -> Conclusion:
    """Do what the command says. Its words become the run's summary.

    Everybody may ask; a run is stopped by who started it or who may write here.

    Raises:
        Refused: this person may not stop it.
        UserError: the command was not understood, or there is nothing here for it.
        OutsideError: a run has not ended yet.
    """
    job = ctx.run.job
    match job.command.verb:
        case Verb.HELP:
            await ctx.progress.change(summary=render_help())
        case Verb.STATUS:
            await _redraw(ctx)
        case Verb.STOP:
            await _stop(ctx, job)
        case _:
            raise UserError(f"{job.command.problem}\n\n{render_help()}")
    return Conclusion.NEUTRAL


async def _branch(ctx: RunContext) -> str:
    """The branch of the pull request that is spoken on: what works on it was asked for on the issue, maybe."""
    job = ctx.run.job
    pull = await ctx.github.pulls.pull(job.number) if job.is_pull_request and job.number is not None else None
    return pull.head if pull is not None and pull.is_ours and not job.about else ""


async def _redraw(ctx: RunContext) -> None:
    branch = await _branch(ctx)
    open_runs = await find_open(ctx, branch)
    run = open_runs[0] if open_runs else await find_earlier(ctx, branch)
    if run is None:
        raise UserError("There are no runs here yet. `/vibecode` starts one.")
    if run.comment_id is not None:
        await ctx.draw(run)
    await ctx.progress.change(summary=describe_status(run))


async def _stop(ctx: RunContext, job: Job) -> None:
    """Stop all that is open in the thread: the run in progress, and those that wait for their turn."""
    branch = await _branch(ctx)
    open_runs = await find_open(ctx, branch)
    if not open_runs:
        earlier = await find_earlier(ctx, branch)
        if earlier is None or not _was_stopped_since(earlier, job):
            raise UserError(f"Nothing is running here. {describe_status(earlier)}".rstrip())
        await ctx.progress.change(summary=render_stopped([earlier]))
        return
    runs = await _stoppable(ctx, job, open_runs)
    for run in runs:
        await ctx.ports.store.signal(run.id, Signal("stop", job.sender.login, key=job.id))
    stopped = [await _await_stop(ctx, run) for run in runs]
    await ctx.progress.change(summary=render_stopped(stopped))


def _was_stopped_since(run: Run, job: Job) -> bool:
    """Whether it was stopped after this was asked: by an attempt at this very command that could not wait for it."""
    return run.conclusion is Conclusion.CANCELLED and run.ended_at is not None and run.ended_at >= job.created_at


async def _stoppable(ctx: RunContext, job: Job, open_runs: list[Run]) -> list[Run]:
    actions = {run.id: stopping(run.job.sender, job.sender) for run in open_runs}
    decisions = {action: await decide(ctx, action) for action in set(actions.values())}
    allowed = [run for run in open_runs if decisions[actions[run.id]].is_allowed]
    if not allowed:
        decisions[Action.STOP].check()
    return allowed


async def _await_stop(ctx: RunContext, run: Run) -> Run:
    """The run once it has ended. One that no worker holds is ended here, before it ever begins."""
    words = f"Stopped by {ctx.run.job.sender.login}."
    if await end_unclaimed(ctx, run, words):
        return await ctx.ports.store.load(run.id) or run
    try:
        async with asyncio.timeout(STOP_S), aclosing(ctx.ports.store.follow(run.id)) as changes:
            async for change in changes:
                if change.conclusion is not None:
                    return change
    except TimeoutError as error:
        raise OutsideError("The run has been asked to stop and hasn't ended yet.", is_passing=True) from error
    return run


async def grant_to_open_run(ctx: RunContext) -> bool:
    """Tell the thread's open run of the dollars that a person adds, and answer; False when no run is open.

    Raises:
        Refused: this person may not.
        OutsideError: the run did not hear it (yet).
    """
    job, usd = ctx.run.job, ctx.run.job.command.add_usd
    open_runs = await find_open(ctx, await _branch(ctx))
    if not open_runs:
        return False
    told = open_runs[0]
    (await decide(ctx, Action.ADD_BUDGET)).check()
    await ctx.ports.store.signal(told.id, Signal("budget", job.sender.login, usd, key=job.id))
    heard = await _await_grant(ctx, told)
    if heard is not None and ctx.run.id not in heard.grants:
        return False
    await ctx.progress.change(summary=_describe_grant(told, heard, usd))
    return True


async def _await_grant(ctx: RunContext, told: Run) -> Run | None:
    """The run once it has heard the word or has ended; None when it waits, and will hear it as it begins."""
    if told.status is Status.QUEUED or (told.wake_at is not None and told.wake_at > ctx.ports.clock.now()):
        return None
    try:
        async with asyncio.timeout(GRANT_S), aclosing(ctx.ports.store.follow(told.id)) as runs:
            async for run in runs:
                if ctx.run.id in run.grants or run.conclusion is not None:
                    return run
    except TimeoutError as error:
        raise OutsideError("The run in progress hasn't picked up the change yet.", is_passing=True) from error
    return None


def _describe_grant(told: Run, heard: Run | None, usd: float) -> str:
    if heard is None:
        return f"Added {format_usd(usd)} to the queued run."
    if not heard.budget_usd:
        return "The run in progress has no dollar limit."
    total = f"It has spent {format_usd(heard.cost.usd)} of {format_usd(heard.budget_usd + heard.granted_usd)}."
    if heard.granted_usd <= told.granted_usd:
        return f"Could not add {format_usd(usd)}: today's budget is used up. {total}"
    return f"Added {format_usd(usd)} to the run in progress. {total}"
