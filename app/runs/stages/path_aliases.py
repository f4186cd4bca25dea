"""Changes that reach another path than their own: through symbolic links, or where file systems ignore case.

All is looked up in commits that the worker fetched, and in what this attempt committed on top.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.core.policy.changes import ABSENT, SYMLINK, Change
from app.core.policy.protected_paths import elsewhere
from app.core.policy.symlinks import find_names, resolve
from app.core.policy.tree_diff import Published, folders_of
from app.runs.context import RunContext
from app.runs.stages.branch_changes import list_files


async def mark_path_aliases(ctx: RunContext, base: Published, changes: Sequence[Change]) -> list[Change]:
    """The changes, each with the other paths by which its file is read, before the change or after it, and with the
    existing path that it cannot be told from where case does not count."""
    if not changes:
        return []
    links = await _links(ctx, base, changes)
    found = await asyncio.to_thread(_find_names, [change.path for change in changes], links)
    clashes = await _find_clashes(ctx, base, changes)
    return [
        replace(change, read_as=found.get(change.path, ()), clash=clashes.get(change.path, "")) for change in changes
    ]


async def _links(ctx: RunContext, base: Published, changes: Sequence[Change]) -> list[dict[str, str]]:
    """The links of the branch (in a merge: of both sides), and as they will be."""
    job, repos = ctx.run.job, ctx.ports.repos
    before = dict(await repos.links(job.installation_id, job.repo, base.fetched))
    for path, state in base.over.items():
        before.pop(path, None)
        if state is not None and state.mode == SYMLINK:
            before[path] = base.contents.get(state.sha, b"").decode("utf-8", "replace")
    after = {path: target for path, target in before.items() if path not in {change.path for change in changes}}
    after |= {change.path: change.content.decode("utf-8", "replace") for change in changes if change.mode == SYMLINK}
    own = [await repos.links(job.installation_id, job.repo, ctx.run.head_sha)] if ctx.run.merges else []
    return [before, after, *map(dict, own)]


def _find_names(paths: Sequence[str], links: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    resolved = [{path: real for path in each if (real := resolve(each, path))} for each in links]
    return {path: tuple(dict.fromkeys(name for each in resolved for name in find_names(path, each))) for path in paths}


async def _find_clashes(ctx: RunContext, base: Published, changes: Sequence[Change]) -> dict[str, str]:
    """For each new path that is one with an existing path where case does not count: that path, or its folder's."""
    new = [change.path for change in changes if change.old_mode == ABSENT and not change.is_deleted]
    job, above = ctx.run.job, {folder for path in new for folder in folders_of(path)}
    there = set(await ctx.ports.repos.children(job.installation_id, job.repo, base.fetched, above)) if new else set()
    for path, state in base.over.items():
        if state is not None:
            there.update((*folders_of(path), path))
    folded: dict[tuple[str, str], list[str]] = {}
    for path in there:
        folder, _, name = path.rpartition("/")
        folded.setdefault((folder, elsewhere(name)), []).append(path)
    clashes = {path: other for path in new if (other := _find_clash(path, there, folded))}
    gone = {change.path for change in changes if change.is_deleted}
    left = await list_files(ctx, base, set(clashes.values())) if clashes else {}
    kept = {path for path in left if path not in gone}
    around = kept | {folder for path in kept for folder in folders_of(path)}
    return {path: other for path, other in clashes.items() if other in around}


def _find_clash(path: str, there: set[str], folded: Mapping[tuple[str, str], list[str]]) -> str:
    for each in (*folders_of(path), path):
        if each not in there:
            folder, _, name = each.rpartition("/")
            return next(iter(sorted(folded.get((folder, elsewhere(name)), ()))), "")
    return ""
