"""Before a run begins: may this person have this, here, now? A no is an error whose text is posted.

A stranger costs one call to GitHub. Only for others is base fetched, for the repository's own file says who may.
"""

import math

from app.core import policy, repo_config
from app.core.budget import Budget
from app.core.errors import LimitReached, UserError
from app.core.job import Job, Mode, Source, Verb
from app.core.policy import Role
from app.core.repo_config import RepoConfig
from app.core.run import Conclusion, Cost, Run
from app.runs.stages import branch_name
from app.runs.work import Work

STARTING = frozenset({Verb.START, Verb.PLAN, Verb.APPROVE, Verb.RETRY, Verb.BUDGET})
ANSWER_EVERY_S = 3_600.0
_GOES_ON = frozenset({Conclusion.FAILURE, Conclusion.TIMED_OUT, Conclusion.CANCELLED})


async def admit(work: Work) -> None:
    """Let the run in, with its base, its configuration and its budget; or take up what went before it.

    Raises:
        Refused: this person may not.
        UserError: the request or the repository's file cannot be carried out as it is.
    """
    job = work.run.job
    if job.mode is Mode.FOLLOW_UP and job.command.verb is Verb.START:
        raise UserError("I do not follow up on pull requests yet. Comment on the issue instead.")
    role = await _role(work, job)
    if role is Role.NONE:
        policy.admit(job.sender.login, role, RepoConfig().roles)
    if job.command.verb in (Verb.APPROVE, Verb.RETRY, Verb.BUDGET) and not work.run.base_sha:
        await _take_up(work)
    await _find_base(work)
    await _adopt_branch(work)
    await _read_config(work)
    if role is not Role.ADMIN:
        policy.admit(job.sender.login, role, work.config.roles)
    await _reserve(work)


async def is_flooding(work: Work) -> bool:
    """Was somebody who is nobody here answered in this thread already, within the hour? Then no more is said."""
    job = work.run.job
    if job.number is None or work.run.attempt > 1 or await _role(work, job) not in {Role.NONE, Role.READ}:
        return False
    return not await work.ports.store.claim(f"answer {job.repo}#{job.number} {job.sender.id}", ttl_s=ANSWER_EVERY_S)


async def _role(work: Work, job: Job) -> Role:
    """The sender's role; an operator who came through the API or the command line has them all."""
    if job.source in (Source.API, Source.LOCAL) and not job.sender.id:
        return Role.ADMIN
    return await work.github.permission(job.sender)


async def _find_base(work: Work) -> None:
    run, job = work.run, work.run.job
    base_ref = run.base_ref or job.command.base or await work.github.default_branch()
    base_sha = await work.fetch(base_ref)
    await work.progress.change(base_ref=base_ref, base_sha=run.base_sha or base_sha)


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


async def _read_config(work: Work) -> None:
    job, sha = work.run.job, work.run.base_sha
    default = await work.github.default_branch()
    if work.run.base_ref != default:
        sha = await work.fetch(default)
    raw = await work.ports.repos.read(job.installation_id, job.repo, sha, repo_config.PATH)
    work.config = repo_config.parse(raw.decode("utf-8", "replace")) if raw is not None else RepoConfig()
    if unused := work.config.unused:
        await work.progress.notice(
            f"`{repo_config.PATH}`: {', '.join(f'`{key}`' for key in unused)} is not acted on yet."
        )
    limits, own = work.options.budget, work.config.budget
    usd = min(limits.usd or math.inf, own.usd or math.inf)
    minutes = min(limits.minutes, own.minutes or math.inf)
    work.progress.budget = Budget(usd + work.run.granted_usd, minutes, limits.turns, limits.tokens)


async def _reserve(work: Work) -> None:
    """Set the run's dollars aside in the day of its repository and of its installation.

    Raises:
        LimitReached: a day's dollars are spent or promised to others.
    """
    run, budget = work.run, work.progress.budget
    if run.reserved or budget is None or budget.usd is None or math.isinf(budget.usd):
        return
    day = work.ports.clock.now().date()
    limits = {
        f"{run.job.repo}:{day}": work.config.budget.usd_per_day or math.inf,
        f"installation {run.job.installation_id}:{day}": work.options.usd_per_day,
    }
    for scope, limit in limits.items():
        if not await work.ports.store.reserve(scope, run.id, budget.usd, limit=limit):
            for taken in limits:
                await work.ports.store.settle(taken, run.id, run.cost.usd)
            raise LimitReached(
                "usd_per_day",
                f"This run may take ${budget.usd:.2f}, and today's ${limit:.2f} leave less than that. "
                "`/vibecode` starts it again tomorrow (UTC), or when other runs have ended for less.",
            )
    await work.progress.change(reserved=tuple(limits))


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
    if earlier is None or earlier.conclusion not in _GOES_ON:
        raise UserError("There is no run here that could go on. `/vibecode` starts one.")
    await work.progress.change(
        plan=earlier.plan,
        base_ref=earlier.base_ref,
        base_sha=earlier.base_sha,
        branch=earlier.branch,
        head_sha=earlier.head_sha,
        commits=earlier.commits,
        steps_done=earlier.steps_done,
        cost=Cost(usd=earlier.cost.usd, is_priced=earlier.cost.is_priced),
        granted_usd=earlier.granted_usd + work.run.job.command.add_usd,
        comment_id=earlier.comment_id,
    )


async def find_earlier(work: Work) -> Run | None:
    """The thread's newest run before this one that was one of work."""
    job = work.run.job
    page = await work.ports.store.list(repo=job.repo, limit=100)
    return next(
        (
            run
            for run in page.runs
            if run.id != job.id
            and run.job.number == job.number
            and run.job.command.verb in STARTING
            and run.conclusion is not Conclusion.SKIPPED
        ),
        None,
    )
