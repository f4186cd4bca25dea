"""Finds what nobody told us of: labels and commands whose deliveries were lost, and that GitHub's log no longer has.

    a round     every installation, page by page of its repositories; begun every half hour, ended when all were read
    a slice     the next few repositories of the round, every ten seconds, by one worker of the deployment

The place in the round is kept in the store, so that any worker goes on with it. A round looks at what changed since the
round before the last one began (pages of a list shift while it is read), never further back than our record of requests
reaches. What is in that record is not started again, however it ended.
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from app.core import known
from app.core.errors import GitHubError, OutsideError, StoreError, UserError
from app.core.events import CommentCreated
from app.core.job import STARTING, Command, Job, Verb
from app.core.ports import GitHub, Listing, Ports
from app.core.run import Run
from app.core.triggers import PLAN_SUFFIX, TOO_LATE_COMMENT, catch_up, decide
from app.runs.who import read_config

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=30)
LOOK_BACK: Final = timedelta(days=6)
"""Less than the seven days for which the ids of requests are remembered."""
AT_ONCE: Final = 50
"""Repositories in one slice: at two to five points each, well below GitHub's 900 points a minute."""
_NOTE: Final = "sweep"
_SLICE_S: Final = 5.0
_TOLD_APART: Final = timedelta(seconds=5)


@dataclass(slots=True)
class Place:
    """How far the sweep has come. `since` bounds what this round looks at; `last_at` is when the one before began, and
    `first_at` the first of all: of commands before that there may have been a record that is lost.

    `installations` are those still to be read of the page before `page`; the first of them is read from page `repos` of
    its repositories on, of which `done` were read. `is_partial`: something could not be read in this round.
    """

    began_at: datetime
    since: datetime
    first_at: datetime
    last_at: datetime | None = None
    is_over: bool = False
    is_listed: bool = False
    is_partial: bool = False
    page: str = ""
    installations: list[int] = field(default_factory=list)
    repos: str = ""
    done: int = 0


_PLACE: Final = TypeAdapter(Place)


async def sweep(ports: Ports, *, label: str, is_due: bool = False) -> int:
    """Read the next slice of the round, or begin the next one when it is time or `is_due`; the number of jobs put."""
    if not await ports.store.claim("sweep", ttl_s=_SLICE_S) and not is_due:
        return 0
    now = ports.clock.now()
    before = _decode(await ports.store.recall(_NOTE))
    place = _next_round(before, now) if before is None or not is_due else Place(now, before.since, before.first_at)
    if place.is_over:
        return 0
    try:
        return await _read_slice(ports, label, place)
    finally:
        await ports.store.note(_NOTE, _PLACE.dump_json(place).decode())


def _next_round(place: Place | None, now: datetime) -> Place:
    if place is None:
        return Place(now, now - LOOK_BACK, now)
    if not place.is_over or now - place.began_at < EVERY:
        return place
    if place.is_partial:
        return Place(now, max(place.since, now - LOOK_BACK), place.first_at, place.last_at)
    return Place(now, place.last_at or place.since, place.first_at, place.began_at)


async def _read_slice(ports: Ports, label: str, place: Place) -> int:
    put, left = 0, AT_ONCE
    while left > 0:
        if not place.installations:
            if place.is_listed:
                place.is_over = True
                return put
            found = await ports.github.installed(place.page)
            place.installations, place.page, place.is_listed = list(found.items), found.cursor, not found.cursor
            place.repos, place.done = "", 0
            left -= 1
            continue
        installation_id = place.installations[0]
        repos = await _list(ports, installation_id, place)
        for repo in repos.items[place.done :][:left]:
            put += await _sweep_repo(ports, label, place, installation_id, repo)
            place.done += 1
            left -= 1
        if place.done >= len(repos.items):
            place.repos, place.done, left = repos.cursor, 0, left - 1
            if not repos.cursor:
                del place.installations[0]
    return put


async def _list(ports: Ports, installation_id: int, place: Place) -> Listing[str]:
    """A page of an installation's repositories; none where it has just been suspended or removed."""
    try:
        return await ports.github.repositories_of(installation_id, place.repos)
    except GitHubError as error:
        if error.is_passing:
            raise
        log.warning("installation not swept", extra={"installation": installation_id, "reason": str(error)})
        return Listing(())


async def _sweep_repo(ports: Ports, label: str, place: Place, installation_id: int, repo: str) -> int:
    """The number of jobs put. What is refused for a limit ends the slice; what else fails is left to the next round."""
    try:
        async with ports.github.open(installation_id, repo, is_read_only=True) as github:
            jobs = await _find_jobs(ports, github, label, place, installation_id)
    except StoreError:
        raise
    except OutsideError as error:
        if error.retry_after_s is not None:
            raise
        place.is_partial = place.is_partial or error.is_passing
        log.warning("repository not swept", extra={"repo": repo, "reason": str(error)})
        return 0
    put = 0
    for job in jobs:
        if await ports.queue.put(Run(job=job, updated_at=ports.clock.now())):
            put += 1
            log.info("lost request found", extra={"job_id": job.id})
    return put


async def _find_jobs(ports: Ports, github: GitHub, label: str, place: Place, installation_id: int) -> list[Job]:
    recent = await github.recent(place.since, installation_id)
    is_known = bool(await ports.store.recall(known.name_of(github.repo)))
    if recent is None and is_known:
        return []
    own = await _own_label(ports, github) or label
    if recent is None:
        return []
    jobs = []
    for name, verb in ((own, Verb.START), (f"{own}{PLAN_SUFFIX}", Verb.PLAN)):
        if name.casefold() in recent.labels:
            jobs += await _labelled(ports, github, place, name, verb, installation_id)
    for event in recent.comments:
        job = decide(event, delivery_id="", label=own, now=ports.clock.now())
        is_ours = job is not None and job.moment >= max(place.since, place.first_at - _TOLD_APART)
        if job is not None and is_ours and await ports.store.load(job.id) is None:
            jobs.append(_as_it_stands(job, event))
    return jobs


async def _labelled(
    ports: Ports, github: GitHub, place: Place, name: str, verb: Verb, installation_id: int
) -> list[Job]:
    """The jobs of labels that no run came of. An issue that has a pull request of ours had a run."""
    jobs = []
    for found in await github.labelled(name):
        latest = await ports.store.latest(github.repo, found.number)
        is_answered = latest is not None and latest.job.moment >= found.labelled_at - _TOLD_APART
        if found.labelled_at < place.since or is_answered:
            continue
        if await github.issue_pull_request(found.number, is_open=False) is None:
            now = ports.clock.now()
            jobs.append(catch_up(found, repo=github.repo, installation_id=installation_id, now=now, verb=verb))
    return jobs


def _as_it_stands(job: Job, event: CommentCreated) -> Job:
    """Nobody knows what the thread said when the comment was written once it has changed since: then nothing starts."""
    has_changed = event.issue.updated_at > job.moment + _TOLD_APART
    if job.command.verb not in STARTING or not has_changed:
        return job
    return replace(job, command=Command(Verb.UNREADABLE, problem=TOO_LATE_COMMENT))


async def _own_label(ports: Ports, github: GitHub) -> str:
    try:
        return (await read_config(ports, github)).label
    except UserError:
        return ""  # whoever asks for a run there is told what is wrong


def _decode(text: str) -> Place | None:
    try:
        return _PLACE.validate_json(text) if text else None
    except ValidationError as error:
        log.warning("the note on the sweep cannot be read", extra={"reason": str(error)})
        return None
