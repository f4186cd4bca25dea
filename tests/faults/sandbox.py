"""The sandbox dies in every stage; what runs in it hangs, floods, stays behind or breaks its own house."""

import asyncio
from collections import deque
from functools import partial

from app.adapters.sandbox.local.machine import MARK
from app.adapters.sandbox.local.process import kill_marked
from app.core.run.run import Conclusion, Stage
from app.demo.model.scripted import tool
from tests.faults.fault import Fault, add
from tests.faults.script import FIRST
from tests.faults.world import SUCCESS, World


async def dies_in(world: World, stage: Stage) -> None:
    """The machine is gone as a stage begins (for the first: as it ends)."""
    status = "completed" if stage is Stage.SANDBOX else "in_progress"

    async def destroy() -> None:
        await world.destroy_machines()
        await world.story.mark(f"the sandbox is gone, in {stage}")

    rule = world.redis_tap.when(f'"stage":"{stage}","status":"{status}"', destroy, after=True)
    await world.ask()
    await world.until(rule.done.is_set, f"the stage {stage}")


async def dies_in_a_command(world: World) -> None:
    """The machine is gone while a command runs in it."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    await asyncio.sleep(0.5)
    await world.destroy_machines()
    await world.story.mark("the sandbox is gone")


async def dies_in_the_second_step(world: World) -> None:
    """The machine is gone after a step was published: that step is not done again."""

    async def destroy() -> None:
        await world.destroy_machines()
        await world.story.mark("the sandbox is gone")

    rule = world.redis_tap.when("Step 2 of 2", destroy, after=True)
    await world.ask()
    await world.until(rule.done.is_set, "the second step")
    await world.settled()
    again = [turn for turn in world.script.asked if turn == (FIRST, 0)]
    assert len(again) == 1, f"The first step was begun {len(again)} times."


async def command_dies(world: World) -> None:
    """All that runs in the machine is killed; the machine stays."""
    world.script.sleeps(FIRST, "sleep 30")
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    await asyncio.sleep(0.5)
    for machine in world.machines():
        await asyncio.to_thread(kill_marked, f"{MARK}={machine.mark}")
    await world.story.mark("the command was killed")


async def command(world: World, words: str, timeout_s: int | None, ends: frozenset[Conclusion] = SUCCESS) -> None:
    """The agent runs a bad command first, once."""
    world.script.slips[FIRST] = deque([tool("shell", command=words, timeout_s=timeout_s)])
    await world.ask(ends=ends)


async def root_gone(world: World) -> None:
    """The folder of all sandboxes is deleted between two runs."""
    await world.ask("The first of two")
    await world.settled()
    world.sandbox_root.rmdir()
    await world.story.mark("the sandboxes' folder is gone")
    await world.ask("The second of two")


async def worker_gone_too(world: World) -> None:
    """The host goes down: the machine and the worker at once."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    await world.workers[0].kill()
    await world.destroy_machines()
    await world.story.mark("worker and sandbox are gone")
    await world.workers[0].start()


for _stage in Stage:
    add(Fault(f"sandbox-dies-in-{_stage}", partial(dies_in, stage=_stage)))
add(Fault("sandbox-dies-in-a-command", dies_in_a_command))
add(Fault("sandbox-dies-in-the-second-step", dies_in_the_second_step))
add(Fault("sandbox-dies-with-its-worker", worker_gone_too, waits=True))
add(Fault("sandbox-command-killed", command_dies))
add(Fault("sandbox-folder-gone", root_gone))
for _name, _words, _timeout_s in (
    ("hangs", "sleep 1000", 3),
    ("hangs-and-does-not-listen", "trap '' TERM INT HUP; while true; do sleep 1; done", 3),
    ("floods", "yes 'a line of a flood' | head -c 50000000", 60),
    ("leaves-a-process-behind", "(trap '' HUP; sleep 1000) >/dev/null 2>&1 &", 10),
    ("fills-a-file", "head -c 20000000 /dev/zero > filler; rm filler", 60),
    ("deletes-the-work-tree", "rm -rf -- * && git checkout -q -- .", 60),
):
    add(Fault(f"sandbox-command-{_name}", partial(command, words=_words, timeout_s=_timeout_s)))
add(
    Fault(
        "sandbox-command-deletes-git",
        partial(command, words="rm -rf .git", timeout_s=60, ends=SUCCESS | {Conclusion.FAILURE}),
    )
)
