"""Frees what a dead worker held: runs without a lease go back to the queue, machines without a run are killed."""

import logging
from datetime import timedelta
from typing import Final

from app.core.errors import OutsideError
from app.core.ports import Ports
from app.core.run import Status

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
ORPHAN_AGE: Final = timedelta(minutes=10)


async def recover_forever(ports: Ports, deployment: str) -> None:
    """Recover now and every few seconds, until cancelled. An outage of another system costs one round."""
    while True:
        try:
            await free_runs(ports)
            await kill_orphans(ports, deployment)
        except OutsideError as error:
            log.warning("recovery put off", extra={"reason": str(error)})
        await ports.clock.sleep(EVERY_S)


async def free_runs(ports: Ports) -> int:
    """Queue again every run in progress that nobody holds; the number of them. Repeatable."""
    job_ids = await ports.store.leaseless()
    for job_id in job_ids:
        await ports.queue.put_again(job_id)
        log.info("run freed", extra={"job_id": job_id})
    return len(job_ids)


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
