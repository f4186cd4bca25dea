"""Looked up again before anything is written to the branch or the pull request: is this run still wanted, and by whom?

    who asked, and whose plan was approved   may still start runs here
    the issue                                is there, open and not locked
    the pull request that is continued       is open
    the branch, once something is on it      is there

A run of which one of these is no longer true ends as if it were stopped, and keeps what is published.
"""

from app.core.errors import RequestWithdrawn, UserError
from app.core.run.job import Person, Source
from app.core.run.run import SETTLE_S, Run
from app.runs.context import RunContext
from app.runs.intake.authorization import may_request


async def check_still_wanted(ctx: RunContext) -> None:
    """Look everything up that this run stands on. Two to four requests.

    Raises:
        Withdrawn: it no longer does; the words say what changed.
    """
    run = ctx.run
    if run.job.source is Source.LOCAL:
        return
    for person in {run.job.sender, run.requested_by or run.job.sender}:
        if not await may_still(ctx, person):
            raise RequestWithdrawn(f"`{person.login}` can no longer start runs here, so this run was stopped.")
    if words := await find_closed(ctx):
        raise RequestWithdrawn(f"{words}, so this run was stopped.")
    if run.commits and await is_branch_gone(ctx, run):
        await ctx.progress.save(commits=(), head_sha="", steps_done=0, step_summaries=())
        raise RequestWithdrawn(
            f"The branch `{run.branch}` was deleted, so this run was stopped. `/vibecode retry` starts over on a new "
            "branch."
        )


async def may_still(ctx: RunContext, person: Person) -> bool:
    """May this person start runs here now? The operator, who has no account, always may."""
    return not person.id or await may_request(ctx, person)


async def is_branch_gone(ctx: RunContext, run: Run) -> bool:
    """Was the branch deleted that a run put something on? One that was just made may not be visible yet."""
    if await ctx.github.head(run.branch) is not None:
        return False
    await ctx.ports.clock.sleep(SETTLE_S)
    return await ctx.github.head(run.branch) is None


async def check_pull(ctx: RunContext, earlier: Run) -> None:
    """Go on with an ended run only where its pull request, if it has one, is open.

    Raises:
        UserError: somebody closed or merged it.
    """
    if earlier.pull_request is None or earlier.job.is_pull_request:
        return
    pull = await ctx.github.pulls.pull(earlier.pull_request.number)
    if pull is not None and not pull.is_open:
        state = "merged" if pull.is_merged else "closed"
        await ctx.progress.save(related=(*ctx.run.related, pull.number))
        reopen = "" if pull.is_merged else "Reopen it and comment the command again. "
        raise UserError(
            f"#{pull.number} was {state}, so no run was started. {reopen}Comment `/vibecode` on the issue to start "
            "over."
        )


async def find_closed(ctx: RunContext) -> str:
    """What of the thread or of the pull request ends the run, as the start of a sentence; empty when nothing does."""
    run = ctx.run
    pull_number = run.job.number if run.job.is_pull_request else run.pull_request.number if run.pull_request else None
    if pull_number is not None:
        pull = await ctx.github.pulls.pull(pull_number)
        if pull is not None and not pull.is_open:
            return f"#{pull_number} was {'merged' if pull.is_merged else 'closed'}"
    if run.job.number is None or run.job.is_pull_request:
        return ""
    issue = await ctx.github.pulls.issue(run.job.number)
    if issue is None:  # or was opened a moment ago, and is not visible yet
        await ctx.ports.clock.sleep(SETTLE_S)
        issue = await ctx.github.pulls.issue(run.job.number)
    if issue is None:
        return "The issue was deleted or transferred"
    if not issue.is_open:
        return "The issue was closed"
    return "The conversation was locked" if issue.is_locked else ""
