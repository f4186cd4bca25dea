"""The worker process: takes jobs from the queue and carries them out."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace

from app import wiring
from app.core.policy.budget import Budget
from app.core.ports.bundle import Ports
from app.logs import bind
from app.runs.background.recovery import look_after, recover_forever
from app.runs.context import Intervals, Options
from app.runs.queue_positions import show_positions_forever
from app.runs.runner import carry_out
from app.settings import Settings
from app.wiring import Records

log = logging.getLogger(__name__)


def options_of(settings: Settings) -> Options:
    """What the deployment decides for every run."""
    return Options(
        budget=Budget(settings.max_usd, settings.max_minutes, settings.max_turns, settings.max_tokens),
        usd_per_day=settings.max_usd_per_day,
        label=settings.label,
        runs_per_hour=settings.runs_per_hour,
        thread_runs_per_hour=settings.thread_runs_per_hour,
        deployment=wiring.deployment(settings),
        public_url=settings.public_address if settings.page_secret.get_secret_value() else "",
        page_secret=settings.page_secret,
        gather_s=settings.gather_seconds,
        why_no_room=wiring.disk_room(settings).why_none_to_go_on,
        worker=f"{socket.gethostname()}:{os.getpid()}",
    )


@asynccontextmanager
async def serve_jobs(
    settings: Settings, records: Records, ports: Ports, intervals: Intervals | None = None
) -> AsyncIterator["asyncio.Task[None]"]:
    """Carry jobs out until the block ends, then let those in progress end or hand them back; gives the task that
    serves."""
    options = replace(options_of(settings), intervals=intervals or Intervals())

    one_suspect = asyncio.Lock()

    async def carry_out_one(job_id: str) -> None:
        """Runs with which a worker died go one at a time: the one that killed it must not take the others along."""
        with bind(job_id=job_id):
            run = await ports.store.load(job_id)
            async with one_suspect if run is not None and run.is_suspect else nullcontext():
                await carry_out(ports, options, job_id)

    worker = wiring.open_worker(settings, records, carry_out_one)
    worker.name = options.worker
    working = asyncio.create_task(worker.serve(), name="worker")
    forever = {
        "free runs": recover_forever(ports),
        "show who waits": show_positions_forever(ports, options),
        **look_after(ports, deployment=options.deployment, label=settings.label),
    }
    beside = [asyncio.create_task(coroutine, name=name) for name, coroutine in forever.items()]
    for task in beside:
        task.add_done_callback(_tell_of_end)
    log.info("worker is ready", extra={"worker": options.worker, "runs": settings.worker_runs})
    try:
        yield working
    finally:
        for task in beside:
            task.cancel()
        worker.stop()
        await asyncio.wait({working, *beside}, timeout=settings.drain_seconds + 30)
        working.cancel()


def _tell_of_end(task: "asyncio.Task[None]") -> None:
    """What goes on beside the work ends with the worker, or by a bug."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background task ended: %s", task.get_name(), exc_info=error)
