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

A run is in progress until its final comment is posted. A worker that dies leaves it to the next one.
"""

import asyncio
import errno
import logging
from contextlib import suppress
from functools import partial
from typing import Final

from app.core.errors import (
    AccessRevoked,
    CommandFailed,
    LeaseLost,
    LimitReached,
    OutsideError,
    Refused,
    RepositoryGone,
    RequestWithdrawn,
    RetryLater,
    Stopped,
    StoreError,
    UserError,
)
from app.core.policy.repo_config import PATH
from app.core.ports.bundle import Ports
from app.core.run.job import STARTING, Source, Verb
from app.core.run.pull_requests import MergeResult
from app.core.run.run import Conclusion
from app.core.run.verification import Verdict
from app.core.safety.escape import code
from app.runs.closed_threads import end_if_closed, end_waiting
from app.runs.context import Options, RunContext, open_context
from app.runs.control_commands import carry_out_command, grant_to_open_run
from app.runs.ending import end, end_stopped, fail, post_final_comment
from app.runs.follow_up import review_comments, update_branch
from app.runs.follow_up.ci_failures import check_ci_of_opened, handle_failed_checks, report_fix
from app.runs.intake import adoption, approval
from app.runs.intake.admission import admit, is_flooding, is_from_an_outsider
from app.runs.intake.authorization import is_accepted_sender
from app.runs.intake.spending import grant
from app.runs.intake.threads import reuse_comment
from app.runs.lease import LeaseHooks, hold, stop_on_signal
from app.runs.queue_positions import acquire_run
from app.runs.retry import MAX_WAITS, hand_back, keep_count, pause, retry_later
from app.runs.stages import clone, plan, sandbox, steps, verify
from app.runs.stages.open_branch import open_branch
from app.runs.stages.publish import publish, publish_rest
from app.runs.stages.pull_request import open_pull_request

log = logging.getLogger(__name__)

MAX_LOST_WORKERS: Final = 3
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


async def carry_out(ports: Ports, options: Options, job_id: str) -> None:
    """Carry a queued job out, or go on with one whose worker died. Does nothing for a run that is held or completed.

    Raises:
        RetryLater: call this again after its delay.
        StoreError: Redis is away; call this again.
    """
    run = await acquire_run(ports, options, job_id)
    if run is None:
        return
    log.info("run begins", extra={"attempt": run.attempt, "repo": run.job.repo, "lost_workers": run.lost_workers})
    try:
        unsure_s = run.unsure_s(ports.clock.now())
        async with ports.github.open(run.job.installation_id, run.job.repo, unsure_s=unsure_s) as github:
            await _carry_out(open_context(ports, options, run, github))
    except LeaseLost:
        log.warning("lease lost", extra={"attempt": run.attempt})
    finally:
        with suppress(StoreError):
            await ports.store.release(run)


async def _carry_out(ctx: RunContext) -> None:
    try:
        await _carry_to_its_end(ctx)
    except StoreError:
        await keep_count(ctx)
        raise
    except OutsideError as error:
        raise await retry_later(ctx, error) from error
    except RetryLater as wait:
        await pause(ctx, wait)
        raise
    except asyncio.CancelledError:
        await hand_back(ctx)
        raise
    log.info("run ended", extra={"conclusion": ctx.run.conclusion, "usd": ctx.run.cost.usd})


async def _carry_to_its_end(ctx: RunContext) -> None:
    """The attempt, and what is left to do when a limit or a person ends it from beside."""
    ports, run = ctx.ports, ctx.run
    try:
        on_signal = stop_on_signal(ctx.progress, partial(grant, ctx), partial(end_if_closed, ctx))
        hooks = LeaseHooks(on_signal, ctx.keep_sandbox_alive, partial(_check, ctx))
        await hold(ports, run, _attempt(ctx), hooks)
    except LimitReached as limit:
        await hold(ports, run, _end_over_budget(ctx, limit), LeaseHooks(stop_on_signal(None), ctx.keep_sandbox_alive))
    except Stopped as stop:
        await hold(ports, run, end_stopped(ctx, str(stop)), LeaseHooks(stop_on_signal(None), ctx.keep_sandbox_alive))


async def _attempt(ctx: RunContext) -> None:
    run = ctx.run
    if run.conclusion is not None:
        await post_final_comment(ctx)
    elif run.lost_workers >= MAX_LOST_WORKERS:
        words = f"Gave up after {run.lost_workers} workers died during this run. `/vibecode retry` tries again."
        await fail(ctx, Conclusion.FAILURE, words, kind="outside")
    else:
        await _walk_ladder(ctx)


async def _walk_ladder(ctx: RunContext) -> None:
    try:
        conclusion, message = await _walk_with_room(ctx)
    except UserError as error:
        await _refuse(ctx, error)
    except LimitReached as limit:
        await _end_over_budget(ctx, limit)
    except OutsideError as error:
        if isinstance(error, RepositoryGone) and ctx.run.stages:
            raise AccessRevoked(str(error)) from error
        if error.is_passing and ctx.run.waits < MAX_WAITS:
            raise
        log.warning("run failed", extra={"reason": str(error), "stage": ctx.run.stage})
        await fail(ctx, Conclusion.FAILURE, str(error), kind="outside")
    except (LeaseLost, RetryLater, StoreError, Stopped, asyncio.CancelledError):
        raise
    except Exception as bug:
        log.exception("bug", extra={"stage": ctx.run.stage})
        words = f"Internal error (`{type(bug).__name__}`). It has been logged. `/vibecode retry` resumes the run."
        await fail(ctx, Conclusion.FAILURE, words, kind="bug")
        raise
    else:
        await end(ctx, conclusion, message)


def _check(ctx: RunContext) -> None:
    """May the run go on?

    Raises:
        LimitReached: its time is up.
        OutsideError: this worker's disk is full.
    """
    ctx.progress.check_time()
    if ctx.run.conclusion is None and (why := ctx.options.why_no_room()):
        raise OutsideError(why, is_passing=True)


async def _end_over_budget(ctx: RunContext, limit: LimitReached) -> None:
    """A limit ended the run: what is there is handed over."""
    await _hand_over(ctx)
    await fail(ctx, Conclusion.TIMED_OUT, str(limit), kind=limit.kind)


async def _walk_with_room(ctx: RunContext) -> tuple[Conclusion, str]:
    """Walk; whatever fails while the disk is full is taken to fail because of that, and waits."""
    try:
        return await _walk(ctx)
    except (UserError, OutsideError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise OutsideError("The worker's disk is full.", is_passing=True) from error
        if why := ctx.options.why_no_room():
            raise OutsideError(why, is_passing=True) from error
        raise


async def _refuse(ctx: RunContext, error: UserError) -> None:
    """What was asked for cannot be had."""
    conclusion = Conclusion.FAILURE if ctx.run.stages else Conclusion.SKIPPED
    excerpt = error.output if isinstance(error, CommandFailed) else ""
    if not ctx.run.stages:
        await reuse_comment(ctx, of_work=False)
    await fail(ctx, conclusion, str(error), kind="request", excerpt=excerpt)


async def _walk(ctx: RunContext) -> tuple[Conclusion, str]:
    """The stages in their order. Returns how the run ends, in a word and in a sentence."""
    begin = handle_failed_checks if ctx.run.job.source is Source.CHECKS else _answer_or_admit
    answered = await begin(ctx)
    if answered is not None:
        return answered
    ctx.progress.listen = partial(review_comments.collect_new_feedback, ctx)
    merging = await update_branch.merge_on_github(ctx) if update_branch.is_update_requested(ctx) else None
    if merging is MergeResult.NOTHING:
        return Conclusion.NEUTRAL, f"{code(ctx.run.branch)} is already up to date with {code(ctx.run.base_ref)}"
    await open_branch(ctx)
    await sandbox.open_sandbox(ctx)
    await clone.clone(ctx)
    if merging is MergeResult.CONFLICT:
        await update_branch.merge_in_sandbox(ctx)
    elif merging is None and adoption.is_follow_up(ctx.run.job):
        await review_comments.gather_feedback(ctx)
    await plan.plan(ctx)
    if not ctx.plan.steps and merging is None:
        await ctx.progress.change(summary=ctx.plan.summary)
        return Conclusion.NEUTRAL, "Nothing to do"
    if ctx.run.asks_first:
        return await approval.wait_for_approval(ctx)
    await steps.carry_out_steps(ctx)
    if ctx.run.head_sha in {"", ctx.run.began_at}:
        return Conclusion.NEUTRAL, "No changes were needed"
    await verify.verify_work(ctx)
    await publish_rest(ctx)
    await open_pull_request(ctx)
    await check_ci_of_opened(ctx)
    verification = ctx.run.verification
    verdict = verification.verdict if verification is not None else Verdict.UNTESTED
    conclusion = Conclusion.FAILURE if verdict is Verdict.FAILING else Conclusion.SUCCESS
    return conclusion, f"Published. {verify.VERDICT_SENTENCES[verdict]}"


async def _answer_or_admit(ctx: RunContext) -> tuple[Conclusion, str] | None:
    """What takes no work is answered here; None when the run is let in."""
    command = ctx.run.job.command
    if command.verb is Verb.WITHDRAW:
        await end_waiting(ctx)
        return Conclusion.NEUTRAL, "Answered"
    if not await is_accepted_sender(ctx):
        await ctx.progress.save(is_muted=True)
        raise Refused(f"Commands from bots are ignored unless `bots` in `{PATH}` lists them.")
    if await is_from_an_outsider(ctx) or await is_flooding(ctx):
        await ctx.progress.save(is_muted=True)
    await ctx.react("eyes")
    if command.verb not in STARTING:
        await reuse_comment(ctx, of_work=False)
        return await carry_out_command(ctx), "Answered"
    if command.verb is Verb.BUDGET and not ctx.run.is_in_line:
        if await grant_to_open_run(ctx):
            return Conclusion.NEUTRAL, "Answered"
        await ctx.progress.change(is_in_line=True, message="Waiting for its turn.")
        raise RetryLater("its turn", 0.0, works=True, yields_thread=True)
    await admit(ctx)
    if not ctx.run.job.is_addressed:
        await ctx.react("eyes")
    await report_fix(ctx)
    return await _open_from_branch(ctx) if ctx.run.job.command.hands_over else None


async def _open_from_branch(ctx: RunContext) -> tuple[Conclusion, str]:
    """Open the pull request from what an ended run left on its branch."""
    if not ctx.run.commits:
        raise UserError("There are no commits to open a pull request from.")
    await open_pull_request(ctx, is_draft=True)
    await check_ci_of_opened(ctx)
    done = f"{ctx.run.steps_done} of {len(ctx.plan.steps)} steps done"
    words = f"Opened a draft with the commits so far: {done}. `/vibecode retry` resumes the run."
    await ctx.progress.change(summary=words)
    return Conclusion.NEUTRAL, words


async def _hand_over(ctx: RunContext) -> None:
    """Publish what is there when a limit ends the run, untested, in a draft. What fails here is logged, not raised."""
    if ctx.machine is None or not ctx.run.published_tree:
        return
    try:
        for step in ctx.plan.steps[ctx.run.steps_done :][:1]:
            await publish(ctx, f"Begin: {step.title}", "Unfinished: the budget ran out.")
        if ctx.run.commits:
            await open_pull_request(ctx, is_draft=True)
            await check_ci_of_opened(ctx)
    except (UserError, OutsideError, RequestWithdrawn) as error:
        log.warning("not handed over", extra={"reason": str(error)})
        await ctx.progress.notice(f"The unfinished step could not be published: {error}")
