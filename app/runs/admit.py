"""Before a run begins: may this person have this, here, now? A no is an error whose text is posted.

A stranger costs one call to GitHub. Only for others is base fetched, for the repository's own file says who may.
"""

import math
from dataclasses import replace

from app.core import repo_config
from app.core.authorization import authorize
from app.core.budget import Budget
from app.core.errors import Refused, UserError
from app.core.job import Job, Mode, Source, Verb
from app.core.policy import Role
from app.core.pull import Pull
from app.core.repo_config import RepoConfig
from app.runs import approval
from app.runs.branch import branch_name, find_own
from app.runs.continuation import check_text
from app.runs.follow import adopt, find_pull, is_follow_up
from app.runs.money import reserve
from app.runs.recheck import check_pull, find_closed, is_branch_gone
from app.runs.thread import find_earlier, go_on, take_comment
from app.runs.who import HOUR_S, action_of, check, may_start, parse, role_of
from app.runs.work import Work
from app.text.comment import standing


async def admit(work: Work) -> None:
    """Let the run in, with its base, its configuration and its budget; or take up what went before it.

    Raises:
        Refused: this person may not.
        UserError: the request or the repository's file cannot be carried out as it is.
    """
    job = work.run.job
    role = await role_of(work)
    check_has_role(job, role)
    await let_in(work, role, await find_pull(work) if job.is_pull_request else None)
    await reserve(work)


def check_has_role(job: Job, role: Role) -> None:
    """Refuse a sender without any role before anything is fetched: nothing in the repository's file could let them in.

    Raises:
        Refused: they have none.
    """
    if role is Role.NONE and not job.sender.is_bot:
        authorize(job.sender, action_of(job), role, RepoConfig()).check()


async def let_in(work: Work, role: Role, pull: Pull | None) -> None:
    """Let somebody of this role in, with no dollars set aside yet. Raises as `admit`."""
    await _find_installation(work)
    default = await work.github.default_branch()
    default_sha = await work.fetch(default)
    await _read_config(work, default_sha)
    await check(work, role)
    if not work.run.base_sha and work.run.job.mode is not Mode.FIX_CI:
        await _check_thread(work)
        await _take_up(work, pull.head if pull else "")
        await approval.take_lead(work)
        await take_comment(work, of_work=True)
    goes_on = is_follow_up(work.run.job) or work.run.began_at or work.run.job.mode is Mode.FIX_CI
    if pull is not None and goes_on:
        await adopt(work, pull)
    await _find_base(work, default, default_sha)
    await _adopt_branch(work)
    await _set_budget(work)


async def _find_installation(work: Work) -> None:
    """Who asks over the API does not know the installation; its budget holds all the same."""
    job = work.run.job
    if job.source is Source.API and not job.installation_id:
        await work.progress.save(job=replace(job, installation_id=await work.github.installation()))


async def is_nobodys(work: Work) -> bool:
    """Was the bot not spoken to, by somebody who could not have it work? Admission says otherwise where it may."""
    job = work.run.job
    return not job.is_addressed and not await may_start(work.ports, job.repo, job.sender, await role_of(work))


async def _check_thread(work: Work) -> None:
    """Is there anything to start here? Not on a closed issue, and not beside the pull request that is open for it.

    Raises:
        Refused: no; the text says how to go on.
    """
    job = work.run.job
    if job.number is None or job.is_pull_request:
        return
    if not job.is_open:
        raise Refused("This issue is closed. Reopen it and say it again.")
    if job.command.verb not in {Verb.START, Verb.PLAN}:
        return
    earlier = await find_earlier(work)
    made = earlier.pull_request if earlier else None
    made = made or await work.github.issue_pull_request(job.number)
    pull = await work.github.pulls.pull(made.number) if made else None
    if pull is not None and pull.is_open and pull.is_ours:
        await work.progress.save(related=(*work.run.related, pull.number))
        retry = " `/vibecode retry` here goes on with it." if earlier and earlier.may_go_on else ""
        raise Refused(
            f"#{pull.number} is open for this issue. Say there what is to be different (`/vibecode …`), or close it "
            f"and say `/vibecode` here again.{retry}"
        )


async def is_flooding(work: Work) -> bool:
    """Was somebody who is nobody here answered in this thread already, within the hour? Then no more is said."""
    job = work.run.job
    if job.number is None or work.run.attempt > 1 or job.sender.is_bot:
        return False
    role = await role_of(work)
    if role not in {Role.NONE, Role.READ} or await may_start(work.ports, job.repo, job.sender, role):
        return False
    return not await work.ports.store.claim(f"answer {job.repo}#{job.number} {job.sender.id}", ttl_s=HOUR_S)


async def _find_base(work: Work, default: str, default_sha: str) -> None:
    run = work.run
    base_ref = run.base_ref or run.job.command.base or default
    base_sha = default_sha if base_ref == default else await work.fetch(base_ref)
    await work.progress.change(base_ref=base_ref, base_sha=run.base_sha or base_sha)


async def _adopt_branch(work: Work) -> None:
    """Go on with the branch of this very job, whose run the store has forgotten: the first commit on it is the run's,
    and it has no pull request yet."""
    run, name = work.run, branch_name(work.run.job)
    if run.branch or run.job.number is None or await work.github.head(name) is None:
        return
    if await find_earlier(work) is not None or await work.github.pull_request(name, is_open=False) is not None:
        return
    commits = await work.github.commits(run.base_sha, name)
    if not commits or (commits[0].is_verified and await find_own(work, commits[:1])):
        await work.progress.save(branch=name)


async def _read_config(work: Work, sha: str) -> None:
    job = work.run.job
    path, most = repo_config.PATH, repo_config.MAX_READ_BYTES
    raw = await work.ports.repos.read(job.installation_id, job.repo, sha, path, max_bytes=most)
    work.config = await parse(work.ports, job.repo, raw)


async def _set_budget(work: Work) -> None:
    limits, own = work.options.budget, work.config.budget
    usd = min(limits.usd or math.inf, own.usd or math.inf)
    minutes = min(limits.minutes, own.minutes or math.inf)
    work.progress.budget = Budget(usd, minutes, limits.turns, limits.tokens)
    await work.progress.save(budget_usd=0.0 if math.isinf(usd) else usd)


async def _take_up(work: Work, branch: str) -> None:
    """Go on with what went before it in the thread or on the branch, if the command says so."""
    match work.run.job.command.verb:
        case _ if work.run.earlier:
            return
        case Verb.APPROVE:
            await approval.take_plan(work)
        case Verb.RETRY | Verb.BUDGET:
            await _go_on(work, branch)
        case _ if approval.asks_first(work):
            await work.progress.save(asks_first=True)
            await approval.revise(work)


async def _go_on(work: Work, branch: str) -> None:
    earlier = await find_earlier(work, branch)
    if earlier is None:
        raise UserError("There is no run here that could go on. `/vibecode` starts one.")
    if not earlier.may_go_on:
        raise UserError(f"There is nothing to go on with. {standing(earlier)}")
    if words := await find_closed(work):
        raise UserError(f"{words}, so nothing was started. Undo that and say it again.")
    await check_pull(work, earlier)
    if not work.run.job.command.hands_over:
        await check_text(work, earlier)
    await go_on(work, earlier, is_branch_gone=bool(earlier.commits) and await is_branch_gone(work, earlier))
