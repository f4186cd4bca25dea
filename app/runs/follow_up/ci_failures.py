"""A check failed on our own pull request: whose fault is it, and what is done about it?

    no pull request named ──(it is looked up)──▶ passed on to a job of the pull request's, or nothing is said
    not ours, pushed since, a person's commit, nobody who answers for it ──▶ nothing is said
    cancelled, stale, waiting for approval, never started ──▶ said, no work
    fails on base too ──▶ said, and left alone
    else run again ──(waits, holding no worker)──▶ passes: flaky, said
                                              └──▶ fails: mended on the branch, unless that was tried often enough

Who started the branch's last run answers for it: by their role and within the budget, as if they had asked.
"""

import hashlib
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from app.core.errors import GitHubError, OutsideError, RepositoryGone, RetryLater
from app.core.inbound.triggers import checks_job
from app.core.ports.bundle import Ports
from app.core.ports.github import GitHub
from app.core.ports.store import Store
from app.core.run.job import STARTING, Job, Person, Source, job_id
from app.core.run.pull_requests import Check, PullRequest
from app.core.run.run import Conclusion, Failure, Run, Status
from app.core.safety.escape import code, last_lines
from app.core.safety.sanitize import escape_tags, plain
from app.runs.context import RunContext
from app.runs.follow_up.log_excerpt import find_evidence
from app.runs.intake.admission import admit_with_role, check_has_role
from app.runs.intake.authorization import role_of
from app.runs.intake.spending import reserve

log = logging.getLogger(__name__)


PATIENCE: Final = timedelta(minutes=45)
"""How long the end of a re-run is waited for."""


LONGEST_S: Final = 30.0
MAX_CHECKS: Final = 10
LISTED_WITHIN: Final = timedelta(seconds=20)
"""GitHub may tell of a check some seconds before it lists it."""


LATE: Final = "and the re-run did not finish in time"
NAME_CHARS: Final = 80
EXCERPT_CHARS: Final = 2_000
_PASSED: Final = frozenset({"success", "neutral", "skipped"})


Ending: TypeAlias = tuple[Conclusion, str]


QUIET: Final[Ending] = (Conclusion.NEUTRAL, "Nothing to do")
NO_ACCESS: Final = (
    "A check failed, but the App doesn't have permission to read checks in this repository. An owner can accept the "
    "requested permissions (Checks: read, Actions: write) under Settings > GitHub Apps."
)


HALTS: Final = {
    "startup_failure": "failed to start on {sha}, usually because of an invalid workflow file.",
    "cancelled": "was cancelled on {sha}. Re-run it if that wasn't intended.",
    "stale": "didn't finish on {sha} before GitHub marked it stale.",
    "action_required": "needs approval or another action on {sha}.",
}


async def handle_failed_checks(ctx: RunContext) -> Ending | None:
    """Find out what is to be done; None: go on with the stages, what fails is told to the model.

    Raises:
        RetryLater: a check was asked to run again and has not ended.
        Refused, UserError, LimitReached: as when somebody asks for work.
    """
    run = ctx.run
    if run.job.number is None:
        await pass_checks_on(ctx)
        return QUIET
    pull = await ctx.github.pulls.pull(run.job.number)
    if run.stages and pull is not None:
        # An earlier attempt has begun to fix.
        await _let_in(ctx, pull)
        await report_fix(ctx)
        return None
    if pull is None or not (pull.is_ours and pull.is_open and not pull.is_fork and pull.head_sha == run.job.head_sha):
        return QUIET
    try:
        return await (_examine(ctx, pull) if run.diagnosis.asked_at is None else _examine_rerun(ctx, pull))
    except GitHubError as error:
        if error.status != 403 or error.is_passing or isinstance(error, RepositoryGone):
            raise
        await _find_run_of_branch(ctx, NO_ACCESS)
        return Conclusion.NEUTRAL, "No permission to read checks"


