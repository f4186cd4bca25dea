"""Finds requests whose deliveries were lost and that GitHub's log no longer has.

    label, label:plan                    on open issues that changed
    comments, reviews, line comments     since the round before the last one began
    checks, statuses                     that fail at the head of an open pull request of the bot's

One worker of the deployment sweeps. It visits the installations in turn and reads a small slice of each, so that none
holds up another:

    installation   a round of its own, every half hour at most; paused for as long as its rate limit asks for
    slice          some of its repositories, with one token that can write nothing, within the sweep's `Allowance`
    repository     one conditional request where nothing changed, which GitHub does not count

All places and ETags are kept in the store, so that any worker goes on where the last one was. A round never looks
further back than our record of requests reaches. What is in that record is not started again, however it ended; if the
record is lost, neither is a command from before, nor a label that our own comment says was dealt with.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from app.core.errors import GitHubError, OutsideError
from app.core.inbound.events import CommentCreated
from app.core.inbound.triggers import (
    COMMAND_MISSED,
    PLAN_SUFFIX,
    LabelledIssue,
    RecentActivity,
    decide,
    job_of_missed_label,
    moment_key,
)
from app.core.policy import repo_config
from app.core.policy.rate_allowance import Allowance
from app.core.policy.repo_config import RepoConfig
from app.core.ports.bundle import Ports
from app.core.ports.github import GitHub, Reader
from app.core.run.job import STARTING, Command, Job, Source, Verb, job_id
from app.core.run.run import Run, Status
from app.runs.follow_up.ci_failures import find_failed
from app.runs.intake.authorization import read_config_or_default
from app.text.comment import ENDED, marker_of

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=30)
LOOK_BACK: Final = timedelta(days=6)
"""Less than the seven days for which the ids of requests are remembered."""
AT_ONCE: Final = 50
"""Requests in one slice. With ten seconds between two, a third of the 900 points a minute that GitHub allows."""
VISITS: Final = 500
"""Installations in one go; most of them are not due."""
GO_S: Final = 60.0
HOLD_S: Final = 180.0
"""How long after a sweeper died another one takes over: longer than one repository takes at most."""
REPO_S: Final = 120.0
PAUSE: Final = timedelta(minutes=5)
"""After failures that ask for no certain wait."""
MAX_FAILURES: Final = 3
"""In a row, before an installation is paused."""
MAX_RUNS: Final = 100
"""The newest runs of a repository, whose pull requests' checks are looked at."""
KEPT_PAGES: Final = 1_000
"""Pages of 100 repositories of an installation whose ETags are kept: about 12 kB each."""
MAX_ETAG_CHARS: Final = 100
_NOTE: Final = "sweep"
_TOLD_APART: Final = timedelta(seconds=5)
T = TypeVar("T")


@dataclass(slots=True)
class Circuit:
    """The installations in the order in which they are visited; `position` is the next. `first_at` is when the first
    sweep of all began: of commands before that there may have been a record that is lost.

    They are listed anew every half hour: `found` are those of the pages before `page`, while that goes on.
    """

    first_at: datetime
    listed_at: datetime | None = None
    page: str = ""
    found: list[int] = field(default_factory=list)
    installations: list[int] = field(default_factory=list)
    position: int = 0


@dataclass(slots=True)
class SweepPosition:
    """How far the round of one installation has come: the first `done` repositories of `page` were read.

    `since` bounds what this round looks at; `last_at` is when the one before began. `is_partial`: something could not
    be read. It goes on at `resume_at`. `refused_at` is the place where a limit stopped it last.
    """

    began_at: datetime
    since: datetime
    last_at: datetime | None = None
    is_over: bool = False
    is_partial: bool = False
    page: str = ""
    pages: int = 0
    done: int = 0
    failures: int = 0
    resume_at: datetime | None = None
    refused_at: str = ""
    allowance: Allowance = field(default_factory=Allowance)


