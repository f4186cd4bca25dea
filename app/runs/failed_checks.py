"""From failed checks to the pull request: whichever of the two is there first.

Checks of a push may fail before the run that pushed has opened its pull request. Each side writes before it looks, so
that one of them sees the other:

    checks fail   note the commit ──▶ is there a pull request? ──▶ a job of its thread
    a run ends    open the pull request ──▶ is its commit noted, or does a check fail there already? ──▶ the same
"""

import hashlib
import logging
from dataclasses import replace
from datetime import datetime

from app.core.errors import GitHubError
from app.core.job import Job, Person, Source, job_id
from app.core.ports import GitHub, Ports
from app.core.records import Store
from app.core.run import Run, Status
from app.core.triggers import checks_job
from app.runs.work import Work

log = logging.getLogger(__name__)


async def pass_on(work: Work) -> None:
    """Make the job of a commit's checks one of the pull request whose head the commit is, if there is one."""
    job = work.run.job
    await work.ports.store.note(_note_of(job.repo, job.head_sha), job.id)
    number = await _find_number(work, job)
    if number is not None:
        key = job.id.rpartition("~")[2]
        numbered = replace(job, id=job_id(job.repo, number, Source.CHECKS, key), number=number, is_pull_request=True)
        await work.ports.queue.put(Run(numbered, updated_at=work.ports.clock.now()))


async def look_once_open(work: Work) -> None:
    """Put the job that looks into the checks of the pull request just opened or pushed to, if one failed already. Those
    that end later are delivered."""
    run, job = work.run, work.run.job
    if run.pull_request is None or not run.head_sha:
        return
    number, pulls = run.pull_request.number, work.github.pulls
    try:
        is_told = bool(await work.ports.store.recall(_note_of(job.repo, run.head_sha)))
        is_told = is_told or any(check.is_failed for check in await pulls.checks(run.head_sha))
        if not is_told and not any(suite.is_halted for suite in await pulls.suites(run.head_sha)):
            return
        sender = Person(await work.github.login(), 0, is_bot=True)
    except GitHubError as error:
        log.warning("checks not looked at", extra={"reason": str(error)})
        return
    if await find_looks(work.ports.store, number, replace(job, head_sha=run.head_sha)):
        return
    now = work.ports.clock.now()
    await work.ports.queue.put(Run(_looking(run, number, run.head_sha[:12], sender, now), updated_at=now))


async def find_failed(ports: Ports, github: GitHub, run: Run) -> Job | None:
    """The job that looks into the checks of an ended run's open pull request, where one fails that no run has seen."""
    pull = await github.pulls.pull(run.pull_request.number) if run.pull_request is not None else None
    if pull is None or not (pull.is_ours and pull.is_open) or pull.head_sha != run.head_sha:
        return None
    looks = await find_looks(ports.store, pull.number, replace(run.job, head_sha=run.head_sha))
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


async def find_looks(store: Store, number: int, job: Job) -> list[Run]:
    """The runs of the pull request `number` that looked into the checks of the job's commit, or are about to."""
    runs = store.runs_of(job.repo, number=number)
    return [run async for run in runs if (run.job.source, run.job.head_sha) == (Source.CHECKS, job.head_sha)]


async def _find_number(work: Work, job: Job) -> int | None:
    """The number of the open pull request whose head the commit is. What the branch's own run opened needs no look-up;
    else by the branch, as GitHub's list of a commit's pull requests leaves out what was opened a moment ago."""
    async for run in work.ports.store.runs_of(job.repo, branch=job.branch):
        if run.head_sha == job.head_sha and run.pull_request is not None:
            return run.pull_request.number
    pull = await work.github.pull_request(job.branch)
    return pull.number if pull is not None and pull.head_sha == job.head_sha else None


def _note_of(repo: str, sha: str) -> str:
    """The name of the note that checks of a commit failed."""
    return f"failed checks {repo} {sha}"
