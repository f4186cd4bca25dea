"""The thread of a run was closed by a person: the run ends at once, and not only before its next push.

GitHub is asked first: the delivery may be an old one, and the thread open again.
"""

import logging
from typing import Final

from app.core.errors import OutsideError, RequestWithdrawn
from app.core.ports.github import GitHub
from app.core.ports.store import Signal
from app.core.run.run import Run
from app.core.safety.escape import code
from app.runs.context import RunContext
from app.runs.ending import end_unclaimed

log = logging.getLogger(__name__)

LOOK_AGAIN_S: Final = 2.0
"""What was closed a moment ago may still be shown as open."""


async def end_if_closed(ctx: RunContext, signal: Signal) -> None:
    """End the run in progress. While GitHub does not answer it goes on: before each push it is looked up again.

    Raises:
        Withdrawn: the thread is closed.
    """
    try:
        is_over = await _is_closed(ctx, ctx.run)
    except OutsideError as error:
        log.warning("not looked up what was closed", extra={"reason": str(error)})
        return
    if is_over:
        raise RequestWithdrawn(_explain(ctx.run, signal.by, signal.key))


async def end_waiting(ctx: RunContext) -> None:
    """End the waiting run that this job is about. One that a worker took up meanwhile hears of it there."""
    job = ctx.run.job
    run = await ctx.ports.store.load(job.about)
    if run is not None and run.conclusion is None and await _is_closed(ctx, run):
        await end_unclaimed(ctx, run, _explain(run, job.sender.login, job.command.instruction))


async def _is_closed(ctx: RunContext, run: Run) -> bool:
    if await _look(ctx.github, run):
        return True
    await ctx.ports.clock.sleep(LOOK_AGAIN_S)
    return await _look(ctx.github, run)


async def _look(github: GitHub, run: Run) -> bool:
    """Is the pull request, or without one the issue, closed or gone? A merge is another matter."""
    pull_number = run.job.number if run.job.is_pull_request else run.pull_request.number if run.pull_request else None
    if pull_number is not None:
        pull = await github.pulls.pull(pull_number)
        return pull is None or not (pull.is_open or pull.is_merged)
    issue = await github.pulls.issue(run.job.number) if run.job.number is not None else None
    return issue is None or not issue.is_open


def _explain(run: Run, login: str, action: str) -> str:
    what = "pull request" if run.job.is_pull_request or run.pull_request else "issue"
    way_on = " Reopen it to continue." if action == "closed" else ""
    return f"Stopped, because {code(login)} {action} the {what}.{way_on}"
