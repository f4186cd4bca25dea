"""The stage that opens the pull request, or brings the one that is open up to date."""

from app.core import repo_config
from app.core.errors import GitHubError
from app.core.escape import code
from app.core.job import Mode, Source
from app.core.run import Stage
from app.core.verification import Verdict
from app.runs.lease import finish
from app.runs.recheck import check_still_wanted
from app.runs.work import Work
from app.text.pull_request import render_pull_request


async def open_pull_request(work: Work, *, is_draft: bool = False) -> None:
    """Open the pull request, or bring the one that is open up to date. Not asked for on the command line."""
    if work.run.job.source is Source.LOCAL:
        return
    async with work.progress.stage(Stage.PULL_REQUEST, "Opening the pull request"):
        await check_still_wanted(work)
        run = work.run
        title, body = render_pull_request(run, work.page_url)
        verdict = run.verification.verdict if run.verification else Verdict.UNTESTED
        wants_draft = is_draft or verdict is Verdict.FAILING or run.job.command.draft or work.config.pull_request.draft
        is_unseen = run.pull_request is None or run.pull_request.is_draft
        is_first = is_unseen and run.job.mode in {Mode.AUTO, Mode.PLAN}
        await work.progress.begin_creating()
        put = work.github.put_pull_request(
            branch=run.branch,
            base=run.base_ref,
            title=work.redactor.redact(title),
            body=work.redactor.redact_markdown(body),
            is_draft=wants_draft,
        )
        pull_request = await finish(put)
        await work.progress.save(unsure_since=None)
        if is_first:
            await _dress(work, pull_request.number, is_ready=not is_draft)
        await work.progress.change(pull_request=pull_request, message=f"#{pull_request.number}")
        await _look_for_clash(work, pull_request.number)


async def _look_for_clash(work: Work, number: int) -> None:
    """Say when the pull request cannot be merged as it is, where GitHub has found out already."""
    pull = await work.github.pulls.pull(number)
    if pull is not None and pull.is_mergeable is False:
        await work.progress.notice(
            f"The branch clashes with {code(pull.base)}. Say {code(f'/vibecode update from {pull.base}')} on the pull "
            "request, and I merge it and resolve the clash."
        )


async def _dress(work: Work, number: int, *, is_ready: bool) -> None:
    """Label a new pull request and ask for its reviews, as the repository's file says; of unfinished work none is."""
    wanted, pulls = work.config.pull_request, work.github.pulls
    try:
        await pulls.add_labels(number, wanted.labels)
    except GitHubError as error:
        await _tell_refused(work, f"`pull_request.labels` of `{repo_config.PATH}`", error)
    for reviewer in wanted.reviewers if is_ready else ():
        try:
            await pulls.request_reviews(number, [reviewer])
        except GitHubError as error:
            await _tell_refused(work, f"A review by {code(reviewer)} (`pull_request.reviewers`)", error)


async def _tell_refused(work: Work, what: str, error: GitHubError) -> None:
    if error.is_passing:
        raise error
    await work.progress.notice(f"{what}: {error}")
