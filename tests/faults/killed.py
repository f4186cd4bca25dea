"""SIGKILL: of the worker in each stage, of web, of both; and a job that kills whoever carries it."""

import asyncio
import itertools
from functools import partial

from app.core.run.run import Conclusion, Stage
from tests.bot import REPO
from tests.faults.fault import Fault, add
from tests.faults.script import FIRST, SECOND
from tests.faults.tap import Cut
from tests.faults.world import Asked, World

_COMMIT = r"/api/graphql"
_LAST_WORDS = '"conclusion":"(success|failure)"'


async def in_stage(world: World, stage: Stage, *, is_done: bool) -> None:
    """The worker dies when the stage has begun and is on record, or when its work is done and is not."""
    status = "completed" if is_done else "in_progress"
    asked = await killed_at(world, f'"stage":"{stage}","status":"{status}"', after=not is_done)
    await world.until(lambda: world.run(asked) is not None, "the run is there")


async def killed_at(world: World, words: str, *, after: bool = False) -> Asked:
    """Ask for work, and kill the worker when it sends these words to Redis."""
    worker = world.workers[0]

    async def kill() -> None:
        await worker.kill()
        await world.story.mark(f"SIGKILL of the worker, {'after' if after else 'before'} it saved {words}")
        raise Cut

    rule = world.redis_tap.when(words, kill, after=after)
    asked = await world.ask()
    await world.until(rule.done.is_set, f"the worker saves {words}")
    await worker.start()
    return asked


for _stage in Stage:
    add(Fault(f"killed-as-{_stage}-begins", partial(in_stage, stage=_stage, is_done=False), waits=True))
    add(Fault(f"killed-as-{_stage}-ends", partial(in_stage, stage=_stage, is_done=True), waits=True))


async def in_a_command(world: World) -> None:
    """The worker dies while a command of the agent's runs."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    await asyncio.sleep(0.5)
    await world.kill_worker()


async def between_turns(world: World) -> None:
    """The worker dies while the model thinks, two turns into the second step; those turns are not paid again."""
    world.script.turns[SECOND].insert(1, world.script.turns[FIRST][0])

    async def kill() -> None:
        await world.workers[0].kill()
        await world.story.mark("SIGKILL of the worker while the model thinks")
        raise Cut

    asked = await world.ask()
    rule = world.model_tap.when(r"Carry out step 2.*function_call_output.*function_call_output", kill)
    await world.until(rule.done.is_set, "the third turn of the second step")
    await world.workers[0].start()
    await world.settled()
    paid = [turn for turn in world.script.asked if turn[0] == SECOND]
    assert len(paid) <= len(world.script.turns[SECOND]) + 1, (
        f"Finished turns were paid again: {paid} for {asked.job_id}."
    )


async def at_github(world: World, method: str, path: str, *, is_carried_out: bool) -> None:
    """The worker dies while it waits for GitHub's answer; GitHub has, or has not, done what was asked."""
    waiting = world.github.fails(method, path, hangs=True, before=not is_carried_out)
    await world.ask()
    await world.until_hit(waiting)
    await asyncio.sleep(0.3)
    await world.kill_worker()


for _name, _method, _path in (
    ("branch", "POST", r"/git/refs$"),
    ("commit", "POST", _COMMIT),
    ("comment", "POST", r"/issues/\d+/comments$"),
    ("pull-request", "POST", r"/pulls$"),
):
    for _is_done in (False, True):
        _when = "after" if _is_done else "before"
        _inject = partial(at_github, method=_method, path=_path, is_carried_out=_is_done)
        add(Fault(f"killed-{_when}-its-{_name}", _inject, waits=True))


async def in_last_words(world: World) -> None:
    """The worker dies while its final comment is on the way; GitHub has it."""
    waiting = world.github.fails("PATCH", r"/issues/comments/", hangs=True, before=False, times=0)

    async def wait_for_it() -> None:
        waiting.times = 1

    rule = world.redis_tap.when(_LAST_WORDS, wait_for_it)
    await world.ask()
    await world.until(rule.done.is_set, "the conclusion is saved")
    await world.until_hit(waiting)
    await asyncio.sleep(0.3)
    await world.kill_worker()


async def before_last_words(world: World) -> None:
    """The worker dies when the conclusion is on record and nothing of it is said."""
    await killed_at(world, _LAST_WORDS, after=True)


async def twice(world: World) -> None:
    """The worker dies in the first step, and whoever takes over dies in the second."""
    asked = await killed_at(world, f"Step 1 of 2: {FIRST}", after=True)
    rule_hit = asyncio.Event()

    async def kill() -> None:
        await world.workers[0].kill()
        await world.story.mark("the second SIGKILL")
        rule_hit.set()
        raise Cut

    world.redis_tap.when(f"Step 2 of 2: {SECOND}", kill, after=True)
    await world.until(rule_hit.is_set, f"the second step of {asked.job_id}", 90)
    await world.workers[0].start()