async def _examine(ctx: RunContext, pull: PullRequest) -> Ending | None:
    asker, _ = await _before(ctx)
    commits = await ctx.github.commits(pull.base, pull.head)
    if asker is None or not commits or pull.author is None or commits[-1].author != pull.author.login:
        return QUIET
    await ctx.progress.save(job=replace(ctx.run.job, sender=asker.job.sender), as_of=asker.text_at)
    await _let_in(ctx, pull)
    looks = [
        run for run in await find_check_runs_seen(ctx.ports.store, pull.number, ctx.run.job) if run.id != ctx.run.id
    ]
    halted = await _report_halted(ctx, pull, looks)
    all_failed = [check for check in await ctx.github.pulls.checks(pull.head_sha) if check.is_failed]
    if not all_failed and not halted and ctx.ports.clock.now() - ctx.run.job.created_at < LISTED_WITHIN:
        raise RetryLater("GitHub to list the checks", ctx.options.intervals.check_list_s, yields_thread=True)
    seen = {number for look in looks for number in look.diagnosis.seen}
    failed = [check for check in all_failed if check.id not in seen]
    if not failed or not ctx.config.ci_fix_attempts:
        return (Conclusion.NEUTRAL, halted) if halted else QUIET
    await _note_seen(ctx, failed)
    on_base = await _failed_on_base(ctx, pull, asker.base_sha)
    rest = [check for check in failed if _key(check) not in on_base]
    if len(rest) < len(failed):
        names = _names([check for check in failed if _key(check) in on_base])
        await _find_run_of_branch(ctx, f"{names} failed. It also fails on {code(pull.base)}, so I made no change.")
    if not rest:
        return Conclusion.NEUTRAL, "It also fails on the base branch"
    return await _rerun(ctx, pull, rest)


async def _report_halted(ctx: RunContext, pull: PullRequest, looks: list[Run]) -> str:
    """Say which suites did not run to their end; in a few words, empty when all did or it was said before."""
    halted = dict.fromkeys(suite for suite in await ctx.github.pulls.suites(pull.head_sha) if suite.is_halted)
    told = {finding for look in looks for finding in look.diagnosis.findings}
    sentences = {
        f"{code(_shorten(suite.app_name) or 'a check')} {HALTS[suite.conclusion]}".format(sha=f"`{pull.head_sha[:7]}`")
        for suite in halted
    } - told
    for sentence in sorted(sentences):
        await _find_run_of_branch(ctx, sentence)
    return "Some checks did not complete" if sentences else ""


async def _note_seen(ctx: RunContext, failed: list[Check]) -> None:
    diagnosis = ctx.run.diagnosis
    seen = tuple(dict.fromkeys((*diagnosis.seen, *(check.id for check in failed))))
    await ctx.progress.save(diagnosis=replace(diagnosis, seen=seen))


async def _rerun(ctx: RunContext, pull: PullRequest, failed: list[Check]) -> Ending | None:
    """Have run again what can be; the rest needs no waiting for."""
    asked = [check.id for check in failed if await ctx.github.pulls.rerun(check)]
    now = ctx.ports.clock.now()
    diagnosis = replace(ctx.run.diagnosis, failed=tuple(failed[:MAX_CHECKS]), asked=tuple(asked), asked_at=now)
    await ctx.progress.save(diagnosis=diagnosis)
    if asked:
        raise RetryLater("the checks run again", ctx.options.intervals.rerun_s, yields_thread=True)
    return await _start_fix(ctx, pull, failed, "and could not be re-run")


async def _examine_rerun(ctx: RunContext, pull: PullRequest) -> Ending | None:
    said, now = ctx.run.diagnosis, ctx.ports.clock.now()
    current = await ctx.github.pulls.checks(pull.head_sha)
    failing: list[Check] = []
    flaky: list[Check] = []
    waited = now - (said.asked_at or now)
    for check in said.failed:
        again = [each for each in current if _key(each) == _key(check)]
        if check.id in said.asked and (not again or any(each.id == check.id or not each.conclusion for each in again)):
            if waited < PATIENCE:
                delay_s = min(LONGEST_S, max(ctx.options.intervals.rerun_s, waited.total_seconds() / 4))
                raise RetryLater("the checks run again", delay_s, yields_thread=True)
            again = []
        has_passed = check.id in said.asked and again and all(each.conclusion in _PASSED for each in again)
        if has_passed:
            flaky.append(check)
        else:
            failing.append(next((each for each in again if each.is_failed), check))
    if flaky:
        await _find_run_of_branch(
            ctx,
            f"{_names(flaky)} failed, then passed when re-run on the same commit (`{pull.head_sha[:7]}`), so it looks "
            "flaky. No changes made.",
        )
    if not failing:
        return Conclusion.NEUTRAL, "Flaky"
    has_waited_long = waited >= PATIENCE
    return await _start_fix(ctx, pull, failing, LATE if has_waited_long else "also when re-run")


