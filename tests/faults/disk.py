"""The worker's disk is full: it takes no runs, lets those that have begun wait, and goes on once there is room.

Needs a C compiler; without one, absent.
"""

import asyncio
import shutil
from functools import partial
from pathlib import Path

from tests.faults.fault import Fault, add
from tests.faults.script import FIRST
from tests.faults.world import Asked, World


async def full(world: World, *, is_begun: bool) -> None:
    """The disk fills up before a run begins, or in the middle of one; later there is room again."""
    library, hog = world.folder / "full.so", world.folder / "hog"
    process = await asyncio.create_subprocess_exec(
        "cc", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("full.c"), "-ldl"
    )
    assert await process.wait() == 0, "The full disk cannot be compiled."
    await world.workers[0].terminate()
    worker = world.program("worker", "worker-full", LD_PRELOAD=str(library), DISK_FULL_WHEN=str(hog))
    world.workers = [worker]
    if is_begun:
        world.script.sleeps(FIRST)
        await worker.start()
        asked = await world.ask()
        await world.until_at(asked, "sleep")
        hog.touch()
    else:
        hog.touch()
        await worker.start()
        asked = await world.ask()
    await world.until(lambda: "takes no runs" in worker.log.read_text("utf-8"), "the worker says that it takes no runs")
    await world.until(lambda: world.run(asked) is not None, "the run is stored")
    if is_begun:
        await world.until(lambda: "disk is full" in _message(world, asked), "the run waits for room")
    run = world.run(asked)
    assert run is not None, "The run is gone."
    assert run.conclusion is None, f"It ended as {run.conclusion}: {run.message}"
    assert bool(run.attempt) is is_begun, "It began on a full disk."
    hog.unlink()
    await world.story.mark("there is room again")


def _message(world: World, asked: Asked) -> str:
    run = world.run(asked)
    return run.message if run is not None else ""


if shutil.which("cc"):
    add(Fault("disk-full-before-a-run", partial(full, is_begun=False), limit_s=150))
    add(Fault("disk-full-in-a-run", partial(full, is_begun=True), limit_s=150))