@dataclass(slots=True)
class Kept:
    """A page of an installation's repositories as GitHub told it last, each with the ETag of its threads."""

    etag: str = ""
    cursor: str = ""
    repos: dict[str, str] = field(default_factory=dict)


_CIRCUIT: Final = TypeAdapter(Circuit)
_POSITION: Final = TypeAdapter(SweepPosition)
_KEPT: Final = TypeAdapter(Kept)


@dataclass(slots=True)
class _Sweep:
    """One go. `put` counts the jobs."""

    ports: Ports
    label: str
    holder: str
    is_due: bool
    first_at: datetime
    put: int = 0

    async def is_resumable(self) -> bool:
        return self.is_due or await self.ports.store.claim(_NOTE, ttl_s=HOLD_S, holder=self.holder)


@dataclass(frozen=True, slots=True)
class _Look:
    """One repository, and what is new there."""

    ports: Ports
    github: GitHub
    installation_id: int
    config: RepoConfig
    label: str
    since: datetime
    first_at: datetime
    recent: RecentActivity


async def sweep(ports: Ports, *, label: str, holder: str = "", is_due: bool = False) -> int:
    """Read on for a minute at most, if no other `holder` sweeps; or begin a round everywhere when it `is_due`. The
    number of jobs put."""
    if not is_due and not await ports.store.claim(_NOTE, ttl_s=HOLD_S, holder=holder):
        return 0
    circuit = _decode(_CIRCUIT, await ports.store.recall(_NOTE)) or Circuit(ports.clock.now())
    go = _Sweep(ports, label, holder, is_due, circuit.first_at)
    try:
        await _list_installations(go, circuit)
        until = ports.clock.monotonic() + GO_S
        for _ in range(min(len(circuit.installations), VISITS)):
            circuit.position %= len(circuit.installations)
            await _visit(go, circuit.installations[circuit.position])
            circuit.position += 1
            if ports.clock.monotonic() > until or not await go.is_resumable():
                break
    finally:
        await ports.store.note(_NOTE, _CIRCUIT.dump_json(circuit).decode())
    return go.put


async def _list_installations(go: _Sweep, circuit: Circuit) -> None:
    """Those that are known are swept also while the App's own limit, or an outage, lets none be listed."""
    now = go.ports.clock.now()
    if not go.is_due and circuit.listed_at is not None and now - circuit.listed_at < EVERY:
        return
    try:
        while True:
            listing = await go.ports.github.installed(circuit.page)
            circuit.found += listing.items
            circuit.page = listing.cursor
            if not circuit.page:
                break
    except GitHubError as error:
        if not circuit.installations:
            raise
        log.warning("installations not listed", extra={"reason": str(error)})
        return
    circuit.installations, circuit.found, circuit.listed_at = list(dict.fromkeys(circuit.found)), [], now


async def _visit(go: _Sweep, installation_id: int) -> None:
    """Read a slice of one installation if it is due. What fails there pauses this one alone."""
    store, now, name = go.ports.store, go.ports.clock.now(), f"{_NOTE} {installation_id}"
    place = _next_round(_decode(_POSITION, await store.recall(name)), now, is_due=go.is_due)
    if place.is_over or (place.resume_at is not None and place.resume_at > now):
        return
    place.resume_at = None
    try:
        async with go.ports.github.read(installation_id, place.allowance) as reader:
            while not place.is_over and reader.sent < AT_ONCE and await go.is_resumable():
                await _read_page(go, reader, installation_id, place)
    except GitHubError as error:
        told = {"installation": installation_id, "reason": str(error)}
        if error.is_passing:
            wait = PAUSE if error.retry_after_s is None else timedelta(seconds=error.retry_after_s)
            place.resume_at = go.ports.clock.now() + wait
            log.info("sweep of an installation paused", extra=told)
        else:
            place.is_over = True
            log.warning("installation not swept", extra=told)
    finally:
        await store.note(name, _POSITION.dump_json(place).decode())


