"""Commands that start no work: help, status, stop, and a line that could not be read. Each is answered at once."""

from app.core import policy
from app.core.errors import UserError
from app.core.job import Verb
from app.core.records import Signal
from app.core.repo_config import RepoConfig
from app.core.run import Conclusion, Run, Status
from app.runs.work import Work
from app.text.comment import render_help


async def answer(work: Work) -> Conclusion:
    """Do what the command says. Its words, if there are any, become the run's summary.

    Everybody may ask; a run is stopped by who started it or who may write here.

    Raises:
        Refused: this person may not stop it.
        UserError: the command was not understood, or there is nothing here for it.
    """
    job = work.run.job
    match job.command.verb:
        case Verb.HELP:
            await work.progress.change(summary=render_help())
        case Verb.STATUS:
            run = await _latest(work)
            await work.draw(run)
        case Verb.STOP:
            run = await _latest(work)
            if run.status is Status.COMPLETED:
                raise UserError("Nothing is running here.")
            if job.sender.id != run.job.sender.id:
                policy.admit(job.sender.login, await work.github.permission(job.sender), RepoConfig().roles)
            await work.ports.store.signal(run.id, Signal("stop", job.sender.login))
        case _:
            raise UserError(f"{job.command.problem}\n\n{render_help()}")
    return Conclusion.NEUTRAL


async def _latest(work: Work) -> Run:
    job = work.run.job
    run = await work.ports.store.latest(job.repo, job.number) if job.number is not None else None
    if run is None:
        raise UserError("Nothing has been started here. `/vibecode` starts a run.")
    return run
