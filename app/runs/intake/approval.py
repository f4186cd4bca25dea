"""A plan and its approval: what waits, what takes its place, and whether what was approved is still what it says.

    planned ─▶ waits ─┬─ approve ──▶ carried out, in the same comment
                      ├─ approve, but the issue's text changed ──▶ planned anew, waits
                      ├─ plan <change> ──▶ planned anew with the plan as it was, waits
                      └─ any other run of work in the thread ──▶ can no longer be approved

Each thread remembers the run of work that was admitted last: only a plan of that one waits. A plan is taken once: the
run that proposed it then reads as superseded, and names the run that took it, which names it as `earlier`.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from app.core.errors import UserError
from app.core.ports.bundle import Ports
from app.core.run.job import Command, Job, Mode, Source, Verb
from app.core.run.plan import approval_of
from app.core.run.run import Conclusion, Run
from app.runs.context import RunContext
from app.runs.intake.comments import is_since, list_comments, read_comments
from app.runs.intake.recheck import may_still

FIRST_LOOK: Final = timedelta(seconds=30)
"""How long after a plan was posted its comment is looked at for a 👍, see `runs/background/reactions.py`."""
NONE_WAITS: Final = "There is no plan waiting for approval. `/vibecode plan` creates one."
TAKEN: Final = "This plan was already approved. `/vibecode status` shows its progress."
REPLACED: Final = "That plan is no longer waiting for approval: it was approved or replaced."
CLOSED: Final = "This issue is closed. Reopen it, then approve the plan."
NO_LONGER_MAY: Final = (
    "`{}`, who requested this plan, can no longer start runs here. Comment `/vibecode plan` to request your own."
)
TOO_EARLY: Final = "This plan was posted after your approval. Review it, then comment `/vibecode approve` again."
CHANGED: Final = "The issue was edited after the plan was made, so here is the plan again."
NOT_HEARD: Final = (
    "The plan doesn't cover comments written or edited since it was made. `/vibecode plan` makes a new one that does."
)


def needs_approval(ctx: RunContext) -> bool:
    """Must a person approve this run's plan before it is carried out?"""
    job = ctx.run.job
    if job.command.verb is Verb.PLAN or job.mode is Mode.PLAN:
        return True
    # On a command line there is nobody but the person who asked, and no later moment to approve in.
    is_new = job.command.verb is Verb.START and job.mode is Mode.AUTO and job.source is not Source.LOCAL
    return ctx.run.asks_first or (is_new and ctx.config.plan == "approve")


async def claim_thread(ctx: RunContext) -> None:
    """From now on this is the thread's run of work: a plan that waited there is superseded. Repeatable."""
    run, store = ctx.run, ctx.ports.store
    if run.job.number is None:
        return
    before = await store.load(await store.lead(run.job.thread))
    if before is not None and before.id != run.id and before.needs == "approval":
        await store.supersede(before.id, run.id)
    await store.set_lead(run.job.thread, run.id)


async def wait_for_approval(ctx: RunContext) -> tuple[Conclusion, str]:
    """End with a plan that waits for approval."""
    run, store = ctx.run, ctx.ports.store
    remarks = ctx.brief.remarks if ctx.brief is not None else ()
    approval = approval_of(run.job.title, run.job.body, remarks, ctx.plan)
    if run.job.number is not None:
        await store.remind(run.id, ctx.ports.clock.now() + FIRST_LOOK)
    await ctx.progress.change(needs="approval", approval=approval, previous=None)
    return Conclusion.ACTION_REQUIRED, "The plan is waiting for approval"


async def is_waiting(ports: Ports, run: Run) -> bool:
    """Can the run's plan still be approved?"""
    if run.needs != "approval" or run.conclusion is not Conclusion.ACTION_REQUIRED or run.plan is None:
        return False
    return run.job.number is None or await ports.store.lead(run.job.thread) == run.id


