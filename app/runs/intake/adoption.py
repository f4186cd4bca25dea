"""Takes up the pull request that is followed up: its branch, and what its issue asked for."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Final

from app.core.errors import UserError
from app.core.run.job import Feedback, Job, Mode, Source, Verb
from app.core.run.pull_requests import PullRequest
from app.core.run.run import SETTLE_S, Run
from app.core.safety.escape import code
from app.core.safety.sanitize import clean, plain
from app.runs.context import RunContext

MAX_CHARS: Final = 16_000
_ISSUE_OF: Final = re.compile(r"vibecode/(\d+)-")


async def find_own_pull_request(ctx: RunContext) -> PullRequest:
    """The pull request that is followed up.

    Raises:
        UserError: it is none of ours, or nothing can be pushed to it any more.
    """
    number = ctx.run.job.number or 0
    pull = await _read_pull(ctx, number)
    if pull is None:
        raise UserError(f"#{number} is no longer a pull request.")
    if pull.is_fork or not pull.is_ours:
        what = "comes from a fork, which I can't push to" if pull.is_fork else "was not opened by me"
        raise UserError(
            f"This pull request {what}. I only follow up on my own pull requests. To start a run, comment `/vibecode` "
            "on an issue."
        )
    if not pull.is_open:
        state = "merged" if pull.is_merged else "closed"
        reopen = "" if pull.is_merged else " Reopen it, then comment the command again."
        raise UserError(
            f"This pull request is {state}.{reopen} Open an issue for the remaining work and comment `/vibecode` there."
        )
    if ctx.run.job.command.base not in {None, pull.base}:
        raise UserError(
            f"This pull request targets {code(pull.base)}. Change its base on GitHub, then comment the command without "
            "`--base`."
        )
    return pull


async def _read_pull(ctx: RunContext, number: int) -> PullRequest | None:
    """The pull request. What GitHub told us of a moment ago may not be visible yet."""
    clock, until = ctx.ports.clock, ctx.run.job.created_at + timedelta(seconds=SETTLE_S)
    while (pull := await ctx.github.pulls.pull(number)) is None and clock.now() < until:
        await clock.sleep(1.0)
    return pull


async def adopt_branch(ctx: RunContext, pull: PullRequest) -> None:
    """Go on on the pull request's branch, on top of whatever is there now; with what its issue asked for, if known."""
    job = ctx.run.job
    before = await find_before(ctx, pull.head)
    ctx.origin = next((run.job for run in before if not run.job.is_pull_request), None)
    plan = next((run.plan for run in before if run.plan), None)
    ctx.pull_before = (pull.title, plan.summary if plan else pull.body)
    if ctx.run.began_at:
        return
    matched = _ISSUE_OF.match(pull.head)
    await ctx.progress.change(
        base_ref=pull.base,
        branch=pull.head,
        began_at=pull.head_sha,
        issue=ctx.origin.number if ctx.origin else int(matched[1]) if matched else None,
        heard=(feedback_of(job),) if job.command.instruction and job.source is not Source.CHECKS else (),
    )


async def find_before(ctx: RunContext, branch: str) -> tuple[Run, ...]:
    """The runs of work on this branch before this one that the store still knows of, newest first."""
    runs = ctx.ports.store.runs_of(ctx.run.job.repo, branch=branch)
    return tuple([run async for run in runs if run.id != ctx.run.id])


def is_follow_up(job: Job) -> bool:
    """Does this job ask for something new on a pull request?"""
    return job.is_pull_request and job.command.verb in {Verb.START, Verb.PLAN} and job.mode is not Mode.FIX_CI


def feedback_of(job: Job) -> Feedback:
    text = clean(job.command.instruction, max_chars=MAX_CHARS)
    place = job.place
    if place is not None:
        place = replace(place, path=plain(place.path), hunk=clean(place.hunk, max_chars=MAX_CHARS))
    return Feedback(job.id, job.source, job.sender, text, job.comment_id, place)