async def _start_fix(ctx: RunContext, pull: PullRequest, failing: list[Check], how: str) -> Ending | None:
    """Have the stages mend it, or leave it to people. `how` goes on a sentence about the failure."""
    fixes = await _let_in(ctx, pull)
    most = ctx.config.ci_fix_attempts
    await ctx.progress.save(diagnosis=replace(ctx.run.diagnosis, failed=tuple(failing[:MAX_CHECKS]), asked=()))
    await _note_seen(ctx, failing)
    await _find_run_of_branch(ctx, f"{_names(failing)} failed on `{pull.head_sha[:7]}`, {how}.")
    await report_fix(ctx)
    if fixes >= most:
        times = "1 attempt" if fixes == 1 else f"{fixes} attempts"
        words = f"Still failing after {times} to fix it. Comment `/vibecode` with a hint to try again."
        excerpt = last_lines(ctx.failing[0][1], EXCERPT_CHARS)
        await ctx.progress.save(failure=Failure("checks", words, excerpt=excerpt))
        return Conclusion.FAILURE, words
    await reserve(ctx)
    return None


async def _let_in(ctx: RunContext, pull: PullRequest) -> int:
    """Let in whoever answers for the branch, on that branch; how often checks were mended since they asked."""
    asker, fixes = await _before(ctx)
    asked = asker.job if asker is not None else ctx.run.job
    role = await role_of(ctx, asked)
    check_has_role(asked, role)
    await admit_with_role(ctx, role, pull)
    return fixes


async def _before(ctx: RunContext) -> tuple[Run | None, int]:
    """The branch's last run that a person asked for, and in how many since then checks were mended."""
    job, fixes = ctx.run.job, 0
    async for run in ctx.ports.store.runs_of(job.repo, branch=job.branch):
        if run.id == job.id:
            continue
        if run.job.source is Source.CHECKS:
            fixes += bool(run.stages)
        elif run.job.command.verb in STARTING and run.conclusion is not Conclusion.SKIPPED:
            return run, fixes
    return None, fixes


async def _failed_on_base(ctx: RunContext, pull: PullRequest, start: str) -> frozenset[tuple[str, str]]:
    """What fails on the base branch's head, or where our branch began (`start`)."""
    head = await ctx.github.head(pull.base)
    keys: set[tuple[str, str]] = set()
    for sha in {head or "", start} - {""}:
        checks = await ctx.github.pulls.checks(sha)
        keys |= {_key(check) for check in checks if check.is_failed}
        # Where two workflows have a check of one name, nobody knows which is meant.
        keys -= {_key(check) for check in checks if check.conclusion in _PASSED}
    return frozenset(keys)


async def report_fix(ctx: RunContext) -> None:
    """Let the model know of what fails, if anything does: of each log the part that matters."""
    ctx.failing = tuple([(_name(check), await _log(ctx, check)) for check in ctx.run.diagnosis.failed])


async def _log(ctx: RunContext, check: Check) -> str:
    try:
        log = await ctx.github.pulls.check_log(check)
    except OutsideError as error:
        if error.is_passing:
            raise
        log = ""
    return escape_tags(plain(ctx.redactor.redact(find_evidence(log or check.text))))


async def _find_run_of_branch(ctx: RunContext, sentence: str) -> None:
    """Put a finding on record, for people."""
    said = ctx.run.diagnosis
    if sentence not in said.findings:
        await ctx.progress.save(diagnosis=replace(said, findings=(*said.findings, ctx.redactor.redact(sentence))))


def _key(check: Check) -> tuple[str, str]:
    return check.app, check.name


def _name(check: Check) -> str:
    return _shorten(check.name) or "a check"


def _shorten(name: str) -> str:
    return " ".join(plain(name).split())[:NAME_CHARS]


def _names(checks: list[Check]) -> str:
    names = list(dict.fromkeys(code(_name(check)) for check in checks[:MAX_CHECKS]))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


