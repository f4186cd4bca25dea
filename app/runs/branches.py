"""A run's branch: how it is named, and whether one that is there was made by the run.

Every job has a name of its own, as its key is a part of it: `vibecode/12-fix-the-typo-k3x9qd`.
"""

import re
from collections.abc import Iterable
from typing import Final

from app.core.errors import UserError
from app.core.policy.changes import BRANCH_PREFIX
from app.core.run.job import Job, job_key
from app.core.run.run import Commit, Run
from app.core.safety.escape import code
from app.runs.context import RunContext

SLUG_CHARS: Final = 40
MAX_NAMES: Final = 5


def branch_name(job: Job) -> str:
    """`vibecode/<number>-<slug>-<key>`, from the job alone."""
    slug = _slug(job.title or job.command.instruction or job.body)
    if job.number is not None:
        slug = f"{job.number}-{slug}"
    elif slug[0].isdigit():
        slug = f"run-{slug}"  # a number in this place is an issue's
    return f"{BRANCH_PREFIX}{slug}-{job.key}"


def _slug(text: str) -> str:
    """The first words of a text, whole ones as far as there is room."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    slug = words[0][:SLUG_CHARS] if words else "change"
    for word in words[1:]:
        if len(slug) + 1 + len(word) > SLUG_CHARS:
            break
        slug = f"{slug}-{word}"
    return slug


async def find_free_name(ctx: RunContext) -> str:
    """The job's name, or that with a number when somebody else has such a branch; never the one that the run has now.

    A branch of the job's own name that has nothing which base has not is the job's: an attempt that nobody remembers
    made it. It is put where base is now.

    Raises:
        UserError: there are too many of them.
    """
    wanted = branch_name(ctx.run.job)
    for number in range(1, MAX_NAMES + 1):
        name = wanted if number == 1 else f"{wanted}-{number}"
        if name == ctx.run.branch:
            continue
        head = await ctx.github.head(name)
        if head is None or (number == 1 and await _is_left_over(ctx, name, head)):
            return name
    raise UserError(
        f"There are {MAX_NAMES} branches named {code(wanted + '…')} already. Delete those that aren't needed, then "
        "comment `/vibecode retry`."
    )


async def _is_left_over(ctx: RunContext, name: str, head: str) -> bool:
    base_sha = ctx.run.base_sha
    if head == base_sha:
        return True
    if await ctx.github.commits(base_sha, head):
        return False
    await ctx.github.delete_branch(name, head)
    return True


async def is_own(ctx: RunContext, commits: Iterable[Commit]) -> bool:
    """Is the branch of the run's name, with these commits, the run's to write to? It is when the run has written to it
    before, was asked to go on with it, or made one of its commits."""
    run = ctx.run
    return bool(run.head_sha or run.began_at or await find_own(ctx, commits))


async def find_own(ctx: RunContext, commits: Iterable[Commit]) -> tuple[Commit, ...]:
    """Those that this run made, or one that it goes on from."""
    keys, author = _keys(ctx.run), await ctx.github.login()
    return tuple(commit for commit in commits if commit.job_key in keys and commit.author == author)


def _keys(run: Run) -> frozenset[str]:
    made_by = run.branch.rpartition("-")[2]
    return frozenset({run.job.key, made_by, *([job_key(run.earlier)] if run.earlier else [])})
