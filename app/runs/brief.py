"""What the model is told of the task: the request as it was made, cleaned, with the repository's own conventions."""

from typing import Final

from app.agent.context import Brief
from app.core import repo_config
from app.core.commands import parse as parse_command
from app.core.sanitize import clean, disarm
from app.runs.work import Work

REQUEST_CHARS: Final = 32_768
MAX_REMARKS: Final = 20
REMARK_CHARS: Final = 4_000


async def make_brief(work: Work) -> Brief:
    """The task as this run has it now."""
    job = work.run.job
    instructions = []
    for path in repo_config.INSTRUCTION_FILES:
        raw = await work.ports.repos.read(job.installation_id, job.repo, work.run.base_sha, path)
        if raw is not None:
            instructions.append((path, disarm(raw.decode("utf-8", "replace")[:REQUEST_CHARS])))
    return Brief(
        repo=job.repo,
        number=job.number,
        title=clean(job.title, max_chars=300),
        request=clean(job.body, max_chars=REQUEST_CHARS),
        author=(job.author or job.sender).login,
        sender=job.sender.login,
        instruction=clean(job.command.instruction, max_chars=REQUEST_CHARS),
        instructions=tuple(instructions),
        remarks=await _remarks(work),
        test_command=work.run.test_command,
        lint_command=work.config.lint,
        base_ref=work.run.base_ref,
    )


async def _remarks(work: Work) -> tuple[tuple[str, str, str], ...]:
    """What was said in the thread as it stood when the run was asked for: nothing that was written or edited since.

    GitHub's moments are whole seconds, so what falls into the very second of the trigger is left out.
    """
    job = work.run.job
    if job.number is None:
        return ()
    said = [
        remark
        for remark in await work.github.remarks(job.number)
        if max(remark.created_at, remark.updated_at) < job.created_at.replace(microsecond=0)
        and (remark.is_by_member or work.config.comments == "everyone")
        and parse_command(remark.body) is None
    ]
    return tuple(
        (remark.author.login, remark.association.lower(), clean(remark.body, max_chars=REMARK_CHARS))
        for remark in said[-MAX_REMARKS:]
    )
