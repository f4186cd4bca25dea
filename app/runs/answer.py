"""Commands that start no work: help, status, stop, and a line that could not be read. Each is answered at once."""

import asyncio
from contextlib import aclosing
from typing import Final

from app.core.authorization import Action, stopping
from app.core.errors import OutsideError, UserError
from app.core.job import Job, Verb
from app.core.records import Signal
from app.core.run import Conclusion, Run, Status
from app.runs.ending import end_idle
from app.runs.thread import find_earlier, find_open
from app.runs.who import decide
from app.runs.work import Work
from app.text.comment import render_help, render_stopped, standing
from app.text.render import money

STOP_S: Final = 5.0
"""How long a run at work may take to end; then it is told again."""
HEARD_S: Final = 10.0
"""How long a run at work may take to hear of a grant."""


async def answer(work: Work) -> Conclusion:
    """Do what the command says. Its words become the run's summary.

    Everybody may ask; a run is stopped by who started it or who may write here.

    Raises:
        Refused: this person may not stop it.
        UserError: the command was not understood, or there is nothing here for it.
        OutsideError: a run has not ended yet.
    """
    job = work.run.job
    match job.command.verb:
        case Verb.HELP:
            await work.progress.change(summary=render_help())
        case Verb.STATUS:
            await _redraw(work)
        case Verb.STOP:
            await _stop(work, job)
        case _:
            raise UserError(f"{job.command.problem}\n\n{render_help()}")
    return Conclusion.NEUTRAL


async def _branch(work: Work) -> str:
    """The branch of the pull request that is spoken on: what works on it was asked for on the issue, maybe."""
    job = work.run.job
    pull = await work.github.pulls.pull(job.number) if job.is_pull_request and job.number is not None else None
    return pull.head if pull is not None and pull.is_ours and not job.about else ""


async def _redraw(work: Work) -> None:
    branch = await _branch(work)
    open_runs = await find_open(work, branch)
    run = open_runs[0] if open_runs else await find_earlier(work, branch)
    if run is None:
        raise UserError("Nothing has been started here. `/vibecode` starts a run.")
    if run.comment_id is not None:
        await work.draw(run)
    await work.progress.change(summary=standing(run))


async def _stop(work: Work, job: Job) -> None:
    """Stop all that is open in the thread: the run at work, and those that wait for their turn."""
    branch = await _branch(work)
    open_runs = await find_open(work, branch)
    if not open_runs:
        earlier = await find_earlier(work, branch)
        if earlier is None or not _was_stopped_since(earlier, job):
            raise UserError(f"Nothing is running here. {standing(earlier)}".rstrip())
        await work.progress.change(summary=render_stopped([earlier]))
        return
    runs = await _stoppable(work, job, open_runs)
    for run in runs:
        await work.ports.store.signal(run.id, Signal("stop", job.sender.login, key=job.id))
    stopped = [await _see_stopped(work, run) for run in runs]
    await work.progress.change(summary=render_stopped(stopped))


def _was_stopped_since(run: Run, job: Job) -> bool:
    """Whether it was stopped after this was asked: by an attempt at this very command that could not wait for it."""
    return run.conclusion is Conclusion.CANCELLED and run.ended_at is not None and run.ended_at >= job.created_at


async def _stoppable(work: Work, job: Job, open_runs: list[Run]) -> list[Run]:
    actions = {run.id: stopping(run.job.sender, job.sender) for run in open_runs}
    decisions = {action: await decide(work, action) for action in set(actions.values())}
    allowed = [run for run in open_runs if decisions[actions[run.id]].is_allowed]
    if not allowed:
        decisions[Action.STOP].check()
    return allowed


async def _see_stopped(work: Work, run: Run) -> Run:
    """The run once it has ended. One that no worker holds is ended here, before it ever begins."""
    words = f"Stopped by {work.run.job.sender.login}."
    if await end_idle(work, run, words):
        return await work.ports.store.load(run.id) or run
    try:
        async with asyncio.timeout(STOP_S), aclosing(work.ports.store.follow(run.id)) as changes:
            async for change in changes:
                if change.conclusion is not None:
                    return change
    except TimeoutError as error:
        raise OutsideError("The run was told to stop and has not ended yet.", is_passing=True) from error
    return run


async def grant_to_open(work: Work) -> bool:
    """Tell the thread's open run of the dollars that a person adds, and answer; False when no run is open.

    Raises:
        Refused: this person may not.
        OutsideError: the run did not hear it (yet).
    """
    job, usd = work.run.job, work.run.job.command.add_usd
    open_runs = await find_open(work, await _branch(work))
    if not open_runs:
        return False
    told = open_runs[0]
    (await decide(work, Action.ADD_BUDGET)).check()
    await work.ports.store.signal(told.id, Signal("budget", job.sender.login, usd, key=job.id))
    heard = await _hear(work, told)
    if heard is not None and work.run.id not in heard.grants:
        return False
    await work.progress.change(summary=_say(told, heard, usd))
    return True


async def _hear(work: Work, told: Run) -> Run | None:
    """The run once it has heard the word or has ended; None when it waits, and will hear it as it begins."""
    if told.status is Status.QUEUED or (told.wake_at is not None and told.wake_at > work.ports.clock.now()):
        return None
    try:
        async with asyncio.timeout(HEARD_S), aclosing(work.ports.store.follow(told.id)) as runs:
            async for run in runs:
                if work.run.id in run.grants or run.conclusion is not None:
                    return run
    except TimeoutError as error:
        raise OutsideError("The run at work does not hear yet.", is_passing=True) from error
    return None


def _say(told: Run, heard: Run | None, usd: float) -> str:
    if heard is None:
        return f"{money(usd)} more for the run that waits here; it has them when it begins."
    if not heard.budget_usd:
        return "No dollars limit the run at work here."
    total = f"It may spend {money(heard.budget_usd + heard.granted_usd)} and has spent {money(heard.cost.usd)}."
    if heard.granted_usd <= told.granted_usd:
        return f"I could not add {money(usd)}: the day's dollars are used up. {total}"
    return f"{money(usd)} more for the run at work here. {total}"
