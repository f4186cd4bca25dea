"""The one gate through which every commit goes: look at what changed, inspect it, commit it at the expected head.

What the gate holds back is put back in the sandbox too, so that what is tested is what is published.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from app.core.errors import (
    GitHubError,
    HeadMoved,
    Refused,
    RepoError,
    UserError,
)
from app.core.policy.changes import Change, CommitLimits, Inspection, Leak, inspect
from app.core.policy.protected_paths import list_held, list_nameable
from app.core.run.run import Commit, Kind, Stage
from app.core.safety.escape import code, codes
from app.runs.branches import find_free_name, find_own, is_own
from app.runs.context import RunContext
from app.runs.intake.recheck import check_still_wanted
from app.runs.lease import LEASE_S, finish
from app.runs.stages import branch_changes, work_tree
from app.runs.stages.branch_changes import Changes, Sides
from app.runs.stages.git_lfs import mark_unstored
from app.runs.stages.named_files import read_request
from app.runs.stages.path_aliases import mark_path_aliases
from app.text.commit import compose_message


async def publish_rest(ctx: RunContext) -> None:
    """Whatever verification still changed goes through the same gate."""
    async with ctx.progress.stage(Stage.PUBLISH, "Publishing remaining changes"):
        await publish(ctx, "Apply changes made during verification", "")
        await ctx.progress.change(message=f"{code(ctx.run.branch)} at {ctx.run.head_sha[:7]}")


MARKER: Final = b"<<<<<<< ours"
"""What `work_tree.merge` leaves where both sides changed the same lines."""


class Unpublishable(Exception):
    """The gate refuses the change as it is. The files are as they were left, for whoever made them to change that."""


class SecretsFound(Unpublishable):
    """Files hold what must not be published."""

    def __init__(self, leaks: Sequence[Leak]) -> None:
        super().__init__(describe_leaks(leaks))


class ConcurrentPush(Exception):
    """Somebody pushed changes to the very files that were changed here. Theirs are in the work tree now."""


async def publish(
    ctx: RunContext, subject: str, body: str, *, step: int | None = None, may_fix: bool = False
) -> Commit | None:
    """Put what the sandbox changed since the last commit on the branch; None when there is nothing to put.

    Safe to repeat: the commit expects the head that the run knows. When somebody pushed meanwhile, it goes on top.
    Files with a secret are put back as they were. Where the agent `may_fix` what the gate finds, it is raised instead.

    Raises:
        Unpublishable: the agent may fix what the gate found; nothing was written.
        Refused: the gate said no; nothing was written.
        LeaseLost: another worker holds the run; nothing was written.
        ConcurrentPush: somebody pushed changes to the same files; nothing was written.
    """
    try:
        return await _publish(ctx, subject, body, step, may_fix=may_fix)
    except HeadMoved:
        await _merge_pushed(ctx)
        return await _publish(ctx, subject, body, step, may_fix=may_fix)


async def _merge_pushed(ctx: RunContext) -> None:
    """Bring what was pushed to the branch meanwhile into the work tree, under what was changed here. A branch of the
    same name that this run has never written to is left alone: the run takes another name.

    Raises:
        ConcurrentPush: both changed the same files; theirs stand.
        UserError: the branch was not pushed to but put elsewhere.
    """
    run, job, repos = ctx.run, ctx.run.job, ctx.ports.repos
    head, before = await ctx.fetch(run.branch), run.head_sha or run.base_sha
    there = await ctx.github.commits(run.base_sha, head)
    if not await is_own(ctx, there):
        await ctx.progress.change(branch=await find_free_name(ctx))
        ctx.has_branch = False
        return
    try:
        async with repos.pack(job.installation_id, job.repo, head, beside=before) as pack:
            await work_tree.add_objects(ctx.sandbox, pack)
    except RepoError as error:
        raise UserError(
            f"{code(run.branch)} was force-pushed during the run, so nothing was pushed. `/vibecode retry` starts from "
            "its current head."
        ) from error
    theirs = sorted(await repos.diff(job.installation_id, job.repo, before, head))
    now = await work_tree.snapshot(ctx.sandbox)
    ours = list(await work_tree.claim_changes(ctx.sandbox, run.published_tree, now))
    await work_tree.reset_to(ctx.sandbox, run.published_tree)
    await work_tree.apply_paths(ctx.sandbox, head, theirs)
    shown = await work_tree.snapshot(ctx.sandbox)
    known = {commit.sha for commit in run.commits}
    pushed = [each for each in there if each.sha not in known]
    await ctx.progress.change(commits=(*run.commits, *pushed), head_sha=head, published_tree=shown)
    if set(pushed) - set(await find_own(ctx, there)):
        await ctx.progress.notice(
            f"Someone else pushed to {code(run.branch)} ({head[:7]}); the run continued on top of it."
        )
    if clash := sorted(set(ours) & set(theirs)):
        raise ConcurrentPush(", ".join(clash[:10]))
    await work_tree.checkout_paths(ctx.sandbox, now, ours)


async def _publish(ctx: RunContext, subject: str, body: str, step: int | None, *, may_fix: bool) -> Commit | None:
    """Look, inspect, commit.

    Raises:
        Unpublishable: the agent may fix what the gate found.
        HeadMoved: somebody else pushed to the branch.
    """
    now = await work_tree.snapshot(ctx.sandbox)
    merges = ctx.run.merges if step is not None else ""
    sides = await branch_changes.read_sides(ctx) if merges else None
    if sides:
        check_merge(ctx, sides)
    try:
        changes, inspection = await _inspect(ctx, now, sides)
    except Refused as refused:
        if may_fix:
            raise Unpublishable(str(refused)) from refused
        raise
    if not changes.new and not merges:
        return None
    if inspection.leaks and may_fix:
        raise SecretsFound(inspection.leaks)
    if inspection.held:
        await report_held_back(ctx, inspection, sides)
        now = await work_tree.snapshot(ctx.sandbox)
    if not inspection.passed and not merges:
        return None
    await check_still_wanted(ctx)
    await ctx.ports.store.renew(ctx.run, ttl_s=LEASE_S)
    await ctx.progress.begin_creating()
    head = await _open_branch(ctx)
    message = compose_message(
        ctx.run.job, ctx.redactor.redact(subject), ctx.redactor.redact(body), issue=ctx.run.closes
    )
    passed = changes.to_send(inspection)

    async def commit_and_note() -> Commit:
        made = await ctx.github.commit(ctx.run.branch, head, message, passed, merged=merges)
        made = replace(made, step=step, files=tuple(change.path for change in passed))
        ctx.published = changes.base.with_commit(made.sha, passed)
        commits = (*ctx.run.commits, made)
        await ctx.progress.change(commits=commits, head_sha=made.sha, published_tree=now, merges="", unsure_since=None)
        return made

    commit = await finish(commit_and_note())
    await ctx.progress.show(Kind.NOTE, f"Published {commit.sha[:7]}: {commit.subject}")
    return commit


async def _inspect(ctx: RunContext, now: str, sides: Sides | None) -> tuple[Changes, Inspection]:
    """What the tree `now` would change on the branch, and what the gate says of it.

    Raises:
        Refused: the gate says no to all of it.
    """
    before = ctx.run.start_tree if sides else ctx.run.published_tree
    changes = await branch_changes.read_changes(ctx, before, now, sides, CommitLimits())
    _check_resolved(changes.new)
    new = await mark_path_aliases(ctx, changes.base, changes.new)
    request = await read_request(ctx, [path for change in new for path in (change.path, *change.read_as)])
    new = await mark_unstored(ctx, changes.base, new)
    config, find_own = ctx.config, ctx.redactor.find_own
    look = partial(inspect, new, protected=config.protected, request=request, samples=config.samples)
    return changes, await asyncio.to_thread(look, find_own=find_own)


def check_merge(ctx: RunContext, sides: Sides) -> None:
    """Refuse a merge that a person must make: of what both sides changed in protected paths, neither may be lost.

    Raises:
        Refused: there is such a path.
    """
    held = list_held(sides.both, ctx.config.protected)
    if held:
        names = codes(held[:10])
        raise Refused(f"Both branches changed {names}, which is protected. Merge them manually.")


def _check_resolved(changes: Sequence[Change]) -> None:
    """Refuse to publish what a merge left unresolved."""
    left = [change.path for change in changes if MARKER in change.content]
    if left:
        raise Refused(f"Conflict markers remain in {codes(left[:10])}.")


async def _open_branch(ctx: RunContext) -> str:
    """The head that the next commit expects. A branch that this attempt did not create is created if it is missing."""
    run = ctx.run
    if run.head_sha:
        return run.head_sha
    if not run.branch:
        raise GitHubError("The run has no branch yet.")
    if not ctx.has_branch:
        await ctx.github.create_branch(run.branch, run.base_sha)
    return run.base_sha


async def report_held_back(ctx: RunContext, inspection: Inspection, sides: Sides | None = None) -> None:
    """Put paths back as they were. That is told first: once they are back, nobody sees what was changed."""
    if inspection.protected:
        names = ", ".join(
            f"{code(path)} (read through the link {code(via)})" if (via := inspection.reached.get(path)) else code(path)
            for path in inspection.protected
        )
        nameable = codes(
            list_nameable([inspection.reached.get(path, path) for path in inspection.protected], ctx.config.protected)
        )
        way_on = (
            f" {nameable} is changed only if a `/vibecode` request names it in a sentence without a negation."
            if nameable
            else ""
        )
        await ctx.progress.notice(
            f"Not published because these paths are protected: {names}. Make these changes yourself.{way_on}"
        )
        ctx.progress.tell(
            f"These paths are protected and were put back as they were: {names}. Do not change them again."
        )
    if inspection.clashes:
        pairs = ", ".join(f"{code(path)} ({code(other)} exists)" for path, other in inspection.clashes[:10])
        await ctx.progress.notice(
            f"Not published because many file systems ignore case and take these for existing paths: {pairs}. Ask for "
            "other names, or rename the existing paths."
        )
        ctx.progress.tell(
            f"These new paths differ from existing ones only in case or composition, and were removed: {pairs}. Choose "
            "other names, or change the existing files."
        )
    if inspection.unstored:
        names = codes(inspection.unstored)
        await ctx.progress.notice(
            f"Not published because these files are tracked by Git LFS, which runs don't upload to: {names}. Commit "
            "them yourself."
        )
        ctx.progress.tell(
            f"Git LFS keeps these files, and nothing new can be put there: they were put back as they were: {names}."
        )
    if inspection.submodules:
        names = codes(inspection.submodules)
        await ctx.progress.notice(f"Not published because runs don't change submodules: {names}.")
        ctx.progress.tell(f"Submodules are not to be changed, and were put back as they were: {names}.")
    if inspection.leaks:
        what = ctx.redactor.redact(describe_leaks(inspection.leaks))
        await ctx.progress.notice(
            f"Not published and reverted: {what}. If it is a real secret, revoke it. If it is a sample, a "
            "maintainer can list the file under `samples` in `.github/vibecode.yml` and comment `/vibecode retry`."
        )
        ctx.progress.tell(f"These files were left out of the commit and put back as they were: {what}.")
    own = [path for path in inspection.held if not sides or path in sides.own]
    await work_tree.checkout_paths(ctx.sandbox, ctx.run.published_tree, own)
    if sides:
        brought = [path for path in inspection.held if path not in sides.own]
        await work_tree.checkout_paths(ctx.sandbox, ctx.run.start_tree, brought)


def describe_leaks(leaks: Sequence[Leak]) -> str:
    """Where what stands, without the value; redact it, for a path may hold one."""
    told = [
        f"{code(leak.path)}{f', line {leak.line}' if leak.line else ''} holds what looks like {leak.kind}"
        for leak in leaks[:10]
    ]
    return "; ".join(told) + (f"; and {len(leaks) - 10} more files" if len(leaks) > 10 else "")