def _next_round(place: SweepPosition | None, now: datetime, *, is_due: bool) -> SweepPosition:
    if place is None:
        return SweepPosition(now, now - LOOK_BACK)
    if is_due:
        return SweepPosition(now, place.since)
    if not place.is_over or now - place.began_at < EVERY:
        return place
    if place.is_partial:
        return SweepPosition(now, max(place.since, now - LOOK_BACK), place.last_at, allowance=place.allowance)
    since = max(place.last_at or place.since, now - LOOK_BACK)
    return SweepPosition(now, since, place.began_at, allowance=place.allowance)


async def _read_page(go: _Sweep, reader: Reader, installation_id: int, place: SweepPosition) -> None:
    """Read the rest of a page, or as much of it as still goes into the slice."""
    name = f"{_NOTE} {installation_id} {place.page}"
    kept = _decode(_KEPT, await go.ports.store.recall(name)) or Kept()
    found = await reader.repositories(place.page, etag=kept.etag)
    if found is not None:
        kept = Kept(_short(found.etag), found.cursor, {repo: kept.repos.get(repo, "") for repo in found.items})
    try:
        for repo in list(kept.repos)[place.done :]:
            if reader.sent >= AT_ONCE or not await go.is_resumable():
                return
            await _read_repo(go, reader.repository(repo), installation_id, place, kept)
    finally:
        if place.pages < KEPT_PAGES:
            await go.ports.store.note(name, _KEPT.dump_json(kept).decode())
    place.page, place.done, place.is_over = kept.cursor, 0, not kept.cursor
    place.pages += 1


async def _read_repo(go: _Sweep, github: GitHub, installation_id: int, place: SweepPosition, kept: Kept) -> None:
    """Put the jobs of one repository. A limit is raised, and the place read again after it, but only once: what takes
    more than an hour's allowance is passed over. What else fails is left to the next round."""
    try:
        async with asyncio.timeout(REPO_S):
            jobs, etag = await _find_jobs(go, github, installation_id, place.since, kept.repos[github.repo])
    except (OutsideError, TimeoutError) as error:
        await _note_failure(github.repo, place, error)
        return
    for job in jobs:
        if await go.ports.queue.put(Run(job=job, updated_at=go.ports.clock.now())):
            go.put += 1
            log.info("lost request found", extra={"job_id": job.id})
    kept.repos[github.repo] = _short(etag)
    place.done, place.failures = place.done + 1, 0


async def _note_failure(repo: str, place: SweepPosition, error: OutsideError | TimeoutError) -> None:
    here = f"{place.page} {place.done}"
    if isinstance(error, OutsideError) and error.retry_after_s is not None and place.refused_at != here:
        place.refused_at = here
        raise error
    is_passing = isinstance(error, TimeoutError) or error.is_passing
    log.warning("repository not swept", extra={"repo": repo, "reason": str(error) or "it took too long"})
    place.done += 1
    place.is_partial = place.is_partial or is_passing
    place.failures += is_passing
    if place.failures >= MAX_FAILURES:
        place.failures = 0
        raise GitHubError(f"{MAX_FAILURES} repositories in a row could not be read.") from error


async def _find_jobs(
    go: _Sweep, github: GitHub, installation_id: int, since: datetime, etag: str
) -> tuple[list[Job], str]:
    """What was lost in a repository, and the ETag of its threads."""
    former = repo_config.decode_former(await go.ports.store.recall(repo_config.name_of_former(github.repo)))
    if former is not None:  # what was asked for before is on record under that name
        since = max(since, former[1] + _TOLD_APART)
    recent = await github.recent(since, etag)
    is_known = bool(await go.ports.store.recall(repo_config.config_note_name(github.repo)))
    is_quiet = recent is None or not (recent.labels or recent.events)
    config = RepoConfig() if is_quiet and is_known else await read_config_or_default(go.ports, github)
    label = config.label or go.label
    look = _Look(go.ports, github, installation_id, config, label, since, go.first_at, recent or RecentActivity())
    jobs = [job for find in KINDS for job in await find(look)]
    return jobs, etag if recent is None else recent.etag


