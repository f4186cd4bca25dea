"""A thread's runs: which are open, and which one a command goes on with."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from app.core.policy import repo_config
from app.core.run.job import STARTING, Mode, Verb
from app.core.run.run import Conclusion, Cost, Run, Status
from app.runs.context import RunContext
from app.text.comment import title

BRANCH_GONE: Final = "The branch `{}` was deleted, so this run starts over on a new branch."


async def find_open(ctx: RunContext, branch: str = "") -> list[Run]:
    """The open runs of work in the thread or on the branch: those in progress, then those that wait, the oldest
    first."""
    runs: list[Run] = []
    for status in (Status.IN_PROGRESS, Status.QUEUED):
        found = [run async for run in _runs_of(ctx, branch, status)]
        runs += [run for run in reversed(found) if _is_of_thread(ctx, run, branch) and run.conclusion is None]
    return runs


async def find_earlier(ctx: RunContext, branch: str = "") -> Run | None:
    """The run that the command is about, or the newest one of work before this in the thread or on the branch."""
    job = ctx.run.job
    if job.about:
        return await ctx.ports.store.load(job.about)
    async for run in _runs_of(ctx, branch):
        # One that ended before it took up what went before it has nothing of its own to go on with.
        has_own = run.base_sha or run.job.command.verb in {Verb.START, Verb.PLAN}
        if has_own and _is_of_thread(ctx, run, branch) and run.conclusion is not Conclusion.SKIPPED:
            return run
    return None


async def _runs_of(ctx: RunContext, branch: str, status: Status | None = None) -> AsyncGenerator[Run, None]:
    """The run that the job is about; where it names none, those of its thread and of the branch, newest first."""
    job, store = ctx.run.job, ctx.ports.store
    if not job.about:
        async for name, until in _names_of(ctx):
            async for run in store.runs_of(name, number=job.number, branch=branch, status=status):
                # Another repository may have a former name since, also another account's.
                is_own = run.job.installation_id == job.installation_id
                if until is None or (is_own and run.job.created_at <= until):
                    yield run
    elif (about := await store.load(job.about)) is not None and status in (None, about.status):
        yield about


async def _names_of(ctx: RunContext) -> AsyncGenerator[tuple[str, datetime | None], None]:
    """The repository's name, and then what it was called before, each with the moment until when."""
    name, seen, until = ctx.run.job.repo, set[str](), None
    while name not in seen:
        yield name, until
        seen.add(name)
        former = repo_config.decode_former(await ctx.ports.store.recall(repo_config.name_of_former(name)))
        if former is not None:
            name, until = former


def _is_of_thread(ctx: RunContext, run: Run, branch: str = "") -> bool:
    """A word about a budget is of work only once it waits in line to take up a run."""
    is_on_branch = bool(branch) and run.branch == branch and run.id != ctx.run.id
    is_word = run.job.command.verb is Verb.BUDGET and not (run.base_sha or run.is_in_line)
    job = ctx.run.job
    is_same = run.id == job.about if job.about else run.job.number == job.number is not None and run.id != job.id
    return (is_same or is_on_branch) and run.job.command.verb in STARTING and not is_word and not run.is_answer_only


async def reuse_comment(ctx: RunContext, *, of_work: bool) -> None:
    """Go on with the comment that the same person was last answered with in this thread: of a run of work, or of an
    answer and of what was refused. One that has a comment already keeps it. Repeatable."""
    run, job = ctx.run, ctx.run.job
    if run.comment_id is not None or job.number is None or job.mode is Mode.FIX_CI:
        return
    async for other in ctx.ports.store.runs_of(job.repo, number=job.number, status=Status.COMPLETED):
        is_theirs = other.job.sender.id == job.sender.id and other.job.mode is not Mode.FIX_CI
        is_work = not other.is_answer_only and other.conclusion is not Conclusion.SKIPPED
        if is_theirs and is_work is of_work and other.comment_id is not None:
            before = title(other) if of_work else ""
            named = (other.pull_request.number,) if before and other.pull_request else ()
            await ctx.progress.save(comment_id=other.comment_id, before=before, related=(*run.related, *named))
            return


async def resume_from(ctx: RunContext, earlier: Run, *, is_branch_gone: bool = False) -> None:
    """Take up a run that ended early: its plan, branch, finished steps and dollars spent. One that never had a plan
    is asked for once more, as it was. Without its branch, what was planned is started over."""
    job = ctx.run.job
    asked = earlier.job.command
    if earlier.job.number == job.number:
        job = replace(job, title=earlier.job.title, body=earlier.job.body, author=earlier.job.author)
    if earlier.plan is None:
        job = replace(job, mode=earlier.job.mode, command=replace(asked, add_usd=job.command.add_usd))
    else:
        options = replace(job.command, base=asked.base, model=asked.model, draft=asked.draft)
        mode = Mode.AUTO if earlier.job.mode is Mode.PLAN else earlier.job.mode
        job = replace(job, mode=mode, command=replace(options, instruction=asked.instruction))
    done = {} if is_branch_gone else _done(earlier)
    notices = ctx.run.with_notice(BRANCH_GONE.format(earlier.branch)).notices if is_branch_gone else ctx.run.notices
    await ctx.progress.save(
        **done,
        job=job,
        plan=earlier.plan,
        notices=notices,
        base_ref=earlier.base_ref,
        verification=earlier.verification if job.command.hands_over else None,
        cost=Cost(usd=earlier.cost.usd, is_priced=earlier.cost.is_priced),
        granted_usd=earlier.granted_usd + job.command.add_usd,
        model=earlier.model,
        comment_id=earlier.comment_id if earlier.job.number == job.number else None,
        earlier=earlier.id,
        asks_first=earlier.asks_first,
        approval=earlier.approval,
        previous=earlier.previous,
        issue=earlier.closes if job.is_pull_request else None,
        began_at=earlier.began_at,
        heard=earlier.heard,
        merges=earlier.merges,
        diagnosis=earlier.diagnosis,
        as_of=earlier.text_at,
    )


def _done(earlier: Run) -> dict[str, Any]:
    """What a run has put on its branch."""
    return {
        "base_sha": earlier.base_sha if earlier.plan else "",
        "branch": earlier.branch,
        "head_sha": earlier.head_sha,
        "commits": earlier.commits,
        "steps_done": earlier.steps_done,
        "step_summaries": earlier.step_summaries,
        "pull_request": earlier.pull_request,
    }
