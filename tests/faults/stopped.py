"""Processes that are frozen and wake up when all has gone on without them, and processes that are told to end."""

import asyncio
import signal
from functools import partial

from app.core.run.run import Stage
from tests.bot import REPO
from tests.faults.fault import Fault, add
from tests.faults.program import Program
from tests.faults.script import FIRST
from tests.faults.world import Asked, World

AT_ONCE_S = 20.0
"""A run that is handed back goes on sooner than this once a worker is ready; a lease lasts for longer."""


async def _freeze(world: World, program: Program) -> None:
    program.send(signal.SIGSTOP)
    await world.story.mark(f"SIGSTOP of {program.log.stem}")


async def _until_taken_over(world: World, asked: Asked) -> None:
    await world.until(lambda: (run := world.run(asked)) is not None and run.attempt > 1, "another has taken over")


async def frozen_in_a_command(world: World) -> None:
    """A worker is frozen past its lease in a command, and wakes while another is in progress on the same run."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    frozen = await world.holder(asked)
    await _freeze(world, frozen)
    await _until_taken_over(world, asked)
    await asyncio.sleep(1)
    frozen.send(signal.SIGCONT)
    world.story.write("SIGCONT")


async def frozen_before_its_commit(world: World) -> None:
    """A worker is frozen as the model's last word of a step arrives, and wakes when another has done that step."""
    frozen: list[Program] = []

    async def freeze() -> None:
        frozen.append(await world.holder(world.asked[0]))
        await _freeze(world, frozen[0])

    rule = world.model_tap.when(r"Carry out step 1.*function_call_output.*function_call_output", freeze, after=True)
    asked = await world.ask()
    await world.until(rule.done.is_set, "the last turn of the first step")
    await world.until(lambda: (run := world.run(asked)) is not None and bool(run.commits), "the first commit")
    frozen[0].send(signal.SIGCONT)
    world.story.write("SIGCONT")


async def frozen_until_all_is_done(world: World) -> None:
    """A worker is frozen in a step and wakes when the run is over."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    frozen = await world.holder(asked)
    await _freeze(world, frozen)
    await world.settled()
    frozen.send(signal.SIGCONT)
    world.story.write("SIGCONT")
    await asyncio.sleep(5)


async def frozen_in_its_last_words(world: World) -> None:
    """A worker is frozen with the conclusion on record and nothing said, and wakes when another has said it."""
    frozen: list[Program] = []

    async def freeze() -> None:
        frozen.append(await world.holder(world.asked[0]))
        await _freeze(world, frozen[0])

    rule = world.redis_tap.when('"conclusion":"success"', freeze, after=True)
    asked = await world.ask()
    await world.until(rule.done.is_set, "the conclusion is saved")
    await _until_taken_over(world, asked)
    await asyncio.sleep(1)
    frozen[0].send(signal.SIGCONT)
    world.story.write("SIGCONT")
    await asyncio.sleep(3)


async def frozen_within_its_lease(world: World) -> None:
    """The only worker is frozen for 15 s and goes on as if nothing had been."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    world.workers[0].send(signal.SIGSTOP)
    await asyncio.sleep(15)
    world.workers[0].send(signal.SIGCONT)
    await world.story.mark("SIGCONT after 15 s")
    await world.settled()
    run = world.run(asked)
    assert run is not None, "The run is gone."
    assert run.attempt == 1, f"The lease was not lost, but this is attempt {run.attempt}."


async def web_frozen(world: World, seconds: float) -> None:
    """Web is frozen while GitHub delivers; what GitHub took for failed it delivers again."""
    issue = await world.issue()
    world.web.send(signal.SIGSTOP)
    delivering = asyncio.create_task(world.github.label(REPO, issue.number, "vibecode", by="maintainer"))
    await asyncio.sleep(seconds)
    world.web.send(signal.SIGCONT)
    await world.story.mark(f"SIGCONT of web after {seconds} s")
    delivery = await delivering
    if delivery.status_code >= 500:
        delivery = await world.deliver_again(delivery)
    world.expect(issue.number, delivery)


