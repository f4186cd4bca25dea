"""What the model is told of the task: the request as it was made, cleaned, with the repository's own conventions."""

from typing import Final

from app.agent.context import Brief
from app.core.sanitize import clean
from app.runs.conventions import read_conventions
from app.runs.lfs import read_tracked
from app.runs.remarks import read_remarks
from app.runs.work import Work

REQUEST_CHARS: Final = 32_768
RESOLVE: Final = (
    "Merge `{}` into the branch. Both sides are laid together in the work tree already; where they clash, git's "
    "markers (ours: the pull request, theirs: the branch that is merged in) stand in the files that the step names. "
    "Resolve them so that what both sides meant is kept, and change nothing else."
)


async def make_brief(work: Work) -> Brief:
    """The task as this run has it now."""
    job, asked = work.run.job, work.origin or work.run.job
    return Brief(
        repo=job.repo,
        number=asked.number,
        title=clean(asked.title, max_chars=300),
        request="" if asked.is_pull_request else clean(asked.body, max_chars=REQUEST_CHARS),
        author=(asked.author or asked.sender).login,
        sender=job.sender.login,
        instruction=_instruction(work),
        instructions=await read_conventions(work),
        remarks=await read_remarks(work),
        pull=work.pull_before,
        heard=work.run.heard,
        test_command=work.run.test_command,
        lint_command=work.config.lint,
        lfs=await read_tracked(work),
        base_ref=work.run.base_ref,
        checks=work.failing,
    )


def _instruction(work: Work) -> str:
    """What the person who asked said, unless that is among the remarks already."""
    run = work.run
    if run.merges:
        return RESOLVE.format(run.base_ref)
    is_heard = any(heard.job_id == run.id for heard in run.heard)
    return "" if is_heard else clean(run.job.command.instruction, max_chars=REQUEST_CHARS)