async def _find_labelled(look: _Look) -> list[Job]:
    """The jobs of labels that no run came of. An issue that has a pull request of ours had a run."""
    jobs, github, now = [], look.github, look.ports.clock.now()
    for name, verb in ((look.label, Verb.START), (f"{look.label}{PLAN_SUFFIX}", Verb.PLAN)):
        if name.casefold() not in look.recent.labels:
            continue
        for found in await github.labelled(name, look.since):
            if found.labelled_at < look.since or await _is_answered(look, found):
                continue
            if await github.issue_pull_request(found.number, is_open=False) is None:
                jobs.append(
                    job_of_missed_label(
                        found, repo=github.repo, installation_id=look.installation_id, now=now, verb=verb
                    )
                )
    return jobs


async def _is_answered(look: _Look, found: LabelledIssue) -> bool:
    """Whether a run came of the label: by our record, or by what our comment on the issue says of its end. The label's
    moment may differ by some seconds from the one that its delivery told."""
    repo, number = look.github.repo, found.number
    latest = await look.ports.store.latest(repo, number)
    if latest is not None and latest.job.moment >= found.labelled_at - _TOLD_APART:
        return True
    apart_s = round(_TOLD_APART.total_seconds())
    moments = [found.labelled_at + timedelta(seconds=seconds) for seconds in range(-apart_s, apart_s + 1)]
    markers = [marker_of(job_id(repo, number, Source.LABEL, moment_key(moment))) for moment in moments]
    return any(ENDED in line and any(marker in line for marker in markers) for line in found.answers)


async def _find_said(look: _Look) -> list[Job]:
    """The jobs of comments, reviews and line comments that we have no record of."""
    jobs, first_at = [], max(look.since, look.first_at - _TOLD_APART)
    for event in look.recent.events:
        now = look.ports.clock.now()
        job = decide(event, delivery_id="", label=look.label, now=now, bots=look.config.bots)
        if job is None or job.moment < first_at or await look.ports.store.load(job.id) is not None:
            continue
        # Nobody knows what an issue said when the command was written once it has changed since: then nothing starts.
        has_changed = isinstance(event, CommentCreated) and event.issue.updated_at > job.moment + _TOLD_APART
        if has_changed and not job.is_pull_request and job.command.verb in STARTING:
            job = replace(job, command=Command(Verb.UNREADABLE, problem=COMMAND_MISSED))
        jobs.append(job)
    return jobs


async def _find_checks(look: _Look) -> list[Job]:
    """The jobs of checks that fail on pull requests which our record names: without it nobody answers for them."""
    newest: dict[str, Run] = {}
    for run in (await look.ports.store.list(repo=look.github.repo, limit=MAX_RUNS)).runs:
        if run.branch and run.head_sha and run.pull_request is not None:
            newest.setdefault(run.branch, run)
    oldest = look.ports.clock.now() - LOOK_BACK
    ended = [
        run
        for run in newest.values()
        if run.status is Status.COMPLETED and run.updated_at is not None and run.updated_at > oldest
    ]
    try:
        found = [await find_failed(look.ports, look.github, run) for run in ended]
    except GitHubError as error:
        if error.status != 403 or error.is_passing:
            raise
        log.info("checks not swept", extra={"repo": look.github.repo, "reason": str(error)})
        return []
    return [replace(job, installation_id=look.installation_id) for job in found if job is not None]


KINDS: Final[tuple[Callable[[_Look], Awaitable[list[Job]]], ...]] = (_find_labelled, _find_said, _find_checks)


def _short(etag: str) -> str:
    return etag if len(etag) <= MAX_ETAG_CHARS else ""


def _decode(adapter: TypeAdapter[T], text: str) -> T | None:
    try:
        return adapter.validate_json(text) if text else None
    except ValidationError as error:
        log.warning("a note on the sweep cannot be read", extra={"reason": str(error)})
        return None
