"""What is on the branch, as the worker itself knows it, and what publishing a sandbox's work tree would change there.

Nothing here believes the sandbox. The branch's files come from commits that the worker fetched, and from what this
attempt committed on top of them; the sandbox gives a listing and bytes, and the bytes are hashed here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from app.core.errors import Refused, RepoError, UserError
from app.core.policy.changes import ABSENT, MODES, Change, CommitLimits, Inspection
from app.core.policy.tree_diff import Files, Published, States, TreeEntry, compare, folders_of, is_path
from app.core.safety.escape import code
from app.runs.context import RunContext
from app.runs.stages import work_tree


@dataclass(frozen=True, slots=True)
class Sides:
    """What a merge brings together: what the branch changed since both parted, and what base changed there, too."""

    base: str
    own: States
    theirs: States

    @property
    def both(self) -> tuple[str, ...]:
        """The paths that both changed, and not to the same."""
        return tuple(path for path in self.own.keys() & self.theirs.keys() if self.own[path] != self.theirs[path])


@dataclass(frozen=True, slots=True)
class Changes:
    """What leads from the branch to the sandbox's work tree.

    `base` is what it is put on. `new` must be inspected. `kept` is the branch's own in a merge, and on GitHub already;
    `own` is what the branch has where `new` is something else. `idle` are those of `new` that base has just so: to
    inspect, and nothing to send.
    """

    new: tuple[Change, ...]
    kept: tuple[Change, ...]
    own: Mapping[str, Change]
    idle: frozenset[str]
    base: Published

    def to_send(self, inspection: Inspection) -> tuple[Change, ...]:
        """What the commit has to bring, once the rest was looked through. What is held back stays as the branch has it
        in a merge, too.

        Raises:
            Refused: what is kept would take the place of what is held back.
        """
        passed = tuple(change for change in inspection.passed if change.path not in self.idle)
        restored = tuple(self.own[path] for path in inspection.held if path in self.own)
        files = {each.path for each in self.kept if not each.is_deleted}
        folders = {folder for path in files for folder in folders_of(path)}
        for path in inspection.held:
            if path in folders or not files.isdisjoint(folders_of(path)):
                raise Refused(f"A file and a directory conflict at {path!a}. Merge these branches manually.")
        return (*self.kept, *restored, *passed)


async def find(ctx: RunContext) -> Published:
    """The branch's tree as it is now; of base before the first commit. Fetches what is not in the cache."""
    run = ctx.run
    head = run.head_sha or run.base_sha
    known = ctx.published
    if known is None or known.head != head:
        await ensure_fetched(ctx, head, run.branch if run.head_sha else run.base_ref)
        known = ctx.published = Published(head, head)
    return known


async def ensure_fetched(ctx: RunContext, sha: str, ref: str) -> None:
    """Have a commit in the worker's cache. It may be that of another worker which died.

    Raises:
        RepoError: the branch has no such commit any more.
    """
    job = ctx.run.job
    try:
        await ctx.ports.repos.files(job.installation_id, job.repo, sha, ())
    except RepoError:
        await ctx.fetch(ref)
        await ctx.ports.repos.files(job.installation_id, job.repo, sha, ())


async def list_files(ctx: RunContext, published: Published, paths: Collection[str]) -> Files:
    """The files of the branch at, above and under these paths."""
    job = ctx.run.job
    found = dict(await ctx.ports.repos.files(job.installation_id, job.repo, published.fetched, paths))
    around = {*paths, *(folder for path in paths for folder in folders_of(path))}
    for path, state in published.over.items():
        if state is None:
            found.pop(path, None)
        elif path in around or any(folder in paths for folder in folders_of(path)):
            found[path] = state
    return found


async def list_changed(ctx: RunContext) -> tuple[str, ...]:
    """The paths that the branch changed against base."""
    job, published = ctx.run.job, await find(ctx)
    await ensure_fetched(ctx, ctx.run.base_sha, ctx.run.base_ref)
    changed = await ctx.ports.repos.diff(job.installation_id, job.repo, ctx.run.base_sha, published.fetched)
    return tuple(sorted({*changed, *published.over}))