async def approve_plan(ctx: RunContext) -> None:
    """Go on with the thread's plan that was approved. When the issue's text changed since, plan anew and ask again.

    Raises:
        UserError: no plan waits, or not the one that was approved.
    """
    earlier = await _find(ctx)
    if earlier is None or earlier.plan is None:
        raise UserError(NONE_WAITS)
    if not await _may_take(ctx, earlier):
        is_taken = bool(earlier.superseded_by) or earlier.job.command.verb is Verb.APPROVE
        raise UserError(TAKEN if is_taken else NONE_WAITS)
    job = await _with_text(ctx, earlier)
    if not job.is_open:
        raise UserError(CLOSED)
    if earlier.ended_at is not None and _is_before(job, earlier.ended_at):
        raise UserError(TOO_EARLY)
    if not await may_still(ctx, earlier.job.sender):
        raise UserError(NO_LONGER_MAY.format(earlier.job.sender.login))
    await ctx.progress.save(as_of=earlier.text_at)
    is_same = approval_of(job.title, job.body, await read_comments(ctx), earlier.plan) == earlier.approval
    fields = _taken_over(earlier, job)
    if not is_same:
        fields |= {"notices": ctx.run.with_notice(CHANGED).notices, "as_of": None}
    elif any(is_since(remark, earlier.text_at) for remark in await list_comments(ctx, job)):
        fields["notices"] = ctx.run.with_notice(NOT_HEARD).notices
    await _take(
        ctx,
        earlier,
        plan=earlier.plan if is_same else None,
        previous=None if is_same else earlier.plan,
        approval=earlier.approval if is_same else "",
        asks_first=not is_same,
        requested_by=earlier.job.sender,
        **fields,
    )


def _is_before(job: Job, posted_at: datetime) -> bool:
    """Was it approved before the plan was posted? GitHub's own moment, in whole seconds, may be long before the
    delivery."""
    return job.created_at < posted_at or job.moment < posted_at.replace(microsecond=0)


async def revise_plan(ctx: RunContext) -> None:
    """Show the plan that waits here, if one does, to the planner of this run, whose plan takes its place."""
    earlier = await _find(ctx)
    if earlier is None or earlier.plan is None or not await _may_take(ctx, earlier):
        return
    await _take(ctx, earlier, previous=earlier.plan, **_taken_over(earlier, ctx.run.job))


async def _find(ctx: RunContext) -> Run | None:
    """The run of work that was admitted last in the thread, or the one that the job names.

    Raises:
        UserError: the job names another than the thread's.
    """
    job, store = ctx.run.job, ctx.ports.store
    lead = await store.lead(job.thread) if job.number is not None else job.about
    if job.about and job.about != lead:
        raise UserError(REPLACED)
    return await store.load(lead) if lead else None


async def _with_text(ctx: RunContext, earlier: Run) -> Job:
    """The job with the issue's text as it is now. A comment's and a reaction's have it; the API does not know it."""
    job = ctx.run.job
    if job.number is None:
        return replace(job, title=earlier.job.title, body=earlier.job.body)
    if job.source is not Source.API:
        return job
    issue = await ctx.github.pulls.issue(job.number)
    if issue is None:
        raise UserError(NONE_WAITS)
    return replace(job, title=issue.title, body=issue.body, author=issue.author, is_open=issue.is_open)


async def _may_take(ctx: RunContext, earlier: Run) -> bool:
    """Does its plan wait, or did an attempt at this very run take it already?"""
    return earlier.superseded_by == ctx.run.id or await is_waiting(ctx.ports, earlier)


async def _take(ctx: RunContext, earlier: Run, **fields: Any) -> None:
    """Take a plan, or be told that another run did.

    Raises:
        UserError: another run did.
    """
    if await ctx.ports.store.supersede(earlier.id, ctx.run.id) != ctx.run.id:
        raise UserError(TAKEN)
    await ctx.progress.save(earlier=earlier.id, **fields)


def _taken_over(earlier: Run, job: Job) -> dict[str, Any]:
    """What a run has from the one whose plan it takes: comment, cost, base, the branch that it named and what was
    asked; of a follow-up, what was heard."""
    on_pull = {"began_at": earlier.began_at, "issue": earlier.issue, "heard": earlier.heard}
    return {
        **(on_pull if earlier.began_at else {}),
        "branch": earlier.branch,
        "job": replace(job, command=_joined(earlier.job.command, job.command)),
        "base_ref": job.command.base or earlier.base_ref,
        "comment_id": earlier.comment_id,
        "cost": earlier.cost,
        "granted_usd": earlier.granted_usd,
        "model": earlier.model,
    }


def _joined(before: Command, now: Command) -> Command:
    wishes = (before.instruction, now.instruction)
    return replace(
        now,
        instruction="\n\n".join(wish for wish in wishes if wish),
        base=now.base or before.base,
        model=now.model or before.model,
        draft=now.draft or before.draft,
    )
