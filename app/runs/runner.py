"""The order of the stages, and the one ladder from what went wrong to what is said.

UserError     → skipped (before the sandbox) or failure, posted as written
LimitReached  → timed_out; what is done is published and handed over in a draft
OutsideError  → failure, one line
Stopped       → cancelled; what is done stays on the branch
LeaseLost     → nothing: another worker tells the story
cancelled     → handed back to the queue (a deploy)
anything else → failure, an apology, and raised again: it is a bug
"""

import asyncio
import logging
from typing import Final

from app.core.errors import CommandFailed, GitHubError, LeaseLost, LimitReached, OutsideError, Stopped, UserError
from app.core.ports import GitHub, Ports
from app.core.run import Conclusion, Failure, Run, Stage, Status, Verdict
from app.runs import stages
from app.runs.admit import STARTING, admit
from app.runs.answer import answer
from app.runs.lease import LEASE_S, hold, stop_on_signal
from app.runs.publish import publish
from app.runs.work import Options, Work, open_work

log = logging.getLogger(__name__)

EXCERPT_CHARS: Final = 2_000
_ENDS_WELL: Final = frozenset({Conclusion.SUCCESS, Conclusion.NEUTRAL, Conclusion.ACTION_REQUIRED})


async def carry_out(ports: Ports, options: Options, job_id: str) -> None:
    """Carry a queued job out, or go on with one whose worker died. Does nothing for a run that is held or completed."""
    run = await ports.store.acquire(job_id, worker=options.worker, ttl_s=LEASE_S)
    if run is None:
        return
    log.info("run begins", extra={"attempt": run.attempt, "repo": run.job.repo})
    try:
        async with ports.github.open(run.job.installation_id, run.job.repo) as github:
            await _carry_out(ports, options, run, github)
    except LeaseLost:
        log.warning("lease lost", extra={"attempt": run.attempt})
    except GitHubError as error:
        log.warning("last words not said yet", extra={"reason": str(error)})
    finally:
        await ports.store.release(run)


async def _carry_out(ports: Ports, options: Options, run: Run, github: GitHub) -> None:
    work = open_work(ports, options, run, github)
    try:
        walk = _walk_ladder(work) if run.conclusion is None else _say_last_words(work)
        await hold(ports, run, walk, stop_on_signal(work.progress))
    except Stopped as stop:
        await hold(ports, run, _end(work, Conclusion.CANCELLED, str(stop)), stop_on_signal(None))
    finally:
        await stages.clean_up(work)
    log.info("run ended", extra={"conclusion": work.run.conclusion, "usd": work.run.cost.usd})


async def _walk_ladder(work: Work) -> None:
    try:
        conclusion, message = await _walk(work)
    except UserError as error:
        conclusion = Conclusion.FAILURE if work.run.stages else Conclusion.SKIPPED
        excerpt = error.output[-EXCERPT_CHARS:] if isinstance(error, CommandFailed) else ""
        await _fail(work, conclusion, str(error), kind="request", excerpt=excerpt)
    except LimitReached as limit:
        await _hand_over(work)
        await _fail(work, Conclusion.TIMED_OUT, str(limit), kind=limit.kind)
    except OutsideError as error:
        log.warning("run failed", extra={"reason": str(error), "stage": work.run.stage})
        await _fail(work, Conclusion.FAILURE, str(error), kind="outside")
    except (LeaseLost, asyncio.CancelledError):
        raise
    except Exception as bug:
        log.exception("bug", extra={"stage": work.run.stage})
        words = f"I ran into a fault of my own (`{type(bug).__name__}`). I am sorry. `/vibecode retry` goes on."
        await _fail(work, Conclusion.FAILURE, words, kind="bug")
        raise
    else:
        await _end(work, conclusion, message)


async def _walk(work: Work) -> tuple[Conclusion, str]:
    """The stages in their order. Returns how the run ends, in a word and in a sentence."""
    job = work.run.job
    await work.react("eyes")
    if job.command.verb not in STARTING:
        return await answer(work), "Answered"
    await admit(work)
    await stages.open_sandbox(work)
    await stages.clone(work)
    await stages.name_branch(work)
    await stages.plan(work)
    if not work.plan.steps:
        await work.progress.change(summary=work.plan.summary)
        return Conclusion.NEUTRAL, "Nothing to do"
    if work.waits_for_approval:
        await work.progress.change(needs="approval")
        return Conclusion.ACTION_REQUIRED, "The plan waits for approval"
    await stages.carry_out_steps(work)
    if not work.run.commits:
        return Conclusion.NEUTRAL, "The work changed nothing"
    await stages.verify_work(work)
    await stages.publish_rest(work)
    await stages.open_pull_request(work)
    verification = work.run.verification
    verdict = verification.verdict if verification is not None else Verdict.UNTESTED
    conclusion = Conclusion.FAILURE if verdict is Verdict.FAILING else Conclusion.SUCCESS
    return conclusion, f"The work is published. {stages.SENTENCES[verdict]}"


async def _hand_over(work: Work) -> None:
    """Publish what is there when a limit ends the run, untested, in a draft. What fails here is logged, not raised."""
    if work.machine is None or not work.published_tree:
        return
    try:
        for step in work.plan.steps[work.run.steps_done :][:1]:
            await publish(work, f"Begin: {step.title}", "Unfinished: the budget ended here.")
        if work.run.commits:
            await stages.open_pull_request(work, is_draft=True)
    except (UserError, OutsideError) as error:
        log.warning("not handed over", extra={"reason": str(error)})
        await work.progress.notice(f"The last unfinished step could not be handed over: {error}")


async def _fail(work: Work, conclusion: Conclusion, message: str, *, kind: str, excerpt: str = "") -> None:
    redact = work.redactor.redact
    failure = Failure(kind, redact(message), work.run.stage, redact(excerpt))
    await work.progress.change(failure=failure)
    await _end(work, conclusion, message)


async def _end(work: Work, conclusion: Conclusion, message: str) -> None:
    """Clean up, put the last words on record, and say them."""
    if work.machine is not None:
        async with work.progress.stage(Stage.CLEANUP, "Cleaning up"):
            await stages.clean_up(work)
    await work.progress.change(
        conclusion=conclusion,
        percent=100 if conclusion in _ENDS_WELL else work.run.percent,
        message=work.redactor.redact(message.splitlines()[0] if message else ""),
        ended_at=work.ports.clock.now(),
    )
    await _say_last_words(work)


async def _say_last_words(work: Work) -> None:
    """Draw the comment a last time. Only then is the run completed: until it is said, the run is taken up again."""
    await work.progress.redraw(now=True)
    await work.react("rocket" if work.run.conclusion in _ENDS_WELL else "confused")
    await work.progress.change(status=Status.COMPLETED)
