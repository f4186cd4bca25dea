"""Brings back what was lost: runs of dead workers, deliveries that never arrived, labels that nobody told us of.

    every 10 s      runs in progress without a lease go back to the queue
                    sandboxes without a run are killed
                    a 👍 to a plan that waits carries it out (runs/background/reactions.py)
    every 5 min     what GitHub's log says did not arrive is asked for again, and at start
    (runs/background/redelivery.py) every 30 min    requests that no delivery told of are looked for
    (runs/background/sweep.py)

Each goes on by itself: what waits for another system holds up none of the others. One worker at a time does each,
whoever claims it first. All of it may be repeated, since a job's id names the request.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias
from uuid import uuid4

from app.core.errors import OutsideError, StoreError
from app.core.ports.bundle import Ports
from app.core.run.run import Status
from app.runs.background.reactions import find_reaction_approvals
from app.runs.background.redelivery import request_redeliveries
from app.runs.background.sweep import sweep

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
Round: TypeAlias = Callable[[Ports], Awaitable[object]]
ORPHAN_AGE: Final = timedelta(minutes=10)


async def recover_forever(ports: Ports) -> None:
    """Free runs of dead workers now and every few seconds, until cancelled. It asks nothing but the store."""
    await _repeat(ports, requeue_lost_runs)


def look_after(ports: Ports, *, deployment: str, label: str) -> dict[str, Coroutine[None, None, None]]:
    """All that asks other systems, by name, each to be run in a task of its own until cancelled: none is held up by
    another, or ends with it."""
    sweep_on = partial(sweep, label=label, holder=uuid4().hex)
    return {
        "ask for deliveries": _repeat(ports, request_redeliveries, at_start=partial(request_redeliveries, is_due=True)),
        "kill orphans": _repeat(ports, partial(kill_orphans, deployment=deployment)),
        "find reaction approvals": _repeat(ports, find_reaction_approvals),
        "sweep": _repeat(ports, sweep_on),
    }


async def _repeat(ports: Ports, recover: Round, *, at_start: Round | None = None) -> None:
    """An outage of another system costs one round, or as many as it asks to be left alone for."""
    now = at_start or recover
    while True:
        wait_s = EVERY_S
        try:
            await now(ports)
            now = recover
        except (OutsideError, StoreError) as error:
            log.warning("recovery rescheduled", extra={"reason": str(error)})
            asked_s = error.retry_after_s if isinstance(error, OutsideError) else None
            wait_s = max(wait_s, asked_s or 0.0)
        await ports.clock.sleep(wait_s)


async def requeue_lost_runs(ports: Ports) -> int:
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
        log.info("abandoned run requeued", extra={"job_id": job_id, "attempt": run.attempt})
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
