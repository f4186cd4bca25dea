"""Bringing base into the pull request's branch, when that is what was asked for: "update from main".

GitHub merges what merges by itself. Where both sides changed the same lines, the sandbox gets git's markers, the agent
resolves them in one step, and the merge commit goes through the gate like every other.
"""

import re
from typing import Final

from app.core.errors import PermissionMissing, UserError
from app.core.escape import code, codes
from app.core.job import Mode
from app.core.plan import Plan, Step
from app.core.pull import Merging
from app.core.run import Run
from app.runs import published, tree
from app.runs.publish import check_merge
from app.runs.recheck import check_still_wanted
from app.runs.work import Work

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


def is_asked_for(work: Work) -> bool:
    """Is this run to bring base into the branch, and nothing else?"""
    job = work.run.job
    return job.mode is Mode.FOLLOW_UP and is_update(job.command.instruction, work.run.base_ref)


def is_update(instruction: str, base: str) -> bool:
    """Do these words ask to bring `base` into the branch, and for nothing else?"""
    instruction = instruction.strip()
    asked = _ASKS.fullmatch(instruction) if len(instruction) <= _MAX_CHARS else None
    if asked is None:
        return False
    named = (asked["base"] or base).casefold()
    return named in {base.casefold(), f"origin/{base}".casefold(), "base", "upstream"}


async def merge_on_github(work: Work) -> Merging:
    """Let GitHub merge base into the branch. The plan says what is left to do: nothing, or one step for a conflict."""
    run = work.run
    if run.plan is not None or run.merges:
        return Merging.CONFLICT if run.merges else Merging.MERGED
    await check_still_wanted(work)
    await work.progress.begin_creating()
    try:
        merging = await work.github.pulls.merge(run.branch, run.base_ref)
    except PermissionMissing as error:
        raise UserError(_refused(run, str(error))) from error
    if merging is Merging.NOTHING and await work.github.head(run.branch, unlike=run.began_at) != run.began_at:
        merging = Merging.MERGED  # by a worker that could not say so any more
    if merging is Merging.CONFLICT:
        await work.progress.change(merges=run.base_sha, unsure_since=None)
    if merging is Merging.MERGED:
        await work.progress.change(plan=_plan(work, ()), unsure_since=None)
    return merging


async def merge_in_sandbox(work: Work) -> None:
    """Lay both sides together in the work tree, with git's markers where they clash, as one step for the agent.

    Raises:
        UserError: the two have nothing in common that is near enough, or both changed protected paths.
    """
    run = work.run
    if run.plan is not None and work.is_reconnected:
        return
    sides = await published.read_sides(work)
    check_merge(work, sides)
    await _check_workflows(work, sides.base)
    alone = sorted(sides.own.keys() - sides.theirs.keys())
    commits = (sides.base, run.head_sha, run.merges)
    conflicts = await tree.merge(work.sandbox, run.start_tree, commits, alone, sorted(sides.both))
    title = f"Merge {run.base_ref} into {run.branch}"
    check = "No conflict markers are left, both sides' intentions are kept, and the tests pass."
    await work.progress.change(plan=_plan(work, (Step(title, conflicts, check),)))
    names = codes(conflicts[:20])
    await work.progress.notice(f"Both sides changed {names}." if names else "The merge went without a clash of lines.")


async def _check_workflows(work: Work, parted_at: str) -> None:
    """See that base brings no workflow files that the App may not, before the model resolves anything.

    Raises:
        UserError: it does.
    """
    job = work.run.job
    if await work.github.may_change_workflows():
        return
    theirs = await work.ports.repos.diff(job.installation_id, job.repo, parted_at, work.run.merges)
    if files := sorted(path for path in theirs if path.startswith(WORKFLOWS)):
        words = f"It changed {codes(files[:5])}, and the App lacks the optional permission `workflows: write`."
        raise UserError(_refused(work.run, words))


def _refused(run: Run, words: str) -> str:
    return (
        f"{code(run.base_ref)} was not merged into {code(run.branch)}: {words} The branch stays as it is, and further "
        "requests work on that. A person can merge it: **Update branch** on the pull request, or `git merge`."
    )


def _plan(work: Work, steps: tuple[Step, ...]) -> Plan:
    return Plan(*work.pull_before, steps)
