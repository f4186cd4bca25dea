"""Before a run begins: may this person have this, here, now? A no is an error whose text is posted.

A stranger costs one call to GitHub. Only for others is base fetched, for the repository's own file says who may.
"""

import math

from app.core import policy, repo_config
from app.core.budget import Budget
from app.core.errors import UserError
from app.core.job import Mode, Source, Verb
from app.core.policy import Role
from app.core.repo_config import RepoConfig
from app.runs.money import reserve
from app.runs.stages import branch_name
from app.runs.thread import find_earlier, go_on
from app.runs.work import Work
from app.text.comment import standing

ANSWER_EVERY_S = 3_600.0


async def admit(work: Work) -> None:
    """Let the run in, with its base, its configuration and its budget; or take up what went before it.

    Raises:
        Refused: this person may not.
        UserError: the request or the repository's file cannot be carried out as it is.
    """
    job = work.run.job
    if job.mode is Mode.FOLLOW_UP and job.command.verb is Verb.START:
        raise UserError("I do not follow up on pull requests yet. Comment on the issue instead.")
    role = await role_of(work)
    if role is Role.NONE:
        policy.admit(job.sender.login, role, RepoConfig().roles)
    if job.command.verb in (Verb.APPROVE, Verb.RETRY, Verb.BUDGET) and not work.run.base_sha:
        await _take_up(work)
    head = await _find_base(work)
    await _adopt_branch(work)
    await _read_config(work, head)
    if role is not Role.ADMIN:
        policy.admit(job.sender.login, role, work.config.roles)
    await reserve(work)


async def is_flooding(work: Work) -> bool:
    """Was somebody who is nobody here answered in this thread already, within the hour? Then no more is said."""
    job = work.run.job
    if job.number is None or work.run.attempt > 1 or await role_of(work) not in {Role.NONE, Role.READ}:
        return False
    return not await work.ports.store.claim(f"answer {job.repo}#{job.number} {job.sender.id}", ttl_s=ANSWER_EVERY_S)


async def role_of(work: Work) -> Role:
    """The sender's role; an operator who came through the API or the command line has them all."""
    job = work.run.job
    if job.source in (Source.API, Source.LOCAL) and not job.sender.id:
        return Role.ADMIN
    return await work.github.permission(job.sender)


async def _find_base(work: Work) -> str:
    """Find the commit to work on; the base branch's head now, which is another one when the run goes on."""
    run, job = work.run, work.run.job
    base_ref = run.base_ref or job.command.base or await work.github.default_branch()
    head = await work.fetch(base_ref)
    await work.progress.change(base_ref=base_ref, base_sha=run.base_sha or head)
    return head


async def _adopt_branch(work: Work) -> None:
    """Go on with the branch of a run that the store has forgotten: it has commits of ours and no pull request yet."""
    run, name = work.run, branch_name(work.run.job)
    if run.branch or run.job.number is None or await work.github.head(name) is None:
        return
    if await find_earlier(work) is not None or await work.github.pull_request(name, is_open=False) is not None:
        return
    commits = await work.github.commits(run.base_sha, name)
    if all(commit.is_verified and commit.author.endswith("[bot]") for commit in commits):
        await work.progress.change(branch=name)


async def _read_config(work: Work, head: str) -> None:
    job = work.run.job
    default = await work.github.default_branch()
    sha = head if work.run.base_ref == default else await work.fetch(default)
    raw = await work.ports.repos.read(job.installation_id, job.repo, sha, repo_config.PATH)
    work.config = repo_config.parse(raw.decode("utf-8", "replace")) if raw is not None else RepoConfig()
    if unused := work.config.unused:
        await work.progress.notice(
            f"`{repo_config.PATH}`: {', '.join(f'`{key}`' for key in unused)} is not acted on yet."
        )
    limits, own = work.options.budget, work.config.budget
    usd = min(limits.usd or math.inf, own.usd or math.inf)
    minutes = min(limits.minutes, own.minutes or math.inf)
    work.progress.budget = Budget(usd, minutes, limits.turns, limits.tokens)
    await work.progress.save(budget_usd=0.0 if math.isinf(usd) else usd)


async def _take_up(work: Work) -> None:
    """Go on from the thread's last run: its plan, and for a retry its branch, finished steps and dollars spent too."""
    earlier = await find_earlier(work)
    verb = work.run.job.command.verb
    if verb is Verb.APPROVE:
        if earlier is None or earlier.needs != "approval" or earlier.plan is None:
            raise UserError("No plan waits for approval here. `/vibecode plan` makes one.")
        await work.progress.change(
            plan=earlier.plan, base_ref=earlier.base_ref, base_sha=earlier.base_sha, comment_id=earlier.comment_id
        )
        return
    if earlier is None:
        raise UserError("There is no run here that could go on. `/vibecode` starts one.")
    if not earlier.may_go_on:
        raise UserError(f"There is nothing to go on with. {standing(earlier)}")
    await go_on(work, earlier)
