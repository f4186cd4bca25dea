"""A check failed on our own pull request: whose fault is it, and what is done about it?

    no pull request named ──(it is looked up)──▶ passed on to a job of the pull request's, or nothing is said
    not ours, pushed since, a person's commit, nobody who answers for it ──▶ nothing is said
    cancelled, stale, waiting for approval, never started ──▶ said, no work
    fails on base too ──▶ said, and left alone
    else run again ──(waits, holding no worker)──▶ passes: flaky, said
                                              └──▶ fails: mended on the branch, unless that was tried often enough

Who started the branch's last run answers for it: by their role and within the budget, as if they had asked.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeAlias

from app.core.errors import GitHubError, OutsideError, RepositoryGone, RetryLater
from app.core.escape import code, last_lines
from app.core.evidence import find_evidence
from app.core.job import STARTING, Source
from app.core.pull import Check, Pull
from app.core.run import Conclusion, Failure, Run
from app.core.sanitize import disarm, plain
from app.runs.admit import check_has_role, let_in
from app.runs.failed_checks import find_looks, pass_on
from app.runs.money import reserve
from app.runs.who import role_of
from app.runs.work import Work

PATIENCE: Final = timedelta(minutes=45)
"""How long the end of a re-run is waited for."""
LONGEST_S: Final = 30.0
MAX_CHECKS: Final = 10
LISTED_WITHIN: Final = timedelta(seconds=20)
"""GitHub may tell of a check some seconds before it lists it."""
LATE: Final = "and a second run did not end in time"
NAME_CHARS: Final = 80
EXCERPT_CHARS: Final = 2_000
_PASSED: Final = frozenset({"success", "neutral", "skipped"})

Ending: TypeAlias = tuple[Conclusion, str]
QUIET: Final[Ending] = (Conclusion.NEUTRAL, "Nothing to do")
NO_ACCESS: Final = (
    "A check failed here, and I may not read checks in this repository. Whoever may configure the installed App can "
    "accept the permissions that it asks for (Checks: read, Actions: write) in the settings, under GitHub Apps."
)
HALTS: Final = {
    "startup_failure": "could not start the checks of {sha}, usually because of a mistake in a workflow file.",
    "cancelled": "was cancelled on {sha}. Run it again if that was not on purpose.",
    "stale": "did not finish on {sha}, and GitHub gave up waiting for it.",
    "action_required": "waits on {sha} until someone approves it or does what it asks for.",
}


async def look_into(work: Work) -> Ending | None:
    """Find out what is to be done; None: go on with the stages, what fails is told to the model.

    Raises:
        RetryLater: a check was asked to run again and has not ended.
        Refused, UserError, LimitReached: as when somebody asks for work.
    """
    run = work.run
    if run.job.number is None:
        await pass_on(work)
        return QUIET
    pull = await work.github.pulls.pull(run.job.number)
    if run.stages and pull is not None:
        # An earlier attempt has begun to mend.
        await _let_in(work, pull)
        await tell(work)
        return None
    if pull is None or not (pull.is_ours and pull.is_open and not pull.is_fork and pull.head_sha == run.job.head_sha):
        return QUIET
    try:
        return await (_look(work, pull) if run.diagnosis.asked_at is None else _look_again(work, pull))
    except GitHubError as error:
        if error.status != 403 or error.is_passing or isinstance(error, RepositoryGone):
            raise
        await _find(work, NO_ACCESS)
        return Conclusion.NEUTRAL, "I may not read checks here"


async def _look(work: Work, pull: Pull) -> Ending | None:
    asker, _ = await _before(work)
    commits = await work.github.commits(pull.base, pull.head)
    if asker is None or not commits or pull.author is None or commits[-1].author != pull.author.login:
        return QUIET
    await work.progress.save(job=replace(work.run.job, sender=asker.job.sender), as_of=asker.text_at)
    await _let_in(work, pull)
    looks = [run for run in await find_looks(work.ports.store, pull.number, work.run.job) if run.id != work.run.id]
    halted = await _tell_halted(work, pull, looks)
    all_failed = [check for check in await work.github.pulls.checks(pull.head_sha) if check.is_failed]
    if not all_failed and not halted and work.ports.clock.now() - work.run.job.created_at < LISTED_WITHIN:
        raise RetryLater("GitHub to list the checks", work.options.intervals.check_list_s, steps_aside=True)
    seen = {number for look in looks for number in look.diagnosis.seen}
    failed = [check for check in all_failed if check.id not in seen]
    if not failed or not work.config.ci_fix_attempts:
        return (Conclusion.NEUTRAL, halted) if halted else QUIET
    await _note_seen(work, failed)
    on_base = await _failed_on_base(work, pull, asker.base_sha)
    rest = [check for check in failed if _key(check) not in on_base]
    if len(rest) < len(failed):
        names = _names([check for check in failed if _key(check) in on_base])
        await _find(work, f"{names} failed, but on {code(pull.base)} too, so I leave it.")
    if not rest:
        return Conclusion.NEUTRAL, "It fails on the base branch too"
    return await _ask_again(work, pull, rest)


async def _tell_halted(work: Work, pull: Pull, looks: list[Run]) -> str:
    """Say which suites did not run to their end; in a few words, empty when all did or it was said before."""
    halted = dict.fromkeys(suite for suite in await work.github.pulls.suites(pull.head_sha) if suite.is_halted)
    told = {finding for look in looks for finding in look.diagnosis.findings}
    sentences = {
        f"{code(_shorten(suite.app_name) or 'a check')} {HALTS[suite.conclusion]}".format(sha=f"`{pull.head_sha[:7]}`")
        for suite in halted
    } - told
    for sentence in sorted(sentences):
        await _find(work, sentence)
    return "Checks did not run to their end" if sentences else ""


async def _note_seen(work: Work, failed: list[Check]) -> None:
    diagnosis = work.run.diagnosis
    seen = tuple(dict.fromkeys((*diagnosis.seen, *(check.id for check in failed))))
    await work.progress.save(diagnosis=replace(diagnosis, seen=seen))


async def _ask_again(work: Work, pull: Pull, failed: list[Check]) -> Ending | None:
    """Have run again what can be; the rest needs no waiting for."""
    asked = [check.id for check in failed if await work.github.pulls.rerun(check)]
    now = work.ports.clock.now()
    diagnosis = replace(work.run.diagnosis, failed=tuple(failed[:MAX_CHECKS]), asked=tuple(asked), asked_at=now)
    await work.progress.save(diagnosis=diagnosis)
    if asked:
        raise RetryLater("the checks run again", work.options.intervals.rerun_s, steps_aside=True)
    return await _mend(work, pull, failed, "and could not be run again")


async def _look_again(work: Work, pull: Pull) -> Ending | None:
    said, now = work.run.diagnosis, work.ports.clock.now()
    current = await work.github.pulls.checks(pull.head_sha)
    failing: list[Check] = []
    flaky: list[Check] = []
    waited = now - (said.asked_at or now)
    for check in said.failed:
        again = [each for each in current if _key(each) == _key(check)]
        if check.id in said.asked and (not again or any(each.id == check.id or not each.conclusion for each in again)):
            if waited < PATIENCE:
                delay_s = min(LONGEST_S, max(work.options.intervals.rerun_s, waited.total_seconds() / 4))
                raise RetryLater("the checks run again", delay_s, steps_aside=True)
            again = []
        has_passed = check.id in said.asked and again and all(each.conclusion in _PASSED for each in again)
        if has_passed:
            flaky.append(check)
        else:
            failing.append(next((each for each in again if each.is_failed), check))
    if flaky:
        await _find(
            work,
            f"{_names(flaky)} failed, then passed when run again on the same commit "
            f"(`{pull.head_sha[:7]}`): flaky. I changed nothing.",
        )
    if not failing:
        return Conclusion.NEUTRAL, "Flaky"
    has_waited_long = waited >= PATIENCE
    return await _mend(work, pull, failing, LATE if has_waited_long else "also when run again")


async def _mend(work: Work, pull: Pull, failing: list[Check], how: str) -> Ending | None:
    """Have the stages mend it, or leave it to people. `how` goes on a sentence about the failure."""
    fixes = await _let_in(work, pull)
    most = work.config.ci_fix_attempts
    await work.progress.save(diagnosis=replace(work.run.diagnosis, failed=tuple(failing[:MAX_CHECKS]), asked=()))
    await _note_seen(work, failing)
    await _find(work, f"{_names(failing)} failed on `{pull.head_sha[:7]}`, {how}.")
    await tell(work)
    if fixes >= most:
        times = "once" if fixes == 1 else f"{fixes} times"
        words = (
            f"I tried {times} to mend this, and it still fails. Over to you: `/vibecode` with a hint starts me again."
        )
        excerpt = last_lines(work.failing[0][1], EXCERPT_CHARS)
        await work.progress.save(failure=Failure("checks", words, excerpt=excerpt))
        return Conclusion.FAILURE, words
    await reserve(work)
    return None


async def _let_in(work: Work, pull: Pull) -> int:
    """Let in whoever answers for the branch, on that branch; how often checks were mended since they asked."""
    asker, fixes = await _before(work)
    asked = asker.job if asker is not None else work.run.job
    role = await role_of(work, asked)
    check_has_role(asked, role)
    await let_in(work, role, pull)
    return fixes


async def _before(work: Work) -> tuple[Run | None, int]:
    """The branch's last run that a person asked for, and in how many since then checks were mended."""
    job, fixes = work.run.job, 0
    async for run in work.ports.store.runs_of(job.repo, branch=job.branch):
        if run.id == job.id:
            continue
        if run.job.source is Source.CHECKS:
            fixes += bool(run.stages)
        elif run.job.command.verb in STARTING and run.conclusion is not Conclusion.SKIPPED:
            return run, fixes
    return None, fixes


