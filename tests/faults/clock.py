"""Clocks that are wrong: a worker's is behind or ahead of everybody else's. Needs a C compiler; without one, absent."""

import asyncio
import shutil
from functools import partial
from pathlib import Path

from tests.faults.fault import Fault, add
from tests.faults.program import Program
from tests.faults.script import FIRST
from tests.faults.world import World


async def _skewed(world: World, seconds: int, name: str) -> Program:
    """A worker whose clock is so many seconds ahead; not started."""
    library = world.folder / "skew.so"
    if not library.exists():
        source = Path(__file__).with_name("skew.c")
        process = await asyncio.create_subprocess_exec("cc", "-shared", "-fPIC", "-o", library, source)
        assert await process.wait() == 0, "The clock cannot be compiled."
    return world.program("worker", name, LD_PRELOAD=str(library), CLOCK_SKEW_S=str(seconds))


async def wrong(world: World, seconds: int) -> None:
    """The only worker's clock is wrong."""
    await world.workers[0].terminate()
    world.workers = [await _skewed(world, seconds, "worker-wrong")]
    await world.workers[0].start()
    await world.story.mark(f"the worker's clock is {seconds} s ahead")
    await world.ask()


async def taken_over(world: World, seconds: int) -> None:
    """A worker dies, and one whose clock tells another time takes over."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    await world.workers[0].kill()
    await world.story.mark(f"SIGKILL; the next worker's clock is {seconds} s ahead")
    world.workers = [await _skewed(world, seconds, "worker-wrong")]
    await world.workers[0].start()


if shutil.which("cc"):
    for _seconds in (-300, 45):
        _name = f"clock-{'behind' if _seconds < 0 else 'ahead'}"
        add(Fault(_name, partial(wrong, seconds=_seconds)))
        add(Fault(f"{_name}-after-a-kill", partial(taken_over, seconds=_seconds), waits=True))
