"""What a run would publish at paths that Git LFS keeps: the bot uploads no objects there, so it publishes none."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from app.core.policy.changes import EXECUTABLE, REGULAR, Change
from app.core.policy.tree_diff import Published, hash_blob
from app.runs.context import RunContext

MAX_PATTERNS: Final = 40
_POINTER: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"(?:ext-[0-9]-[^ \n]+ [^\n]+\n)*oid sha256:[0-9a-f]{64}\nsize [0-9]{1,18}\n"
)


def is_pointer(content: bytes) -> bool:
    """Is it the pointer that git keeps in the place of a file?"""
    return len(content) < 1024 and _POINTER.fullmatch(content) is not None


def read_patterns(attributes: str) -> tuple[str, ...]:
    """The patterns that a `.gitattributes` has kept in Git LFS, the first `MAX_PATTERNS`, as they are written there.

    A macro, `[attr]large filter=lfs`, counts where a pattern uses it.
    """
    patterns, filtered = [], {"filter=lfs"}
    for line in attributes.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#") or filtered.isdisjoint(words[1:]):
            continue
        if words[0].startswith("[attr]"):
            filtered.add(words[0].removeprefix("[attr]"))
        else:
            patterns.append(words[0])
    return tuple(patterns[:MAX_PATTERNS])


async def mark_unstored(ctx: RunContext, base: Published, changes: Sequence[Change]) -> list[Change]:
    """The changes, with a mark on those whose new contents Git LFS is to keep and does not have.

    What it has is what the repository points to already: a pointer may be moved, copied and deleted. In a merge the
    attributes of both sides count.
    """
    job, repos = ctx.run.job, ctx.ports.repos
    written = {
        change.path: change.content
        for change in changes
        if change.mode in {REGULAR, EXECUTABLE} and change.content and change.content != change.old_content
    }
    sides = {base.fetched, ctx.run.head_sha} if ctx.run.merges else {base.fetched}
    found = [await repos.tracked_by_lfs(job.installation_id, job.repo, sha, written) for sha in sides]
    tracked = frozenset[str]().union(*found)
    shas = {path: hash_blob(written[path], base.fetched) for path in tracked if is_pointer(written[path])}
    known = await repos.blobs(job.installation_id, job.repo, set(shas.values()))
    unstored = {path for path in tracked if shas.get(path) not in known}
    return [replace(change, is_unstored=True) if change.path in unstored else change for change in changes]


async def read_tracked(ctx: RunContext) -> tuple[str, ...]:
    """The patterns of what Git LFS keeps, by the base branch's `.gitattributes` at the root."""
    job = ctx.run.job
    raw = await ctx.ports.repos.read(job.installation_id, job.repo, ctx.run.base_sha, ".gitattributes")
    return read_patterns((raw or b"").decode("utf-8", "replace"))