async def _failed_on_base(work: Work, pull: Pull, start: str) -> frozenset[tuple[str, str]]:
    """What fails on the base branch's head, or where our branch began (`start`)."""
    head = await work.github.head(pull.base)
    keys: set[tuple[str, str]] = set()
    for sha in {head or "", start} - {""}:
        checks = await work.github.pulls.checks(sha)
        keys |= {_key(check) for check in checks if check.is_failed}
        # Where two workflows have a check of one name, nobody knows which is meant.
        keys -= {_key(check) for check in checks if check.conclusion in _PASSED}
    return frozenset(keys)


async def tell(work: Work) -> None:
    """Let the model know of what fails, if anything does: of each log the part that matters."""
    work.failing = tuple([(_name(check), await _log(work, check)) for check in work.run.diagnosis.failed])


async def _log(work: Work, check: Check) -> str:
    try:
        log = await work.github.pulls.check_log(check)
    except OutsideError as error:
        if error.is_passing:
            raise
        log = ""
    return disarm(plain(work.redactor.redact(find_evidence(log or check.text))))


async def _find(work: Work, sentence: str) -> None:
    """Put a finding on record, for people."""
    said = work.run.diagnosis
    if sentence not in said.findings:
        await work.progress.save(diagnosis=replace(said, findings=(*said.findings, work.redactor.redact(sentence))))


def _key(check: Check) -> tuple[str, str]:
    return check.app, check.name


def _name(check: Check) -> str:
    return _shorten(check.name) or "a check"


def _shorten(name: str) -> str:
    return " ".join(plain(name).split())[:NAME_CHARS]


def _names(checks: list[Check]) -> str:
    names = list(dict.fromkeys(code(_name(check)) for check in checks[:MAX_CHECKS]))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
