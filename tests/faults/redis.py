"""Redis killed, restarted, frozen, full, emptied, forgetful; at work and at the door."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from time import monotonic

from app.core.run.run import Stage
from tests.bot import REPO
from tests.faults.fault import Fault, add
from tests.faults.script import FIRST, SECOND
from tests.faults.world import World

Outage = Callable[[World], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def killed(world: World) -> AsyncIterator[None]:
    await world.redis.kill()
    world.story.write("Redis is killed")
    yield
    await world.redis.start()


@asynccontextmanager
async def emptied(world: World) -> AsyncIterator[None]:
    """Killed, and its disk is lost."""
    await world.redis.kill(is_emptied=True)
    world.story.write("Redis is killed, its disk emptied")
    yield
    await world.redis.start()


@asynccontextmanager
async def frozen(world: World) -> AsyncIterator[None]:
    world.redis.send(signal.SIGSTOP)
    world.story.write("Redis is frozen")
    yield
    world.redis.send(signal.SIGCONT)


@asynccontextmanager
async def full(world: World) -> AsyncIterator[None]:
    await world.keys.config_set("maxmemory", "1kb")
    world.story.write("Redis is full")
    yield
    await world.keys.config_set("maxmemory", "512mb")


async def at_work(world: World, outage: Outage, seconds: float) -> None:
    """An outage in the middle of a step."""
    world.script.sleeps(FIRST, "sleep 3")
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    async with outage(world):
        await asyncio.sleep(seconds)
    await world.story.mark(f"{outage.__name__} for {seconds} s is over")


async def at_the_end(world: World, outage: Outage, seconds: float) -> None:
    """An outage when the pull request is being opened."""
    waiting = world.github.fails("POST", r"/pulls$", status=502)
    await world.ask()
    await world.until_hit(waiting)
    async with outage(world):
        await asyncio.sleep(seconds)
    await world.story.mark(f"{outage.__name__} for {seconds} s is over")


async def at_the_door(world: World, outage: Outage) -> None:
    """GitHub delivers in an outage: it is told so before it gives up, and delivers again."""
    issue = await world.issue()
    async with outage(world):
        began = monotonic()
        delivery = await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
        took_s = monotonic() - began
    await world.story.mark("the outage is over")
    assert delivery.status_code == 503, f"The delivery was answered {delivery.status_code}."
    assert took_s < 8.0, f"GitHub waited {took_s:.1f} s."
    world.expect(issue.number, await world.deliver_again(delivery))


async def slow(world: World) -> None:
    """Redis is too slow for one call of a run, time and again: the run is tried again, and no worker counts as lost."""
    rule = world.redis_tap.when("vibecoder:count:runs", partial(asyncio.sleep, 4), times=8)
    asked = await world.ask()
    await world.until(rule.done.is_set, "eight slow answers")
    await world.story.mark("Redis is no longer slow")
    await world.settled()
    run = world.run(asked)
    assert run is not None
    assert run.attempt > 3, f"{run.attempt} attempts: this shows nothing."
    assert run.lost_workers == 0, f"{run.lost_workers} workers count as lost."


async def forgotten(world: World, words: str) -> None:
    """FLUSHALL in the middle: the run is lost, and the label on the issue brings it back."""
    asked = await world.ask()
    await world.until(
        lambda: (run := world.run(asked)) is not None and (words in run.message or words == run.stage), words
    )
    await world.keys.flushall()
    await world.story.mark("FLUSHALL")
    world.story.runs.clear()


async def forgotten_while_queued(world: World) -> None:
    """FLUSHALL before any worker has seen the run."""
    await world.workers[0].terminate()
    await world.ask()
    await world.keys.flushall()
    await world.story.mark("FLUSHALL")
    world.story.runs.clear()
    await world.workers[0].start()


async def without_scripts(world: World) -> None:
    """Redis forgets its scripts and hangs up on everybody, again and again."""
    world.script.sleeps(FIRST, "sleep 2")
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    for _ in range(5):
        await world.keys.script_flush()
        await world.keys.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.5)
    await world.story.mark("five times")


async def worker_and_redis(world: World) -> None:
    """Redis is away, and meanwhile the worker dies."""
    world.script.sleeps(SECOND, "sleep 3")
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    async with killed(world):
        await world.workers[0].kill()
    await world.story.mark("Redis and the worker died")
    await world.workers[0].start()


for _outage, _lengths in ((killed, (1, 20)), (frozen, (5, 20)), (full, (5, 20))):
    for _seconds in _lengths:
        _name = f"redis-{_outage.__name__}-for-{_seconds}-s"
        add(Fault(_name, partial(at_work, outage=_outage, seconds=_seconds), is_direct=True, waits=True))
    _name = f"redis-{_outage.__name__}-at-the-end"
    add(Fault(_name, partial(at_the_end, outage=_outage, seconds=8), is_direct=True))
    add(Fault(f"redis-{_outage.__name__}-at-the-door", partial(at_the_door, outage=_outage), is_direct=True))
add(Fault("redis-slow-eight-times", slow, limit_s=150))
add(
    Fault("redis-killed-for-40-s", partial(at_work, outage=killed, seconds=40), is_direct=True, waits=True, limit_s=140)
)
add(Fault("redis-restarted-empty", partial(at_work, outage=emptied, seconds=1), is_direct=True, limit_s=120))
add(Fault("redis-emptied-in-the-plan", partial(forgotten, words=Stage.PLAN), limit_s=120))
add(Fault("redis-emptied-after-a-commit", partial(forgotten, words="Step 2"), limit_s=120))
add(Fault("redis-emptied-while-queued", forgotten_while_queued))
add(Fault("redis-without-scripts", without_scripts, is_direct=True))
add(Fault("redis-and-worker-killed", worker_and_redis, is_direct=True, waits=True))
