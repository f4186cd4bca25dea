"""How a run ends: what it holds is given back, its last words are put on record and then said."""

import logging
from datetime import timedelta
from typing import Final

from app.core.errors import LeaseLost, OutsideError
from app.core.escape import last_lines
from app.core.job import Source
from app.core.run import Conclusion, Failure, Run, Stage, Status
from app.runs import follow, stages
from app.runs.branch import find_own
from app.runs.money import settle
from app.runs.open_branch import drop_unused
from app.runs.waiting import take_up
from app.runs.work import Work, open_work

log = logging.getLogger(__name__)

MAX_SILENCE: Final = timedelta(days=3)
"""How long last words are tried."""
EXCERPT_CHARS: Final = 2_000
ENDS_WELL: Final = frozenset({Conclusion.SUCCESS, Conclusion.NEUTRAL, Conclusion.ACTION_REQUIRED})


async def end_idle(work: Work, idle: Run, message: str) -> bool:
    """Stop a run of this repository that waits, where no worker holds it; False when one does.

    The queue still has its job: there is nothing left to do for who takes it.
    """
    held = await take_up(work.ports, work.options, idle.id)
    if held is None:
        return False
    try:
        await end_stopped(open_work(work.ports, work.options, held, work.github), message)
    except LeaseLost:
        return False
    finally:
        await work.ports.store.release(held)
    return True


async def fail(work: Work, conclusion: Conclusion, message: str, *, kind: str, excerpt: str = "") -> None:
    redact = work.redactor.redact
    failure = Failure(kind, redact(message), work.run.stage, last_lines(redact(excerpt), EXCERPT_CHARS))
    await work.progress.change(failure=failure)
    await end(work, conclusion, message)


async def end(work: Work, conclusion: Conclusion, message: str) -> None:
    """Clean up, settle what was spent, put the last words on record, and say them."""
    if work.machine is not None or work.run.sandbox_id:
        async with work.progress.stage(Stage.CLEANUP, "Cleaning up"):
            await stages.clean_up(work)
    await settle(work)
    await work.progress.change(
        conclusion=conclusion,
        percent=100 if conclusion in ENDS_WELL else work.run.percent,
        message=work.redactor.redact(message.splitlines()[0] if message else ""),
        ended_at=work.ports.clock.now(),
    )
    await say_last_words(work)


async def end_stopped(work: Work, message: str) -> None:
    """End a run from beside, with what it has on GitHub by GitHub's own answer: the stop may have come while that was
    being made."""
    try:
        await _find_published(work)
    except OutsideError as error:
        log.warning("not looked up what is published", extra={"reason": str(error)})
    await end(work, Conclusion.CANCELLED, message)


async def _find_published(work: Work) -> None:
    run, known = work.run, {commit.sha for commit in work.run.commits}
    if not run.branch or run.job.source is Source.LOCAL:
        return
    head, since = await work.github.head(run.branch), run.head_sha or run.began_at or run.base_sha
    if head is None:
        return
    if head != since:
        pushed = [commit for commit in await work.github.commits(since, run.branch) if commit.sha not in known]
        found = await find_own(work, pushed)
        await work.progress.save(commits=(*run.commits, *found), head_sha=head if found else run.head_sha)
    made = await work.github.pull_request(run.branch) if work.run.commits else None
    if made is not None:
        await work.progress.save(pull_request=made)


async def say_last_words(work: Work) -> None:
    """Draw the comment a last time. Only then is the run completed: until it is said, the run is taken up again."""
    try:
        await drop_unused(work)
        await _say(work)
    except OutsideError as error:
        ended_at = work.run.ended_at
        is_hopeless = ended_at is not None and work.ports.clock.now() - ended_at > MAX_SILENCE
        if error.is_passing and not is_hopeless:
            raise
        log.error("last words not said", extra={"reason": str(error)})  # noqa: TRY400 -- no traceback is wanted
    await work.progress.save(status=Status.COMPLETED)


async def _say(work: Work) -> None:
    await work.progress.redraw(now=True)
    await follow.answer_threads(work)
    reaction = "rocket" if work.run.conclusion in ENDS_WELL else "confused"
    await work.react(reaction)
    await follow.react_to_heard(work, reaction)
