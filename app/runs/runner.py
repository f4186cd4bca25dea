"""The order of the stages, and the one ladder from what went wrong to what is said.

    UserError     → skipped (before the sandbox) or failure, posted as written
    LimitReached  → timed_out; what is done is published and handed over in a draft
    RetryLater    → passed on to the queue: what the run waits for takes its time
    OutsideError  → RetryLater when it may pass; else failure, one line
    StoreError    → passed on to the queue: nothing can be recorded either
    Stopped       → cancelled; what is done stays on the branch. Also a begun run whose repository is gone
    LeaseLost     → nothing: another worker tells the story
    cancelled     → handed back to the queue (a deploy)
    anything else → failure, an apology, and raised again: it is a bug

A run is in progress until its last words are posted. A worker that dies leaves it to the next one.
"""

import asyncio
import errno
import logging
from contextlib import suppress
from functools import partial
from typing import Final

from app.core.errors import (
    CommandFailed,
    LeaseLost,
    LimitReached,
    OutsideError,
    Refused,
    RepositoryGone,
    RetryLater,
    Stopped,
    StoreError,
    TakenAway,
    UserError,
    Withdrawn,
)
from app.core.escape import code
from app.core.job import STARTING, Source, Verb
from app.core.ports import Ports
from app.core.pull import Merging
from app.core.repo_config import PATH
from app.core.run import Conclusion
from app.core.verification import Verdict
from app.runs import approval, follow, stages, update
from app.runs.admit import admit, is_flooding, is_nobodys
from app.runs.answer import answer, grant_to_open
from app.runs.checks import look_into, tell
from app.runs.closed import end_if_closed, end_waiting
from app.runs.ending import end, end_stopped, fail, say_last_words
from app.runs.failed_checks import look_once_open
from app.runs.lease import Beat, hold, stop_on_signal
from app.runs.money import grant
from app.runs.open_branch import open_branch
from app.runs.publish import publish
from app.runs.pull_request import open_pull_request
from app.runs.retry import MAX_WAITS, hand_back, keep_count, pause, put_off
from app.runs.thread import take_comment
from app.runs.waiting import take_up
from app.runs.who import is_heard
from app.runs.work import Options, Work, open_work

log = logging.getLogger(__name__)

MAX_LOST_WORKERS: Final = 3
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


async def carry_out(ports: Ports, options: Options, job_id: str) -> None:
    """Carry a queued job out, or go on with one whose worker died. Does nothing for a run that is held or completed.

    Raises:
        RetryLater: call this again after its delay.
        StoreError: Redis is away; call this again.
    """
    run = await take_up(ports, options, job_id)
    if run is None:
        return
    log.info("run begins", extra={"attempt": run.attempt, "repo": run.job.repo, "lost_workers": run.lost_workers})
    try:
        unsure_s = run.unsure_s(ports.clock.now())
        async with ports.github.open(run.job.installation_id, run.job.repo, unsure_s=unsure_s) as github:
            await _carry_out(open_work(ports, options, run, github))
    except LeaseLost:
        log.warning("lease lost", extra={"attempt": run.attempt})
    finally:
        with suppress(StoreError):
            await ports.store.release(run)


async def _carry_out(work: Work) -> None:
    try:
        await _carry_to_its_end(work)
    except StoreError:
        await keep_count(work)
        raise
    except OutsideError as error:
        raise await put_off(work, error) from error
    except RetryLater as wait:
        await pause(work, wait)
        raise
    except asyncio.CancelledError:
        await hand_back(work)
        raise
    log.info("run ended", extra={"conclusion": work.run.conclusion, "usd": work.run.cost.usd})


async def _carry_to_its_end(work: Work) -> None:
    """The attempt, and what is left to do when a limit or a person ends it from beside."""
    ports, run = work.ports, work.run
    try:
        on_signal = stop_on_signal(work.progress, partial(grant, work), partial(end_if_closed, work))
        beat = Beat(on_signal, work.hold_on, partial(_check, work))
        await hold(ports, run, _attempt(work), beat)
    except LimitReached as limit:
        await hold(ports, run, _end_over_budget(work, limit), Beat(stop_on_signal(None), work.hold_on))
    except Stopped as stop:
        await hold(ports, run, end_stopped(work, str(stop)), Beat(stop_on_signal(None), work.hold_on))


async def _attempt(work: Work) -> None:
    run = work.run
    if run.conclusion is not None:
        await say_last_words(work)
    elif run.lost_workers >= MAX_LOST_WORKERS:
        words = f"I lost {run.lost_workers} workers on this, so I leave it. `/vibecode retry` tries once more."
        await fail(work, Conclusion.FAILURE, words, kind="outside")
    else:
        await _walk_ladder(work)


async def _walk_ladder(work: Work) -> None:
    try:
        conclusion, message = await _walk_with_room(work)
    except UserError as error:
        await _say_no(work, error)
    except LimitReached as limit:
        await _end_over_budget(work, limit)
    except OutsideError as error:
        if isinstance(error, RepositoryGone) and work.run.stages:
            raise TakenAway(str(error)) from error
        if error.is_passing and work.run.waits < MAX_WAITS:
            raise
        log.warning("run failed", extra={"reason": str(error), "stage": work.run.stage})
        await fail(work, Conclusion.FAILURE, str(error), kind="outside")
    except (LeaseLost, RetryLater, StoreError, Stopped, asyncio.CancelledError):
        raise
    except Exception as bug:
        log.exception("bug", extra={"stage": work.run.stage})
        words = f"I ran into a fault of my own (`{type(bug).__name__}`). I am sorry. `/vibecode retry` goes on."
        await fail(work, Conclusion.FAILURE, words, kind="bug")
        raise
    else:
        await end(work, conclusion, message)


