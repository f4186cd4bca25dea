"""Bringing base into the pull request's branch, when that is what was asked for: "update from main".

GitHub merges what merges by itself. Where both sides changed the same lines, the sandbox gets git's markers, the agent
resolves them in one step, and the merge commit goes through the gate like every other.
"""

import re
from typing import Final

from app.core.errors import MissingPermission, UserError
from app.core.run.job import Mode
from app.core.run.plan import Plan, Step
from app.core.run.pull_requests import MergeResult
from app.core.run.run import Run
from app.core.safety.escape import code, codes
from app.runs.context import RunContext
from app.runs.intake.recheck import check_still_wanted
from app.runs.stages import branch_changes, work_tree
from app.runs.stages.publish import check_merge

_MAX_CHARS: Final = 400
"""More than the longest name of a branch and the words around it; a longer text would take time in its square."""
WORKFLOWS: Final = ".github/workflows/"
_ASKS: Final = re.compile(
    r"(?:please\s+)?(?:(?:can|could) you\s+)?"
    r"(?:(?:update|merge|rebase|sync)(?:\s+(?:it|this|the branch|the pr))?(?:\s+(?:from|with|on|onto|in|to))?"
    r"(?:\s+(?:the\s+)?`?(?P<base>[^\s`]+?)`?(?:\s+branch)?)?"
    r"|(?:fix|resolve|mend|repair)\s+(?:the\s+)?(?:merge\s+)?conflicts?)(?:\s+please)?[\s.!?]*",
    re.IGNORECASE,
)


def is_update_requested(ctx: RunContext) -> bool:
    """Is this run to bring base into the branch, and nothing else?"""
    job = ctx.run.job
    return job.mode is Mode.FOLLOW_UP and is_update(job.command.instruction, ctx.run.base_ref)


def is_update(instruction: str, base: str) -> bool:
    """Do these words ask to bring `base` into the branch, and for nothing else?"""
    instruction = instruction.strip()
    asked = _ASKS.fullmatch(instruction) if len(instruction) <= _MAX_CHARS else None
    if asked is None:
        return False
    named = (asked["base"] or base).casefold()
    return named in {base.casefold(), f"origin/{base}".casefold(), "base", "upstream"}


async def merge_on_github(ctx: RunContext) -> MergeResult:
    """Let GitHub merge base into the branch. The plan says what is left to do: nothing, or one step for a conflict."""
    run = ctx.run
    if run.plan is not None or run.merges:
        return MergeResult.CONFLICT if run.merges else MergeResult.MERGED
    await check_still_wanted(ctx)
    await ctx.progress.begin_creating()
    try:
        merging = await ctx.github.pulls.merge(run.branch, run.base_ref)
    except MissingPermission as error:
        raise UserError(_refused(run, str(error))) from error
    if merging is MergeResult.NOTHING and await ctx.github.head(run.branch, unlike=run.began_at) != run.began_at:
        merging = MergeResult.MERGED  # by a worker that could not say so any more
    if merging is MergeResult.CONFLICT:
        await ctx.progress.change(merges=run.base_sha, unsure_since=None)
    if merging is MergeResult.MERGED:
        await ctx.progress.change(plan=_plan(ctx, ()), unsure_since=None)
    return merging


async def merge_in_sandbox(ctx: RunContext) -> None:
    """Lay both sides together in the work tree, with git's markers where they clash, as one step for the agent.

    Raises:
        UserError: the two have nothing in common that is near enough, or both changed protected paths.
    """
    run = ctx.run
    if run.plan is not None and ctx.is_reconnected:
        return
    sides = await branch_changes.read_sides(ctx)
    check_merge(ctx, sides)
    await _check_workflows(ctx, sides.base)
    alone = sorted(sides.own.keys() - sides.theirs.keys())
    commits = (sides.base, run.head_sha, run.merges)
    conflicts = await work_tree.merge(ctx.sandbox, run.start_tree, commits, alone, sorted(sides.both))
    title = f"Merge {run.base_ref} into {run.branch}"
    check = "No conflict markers are left, both sides' intentions are kept, and the tests pass."
    await ctx.progress.change(plan=_plan(ctx, (Step(title, conflicts, check),)))
    names = codes(conflicts[:20])
    await ctx.progress.notice(f"Both branches changed {names}." if names else "Merged without conflicts.")


async def _check_workflows(ctx: RunContext, parted_at: str) -> None:
    """See that base brings no workflow files that the App may not, before the model resolves anything.

    Raises:
        UserError: it does.
    """
    job = ctx.run.job
    if await ctx.github.may_change_workflows():
        return
    theirs = await ctx.ports.repos.diff(job.installation_id, job.repo, parted_at, ctx.run.merges)
    if files := sorted(path for path in theirs if path.startswith(WORKFLOWS)):
        words = f"It changed {codes(files[:5])}, and the App lacks the optional permission `workflows: write`."
        raise UserError(_refused(ctx.run, words))


def _refused(run: Run, words: str) -> str:
    return (
        f"{code(run.base_ref)} was not merged into {code(run.branch)}: {words} The branch is unchanged. Merge it "
        "yourself with **Update branch** on the pull request or `git merge`."
    )


def _plan(ctx: RunContext, steps: tuple[Step, ...]) -> Plan:
    return Plan(*ctx.pull_before, steps)
