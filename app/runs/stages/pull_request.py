"""The stage that opens the pull request, or brings the one that is open up to date."""

from app.core.errors import GitHubError
from app.core.policy import repo_config
from app.core.run.job import Mode, Source
from app.core.run.run import Stage
from app.core.run.verification import Verdict
from app.core.safety.escape import code
from app.runs.context import RunContext
from app.runs.intake.recheck import check_still_wanted
from app.runs.lease import finish
from app.text.pull_request import render_pull_request


async def open_pull_request(ctx: RunContext, *, is_draft: bool = False) -> None:
    """Open the pull request, or bring the one that is open up to date. Not asked for on the command line."""
    if ctx.run.job.source is Source.LOCAL:
        return
    async with ctx.progress.stage(Stage.PULL_REQUEST, "Opening the pull request"):
        await check_still_wanted(ctx)
        run = ctx.run
        title, body = render_pull_request(run, ctx.page_url)
        verdict = run.verification.verdict if run.verification else Verdict.UNTESTED
        wants_draft = is_draft or verdict is Verdict.FAILING or run.job.command.draft or ctx.config.pull_request.draft
        is_unseen = run.pull_request is None or run.pull_request.is_draft
        is_first = is_unseen and run.job.mode in {Mode.AUTO, Mode.PLAN}
        await ctx.progress.begin_creating()
        put = ctx.github.put_pull_request(
            branch=run.branch,
            base=run.base_ref,
            title=ctx.redactor.redact(title),
            body=ctx.redactor.redact_markdown(body),
            is_draft=wants_draft,
        )
        pull_request = await finish(put)
        await ctx.progress.save(unsure_since=None)
        if is_first:
            await _dress(ctx, pull_request.number, is_ready=not is_draft)
        await ctx.progress.change(pull_request=pull_request, message=f"#{pull_request.number}")
        await _look_for_clash(ctx, pull_request.number)


async def _look_for_clash(ctx: RunContext, number: int) -> None:
    """Say when the pull request cannot be merged as it is, where GitHub has found out already."""
    pull = await ctx.github.pulls.pull(number)
    if pull is not None and pull.is_mergeable is False:
        await ctx.progress.notice(
            f"The branch has conflicts with {code(pull.base)}. Comment {code(f'/vibecode update from {pull.base}')} on "
            "the pull request to merge it and resolve them."
        )


async def _dress(ctx: RunContext, number: int, *, is_ready: bool) -> None:
    """Label a new pull request and ask for its reviews, as the repository's file says; of unfinished work none is."""
    wanted, pulls = ctx.config.pull_request, ctx.github.pulls
    try:
        await pulls.add_labels(number, wanted.labels)
    except GitHubError as error:
        await _tell_refused(ctx, f"`pull_request.labels` of `{repo_config.PATH}`", error)
    for reviewer in wanted.reviewers if is_ready else ():
        try:
            await pulls.request_reviews(number, [reviewer])
        except GitHubError as error:
            await _tell_refused(ctx, f"A review by {code(reviewer)} (`pull_request.reviewers`)", error)


async def _tell_refused(ctx: RunContext, what: str, error: GitHubError) -> None:
    if error.is_passing:
        raise error
    await ctx.progress.notice(f"{what}: {error}")
