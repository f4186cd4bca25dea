"""The worker process: takes jobs from the queue and carries them out."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app import wiring
from app.core.ports import Ports
from app.logs import bind
from app.runs.recover import recover_forever
from app.runs.runner import carry_out
from app.settings import Settings
from app.wiring import Records

log = logging.getLogger(__name__)


@asynccontextmanager
async def serve_jobs(settings: Settings, records: Records, ports: Ports) -> AsyncIterator["asyncio.Task[None]"]:
    """Carry jobs out until the block ends, then let those at work end or hand them back; gives the task that serves."""
    options = wiring.options(settings)

    async def carry_out_one(job_id: str) -> None:
        with bind(job_id=job_id):
            await carry_out(ports, options, job_id)

    worker = wiring.open_worker(settings, records, carry_out_one)
    working = asyncio.create_task(worker.serve(), name="worker")
    recovering = asyncio.create_task(recover_forever(ports, options.deployment), name="recover")
    log.info("worker is ready", extra={"worker": options.worker, "runs": settings.worker_runs})
    try:
        yield working
    finally:
        recovering.cancel()
        worker.stop()
        await asyncio.wait({working, recovering}, timeout=settings.drain_seconds + 30)
        working.cancel()
