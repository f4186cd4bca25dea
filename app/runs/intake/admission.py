"""Before a run begins: may this person have this, here, now? A no is an error whose text is posted.

A stranger costs one call to GitHub. Only for others is base fetched, for the repository's own file says who may.
"""

import math
from dataclasses import replace

from app.core.errors import Refused, UserError
from app.core.policy import repo_config
from app.core.policy.authorization import Role, authorize
from app.core.policy.budget import Budget
from app.core.policy.repo_config import RepoConfig
from app.core.run.job import Job, Mode, Source, Verb
from app.core.run.pull_requests import PullRequest
from app.runs.branches import branch_name, find_own
from app.runs.context import RunContext
from app.runs.intake import approval
from app.runs.intake.adoption import adopt_branch, find_own_pull_request, is_follow_up
from app.runs.intake.authorization import HOUR_S, action_of, check_request, may_start, parse, role_of
from app.runs.intake.continuation import check_text
from app.runs.intake.recheck import check_pull, find_closed, is_branch_gone
from app.runs.intake.spending import reserve
from app.runs.intake.threads import find_earlier, resume_from, reuse_comment
from app.text.comment import describe_status


async def admit(ctx: RunContext) -> None:
    """Let the run in, with its base, its configuration and its budget; or take up what went before it.

    Raises:
        Refused: this person may not.
        UserError: the request or the repository's file cannot be carried out as it is.
    """
    job = ctx.run.job
    role = await role_of(ctx)
    check_has_role(job, role)
    await admit_with_role(ctx, role, await find_own_pull_request(ctx) if job.is_pull_request else None)
    await reserve(ctx)


def check_has_role(job: Job, role: Role) -> None:
    """Refuse a sender without any role before anything is fetched: nothing in the repository's file could let them in.

    Raises:
        Refused: they have none.
    """
    if role is Role.NONE and not job.sender.is_bot:
        authorize(job.sender, action_of(job), role, RepoConfig()).check()


async def admit_with_role(ctx: RunContext, role: Role, pull: PullRequest | None) -> None:
    """Let somebody of this role in, with no dollars set aside yet. Raises as `admit`."""
    await _find_installation(ctx)
    default = await ctx.github.default_branch()
    default_sha = await ctx.fetch(default)
    await _read_config(ctx, default_sha)
    await check_request(ctx, role)
    if not ctx.run.base_sha and ctx.run.job.mode is not Mode.FIX_CI:
        await _check_thread(ctx)
        await _resume_or_revise(ctx, pull.head if pull else "")
        await approval.claim_thread(ctx)
        await reuse_comment(ctx, of_work=True)
    goes_on = is_follow_up(ctx.run.job) or ctx.run.began_at or ctx.run.job.mode is Mode.FIX_CI
    if pull is not None and goes_on:
        await adopt_branch(ctx, pull)
    await _find_base(ctx, default, default_sha)
    await _adopt_branch(ctx)
    await _set_budget(ctx)


async def _find_installation(ctx: RunContext) -> None:
    """Who asks over the API does not know the installation; its budget holds all the same."""
    job = ctx.run.job
    if job.source is Source.API and not job.installation_id:
        await ctx.progress.save(job=replace(job, installation_id=await ctx.github.installation()))


async def is_from_an_outsider(ctx: RunContext) -> bool:
    """Was the bot not spoken to, by somebody who could not have it work? Admission says otherwise where it may."""
    job = ctx.run.job
    return not job.is_addressed and not await may_start(ctx.ports, job.repo, job.sender, await role_of(ctx))


async def _check_thread(ctx: RunContext) -> None:
    """Is there anything to start here? Not on a closed issue, and not beside the pull request that is open for it.

    Raises:
        Refused: no; the text says how to go on.
    """
    job = ctx.run.job
    if job.number is None or job.is_pull_request:
        return
    if not job.is_open:
        raise Refused("This issue is closed. Reopen it, then comment the command again.")
    if job.command.verb not in {Verb.START, Verb.PLAN}:
        return
    earlier = await find_earlier(ctx)
    made = earlier.pull_request if earlier else None
    made = made or await ctx.github.issue_pull_request(job.number)
    pull = await ctx.github.pulls.pull(made.number) if made else None
    if pull is not None and pull.is_open and pull.is_ours:
        await ctx.progress.save(related=(*ctx.run.related, pull.number))
        retry = " `/vibecode retry` here resumes it." if earlier and earlier.is_resumable else ""
        raise Refused(
            f"#{pull.number} is already open for this issue. Comment `/vibecode …` there to request changes, or close "
            f"it and comment `/vibecode` here to start over.{retry}"
        )