async def pass_checks_on(ctx: RunContext) -> None:
    """Make the job of a commit's checks one of the pull request whose head the commit is, if there is one."""
    job = ctx.run.job
    await ctx.ports.store.note(_note_of(job.repo, job.head_sha), job.id)
    number = await _find_number(ctx, job)
    if number is not None:
        key = job.id.rpartition("~")[2]
        numbered = replace(job, id=job_id(job.repo, number, Source.CHECKS, key), number=number, is_pull_request=True)
        await ctx.ports.queue.put(Run(numbered, updated_at=ctx.ports.clock.now()))


async def check_ci_of_opened(ctx: RunContext) -> None:
    """Put the job that looks into the checks of the pull request just opened or pushed to, if one failed already. Those
    that end later are delivered."""
    run, job = ctx.run, ctx.run.job
    if run.pull_request is None or not run.head_sha:
        return
    number, pulls = run.pull_request.number, ctx.github.pulls
    try:
        is_told = bool(await ctx.ports.store.recall(_note_of(job.repo, run.head_sha)))
        is_told = is_told or any(check.is_failed for check in await pulls.checks(run.head_sha))
        if not is_told and not any(suite.is_halted for suite in await pulls.suites(run.head_sha)):
            return
        sender = Person(await ctx.github.login(), 0, is_bot=True)
    except GitHubError as error:
        log.warning("checks not looked at", extra={"reason": str(error)})
        return
    if await find_check_runs_seen(ctx.ports.store, number, replace(job, head_sha=run.head_sha)):
        return
    now = ctx.ports.clock.now()
    await ctx.ports.queue.put(Run(_looking(run, number, run.head_sha[:12], sender, now), updated_at=now))


async def find_failed(ports: Ports, github: GitHub, run: Run) -> Job | None:
    """The job that looks into the checks of an ended run's open pull request, where one fails that no run has seen."""
    pull = await github.pulls.pull(run.pull_request.number) if run.pull_request is not None else None
    if pull is None or not (pull.is_ours and pull.is_open) or pull.head_sha != run.head_sha:
        return None
    looks = await find_check_runs_seen(ports.store, pull.number, replace(run.job, head_sha=run.head_sha))
    if any(look.status is not Status.COMPLETED for look in looks):
        return None
    seen = {number for look in looks for number in look.diagnosis.seen}
    failed = {
        str(each.id) for each in await github.pulls.checks(run.head_sha) if each.is_failed and each.id not in seen
    }
    if not looks:
        suites = await github.pulls.suites(run.head_sha)
        failed |= {f"{suite.app_name} {suite.conclusion}" for suite in suites if suite.is_halted}
    if not failed:
        return None
    # The same failures are the same job, however often they are found.
    key = hashlib.sha256(f"{run.head_sha} {sorted(failed)}".encode()).hexdigest()[:12]
    sender = Person(await github.login(), 0, is_bot=True)
    return _looking(run, pull.number, key, sender, ports.clock.now())


def _looking(run: Run, number: int, key: str, sender: Person, now: datetime) -> Job:
    job = run.job
    looking = checks_job(job.repo, number, key, branch=run.branch, head_sha=run.head_sha, now=now)
    return replace(looking, installation_id=job.installation_id, sender=sender, is_private=job.is_private)


async def find_check_runs_seen(store: Store, number: int, job: Job) -> list[Run]:
    """The runs of the pull request `number` that looked into the checks of the job's commit, or are about to."""
    runs = store.runs_of(job.repo, number=number)
    return [run async for run in runs if (run.job.source, run.job.head_sha) == (Source.CHECKS, job.head_sha)]


async def _find_number(ctx: RunContext, job: Job) -> int | None:
    """The number of the open pull request whose head the commit is. What the branch's own run opened needs no look-up;
    else by the branch, as GitHub's list of a commit's pull requests leaves out what was opened a moment ago."""
    async for run in ctx.ports.store.runs_of(job.repo, branch=job.branch):
        if run.head_sha == job.head_sha and run.pull_request is not None:
            return run.pull_request.number
    pull = await ctx.github.pull_request(job.branch)
    return pull.number if pull is not None and pull.head_sha == job.head_sha else None


def _note_of(repo: str, sha: str) -> str:
    """The name of the note that checks of a commit failed."""
    return f"failed checks {repo} {sha}"
