"""Proof, not claims: the harness runs the repository's tests and writes down the exit codes.

head ─▶ base ─▶ head fails and base does not? ──yes──▶ the agent repairs, at most twice
                     │ no
                     ▼
base with the changed tests: they must fail there, or they prove nothing
"""

from typing import Final

from app.agent.coder import repair
from app.core.escape import code, last_lines
from app.core.machine import CommandTimeout
from app.core.repo_config import is_test
from app.core.run import Kind
from app.core.verification import SuiteRun, Verdict, Verification
from app.runs import published, tree
from app.runs.conventions import read_conventions
from app.runs.publish import publish
from app.runs.work import Work

REPAIRS: Final = 2
TAIL_CHARS: Final = 4_000
NO_TESTS: Final = ("Ran 0 tests", "NO TESTS RAN", "no tests ran", "no test files", "No tests found")


async def verify(work: Work) -> Verification:
    """Run the tests on head and base and say what they prove. The work tree is left as it was published."""
    if not work.run.test_command:
        return Verification(Verdict.UNTESTED)
    head = await _run_on(work, "head", work.run.published_tree)
    base = await _run_on(work, "base", work.run.start_tree)
    for number in range(REPAIRS):
        if head.passed or not base.passed:
            break
        await work.progress.show(Kind.NOTE, "The tests fail. The agent repairs.")
        await tree.show(work.sandbox, work.run.published_tree)
        files = [path for commit in work.run.commits for path in commit.files]
        session = await work.open_session(f"repair {number}", await read_conventions(work, files))
        summary = await repair(session, _evidence(head), number)
        if await publish(work, "Repair what the tests found", summary) is None:
            break
        head = await _run_on(work, "head", work.run.published_tree)
    return await _compare(work, base, head)


async def _compare(work: Work, base: SuiteRun, head: SuiteRun) -> Verification:
    tests = tuple(path for path in await published.list_changed(work) if is_test(path))
    runs = [base]
    if tests:
        runs.append(await _run_on(work, "base with the new tests", work.run.start_tree, over=tests))
    await tree.show(work.sandbox, work.run.published_tree)
    verdict = judge(head, runs[-1] if tests else None)
    return Verification(verdict, (*runs, head), work.run.published_tree, tests)


def judge(head: SuiteRun, base_with_tests: SuiteRun | None) -> Verdict:
    """What the exit codes say. `base_with_tests` is None when no test was changed."""
    if any(words in head.tail for words in NO_TESTS):
        return Verdict.UNTESTED
    if not head.passed:
        return Verdict.FAILING
    if base_with_tests is not None and not base_with_tests.passed:
        return Verdict.PROVEN
    return Verdict.PASSING


async def _run_on(work: Work, name: str, state: str, *, over: tuple[str, ...] = ()) -> SuiteRun:
    """Run the test command on a tree, with the paths of `over` taken from what was published."""
    began = work.ports.clock.monotonic()
    try:
        result = await tree.run_on(
            work.sandbox,
            state,
            (work.run.published_tree, over),
            work.run.test_command,
            timeout_s=work.options.test_timeout_s,
        )
        exit_code, output, timed_out = result.exit_code, result.output, False
    except CommandTimeout as error:
        exit_code, output, timed_out = 124, error.output, True
    seconds = round(work.ports.clock.monotonic() - began, 2)
    await work.progress.show(Kind.NOTE, f"{code(work.run.test_command)} on {name}: exit code {exit_code}, {seconds} s")
    tail = last_lines(work.redactor.redact(output.strip()), TAIL_CHARS)
    return SuiteRun(name, work.run.test_command, exit_code, seconds, tail, timed_out)


def _evidence(run: SuiteRun) -> str:
    ending = "ran out of time" if run.timed_out else f"ended with exit code {run.exit_code}"
    return f"`{run.command}` {ending}. Its last lines:\n\n{run.tail}"
