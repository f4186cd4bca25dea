"""Approval by 👍: GitHub tells nobody of reactions, so the comments of plans that wait are looked at now and then.

    30 s after the plan was posted, then whenever a twentieth of its age has passed, for a week

A 👍 counts when it is of a person who may start work here, and of a later second than the plan. All others are passed
over in silence, and are looked at once: no crowd hides who may. One worker at a time looks; the reaction's id is the
job's, so that a second look makes no second job.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from app.core.errors import OutsideError
from app.core.policy.authorization import Action, Role, authorize
from app.core.policy.repo_config import RepoConfig
from app.core.ports.bundle import Ports
from app.core.ports.github import GitHub
from app.core.run.job import Command, Job, Person, Source, Verb, job_id
from app.core.run.pull_requests import ThumbsUp
from app.core.run.run import Run
from app.runs.intake.approval import FIRST_LOOK, is_waiting
from app.runs.intake.authorization import read_config_or_default

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
GIVEN_UP_AFTER: Final = timedelta(days=7)
AT_ONCE: Final = 20
"""How many plans are looked at in one round, at one call to GitHub each, and a few more where there is a 👍."""
MAX_PEOPLE: Final = 5
"""Of how many who gave a 👍 it is asked at one look whether they may."""
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


async def find_reaction_approvals(ports: Ports, *, is_due: bool = False) -> int:
    """Look at the plans whose time it is, or at all when `is_due`; the number of those that a 👍 approved."""
    if not await ports.store.claim("reaction approvals", ttl_s=EVERY_S / 2) and not is_due:
        return 0
    now, put = ports.clock.now(), 0
    for run_id in await ports.store.due(_END_OF_TIME if is_due else now, limit=AT_ONCE):
        run = await ports.store.load(run_id)
        posted_at = run.ended_at if run is not None else None
        if run is None or posted_at is None or now - posted_at > GIVEN_UP_AFTER or not await is_waiting(ports, run):
            await ports.store.remind(run_id, None)
            continue
        await ports.store.remind(run_id, now + max(FIRST_LOOK, (now - posted_at) / 20))
        try:
            put += await _check_reactions(ports, run, posted_at)
        except OutsideError as error:
            log.warning("no look at a plan's reactions", extra={"job_id": run_id, "reason": str(error)})
    return put


async def _check_reactions(ports: Ports, run: Run, posted_at: datetime) -> bool:
    if run.comment_id is None or run.job.number is None:
        return False
    async with ports.github.open(run.job.installation_id, run.job.repo) as github:
        given = [
            thumb
            for thumb in await github.pulls.thumbs_ups(run.comment_id)
            if not thumb.is_bot and thumb.created_at > posted_at
        ]
        unknown = [thumb for thumb in given if not await ports.store.is_passed_over(thumb.id)]
        for thumb in unknown[:MAX_PEOPLE]:
            if await _may_approve(ports, github, thumb.person):
                return await _approve(ports, github, run, thumb)
            await ports.store.pass_over_reaction(thumb.id)
    return False


async def _may_approve(ports: Ports, github: GitHub, person: Person) -> bool:
    """May this person approve plans here? The job's admission asks again, and says what is wrong with the file."""
    role = await github.permission(person)
    is_clear = role in {Role.ADMIN, Role.NONE} and not person.is_bot  # the file cannot change it
    config = RepoConfig() if is_clear else await read_config_or_default(ports, github)
    return authorize(person, Action.APPROVE, role, config).is_allowed


async def _approve(ports: Ports, github: GitHub, run: Run, thumb: ThumbsUp) -> bool:
    """Put the approval's job; False when it was put before, or the issue is closed."""
    planned = run.job
    issue = await github.pulls.issue(planned.number) if planned.number is not None else None
    if issue is None or not issue.is_open:
        return False
    job = Job(
        id=job_id(planned.repo, planned.number, Source.REACTION, str(thumb.id)),
        repo=planned.repo,
        installation_id=planned.installation_id,
        source=Source.REACTION,
        sender=thumb.person,
        created_at=ports.clock.now(),
        command=Command(Verb.APPROVE),
        number=planned.number,
        is_pull_request=planned.is_pull_request,
        title=issue.title,
        body=issue.body,
        author=issue.author,
        is_private=planned.is_private,
        about=run.id,
        asked_at=thumb.created_at,
    )
    log.info("plan approved by reaction", extra={"job_id": job.id, "by": thumb.person.login})
    return await ports.queue.put(Run(job, updated_at=job.created_at))
