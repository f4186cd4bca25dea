"""The model fails: limits, errors, cut and absent answers, words that mean nothing."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from app.core.conversation import ToolCall
from app.core.run.run import Conclusion
from app.demo.model.scripted import Turn, say, tool
from tests.faults.fault import Fault, add
from tests.faults.script import FIRST, PLAN
from tests.faults.tap import Cut
from tests.faults.world import SUCCESS, World

FAILURE: Final = frozenset({Conclusion.FAILURE})
HONEST: Final = SUCCESS | FAILURE
_STEP: Final = "Carry out step 1"


async def failing(world: World, order: Callable[[World], None], ends: frozenset[Conclusion] = SUCCESS) -> None:
    """The model's server fails when the first step begins."""

    async def begin() -> None:
        order(world)
        await world.story.mark("the model fails")

    world.model_tap.when(_STEP, begin)
    await world.ask(ends=ends)


async def slipping(world: World, turns: tuple[Turn, ...]) -> None:
    """The model says what cannot be carried out, in the plan and in a step, then goes on as it should."""
    world.script.slips = {PLAN: deque(turns), FIRST: deque(turns)}
    await world.ask()


async def silent(world: World, seconds: float, *, is_cut: bool) -> None:
    """Nothing comes for longer than a lease lasts; then an answer, or the end of the connection."""

    async def wait() -> None:
        await asyncio.sleep(seconds)
        await world.story.mark(f"the model was silent for {seconds} s")
        if is_cut:
            raise Cut

    world.model_tap.when(_STEP, wait, after=True)
    asked = await world.ask()
    await world.settled()
    run = world.run(asked)
    assert run is not None, "The run is gone."
    assert run.attempt == 1, f"The lease was lost while the model thought: this is attempt {run.attempt}."


async def cut(world: World) -> None:
    """The answer breaks off in the middle, three times."""

    async def break_off() -> None:
        await world.story.mark("the model's answer was cut")
        raise Cut(keep=200)

    world.model_tap.when(_STEP, break_off, after=True, times=3)
    await world.ask()


async def away(world: World, seconds: float, words: str) -> None:
    """The model's server is gone for longer than anybody waits for it, and comes back."""
    is_away = True

    async def hang_up() -> None:
        if is_away:
            raise Cut

    world.model_tap.when(words, hang_up, times=1_000_000)
    asked = await world.ask()
    await world.until(lambda: world.run(asked) is not None, "the run")
    await asyncio.sleep(seconds)
    is_away = False
    await world.story.mark(f"the model is back after {seconds} s")


def _call(name: str, arguments: str) -> Turn:
    return Turn(calls=(ToolCall("", name, arguments),))


def _add(name: str, order: Callable[[World], None], ends: frozenset[Conclusion] = SUCCESS) -> None:
    add(Fault(f"model-{name}", partial(failing, order=order, ends=ends), limit_s=150))


_add("429-once", lambda world: world.model.fails(429, code="rate_limit_exceeded", headers={"retry-after": "2"}))
_add("500-twice", lambda world: world.model.fails(500, times=2))
_add("503-six-times", lambda world: world.model.fails(503, times=6))
_add("429-for-longer", lambda world: world.model.fails(429, times=5, headers={"retry-after": "1"}))
_add("drops-once", lambda world: world.model.drops())
_add("drops-six-times", lambda world: world.model.drops(6))
_add("garbage-once", lambda world: world.model.garbles(), HONEST)
_add("no-credit", lambda world: world.model.fails(429, code="insufficient_quota", times=50), FAILURE)
_add("refuses-the-key", lambda world: world.model.fails(401, code="invalid_api_key", times=50), FAILURE)
for _name, _turns in {
    "empty-once": (say(""),),
    "only-talk": (say("Let me think about this."), say("I shall begin.")),
    "unknown-tool": (tool("launch_rocket", target="moon"),),
    "invalid-arguments": (_call("shell", "{}"), _call("read", '{"path": 7}')),
    "arguments-that-are-no-json": (_call("shell", '{"command": "ls'),),
    "cut-at-the-output-limit": (Turn("I was about to", cut=True),),
}.items():
    add(Fault(f"model-{_name}", partial(slipping, turns=_turns)))
add(Fault("model-silent-for-40-s", partial(silent, seconds=40, is_cut=False), limit_s=150, waits=True))
add(Fault("model-silent-then-cut", partial(silent, seconds=35, is_cut=True), limit_s=150, waits=True))
add(Fault("model-answer-cut", cut))
add(Fault("model-away-in-the-plan", partial(away, seconds=30, words="/responses"), limit_s=200, waits=True))
add(Fault("model-away-in-a-step", partial(away, seconds=30, words=_STEP), limit_s=200, waits=True))