async def is_flooding(ctx: RunContext) -> bool:
    """Was somebody who is nobody here answered in this thread already, within the hour? Then no more is said."""
    job = ctx.run.job
    if job.number is None or ctx.run.attempt > 1 or job.sender.is_bot:
        return False
    role = await role_of(ctx)
    if role not in {Role.NONE, Role.READ} or await may_start(ctx.ports, job.repo, job.sender, role):
        return False
    return not await ctx.ports.store.claim(f"answer {job.repo}#{job.number} {job.sender.id}", ttl_s=HOUR_S)


async def _find_base(ctx: RunContext, default: str, default_sha: str) -> None:
    run = ctx.run
    base_ref = run.base_ref or run.job.command.base or default
    base_sha = default_sha if base_ref == default else await ctx.fetch(base_ref)
    await ctx.progress.change(base_ref=base_ref, base_sha=run.base_sha or base_sha)


async def _adopt_branch(ctx: RunContext) -> None:
    """Go on with the branch of this very job, whose run the store has forgotten: the first commit on it is the run's,
    and it has no pull request yet."""
    run, name = ctx.run, branch_name(ctx.run.job)
    if run.branch or run.job.number is None or await ctx.github.head(name) is None:
        return
    if await find_earlier(ctx) is not None or await ctx.github.pull_request(name, is_open=False) is not None:
        return
    commits = await ctx.github.commits(run.base_sha, name)
    if not commits or (commits[0].is_verified and await find_own(ctx, commits[:1])):
        await ctx.progress.save(branch=name)


async def _read_config(ctx: RunContext, sha: str) -> None:
    job = ctx.run.job
    path, most = repo_config.PATH, repo_config.MAX_READ_BYTES
    raw = await ctx.ports.repos.read(job.installation_id, job.repo, sha, path, max_bytes=most)
    ctx.config = await parse(ctx.ports, job.repo, raw)


async def _set_budget(ctx: RunContext) -> None:
    limits, own = ctx.options.budget, ctx.config.budget
    usd = min(limits.usd or math.inf, own.usd or math.inf)
    minutes = min(limits.minutes, own.minutes or math.inf)
    ctx.progress.budget = Budget(usd, minutes, limits.turns, limits.tokens)
    await ctx.progress.save(budget_usd=0.0 if math.isinf(usd) else usd)


async def _resume_or_revise(ctx: RunContext, branch: str) -> None:
    """Go on with what went before it in the thread or on the branch, if the command says so."""
    match ctx.run.job.command.verb:
        case _ if ctx.run.earlier:
            return
        case Verb.APPROVE:
            await approval.approve_plan(ctx)
        case Verb.RETRY | Verb.BUDGET:
            await _resume(ctx, branch)
        case _ if approval.needs_approval(ctx):
            await ctx.progress.save(asks_first=True)
            await approval.revise_plan(ctx)


async def _resume(ctx: RunContext, branch: str) -> None:
    earlier = await find_earlier(ctx, branch)
    if earlier is None:
        raise UserError("There is no run to resume here. `/vibecode` starts one.")
    if not earlier.is_resumable:
        raise UserError(f"There is nothing to resume. {describe_status(earlier)}")
    if words := await find_closed(ctx):
        raise UserError(f"{words}, so no run was started. Undo that, then comment the command again.")
    await check_pull(ctx, earlier)
    if not ctx.run.job.command.hands_over:
        await check_text(ctx, earlier)
    await resume_from(ctx, earlier, is_branch_gone=bool(earlier.commits) and await is_branch_gone(ctx, earlier))
