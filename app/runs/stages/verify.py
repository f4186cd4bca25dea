"""The stage that verifies the work: the harness runs the repository's tests and records the exit codes."""

from typing import Final

from app.agent.coder import repair
from app.core.policy.repo_config import is_test
from app.core.ports.sandbox import CommandTimeout
from app.core.run.run import Kind, Stage
from app.core.run.verification import SuiteRun, Verdict, Verification
from app.core.safety.escape import code, last_lines
from app.runs.context import RunContext
from app.runs.stages import branch_changes, work_tree
from app.runs.stages.brief import read_conventions
from app.runs.stages.publish import publish


async def verify_work(ctx: RunContext) -> None:
    async with ctx.progress.stage(
        Stage.VERIFY, f"Running {code(ctx.run.test_command)}" if ctx.run.test_command else "No tests found"
    ):
        verification = await verify(ctx)
        await ctx.progress.change(verification=verification, message=VERDICT_SENTENCES[verification.verdict])


VERDICT_SENTENCES: Final = {
    Verdict.PROVEN: "The tests pass, and the new ones fail without the change",
    Verdict.PASSING: "The tests pass",
    Verdict.FAILING: "The tests fail",
    Verdict.UNTESTED: "No runnable tests were found",
}


REPAIRS: Final = 2
TAIL_CHARS: Final = 4_000
NO_TESTS: Final = ("Ran 0 tests", "NO TESTS RAN", "no tests ran", "no test files", "No tests found")


async def verify(ctx: RunContext) -> Verification:
    """Run the tests on head and base and say what they prove. The work tree is left as it was published."""
    if not ctx.run.test_command:
        return Verification(Verdict.UNTESTED)
    head = await _run_on(ctx, "head", ctx.run.published_tree)
    base = await _run_on(ctx, "base", ctx.run.start_tree)
    for number in range(REPAIRS):
        if head.passed or not base.passed:
            break
        await ctx.progress.show(Kind.NOTE, "The tests fail. Fixing them.")
        await work_tree.reset_to(ctx.sandbox, ctx.run.published_tree)
        files = [path for commit in ctx.run.commits for path in commit.files]
        session = await ctx.open_session(f"repair {number}", await read_conventions(ctx, files))
        summary = await repair(session, _evidence(head), number)
        if await publish(ctx, "Fix failing tests", summary) is None:
            break
        head = await _run_on(ctx, "head", ctx.run.published_tree)
    return await _compare(ctx, base, head)


async def _compare(ctx: RunContext, base: SuiteRun, head: SuiteRun) -> Verification:
    tests = tuple(path for path in await branch_changes.list_changed(ctx) if is_test(path))
    runs = [base]
    if tests:
        runs.append(await _run_on(ctx, "base with the new tests", ctx.run.start_tree, over=tests))
    await work_tree.reset_to(ctx.sandbox, ctx.run.published_tree)
    verdict = judge(head, runs[-1] if tests else None)
    return Verification(verdict, (*runs, head), ctx.run.published_tree, tests)


def judge(head: SuiteRun, base_with_tests: SuiteRun | None) -> Verdict:
    """What the exit codes say. `base_with_tests` is None when no test was changed."""
    if any(words in head.tail for words in NO_TESTS):
        return Verdict.UNTESTED
    if not head.passed:
        return Verdict.FAILING
    if base_with_tests is not None and not base_with_tests.passed:
        return Verdict.PROVEN
    return Verdict.PASSING


async def _run_on(ctx: RunContext, name: str, state: str, *, over: tuple[str, ...] = ()) -> SuiteRun:
    """Run the test command on a tree, with the paths of `over` taken from what was published."""
    began = ctx.ports.clock.monotonic()
    try:
        result = await work_tree.run_in_trees(
            ctx.sandbox,
            state,
            (ctx.run.published_tree, over),
            ctx.run.test_command,
            timeout_s=ctx.options.test_timeout_s,
        )
        exit_code, output, timed_out = result.exit_code, result.output, False
    except CommandTimeout as error:
        exit_code, output, timed_out = 124, error.output, True
    seconds = round(ctx.ports.clock.monotonic() - began, 2)
    await ctx.progress.show(Kind.NOTE, f"{code(ctx.run.test_command)} on {name}: exit code {exit_code}, {seconds} s")
    tail = last_lines(ctx.redactor.redact(output.strip()), TAIL_CHARS)
    return SuiteRun(name, ctx.run.test_command, exit_code, seconds, tail, timed_out)


def _evidence(run: SuiteRun) -> str:
    ending = "ran out of time" if run.timed_out else f"ended with exit code {run.exit_code}"
    return f"`{run.command}` {ending}. Its last lines:\n\n{run.tail}"
