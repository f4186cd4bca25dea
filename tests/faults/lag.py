"""GitHub's reads lag behind its writes: an answer is lost, or a worker is, and what was made is not visible yet."""

import asyncio
from functools import partial
from typing import Final

from tests.faults.fault import Fault, add
from tests.faults.follow_up import opened, remark
from tests.faults.github import CALLS, WAYS
from tests.faults.world import World

_CREATING: Final = ("comment", "branch", "commit", "pull-request")
_REPLY: Final = ("POST", r"/replies$")


async def lost(world: World, call: str, lag_s: float) -> None:
    """GitHub carries a request out, the answer is lost, and for a while reads do not show what was made."""
    world.github.lags(lag_s)
    ordered = world.github.fails(*CALLS[call], **WAYS["lost-answer"])
    await world.ask()
    await world.until_hit(ordered)
    await world.story.mark(f"the answer to {call} is lost; reads lag by {lag_s} s")


async def taken_over(world: World, call: str, lag_s: float, *, is_killed: bool) -> None:
    """The worker ends before it hears what was made, and who takes over does not see it for a while."""
    world.github.lags(lag_s)
    waiting = world.github.fails(*CALLS[call], hangs=True, before=False)
    await world.ask()
    await world.until_hit(waiting)
    await asyncio.sleep(0.3)
    await _end_worker(world, is_killed=is_killed)


async def reply_lost(world: World, lag_s: float) -> None:
    """The answer to a reply in a review thread is lost, and reads lag."""
    pull = await opened(world)
    world.github.lags(lag_s)
    ordered = world.github.fails(*_REPLY, **WAYS["lost-answer"])
    await remark(world, pull, "Be polite.")
    await world.until_hit(ordered)
    await world.story.mark(f"the answer to a reply is lost; reads lag by {lag_s} s")


async def reply_taken_over(world: World, lag_s: float) -> None:
    """The worker is told to go while it replies in a review thread, and reads lag."""
    pull = await opened(world)
    world.github.lags(lag_s)
    waiting = world.github.fails(*_REPLY, hangs=True, before=False)
    await remark(world, pull, "Be polite.")
    await world.until_hit(waiting)
    await asyncio.sleep(0.3)
    await _end_worker(world, is_killed=False)


async def nothing_else(world: World, lag_s: float) -> None:
    """Nothing goes wrong but that reads lag."""
    world.github.lags(lag_s)
    await world.ask()


async def _end_worker(world: World, *, is_killed: bool) -> None:
    worker = world.workers[0]
    await (worker.kill() if is_killed else worker.terminate())
    await world.story.mark("SIGKILL of the worker" if is_killed else "SIGTERM of the worker")
    await worker.start()


for _lag in (2, 10):
    add(Fault(f"lag-{_lag}-s", partial(nothing_else, lag_s=_lag)))
    for _call in _CREATING:
        add(Fault(f"lag-{_lag}-s-lost-answer-at-{_call}", partial(lost, call=_call, lag_s=_lag), limit_s=150))
        for _way in ("killed", "handed-back"):
            _inject = partial(taken_over, call=_call, lag_s=_lag, is_killed=_way == "killed")
            add(Fault(f"lag-{_lag}-s-{_way}-after-its-{_call}", _inject, limit_s=150, waits=_way == "killed"))
    add(Fault(f"lag-{_lag}-s-lost-answer-at-reply", partial(reply_lost, lag_s=_lag), limit_s=200))
    add(Fault(f"lag-{_lag}-s-handed-back-after-its-reply", partial(reply_taken_over, lag_s=_lag), limit_s=200))
