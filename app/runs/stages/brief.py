"""What the model is told of the task: the request as it was made, cleaned, with the repository's own conventions."""

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Final

from app.agent.survey import Brief
from app.core.policy.repo_config import INSTRUCTION_FILES
from app.core.safety.sanitize import clean, escape_tags
from app.runs.context import RunContext
from app.runs.intake.comments import read_comments
from app.runs.stages.git_lfs import read_tracked

MAX_FOLDERS: Final = 12
MAX_FILES: Final = 12
FILE_CHARS: Final = 32_768
ALL_CHARS: Final = 65_536


async def read_conventions(ctx: RunContext, paths: Collection[str] = ()) -> tuple[tuple[str, str], ...]:
    """Path and text of the files of conventions in the folders of these paths, and at the root.

    The nearest first: of each name the deepest folder's. Those that come late are left out when there are too many.
    """
    job, left = ctx.run.job, ALL_CHARS
    found: list[tuple[str, str]] = []
    for name in INSTRUCTION_FILES:
        for folder in _folders(paths):
            path = (folder / name).as_posix()
            raw = await ctx.ports.repos.read(job.installation_id, job.repo, ctx.run.base_sha, path)
            if raw is None or len(found) == MAX_FILES or not left:
                continue
            text = escape_tags(raw.decode("utf-8", "replace")[: min(left, FILE_CHARS)])
            left = max(0, left - len(text))
            found.append((path, text))
    return tuple(found)


def _folders(paths: Collection[str]) -> list[PurePosixPath]:
    """The folders that the paths lie in, deepest first, the root last and always. A path that ends with `/` is one."""
    folders = {PurePosixPath(path.removeprefix("./"), *("_",) * path.endswith("/")).parent for path in paths}
    inside = {folder for folder in folders if not folder.is_absolute() and ".." not in folder.parts}
    nested = {each for folder in inside for each in (folder, *folder.parents)} - {PurePosixPath()}
    deepest = sorted(nested, key=lambda folder: (-len(folder.parts), folder.as_posix()))
    return [*deepest[:MAX_FOLDERS], PurePosixPath()]


REQUEST_CHARS: Final = 32_768
RESOLVE: Final = (
    "Merge `{}` into the branch. Both sides are laid together in the work tree already; where they clash, git's "
    "markers (ours: the pull request, theirs: the branch that is merged in) stand in the files that the step names. "
    "Resolve them so that what both sides meant is kept, and change nothing else."
)


async def make_brief(ctx: RunContext) -> Brief:
    """The task as this run has it now."""
    job, asked = ctx.run.job, ctx.origin or ctx.run.job
    return Brief(
        repo=job.repo,
        number=asked.number,
        title=clean(asked.title, max_chars=300),
        request="" if asked.is_pull_request else clean(asked.body, max_chars=REQUEST_CHARS),
        author=(asked.author or asked.sender).login,
        sender=job.sender.login,
        instruction=_instruction(ctx),
        instructions=await read_conventions(ctx),
        remarks=await read_comments(ctx),
        pull=ctx.pull_before,
        heard=ctx.run.heard,
        test_command=ctx.run.test_command,
        lint_command=ctx.config.lint,
        lfs=await read_tracked(ctx),
        base_ref=ctx.run.base_ref,
        checks=ctx.failing,
    )


def _instruction(ctx: RunContext) -> str:
    """What the person who asked said, unless that is among the remarks already."""
    run = ctx.run
    if run.merges:
        return RESOLVE.format(run.base_ref)
    is_heard = any(heard.job_id == run.id for heard in run.heard)
    return "" if is_heard else clean(run.job.command.instruction, max_chars=REQUEST_CHARS)
