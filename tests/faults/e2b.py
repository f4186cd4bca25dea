"""E2B fails for a moment, hangs, answers with error pages, runs out of disk, and loses a sandbox."""

import asyncio
from collections import deque
from functools import partial
from pathlib import Path
from typing import Final

from starlette.responses import Response

from app.core.conversation import ToolResult
from app.core.run.run import Conclusion
from app.demo.model.scripted import tool
from app.runs.lease import LEASE_S
from tests.bot import REPO
from tests.contract.e2b_server import Edge, page
from tests.e2e.turns import write
from tests.faults.fault import Fault, add
from tests.faults.script import FIRST
from tests.faults.world import Asked, World

LARGE: Final = b"".join(b"%d\n" % (number * number) for number in range(30_000))
"""More than goes along with a command: it is sent to the sandbox as a file."""
NO_SPACE: Final = "No space left on device"
COMMAND_S: Final = 5


async def blip(world: World, blips: tuple[int | Response | Edge, ...], path: str) -> None:
    """What lies before a sandbox fails several times in a row; the run does not notice."""
    if path == "/files":
        await world.github.push(REPO, "main", {"squares.txt": LARGE}, message="Square", by="maintainer")
    world.cloud.edge, world.cloud.edge_of = list(blips), (path,)
    await world.ask()
    await world.until(lambda: not world.cloud.edge, f"the way to {path} failed {len(blips)} times")
    await world.story.mark("the way to the sandbox is free")
    await world.settled()
    _assert_unnoticed(world)


async def away(world: World) -> None:
    """Three times, for a second each, the way to the sandbox answers 502 to whatever is started."""
    world.script.turns[FIRST][:0] = [tool("shell", command=f"echo {number}", timeout_s=None) for number in range(3)]
    asked = await world.ask()
    await world.until_at(asked, "echo 0")
    refused = 0
    for _ in range(3):
        world.cloud.edge = [page(502) for _ in range(100)]
        await asyncio.sleep(1)
        refused += 100 - len(world.cloud.edge)
        world.cloud.edge = []
        await asyncio.sleep(0.5)
    await world.story.mark(f"the way to the sandbox is free after {refused} refusals")
    await world.settled()
    assert refused, "Nothing was refused."
    _assert_unnoticed(world)


def _assert_unnoticed(world: World) -> None:
    """No run was put off for it, and none lost its sandbox or a worker."""
    assert "run rescheduled" not in world.workers[0].log.read_text("utf-8"), "The run was put off."
    assert world.cloud.created == 1, f"It took {world.cloud.created} sandboxes."


async def error_pages(world: World) -> None:
    """Calls of the control plane are answered with error pages, at the start and at the end."""
    pages = [page(status) for status in (500, 520, 503, 502, 599)]
    world.cloud.faults = list(pages)
    world.script.sleeps(FIRST, "sleep 1")
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    assert not world.cloud.faults, "Not all pages were shown."
    world.cloud.faults = list(pages)
    await world.story.mark("error pages once more")
    await world.settled()
    assert world.cloud.faults != pages, "No page was shown at the end."
    world.cloud.faults = []
    assert "<" not in _told(world, asked).replace("<!--", "").partition("<details")[0], "A page is told."


def _told(world: World, asked: Asked) -> str:
    said = [each.body for each in world.github.comments(REPO, asked.number) if each.author == "vibecoder[bot]"]
    return "\n".join(said)


async def hangs_at_creation(world: World) -> None:
    """The control plane takes a request for a sandbox and does not answer: a person stops the run meanwhile."""
    world.cloud.is_answering.clear()
    asked = await world.ask(ends=frozenset({Conclusion.CANCELLED}))
    await world.until(lambda: "POST /v2/sandboxes" in world.cloud.calls, "a sandbox is asked for")
    await _stop_while_it_hangs(world, asked, seconds=10)


async def hangs_in_a_command(world: World) -> None:
    """The control plane hangs while a command runs: the lease is held, and a person stops the run."""
    world.script.sleeps(FIRST, "sleep 600")
    asked = await world.ask(ends=frozenset({Conclusion.CANCELLED}))
    await world.until_at(asked, "sleep 600")
    world.cloud.is_answering.clear()
    await _stop_while_it_hangs(world, asked, seconds=LEASE_S + 10)


