"""Brings back what was lost: runs of dead workers, deliveries that never arrived, labels that nobody told us of.

    every 10 s      runs in progress without a lease go back to the queue; sandboxes without a run are killed
                    a 👍 to a plan that waits carries it out (runs/thumbs.py)
    every 5 min     what GitHub's log says did not arrive is asked for again (and at start)
    every 30 min    open issues with the label and without a run get one: GitHub's log reaches back some days only

One worker at a time does each, whoever claims it first. All of it may be repeated, since a job's id names the request.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from app.core.delivery import DeliveryAttempt
from app.core.errors import OutsideError, StoreError, UserError
from app.core.events import HANDLED
from app.core.ports import GitHub, Ports
from app.core.run import Run, Status
from app.core.triggers import catch_up
from app.runs.thumbs import find_thumbs
from app.runs.who import read_config

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
DELIVERIES_EVERY_S: Final = 300.0
SWEEP_EVERY_S: Final = 1_800.0
ORPHAN_AGE: Final = timedelta(minutes=10)
GITHUB_REMEMBERS: Final = timedelta(days=3)
OVERLAP: Final = timedelta(minutes=15)
"""How far behind the newest seen attempt the next look begins: an attempt may be logged late."""
MAX_ATTEMPTS: Final = 40
"""At one delivery, one every five minutes; then GitHub is not asked again."""
_TOO_MANY: Final = 429
MAX_ASKED: Final = 100
"""In one round, so that a flood which was answered 429 does not use up the App's requests to GitHub."""
_SEEN: Final = "deliveries seen up to"


async def recover_forever(ports: Ports, *, deployment: str, label: str) -> None:
    """Recover now and every few seconds, until cancelled. An outage of another system costs one round."""
    is_start = True
    while True:
        rounds = (
            free_runs,
            partial(kill_orphans, deployment=deployment),
            partial(ask_again, is_due=is_start),
            partial(sweep, label=label, is_due=is_start),
            find_thumbs,
        )
        for recover in rounds:
            try:
                await recover(ports)
            except OutsideError as error:
                log.warning("recovery put off", extra={"reason": str(error)})
        is_start = False
        await ports.clock.sleep(EVERY_S)


async def free_runs(ports: Ports) -> int:
    """Queue again every run in progress that nobody holds, unless it waits on purpose; the number of them."""
    if not await ports.store.claim("free runs", ttl_s=EVERY_S / 2):
        return 0
    freed = 0
    for job_id in await ports.store.leaseless():
        run = await ports.store.load(job_id)
        if run is None or (run.wake_at is not None and run.wake_at > ports.clock.now()):
            continue
        await ports.queue.put_again(job_id)
        freed += 1
        log.info("run freed", extra={"job_id": job_id, "attempt": run.attempt})
    return freed


async def kill_orphans(ports: Ports, deployment: str) -> int:
    """Kill our machines, older than a while, whose run is completed, gone or lives in another. Repeatable."""
    killed = 0
    for info in await ports.sandboxes.list():
        is_ours = info.metadata.get("deployment") == deployment
        if not is_ours or ports.clock.now() - info.created_at < ORPHAN_AGE:
            continue
        run = await ports.store.load(info.metadata.get("job_id", ""))
        if run is None or run.status is Status.COMPLETED or run.sandbox_id != info.id:
            killed += await ports.sandboxes.kill(info.id)
            log.info("orphaned sandbox killed", extra={"sandbox_id": info.id})
    return killed


async def ask_again(ports: Ports, *, is_due: bool = False) -> int:
    """Ask GitHub for the deliveries of ours that never arrived, when it is time or `is_due`; the number of them."""
    if not await ports.store.claim("ask again", ttl_s=DELIVERIES_EVERY_S) and not is_due:
        return 0
    now = ports.clock.now()
    seen = await ports.store.recall(_SEEN)
    since = max(datetime.fromisoformat(seen) - OVERLAP, now - GITHUB_REMEMBERS) if seen else now - GITHUB_REMEMBERS
    attempts = await ports.github.deliveries(since)
    lost = find_lost(attempts)
    for attempt in lost[:MAX_ASKED]:
        await ports.github.redeliver(attempt.id)
        log.info("delivery asked for again", extra={"delivery_id": attempt.guid, "event": attempt.event})
    if attempts and not lost:
        await ports.store.note(_SEEN, max(attempt.delivered_at for attempt in attempts).isoformat())
    return len(lost[:MAX_ASKED])


def find_lost(attempts: Iterable[DeliveryAttempt]) -> list[DeliveryAttempt]:
    """Of each delivery of ours that never arrived and was not tried too often, the newest attempt.

    Oldest first, but what was asked too often (429) after all that failed otherwise: a flood must not hold that up.
    """
    by_guid: dict[str, list[DeliveryAttempt]] = {}
    for attempt in attempts:
        if attempt.event in HANDLED:
            by_guid.setdefault(attempt.guid, []).append(attempt)
    lost = [
        max(tries, key=lambda attempt: attempt.delivered_at)
        for tries in by_guid.values()
        if len(tries) < MAX_ATTEMPTS and not any(attempt.arrived for attempt in tries)
    ]
    return sorted(lost, key=lambda attempt: (attempt.status_code == _TOO_MANY, attempt.delivered_at))


async def sweep(ports: Ports, *, label: str, is_due: bool = False) -> int:
    """Give every open issue that carries the label and never had a run its job; the number of them.

    An issue whose pull request is there had one, whatever the store knows.
    """
    if not await ports.store.claim("sweep", ttl_s=SWEEP_EVERY_S) and not is_due:
        return 0
    put = 0
    for installation_id, repo in await ports.github.repositories():
        try:
            put += await _sweep_repo(ports, label, installation_id, repo)
        except StoreError:
            raise
        except OutsideError as error:
            log.warning("repository not swept", extra={"repo": repo, "reason": str(error)})
    return put


async def _own_label(ports: Ports, github: GitHub) -> str:
    try:
        return (await read_config(ports, github)).label
    except UserError:
        return ""  # whoever asks for a run there is told what is wrong


async def _sweep_repo(ports: Ports, label: str, installation_id: int, repo: str) -> int:
    put = 0
    async with ports.github.open(installation_id, repo) as github:
        for found in await github.labelled(await _own_label(ports, github) or label):
            if await ports.store.latest(repo, found.number) is not None:
                continue
            now = ports.clock.now()
            job = catch_up(found, repo=repo, installation_id=installation_id, now=now)
            if await github.issue_pull_request(found.number, is_open=False) is not None:
                continue
            if await ports.queue.put(Run(job=job, updated_at=now)):
                put += 1
                log.info("label caught up", extra={"job_id": job.id})
    return put
