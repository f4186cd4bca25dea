"""`vibecoder run`: carries a request out on a local repository, without GitHub."""

import asyncio
import getpass
import shlex
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from app import wiring
from app.commands.screen import Screen, show_end
from app.commands.worker import options_of
from app.core.errors import RetryLater
from app.core.ports.bundle import Ports
from app.core.ports.store import Store
from app.core.run.job import Command, Job, Mode, Person, Source, Verb, job_id
from app.core.run.run import Run
from app.runs.runner import carry_out
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """What the command line asks of a local repository."""

    repo: Path
    request: str
    base: str | None = None
    model: str | None = None
    is_plan: bool = False


async def run_locally(settings: Settings, asked: LocalRequest, console: Console) -> Run:
    """Carry a request out on a local repository, showing it as it goes; nothing is kept but the branch."""
    with tempfile.TemporaryDirectory(prefix="vibecoder-") as folder:
        settings = replace(settings, data_dir=Path(folder))
        async with wiring.open_local(settings, asked.repo) as (ports, records):
            job = _local_job(asked)
            await records.queue.put(Run(job))
            showing = asyncio.create_task(_show(records.store, job.id, console))
            try:
                await _carry_out_patiently(ports, settings, job.id, console)
                await showing
            finally:
                showing.cancel()
                run = await records.store.load(job.id)
                if run is not None and run.sandbox_id:
                    await ports.sandboxes.kill(run.sandbox_id)
            assert run is not None  # noqa: S101 -- it was put a few lines above
    show_end(console, run)
    if run.commits:
        count = f"{len(run.commits)} commit{'' if len(run.commits) == 1 else 's'}"
        console.print(f"The work is on the branch [bold]{run.branch}[/], {count} on {run.base_ref}.")
        look = shlex.join(["git", "-C", str(asked.repo), "diff", f"{run.base_ref}...{run.branch}"])
        console.print(f"  {look}", highlight=False, markup=False, soft_wrap=True)
    return run


async def _carry_out_patiently(ports: Ports, settings: Settings, run_id: str, console: Console) -> None:
    """Go on until the run has ended, waiting where another system is away."""
    while True:
        try:
            await carry_out(ports, options_of(settings), run_id)
        except RetryLater as wait:
            console.print(f"[yellow]{wait}[/] I try again in {wait.delay_s:.0f} s. Ctrl-C ends it.", highlight=False)
            await ports.clock.sleep(wait.delay_s)
        else:
            return


def _local_job(asked: LocalRequest) -> Job:
    title, _, body = asked.request.strip().partition("\n")
    name = asked.repo.resolve().name
    return Job(
        id=job_id(f"local/{name}", None, Source.LOCAL, str(time.time_ns())),
        repo=f"local/{name}",
        installation_id=0,
        source=Source.LOCAL,
        sender=Person(getpass.getuser()),
        created_at=wiring.clock().now(),
        command=Command(Verb.PLAN if asked.is_plan else Verb.START, base=asked.base, model=asked.model),
        mode=Mode.PLAN if asked.is_plan else Mode.AUTO,
        title=title,
        body=body.strip() or title,
    )


async def _show(store: Store, run_id: str, console: Console) -> None:
    with Screen(console) as screen:
        async for run in store.follow(run_id):
            screen.show(run)