def _check(work: Work) -> None:
    """May the run go on?

    Raises:
        LimitReached: its time is up.
        OutsideError: this worker's disk is full.
    """
    work.progress.check_time()
    if work.run.conclusion is None and (why := work.options.why_no_room()):
        raise OutsideError(why, is_passing=True)


async def _end_over_budget(work: Work, limit: LimitReached) -> None:
    """A limit ended the run: what is there is handed over."""
    await _hand_over(work)
    await fail(work, Conclusion.TIMED_OUT, str(limit), kind=limit.kind)


async def _walk_with_room(work: Work) -> tuple[Conclusion, str]:
    """Walk; whatever fails while the disk is full is taken to fail because of that, and waits."""
    try:
        return await _walk(work)
    except (UserError, OutsideError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise OutsideError("The worker's disk is full.", is_passing=True) from error
        if why := work.options.why_no_room():
            raise OutsideError(why, is_passing=True) from error
        raise


async def _say_no(work: Work, error: UserError) -> None:
    """What was asked for cannot be had."""
    conclusion = Conclusion.FAILURE if work.run.stages else Conclusion.SKIPPED
    excerpt = error.output if isinstance(error, CommandFailed) else ""
    if not work.run.stages:
        await take_comment(work, of_work=False)
    await fail(work, conclusion, str(error), kind="request", excerpt=excerpt)


async def _walk(work: Work) -> tuple[Conclusion, str]:
    """The stages in their order. Returns how the run ends, in a word and in a sentence."""
    begin = look_into if work.run.job.source is Source.CHECKS else _answer_or_admit
    answered = await begin(work)
    if answered is not None:
        return answered
    work.progress.listen = partial(follow.listen, work)
    merging = await update.merge_on_github(work) if update.is_asked_for(work) else None
    if merging is Merging.NOTHING:
        return Conclusion.NEUTRAL, f"{code(work.run.branch)} has all of {code(work.run.base_ref)} already"
    await open_branch(work)
    await stages.open_sandbox(work)
    await stages.clone(work)
    if merging is Merging.CONFLICT:
        await update.merge_in_sandbox(work)
    elif merging is None and follow.is_follow_up(work.run.job):
        await follow.gather(work)
    await stages.plan(work)
    if not work.plan.steps and merging is None:
        await work.progress.change(summary=work.plan.summary)
        return Conclusion.NEUTRAL, "Nothing to do"
    if work.run.asks_first:
        return await approval.wait(work)
    await stages.carry_out_steps(work)
    if work.run.head_sha in {"", work.run.began_at}:
        return Conclusion.NEUTRAL, "The work changed nothing"
    await stages.verify_work(work)
    await stages.publish_rest(work)
    await open_pull_request(work)
    await look_once_open(work)
    verification = work.run.verification
    verdict = verification.verdict if verification is not None else Verdict.UNTESTED
    conclusion = Conclusion.FAILURE if verdict is Verdict.FAILING else Conclusion.SUCCESS
    return conclusion, f"The work is published. {stages.SENTENCES[verdict]}"


async def _answer_or_admit(work: Work) -> tuple[Conclusion, str] | None:
    """What takes no work is answered here; None when the run is let in."""
    command = work.run.job.command
    if command.verb is Verb.WITHDRAW:
        await end_waiting(work)
        return Conclusion.NEUTRAL, "Answered"
    if not await is_heard(work):
        await work.progress.save(is_muted=True)
        raise Refused(f"Bots may ask only where `bots` of `{PATH}` names them.")
    if await is_nobodys(work) or await is_flooding(work):
        await work.progress.save(is_muted=True)
    await work.react("eyes")
    if command.verb not in STARTING:
        await take_comment(work, of_work=False)
        return await answer(work), "Answered"
    if command.verb is Verb.BUDGET and not work.run.is_in_line:
        if await grant_to_open(work):
            return Conclusion.NEUTRAL, "Answered"
        await work.progress.change(is_in_line=True, message="Waiting for its turn.")
        raise RetryLater("its turn", 0.0, works=True, steps_aside=True)
    await admit(work)
    if not work.run.job.is_addressed:
        await work.react("eyes")
    await tell(work)
    return await _open_from_branch(work) if work.run.job.command.hands_over else None


async def _open_from_branch(work: Work) -> tuple[Conclusion, str]:
    """Open the pull request from what an ended run left on its branch."""
    if not work.run.commits:
        raise UserError("There is nothing on a branch that a pull request could be opened from.")
    await open_pull_request(work, is_draft=True)
    await look_once_open(work)
    done = f"{work.run.steps_done} of {len(work.plan.steps)} steps are done"
    words = f"A draft from what is on the branch: {done}. `/vibecode retry` goes on."
    await work.progress.change(summary=words)
    return Conclusion.NEUTRAL, words


async def _hand_over(work: Work) -> None:
    """Publish what is there when a limit ends the run, untested, in a draft. What fails here is logged, not raised."""
    if work.machine is None or not work.run.published_tree:
        return
    try:
        for step in work.plan.steps[work.run.steps_done :][:1]:
            await publish(work, f"Begin: {step.title}", "Unfinished: the budget ended here.")
        if work.run.commits:
            await open_pull_request(work, is_draft=True)
            await look_once_open(work)
    except (UserError, OutsideError, Withdrawn) as error:
        log.warning("not handed over", extra={"reason": str(error)})
        await work.progress.notice(f"The last unfinished step could not be handed over: {error}")