async def always(world: World) -> None:
    """A job kills its worker each time it asks the model. It gives up with words, and another job ends well."""
    killed = 0

    async def kill() -> None:
        nonlocal killed
        killed += 1
        await world.workers[0].kill()
        await world.story.mark(f"SIGKILL number {killed}")
        asyncio.get_running_loop().create_task(world.workers[0].start())
        raise Cut

    world.model_tap.when("The poisoned well", kill, times=100)
    await world.ask("The poisoned well", ends=frozenset({Conclusion.FAILURE}))
    await world.ask("A good thing")
    await world.settled()
    assert killed == 3, f"It took {killed} workers with it, not 3."


async def help_is_given(world: World) -> None:
    """A first command, answered."""
    issue = await world.issue()
    _, delivery = await world.github.comment(REPO, issue.number, "/vibecode help", by="maintainer")
    world.expect(issue.number, delivery, frozenset({Conclusion.NEUTRAL})).is_answer_only = True
    await world.settled()


async def web_between_write_and_answer(world: World) -> None:
    """Web dies when the run is stored and GitHub has no answer; GitHub delivers again."""

    async def kill() -> None:
        await world.web.kill()
        await world.story.mark("SIGKILL of web")
        raise Cut

    await help_is_given(world)  # from here on Redis knows the script
    issue = await world.issue("Another typo")
    rule = world.redis_tap.when("~label~", kill, after=True)
    delivery = await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    await world.until(rule.done.is_set, "web stores the run")
    assert delivery.status_code >= 500, "The delivery was answered although web was dead."
    await world.web.start()
    again = await world.deliver_again(delivery)
    assert again.status_code == 200, f"The second delivery is a duplicate; it was answered {again.status_code}."
    world.expect(issue.number, again)


async def web_before_write(world: World) -> None:
    """Web dies before the run is stored; GitHub delivers again."""

    async def kill() -> None:
        await world.web.kill()
        await world.story.mark("SIGKILL of web")
        raise Cut

    await help_is_given(world)
    issue = await world.issue("Another typo")
    rule = world.redis_tap.when("~label~", kill)
    delivery = await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    await world.until(rule.done.is_set, "web stores the run")
    await world.web.start()
    again = await world.deliver_again(delivery)
    assert again.status_code == 202, f"Nothing was stored, so the second is new; it was answered {again.status_code}."
    world.expect(issue.number, again)


async def web_under_a_stream(world: World) -> None:
    """Web dies again and again under a stream of commands; what was not accepted is delivered again."""
    issue = await world.issue()
    is_over = asyncio.Event()
    asking = asyncio.create_task(_ask_much(world, issue.number, is_over))
    for _ in range(4):
        await asyncio.sleep(0.4)
        await world.web.kill()
        await world.story.mark("SIGKILL of web")
        await world.web.start()
    is_over.set()
    await asking


async def _ask_much(world: World, number: int, is_over: asyncio.Event) -> None:
    for index in itertools.count():
        if is_over.is_set() and index >= 10:
            return
        _, delivery = await world.github.comment(REPO, number, f"/vibecode help\n\n{index}", by="maintainer")
        await asyncio.sleep(0.1)
        while not 200 <= delivery.status_code < 300:
            await asyncio.sleep(0.2)
            delivery = await world.deliver_again(delivery)
        asked = world.expect(number, delivery, frozenset({Conclusion.NEUTRAL}))
        asked.is_answer_only, asked.is_more = True, index > 0


async def both(world: World) -> None:
    """Web and worker die at once in the middle of a step."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    await asyncio.gather(world.web.kill(), world.workers[0].kill())
    await world.story.mark("SIGKILL of web and worker")
    await asyncio.gather(world.web.start(), world.workers[0].start())


async def everything(world: World) -> None:
    """Web, worker and Redis die at once in the middle of a step."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    await world.redis.kill()
    await asyncio.gather(world.web.kill(), world.workers[0].kill())
    await world.story.mark("SIGKILL of everything")
    await world.redis.start()
    await asyncio.gather(world.web.start(), world.workers[0].start())


async def with_another(world: World) -> None:
    """One of two workers dies in the middle of a step, and does not come back."""
    world.script.sleeps(FIRST)
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    holder = await world.holder(asked)
    await holder.kill()
    await world.story.mark("SIGKILL of one of two workers")


add(Fault("killed-in-a-command", in_a_command, waits=True))
add(Fault("killed-between-turns", between_turns, waits=True))
add(Fault("killed-in-its-last-words", in_last_words, waits=True))
add(Fault("killed-before-its-last-words", before_last_words, waits=True))
add(Fault("killed-twice", twice, limit_s=150, waits=True))
add(Fault("killed-always-by-one-job", always, limit_s=260, waits=True))
add(Fault("killed-one-of-two-workers", with_another, workers=2, waits=True))
add(Fault("web-killed-between-write-and-answer", web_between_write_and_answer))
add(Fault("web-killed-before-the-write", web_before_write))
add(Fault("web-killed-under-a-stream", web_under_a_stream))
add(Fault("web-and-worker-killed", both, waits=True))
add(Fault("everything-killed", everything, waits=True))
