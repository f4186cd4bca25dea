"""The stages, each a function of the work. Every one is safe to repeat: it looks up before it creates.

`runs/runner.py` gives their order and what happens when one of them fails.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from app.agent import coder, planner
from app.core import repo_config
from app.core.errors import CommandFailed, ParseError, SandboxError, SandboxGone, UserError
from app.core.escape import code
from app.core.machine import CommandTimeout, ExecResult, Network
from app.core.plan import Plan, Step
from app.core.run import Kind, Stage
from app.core.verification import Verdict
from app.runs import follow, tree, verify
from app.runs.branch import find_own, is_own
from app.runs.brief import make_brief
from app.runs.conventions import read_conventions
from app.runs.open_branch import make_branch
from app.runs.publish import Overtaken, SecretsFound, Unpublishable, publish
from app.runs.work import Work
from app.text.commit import subject_of

log = logging.getLogger(__name__)

CLEAN_UP_S: Final = 10.0
MAX_UNREACHABLE: Final = 3
"""How often in a row a run waits for its sandbox to be reachable before it takes another."""
MAX_OVERTAKEN: Final = 3
"""How often a step is begun because others pushed changes to the same files."""
MAX_FIXES: Final = 2
"""How often in a step the agent may change what the gate refuses, or take a secret out."""
SECRETS_FOUND: Final = (
    "Not published yet: {}. Secrets are never published. Take it out and finish this step again: read it from the "
    "environment or from a file that git ignores, or write a value that is plainly a sample (`example`, `changeme`). "
    "Where it stays, the whole file is left out."
)
UNPUBLISHABLE: Final = (
    "Not published: {} Nothing of this step can be committed like this. Change that and finish the step again: remove "
    "what was only built or downloaded, and keep the change small."
)
OVERTAKEN: Final = (
    "Somebody pushed changes to {} while you worked. Your changes of this step were put aside, theirs are in the work "
    "tree: do the step again on top of them."
)


async def open_sandbox(work: Work) -> None:
    """The machine of an earlier attempt when it lives and was set up, else a new one."""
    if await _reconnect(work):
        return
    async with work.progress.stage(Stage.SANDBOX, "Starting a sandbox"):
        run = work.run
        metadata = {"job_id": run.id, "repo": run.job.repo, "deployment": work.options.deployment}
        key = f"{run.id}-{run.attempt}"
        ttl_s = work.options.sandbox_ttl_s
        work.machine = await work.ports.sandboxes.create(key=key, metadata=metadata, timeout_s=ttl_s)
        await work.progress.change(sandbox_id=work.machine.id, start_tree="", message="The sandbox is ready")


async def _reconnect(work: Work) -> bool:
    run = work.run
    if not run.sandbox_id:
        return False
    if not run.start_tree:
        await work.ports.sandboxes.kill(run.sandbox_id)
        return False
    try:
        work.machine = await work.ports.sandboxes.reconnect(run.sandbox_id)
        await work.hold_on()
        await work.progress.show(Kind.NOTE, "Going on in the same sandbox")
    except SandboxError as error:
        work.machine = None
        if not isinstance(error, SandboxGone) and error.is_passing and run.waits < MAX_UNREACHABLE:
            raise
        log.info("sandbox gone", extra={"sandbox_id": run.sandbox_id, "reason": str(error)})
        if not isinstance(error, SandboxGone):
            await clean_up(work)
            await work.progress.save(handed_back=max(0, run.handed_back - 1))  # counts as a lost worker after all
        return False
    work.is_reconnected = True
    return True


async def clone(work: Work) -> None:
    """Fill the sandbox with base, set it up there, and add what an earlier attempt published."""
    if work.is_reconnected:
        return
    async with work.progress.stage(Stage.CLONE, "Fetching the repository"):
        job, base_sha = work.run.job, work.run.base_sha
        head_sha = await _published_head(work)
        beside = base_sha if head_sha else ""
        async with work.ports.repos.pack(job.installation_id, job.repo, head_sha or base_sha, beside=beside) as pack:
            start_tree = await tree.check_out(work.sandbox, pack, base_sha)
        await _set_up(work)
        if work.config.setup:
            start_tree = await tree.snapshot(work.sandbox)
        published_tree = start_tree
        if head_sha:
            changed = await work.ports.repos.diff(job.installation_id, job.repo, base_sha, head_sha)
            await tree.carry_over(work.sandbox, head_sha, sorted(changed))
            published_tree = await tree.snapshot(work.sandbox)
        test_command = await _find_tests(work, start_tree)
        await work.progress.change(
            start_tree=start_tree,
            published_tree=published_tree,
            test_command=test_command,
            message=f"{code(work.run.base_ref)} at {base_sha[:7]}",
        )


async def _published_head(work: Work) -> str:
    """The head of the branch that this run has on GitHub, fetched; empty when nothing was published yet.

    A commit that was published by a worker which died before it could say so is put on record here.
    """
    run = work.run
    if work.has_branch:
        return ""
    head = await work.github.head(run.branch, unlike=run.head_sha or run.base_sha) if run.branch else None
    if not head or head == run.base_sha:
        return ""
    head = await work.fetch(run.branch)
    if head == run.head_sha:
        return head
    there = await work.github.commits(run.base_sha, head)
    if not await is_own(work, there):
        await work.progress.change(branch="")
        await make_branch(work)
        return ""
    steps = {subject_of(step.title): index for index, step in enumerate(work.plan.steps)}
    step_of = {commit.sha: steps.get(commit.subject) for commit in await find_own(work, there)}
    known = {commit.sha for commit in run.commits}
    found = [replace(commit, step=step_of.get(commit.sha)) for commit in there if commit.sha not in known]
    commits = (*run.commits, *found)
    done = max((commit.step + 1 for commit in commits if commit.step is not None), default=0)
    await work.progress.change(commits=commits, head_sha=head, steps_done=max(run.steps_done, done))
    return head


async def _set_up(work: Work) -> None:
    """Run the repository's set-up with network, then close it as the repository's file says."""
    for command in work.config.setup:
        await work.progress.show(Kind.NOTE, f"Set-up: {code(command)}")
        result = await _exec(work, command, work.options.setup_timeout_s, leaves_daemons=True)
        if result.exit_code:
            raise CommandFailed(
                f"The set-up command {code(command)} ended with exit code {result.exit_code}.", result.output
            )
    network = work.config.network
    hosts = network if isinstance(network, tuple) else ()
    await work.sandbox.set_network(Network(is_open=network == "all", hosts=hosts))


async def _find_tests(work: Work, start_tree: str) -> str:
    if work.config.test:
        return work.config.test
    files: dict[str, bytes | None] = dict.fromkeys(await tree.list_files(work.sandbox, start_tree))
    if "Makefile" in files:
        with suppress(OSError):
            files["Makefile"] = await work.sandbox.read("Makefile")
    package = await _read_package(work) if "package.json" in files else None
    for candidate in repo_config.detect_tests(files, package):
        if (await _exec(work, candidate.probe, 60.0)).exit_code == 0:
            return candidate.command
    return ""


async def _read_package(work: Work) -> JsonValue:
    """`package.json`, None when it cannot be read."""
    try:
        return await work.ports.parsers.load_json(await work.sandbox.read("package.json"))
    except (ParseError, OSError) as error:
        await work.progress.show(Kind.NOTE, f"`package.json` is not read: {error}")
        return None


async def _exec(work: Work, command: str, timeout_s: float, *, leaves_daemons: bool = False) -> ExecResult:
    try:
        argv = ["sh", "-c", command]
        return await work.sandbox.exec(argv, timeout_s=timeout_s, leaves_daemons=leaves_daemons)
    except CommandTimeout as error:
        return ExecResult(124, error.output, timeout_s)


async def plan(work: Work) -> None:
    async with work.progress.stage(Stage.PLAN, "Reading the code and planning"):
        work.brief = await make_brief(work)
        if work.run.plan is None:
            made = await planner.plan(await work.open_session("plan"), work.brief, work.run.previous)
            await follow.note_answers(work, made.answers)
            await work.progress.change(plan=_redacted(made, work.redactor.redact))
        steps = len(work.run.plan.steps) if work.run.plan else 0
        await work.progress.change(message=_counted(steps, "step"))


def _redacted(made: Plan, redact: Callable[[str], str]) -> Plan:
    steps = tuple(Step(redact(each.title), tuple(map(redact, each.files)), redact(each.check)) for each in made.steps)
    return Plan(redact(made.title), redact(made.summary), steps)


async def carry_out_steps(work: Work) -> None:
    """Each step that is not done yet: the agent works, the gate looks, the commit reaches the branch."""
    async with work.progress.stage(Stage.STEPS, "Working"):
        made = work.plan
        for index, step in enumerate(made.steps):
            if index < work.run.steps_done:
                continue
            percent = 40 + 40 * index // len(made.steps)
            message = f"Step {index + 1} of {len(made.steps)}: {step.title}"
            await work.progress.change(message=message, percent=percent)
            summary = await _carry_out_step(work, index, step)
            done = work.run.with_step_done(index, work.redactor.redact(summary))
            await work.progress.change(steps_done=done.steps_done, step_summaries=done.step_summaries)
        made_here = sum(commit.step is not None for commit in work.run.commits)
        await work.progress.change(message=_counted(made_here, "commit"))


async def _carry_out_step(work: Work, index: int, step: Step) -> str:
    """One step to its commit, and its summary. Begun anew when somebody pushed changes to the same files, and to change
    what the gate refuses."""
    session = await work.open_session(f"step {index}", await read_conventions(work, step.files))
    overtaken_times = fixes = 0
    while overtaken_times < MAX_OVERTAKEN:
        summary, answers = await coder.carry_out_step(session, work.plan, index)
        try:
            await publish(work, step.title, summary, step=index, may_fix=fixes < MAX_FIXES)
        except Unpublishable as found:
            fixes += 1
            await work.progress.show(Kind.NOTE, f"Not published yet: {found}")
            words = SECRETS_FOUND if isinstance(found, SecretsFound) else UNPUBLISHABLE
            work.progress.tell(words.format(work.redactor.redact(str(found))))
            continue
        except Overtaken as overtaken:
            overtaken_times += 1
            await tree.show(work.sandbox, work.run.published_tree)
            work.progress.tell(OVERTAKEN.format(overtaken))
            continue
        await follow.note_answers(work, answers, step=index)
        return summary
    raise UserError(f"Somebody keeps pushing to {code(work.run.branch)} while I work. `/vibecode retry` goes on.")


async def verify_work(work: Work) -> None:
    async with work.progress.stage(
        Stage.VERIFY, f"Running {code(work.run.test_command)}" if work.run.test_command else "No tests found"
    ):
        verification = await verify.verify(work)
        await work.progress.change(verification=verification, message=SENTENCES[verification.verdict])


SENTENCES: Final = {
    Verdict.PROVEN: "The tests pass, and the new ones fail without the change",
    Verdict.PASSING: "The tests pass",
    Verdict.FAILING: "The tests fail",
    Verdict.UNTESTED: "No tests were found that could be run",
}


async def publish_rest(work: Work) -> None:
    """Whatever verification still changed goes through the same gate."""
    async with work.progress.stage(Stage.PUBLISH, "Looking through what is left"):
        await publish(work, "Keep what verification changed", "")
        await work.progress.change(message=f"{code(work.run.branch)} at {work.run.head_sha[:7]}")


async def clean_up(work: Work) -> None:
    """Destroy the sandbox, also one that this attempt did not reach. Where that fails or takes long, the run does not
    wait: `recover.kill_orphans` does it later."""
    machine, work.machine = work.machine, None
    try:
        async with asyncio.timeout(CLEAN_UP_S):
            if machine is not None:
                await machine.close()
            elif work.run.sandbox_id:
                await work.ports.sandboxes.kill(work.run.sandbox_id)
    except (SandboxError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        log.warning("sandbox not destroyed", extra={"sandbox_id": work.run.sandbox_id, "reason": reason})


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