async def told_in_stage(world: World, stage: Stage) -> None:
    """The worker is told to end as a stage begins, and another version starts: the run goes on at once."""
    worker = world.workers[0]

    async def tell() -> None:
        worker.send(signal.SIGTERM)

    rule = world.redis_tap.when(f'"stage":"{stage}","status":"in_progress"', tell, after=True)
    await world.ask()
    await world.until(rule.done.is_set, f"the stage {stage} begins")
    await worker.terminate()
    await world.story.mark("the worker has ended")
    await worker.start()
    await world.story.mark("another worker is ready")
    await _at_once(world)


async def _at_once(world: World) -> None:
    await world.settled()
    for run in world.story.runs.values():
        assert run.lost_workers == 0, f"{run.id} counts {run.lost_workers} lost workers: it was not handed back."
    recovery_s = world.story.recovery_s
    if recovery_s is not None:
        assert recovery_s < AT_ONCE_S, f"It went on after {recovery_s:.1f} s: it was not handed back."
    for run in world.story.runs.values():
        assert run.lost_workers == 0, f"{run.lost_workers} workers count as lost, but none was."


async def told_with_another(world: World) -> None:
    """One of two workers is told to end in a command; the other goes on at once."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    holder = await world.holder(asked)
    await world.story.mark("SIGTERM of one of two workers")
    await holder.terminate()
    await _at_once(world)


async def told_while_the_model_thinks(world: World) -> None:
    """The worker is told to end while the model takes its time."""

    async def think() -> None:
        await asyncio.sleep(20)

    world.model_tap.when("Carry out step 2", think, after=True)
    asked = await world.ask()
    await world.until(lambda: (run := world.run(asked)) is not None and run.steps_done == 1, "the second step")
    await asyncio.sleep(0.5)
    await world.workers[0].terminate()
    await world.workers[0].start()
    await world.story.mark("another worker is ready")
    await _at_once(world)


async def told_to_drain(world: World) -> None:
    """The worker may bring its work to an end before it goes: nobody takes over."""
    world.script.sleeps(FIRST, "sleep 3")
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    await world.story.mark("SIGTERM, with time to drain")
    await world.workers[0].terminate()
    run = await world.records.store.load(asked.job_id)
    assert run is not None, "The run is gone."
    assert run.conclusion is not None, f"The worker ended before its work: it is at {run.message!r}."
    assert run.attempt == 1, f"Nobody had to take over, but this is attempt {run.attempt}."
    await world.workers[0].start()


async def serve_again(world: World, number: signal.Signals) -> None:
    """All in one process, with its own Redis, is restarted in the middle of a step."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    if number is signal.SIGKILL:
        await world.web.kill()
    else:
        await world.web.terminate()
    await world.story.mark(f"{number.name} of serve")
    await world.web.start()


add(Fault("frozen-in-a-command", frozen_in_a_command, workers=2, waits=True))
add(Fault("frozen-before-its-commit", frozen_before_its_commit, workers=2, waits=True))
add(Fault("frozen-until-all-is-done", frozen_until_all_is_done, workers=2, waits=True))
add(Fault("frozen-in-its-last-words", frozen_in_its_last_words, workers=2, waits=True))
add(Fault("frozen-within-its-lease", frozen_within_its_lease, waits=True))
add(Fault("web-frozen-for-4-s", partial(web_frozen, seconds=4)))
add(Fault("web-frozen-for-12-s", partial(web_frozen, seconds=12)))
for _stage in Stage:
    add(Fault(f"told-to-end-in-{_stage}", partial(told_in_stage, stage=_stage)))
add(Fault("told-to-end-with-another", told_with_another, workers=2))
add(Fault("told-to-end-while-the-model-thinks", told_while_the_model_thinks))
add(Fault("told-to-end-with-time-to-drain", told_to_drain, environ={"DRAIN_SECONDS": "20"}))
add(Fault("serve-restarted", partial(serve_again, number=signal.SIGTERM), serves=True))
add(Fault("serve-killed", partial(serve_again, number=signal.SIGKILL), serves=True, waits=True))
