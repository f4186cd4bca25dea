"""The worker's disk is full: it takes no runs, lets those that have begun wait, and goes on once there is room.

The worker's disk needs a C compiler; without one its faults are absent.
"""

import asyncio
import resource
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

from app.adapters.redis.embedded import EmbeddedRedis
from tests.bot import REPO
from tests.faults.fault import Fault, add
from tests.faults.script import FIRST
from tests.faults.world import Asked, World

PADDING_BYTES: Final = 4 << 20
"""More than the web process writes to any other file."""


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


async def full_at_the_door(world: World) -> None:
    """The disk under the embedded Redis is full: GitHub is told 503, asks again, and nothing needs a restart."""
    issue, redis = await world.issue(), EmbeddedRedis(world.redis_folder)
    await world.keys.set("padding", "x" * PADDING_BYTES, ex=3600)
    _limit_files([world.web.pid, redis.pid], PADDING_BYTES)
    for _ in range(2):
        began = monotonic()
        delivery = await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
        assert delivery.status_code == 503, f"The delivery was answered {delivery.status_code}."
        assert monotonic() - began < 8.0, f"GitHub waited {monotonic() - began:.1f} s."
    _limit_files([world.web.pid, redis.pid], resource.RLIM_INFINITY)
    await world.story.mark("there is room again")
    async with asyncio.timeout(80):
        while (again := await world.deliver_again(delivery)).status_code == 503:
            _limit_files([redis.pid], resource.RLIM_INFINITY)
    world.expect(issue.number, again)


def _limit_files(pids: list[int], size: int) -> None:
    """Have no file of these processes grow beyond this, as on a full disk; what they start inherits it."""
    for pid in pids:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


add(Fault("disk-full-under-the-embedded-redis", full_at_the_door, serves=True, limit_s=150))
if shutil.which("cc"):
    add(Fault("disk-full-before-a-run", partial(full, is_begun=False), limit_s=150))
    add(Fault("disk-full-in-a-run", partial(full, is_begun=True), limit_s=150))
