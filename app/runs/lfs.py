"""What a run would publish at paths that Git LFS keeps: the bot uploads no objects there, so it publishes none."""

from collections.abc import Sequence
from dataclasses import replace

from app.core.lfs import is_pointer, read_patterns
from app.core.listing import Published, hash_blob
from app.core.policy import EXECUTABLE, REGULAR, Change
from app.runs.work import Work


async def mark_unstored(work: Work, base: Published, changes: Sequence[Change]) -> list[Change]:
    """The changes, with a mark on those whose new contents Git LFS is to keep and does not have.

    What it has is what the repository points to already: a pointer may be moved, copied and deleted. In a merge the
    attributes of both sides count.
    """
    job, repos = work.run.job, work.ports.repos
    written = {
        change.path: change.content
        for change in changes
        if change.mode in {REGULAR, EXECUTABLE} and change.content and change.content != change.old_content
    }
    sides = {base.fetched, work.run.head_sha} if work.run.merges else {base.fetched}
    found = [await repos.tracked_by_lfs(job.installation_id, job.repo, sha, written) for sha in sides]
    tracked = frozenset[str]().union(*found)
    shas = {path: hash_blob(written[path], base.fetched) for path in tracked if is_pointer(written[path])}
    known = await repos.blobs(job.installation_id, job.repo, set(shas.values()))
    unstored = {path for path in tracked if shas.get(path) not in known}
    return [replace(change, is_unstored=True) if change.path in unstored else change for change in changes]


async def read_tracked(work: Work) -> tuple[str, ...]:
    """The patterns of what Git LFS keeps, by the base branch's `.gitattributes` at the root."""
    job = work.run.job
    raw = await work.ports.repos.read(job.installation_id, job.repo, work.run.base_sha, ".gitattributes")
    return read_patterns((raw or b"").decode("utf-8", "replace"))
