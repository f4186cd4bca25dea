"""The stage that opens the branch before the sandbox and the model cost anything, so that whatever forbids the branch
or a commit on it is found first; and the removal of a branch that nothing was put on.

    look up the rules   a ruleset that no commit of the bot's can pass
    create the branch   all else: restricted names, a branch named `vibecode`, workflow files at an old base

For a plan that waits for a person only the rules are looked up: a new branch starts the repository's CI.
"""

import logging
from typing import Final

from app.core.errors import GitHubError, MissingPermission, OutsideError, ParseError, Refused, RepositoryGone
from app.core.policy.branch_rules import MATCHED, BranchRule, Samples, describe, fits_literally
from app.core.policy.changes import BRANCH_PREFIX
from app.core.run.job import Source
from app.core.run.run import Run, Stage
from app.core.safety.escape import code
from app.runs.branches import find_free_name
from app.runs.context import RunContext
from app.text.commit import compose_message

SUBJECTS: Final = ("Fix the typo in the greeting", "Update the documentation")
"""Subjects such as an agent writes. A rule on messages stands in the way when neither they nor the title satisfy it."""
WAY_ON: Final = (
    "Nothing was spent. An administrator can add the App to the ruleset's bypass list, or exclude branches named "
    f"`{BRANCH_PREFIX}**` from it; then comment `/vibecode retry`."
)

log = logging.getLogger(__name__)


async def open_branch(ctx: RunContext) -> None:
    """Choose the branch's name and create it at base. Repeatable.

    Raises:
        Refused: GitHub does not allow the branch, or commits on it; the text says by which rule and what to do.
    """
    async with ctx.progress.stage(Stage.BRANCH, "Opening the branch"):
        await make_branch(ctx)
        await ctx.progress.change(message=code(ctx.run.branch))


async def make_branch(ctx: RunContext) -> None:
    """As `open_branch`, inside another stage."""
    if not ctx.run.branch:
        await ctx.progress.change(branch=await find_free_name(ctx))
    if not _is_new(ctx.run):
        return
    try:
        await _check_rules(ctx)
        if not ctx.run.asks_first:
            await _create(ctx)
    except Refused:
        await ctx.progress.save(branch="")
        raise


def _is_new(run: Run) -> bool:
    """Is there nothing on the branch that the run knows of? On the command line it is made with the first commit."""
    return not (run.head_sha or run.began_at or run.commits or run.job.source is Source.LOCAL)


async def drop_unused(ctx: RunContext) -> None:
    """Delete the branch of a run that put nothing on it, where nobody else did. Repeatable.

    Raises:
        OutsideError: GitHub is away; it is worth trying again.
    """
    run = ctx.run
    if not run.branch or not _is_new(run) or run.asks_first:
        return
    try:
        await ctx.github.delete_branch(run.branch, run.base_sha)
    except OutsideError as error:
        if error.is_passing:
            raise
        log.warning("unused branch not deleted", extra={"branch": run.branch, "reason": str(error)})
    else:
        await ctx.progress.save(branch="")


async def _check_rules(ctx: RunContext) -> None:
    run, job = ctx.run, ctx.run.job
    login = await ctx.github.login()
    subjects = (job.title or job.command.instruction, *SUBJECTS)
    samples = [
        Samples(
            branch=run.branch,
            message=compose_message(job, subject, "", issue=run.closes),
            author_email=f"1+{login}@users.noreply.github.com",
            committer_email="noreply@github.com",
        )
        for subject in subjects
    ]
    rules = await ctx.github.rules(run.branch, run.base_sha)
    broken = [rule for rule in rules if rule.kind not in MATCHED or not await _is_satisfied(ctx, rule, samples)]
    if broken:
        reasons = "; ".join(map(describe, broken))
        raise Refused(f"A ruleset would reject the branch {code(run.branch)} or its commits: {reasons}. {WAY_ON}")


async def _is_satisfied(ctx: RunContext, rule: BranchRule, samples: list[Samples]) -> bool:
    """Does one of the samples satisfy a rule with a pattern? A pattern that cannot be judged here is let be."""
    for text in dict.fromkeys(sample.of(rule.kind) for sample in samples):
        fits = fits_literally(rule, text)
        if fits is None:
            try:
                fits = await ctx.ports.parsers.matches(rule.pattern, text.encode()) is not rule.is_negated
            except ParseError as error:
                log.warning("pattern of a ruleset not judged", extra={"ruleset": rule.ruleset, "reason": str(error)})
                return True
        if fits:
            return True
    return False


async def _create(ctx: RunContext, *, may_move_base: bool = True) -> None:
    run = ctx.run
    try:
        ctx.has_branch = await ctx.github.create_branch(run.branch, run.base_sha)
    except GitHubError as error:
        if error.is_passing or isinstance(error, RepositoryGone):
            raise
        if isinstance(error, MissingPermission) and may_move_base and await _move_base(ctx):
            await _create(ctx, may_move_base=False)
            return
        raise Refused(await _explain(ctx, error)) from error


async def _move_base(ctx: RunContext) -> bool:
    """Start from where base is now, if that is elsewhere: a ref to where it was may not be made any more."""
    run = ctx.run
    sha = await ctx.fetch(run.base_ref)
    if sha == run.base_sha:
        return False
    await ctx.progress.change(base_sha=sha)
    await ctx.progress.notice(
        f"Workflow files changed on {code(run.base_ref)} since {run.base_sha[:7]}, so this run starts from {sha[:7]}."
    )
    return True


async def _explain(ctx: RunContext, error: GitHubError) -> str:
    run, folder = ctx.run, BRANCH_PREFIX.rstrip("/")
    if error.status == 422 and await ctx.github.head(folder) is not None:
        return (
            f"The branch {code(folder)} prevents git from creating {code(run.branch)}. Rename or delete "
            f"{code(folder)}, then comment `/vibecode retry`. Nothing was spent."
        )
    words = " ".join(str(error).split())
    if isinstance(error, MissingPermission):
        return f"{words} Or base the work on another branch: `/vibecode --base <branch>`. Nothing was spent."
    return f"GitHub rejected the branch {code(run.branch)}: {words} {WAY_ON}"