async def _stop_while_it_hangs(world: World, asked: Asked, *, seconds: float) -> None:
    """Nobody takes the run over meanwhile; then it is stopped, and the control plane still hangs."""
    await asyncio.sleep(seconds)
    run = world.run(asked)
    assert run is not None
    assert run.attempt == 1, f"{run.attempt} workers held the run."
    assert run.conclusion is None, f"It ended as {run.conclusion}: {run.message}"
    _, delivery = await world.github.comment(REPO, asked.number, "/vibecode stop", by="maintainer")
    stop = world.expect(asked.number, delivery, frozenset({Conclusion.NEUTRAL}))
    stop.is_answer_only = stop.is_more = True
    await world.story.mark("a person says stop")
    await world.until(lambda: (run := world.run(asked)) is not None and run.conclusion is not None, "the run ends")
    world.story.write("the control plane answers again")
    world.cloud.is_answering.set()


async def gone(world: World) -> None:
    """The sandbox is gone while a command runs in it, and once more before the next is started."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    for name in list(world.cloud.boxes):
        world.cloud.kill(name)
    await world.story.mark("the sandbox is gone")
    await world.until(lambda: len(world.cloud.boxes) == 1 and "Start" in world.cloud.calls[-3:], "there is another one")
    for name in list(world.cloud.boxes):
        world.cloud.kill(name)
    await world.settled()
    assert world.cloud.created == 3, f"It took {world.cloud.created} sandboxes."


async def full_in_a_step(world: World) -> None:
    """The sandbox's disk is full when the agent writes a file: it is told so, makes room, and goes on."""
    command = tool("shell", command="rm -f large.txt && echo there is room", timeout_s=None)
    world.script.slips[FIRST] = deque([write("large.txt", LARGE.decode()), command])
    world.cloud.is_full = True
    await world.ask()
    await world.until(lambda: any("there is room" in text for text in _heard(world)), "a command runs on a full disk")
    world.cloud.is_full = False
    await world.story.mark("there is room again")
    await world.settled()
    assert any(NO_SPACE in text for text in _heard(world)), "The model is not told what was wrong."


async def full_at_the_start(world: World) -> None:
    """The sandbox's disk is too small for the repository: people are told so."""
    await world.github.push(REPO, "main", {"squares.txt": LARGE}, message="Square", by="maintainer")
    world.cloud.is_full = True
    asked = await world.ask(ends=frozenset({Conclusion.FAILURE}))
    await world.settled()
    await world.until(lambda: NO_SPACE in _told(world, asked), "the comment says that there is no room")


def _heard(world: World) -> list[str]:
    return [each.text for seen in world.model.requests for each in seen.conversation if isinstance(each, ToolResult)]


async def hanging(world: World) -> None:
    """The sandbox's daemon takes a command and does not answer: it is noticed soon after the command's own limit."""
    world.script.slips[FIRST] = deque([tool("shell", command="true", timeout_s=COMMAND_S)])

    async def hang() -> None:
        world.cloud.is_envd_answering.clear()
        world.story.write("the daemon hangs")

    rule = world.model_tap.when(f"Carry out step.*{FIRST}", hang)
    asked = await world.ask()
    await world.until(rule.done.is_set, "the first step begins")
    log: Path = world.workers[0].log
    await world.until(
        lambda: "run rescheduled" in log.read_text("utf-8"), "the daemon is noticed", limit_s=COMMAND_S + 5
    )
    world.cloud.is_envd_answering.set()
    await world.story.mark("the daemon answers again")
    await world.settled()
    run = world.run(asked)
    assert run is not None
    assert run.lost_workers == 0, "It counts as a lost worker."


_add = partial(Fault, environ={"SANDBOX": "e2b"})
for _name, _blips in (
    ("502", (page(502),) * 3),
    ("429", (429,) * 3),
    ("reset", (Edge.RESET,) * 3),
):
    add(_add(f"e2b-{_name}-three-times-at-commands", partial(blip, blips=_blips, path="/Start")))
    add(_add(f"e2b-{_name}-three-times-at-files", partial(blip, blips=_blips, path="/files")))
add(_add("e2b-502-for-three-seconds", away))
add(_add("e2b-error-pages-at-every-control-call", error_pages, limit_s=150))
add(_add("e2b-control-plane-hangs-at-creation", hangs_at_creation, waits=True, limit_s=150))
add(_add("e2b-control-plane-hangs-in-a-command", hangs_in_a_command, waits=True, limit_s=150))
add(_add("e2b-sandbox-gone", gone))
add(_add("e2b-disk-full-in-a-step", full_in_a_step))
add(_add("e2b-disk-full-at-the-start", full_at_the_start))
add(_add("e2b-daemon-hangs", hanging, limit_s=150))