async def read_sides(ctx: RunContext) -> Sides:
    """What the merge that was asked for brings together.

    Raises:
        UserError: the two have nothing in common that is near enough.
    """
    run, job, repos = ctx.run, ctx.run.job, ctx.ports.repos
    await ensure_fetched(ctx, run.head_sha, run.branch)
    await ensure_fetched(ctx, run.merges, run.base_ref)
    base = await repos.merge_base(job.installation_id, job.repo, run.head_sha, run.merges)
    if base is None:
        raise UserError(
            f"{code(run.branch)} and {code(run.base_ref)} have diverged too far to merge automatically. Merge them "
            "manually."
        )
    own = await repos.diff(job.installation_id, job.repo, base, run.head_sha)
    if odd := [path for path in own if not is_path(path)]:
        raise UserError(f"The branch changes {odd[0]!a}, whose name is not UTF-8. Merge manually.")
    theirs = await repos.diff(job.installation_id, job.repo, base, run.merges)
    return Sides(base, own, {path: theirs[path] for path in own if path in theirs})


async def read_changes(ctx: RunContext, before: str, now: str, sides: Sides | None, caps: CommitLimits) -> Changes:
    """What the sandbox's work tree would change on the branch (in a merge: beside what base brings).

    `before` and `now` are trees of the sandbox: what it says they differ in is looked at, and nothing else.

    Raises:
        Refused: it is more than `caps` allow, or can be no tree.
    """
    job = ctx.run.job
    claim = await work_tree.claim_changes(ctx.sandbox, before, now)
    own = sides.own if sides else {}
    if sides:
        below_of = Published(ctx.run.merges, ctx.run.merges)
    else:
        below_of = await find(ctx)
    below = await list_files(ctx, below_of, {*claim, *own})
    found = compare(claim, below, own)
    if len(found.new) > caps.files:
        raise Refused(f"The change touches {len(found.new)} files, more than {caps.files}: {min(found.new)}, …")
    expected = {path: own[path] if path in own else below.get(path) for path in found.new}
    held = [state.sha for path in found.new for state in (expected[path], below.get(path)) if _has_content(state)]
    known = {
        **await ctx.ports.repos.blobs(job.installation_id, job.repo, held, max_bytes=caps.file_bytes),
        **{sha: below_of.contents[sha] for sha in held if sha in below_of.contents},
    }
    wanted = {state.sha: path for path, state in found.new.items() if _has_content(state) and state.sha not in known}
    contents = {**known, **(await work_tree.read_blobs(ctx.sandbox, wanted, caps) if wanted else {})}

    def change(path: str, state: TreeEntry | None) -> Change:
        before = [each for each in dict.fromkeys((expected[path], below.get(path))) if each is not None]
        old = [known.get(each.sha) for each in before]
        old_mode = before[0].mode if before else ABSENT
        old_content = None if not old or None in old else b"\n".join(each for each in old if each is not None)
        if state is None:
            return Change(path, ABSENT, b"", old_mode, old_content)
        return Change(path, state.mode, contents[state.sha] if _has_content(state) else b"", old_mode, old_content)

    changed = {path: state for path, state in own.items() if path in found.new and state != below.get(path)}
    return Changes(
        new=tuple(change(path, state) for path, state in sorted(found.new.items())),
        kept=tuple(_known(path, state) for path, state in sorted(found.kept.items())),
        own={path: _known(path, state) for path, state in changed.items()},
        idle=frozenset(path for path, state in found.new.items() if state == below.get(path)),
        base=below_of,
    )


def _known(path: str, state: TreeEntry | None) -> Change:
    """A state that GitHub has the contents of."""
    return Change(path, state.mode, sha=state.sha) if state else Change(path, ABSENT)


def _has_content(state: TreeEntry | None) -> TypeGuard[TreeEntry]:
    return state is not None and state.mode in MODES
