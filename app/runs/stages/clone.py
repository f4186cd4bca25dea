"""The stage that fills the sandbox with the repository and sets it up there."""

from contextlib import suppress
from dataclasses import replace

from pydantic import JsonValue

from app.core.errors import CommandFailed, ParseError
from app.core.policy import repo_config
from app.core.ports.sandbox import CommandTimeout, ExecResult, Network
from app.core.run.run import Kind, Stage
from app.core.safety.escape import code
from app.runs.branches import find_own, is_own
from app.runs.context import RunContext
from app.runs.stages import work_tree
from app.runs.stages.open_branch import make_branch
from app.text.commit import subject_of


async def clone(ctx: RunContext) -> None:
    """Fill the sandbox with base, set it up there, and add what an earlier attempt published."""
    if ctx.is_reconnected:
        return
    async with ctx.progress.stage(Stage.CLONE, "Fetching the repository"):
        job, base_sha = ctx.run.job, ctx.run.base_sha
        head_sha = await _published_head(ctx)
        beside = base_sha if head_sha else ""
        async with ctx.ports.repos.pack(job.installation_id, job.repo, head_sha or base_sha, beside=beside) as pack:
            start_tree = await work_tree.check_out(ctx.sandbox, pack, base_sha)
        await _set_up(ctx)
        if ctx.config.setup:
            start_tree = await work_tree.snapshot(ctx.sandbox)
        published_tree = start_tree
        if head_sha:
            changed = await ctx.ports.repos.diff(job.installation_id, job.repo, base_sha, head_sha)
            await work_tree.apply_paths(ctx.sandbox, head_sha, sorted(changed))
            published_tree = await work_tree.snapshot(ctx.sandbox)
        test_command = await _find_tests(ctx, start_tree)
        await ctx.progress.change(
            start_tree=start_tree,
            published_tree=published_tree,
            test_command=test_command,
            message=f"{code(ctx.run.base_ref)} at {base_sha[:7]}",
        )


async def _published_head(ctx: RunContext) -> str:
    """The head of the branch that this run has on GitHub, fetched; empty when nothing was published yet.

    A commit that was published by a worker which died before it could say so is put on record here.
    """
    run = ctx.run
    if ctx.has_branch:
        return ""
    head = await ctx.github.head(run.branch, unlike=run.head_sha or run.base_sha) if run.branch else None
    if not head or head == run.base_sha:
        return ""
    head = await ctx.fetch(run.branch)
    if head == run.head_sha:
        return head
    there = await ctx.github.commits(run.base_sha, head)
    if not await is_own(ctx, there):
        await ctx.progress.change(branch="")
        await make_branch(ctx)
        return ""
    steps = {subject_of(step.title): index for index, step in enumerate(ctx.plan.steps)}
    step_of = {commit.sha: steps.get(commit.subject) for commit in await find_own(ctx, there)}
    known = {commit.sha for commit in run.commits}
    found = [replace(commit, step=step_of.get(commit.sha)) for commit in there if commit.sha not in known]
    commits = (*run.commits, *found)
    done = max((commit.step + 1 for commit in commits if commit.step is not None), default=0)
    await ctx.progress.change(commits=commits, head_sha=head, steps_done=max(run.steps_done, done))
    return head


async def _set_up(ctx: RunContext) -> None:
    """Run the repository's set-up with network, then close it as the repository's file says."""
    for command in ctx.config.setup:
        await ctx.progress.show(Kind.NOTE, f"Set-up: {code(command)}")
        result = await _exec(ctx, command, ctx.options.setup_timeout_s, leaves_daemons=True)
        if result.exit_code:
            raise CommandFailed(
                f"The set-up command {code(command)} ended with exit code {result.exit_code}.", result.output
            )
    network = ctx.config.network
    hosts = network if isinstance(network, tuple) else ()
    await ctx.sandbox.set_network(Network(is_open=network == "all", hosts=hosts))


async def _find_tests(ctx: RunContext, start_tree: str) -> str:
    if ctx.config.test:
        return ctx.config.test
    files: dict[str, bytes | None] = dict.fromkeys(await work_tree.list_files(ctx.sandbox, start_tree))
    if "Makefile" in files:
        with suppress(OSError):
            files["Makefile"] = await ctx.sandbox.read("Makefile")
    package = await _read_package(ctx) if "package.json" in files else None
    for candidate in repo_config.detect_tests(files, package):
        if (await _exec(ctx, candidate.probe, 60.0)).exit_code == 0:
            return candidate.command
    return ""


async def _read_package(ctx: RunContext) -> JsonValue:
    """`package.json`, None when it cannot be read."""
    try:
        return await ctx.ports.parsers.load_json(await ctx.sandbox.read("package.json"))
    except (ParseError, OSError) as error:
        await ctx.progress.show(Kind.NOTE, f"`package.json` is not read: {error}")
        return None


async def _exec(ctx: RunContext, command: str, timeout_s: float, *, leaves_daemons: bool = False) -> ExecResult:
    try:
        argv = ["sh", "-c", command]
        return await ctx.sandbox.exec(argv, timeout_s=timeout_s, leaves_daemons=leaves_daemons)
    except CommandTimeout as error:
        return ExecResult(124, error.output, timeout_s)
