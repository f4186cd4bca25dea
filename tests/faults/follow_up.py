"""What goes wrong while a pull request is followed up: no remark is lost, each thread is answered once."""

import asyncio
from functools import partial
from typing import Final

from app.core.run.job import Source, job_id
from app.core.run.run import Conclusion, Run
from app.demo.github.ci import Build, Outcome
from app.demo.github.state.records import PullRequest
from tests.bot import REPO
from tests.faults.fault import Fault, add
from tests.faults.github import WAYS
from tests.faults.script import SUBJECTS, THIRD
from tests.faults.tap import Cut
from tests.faults.world import Asked, World

FOLLOWED: Final = frozenset({Conclusion.SUCCESS, Conclusion.NEUTRAL})
"""A remark is carried out in a run of its own, or heard by another's."""
_STEP: Final = "Carry out step 1"


async def opened(world: World) -> PullRequest:
    """The bot's pull request, done, which the model would now follow up."""
    asked = await world.ask()
    await world.settled()
    asked.is_past, asked.subjects = True, [*SUBJECTS, THIRD]
    world.script.follows_up()
    (pull,) = world.github.pull_requests(REPO)
    return pull


async def remark(world: World, pull: PullRequest, words: str, ends: frozenset[Conclusion] = FOLLOWED) -> Asked:
    """Comment on a line of the pull request; it is a thread of its own."""
    comment = await world.github.pulls.remark(REPO, pull.number, "greet.py", 2, words, by="maintainer")
    is_more = any(asked.number == pull.number for asked in world.asked)
    name = job_id(REPO, pull.number, Source.REMARK, str(comment.id))
    world.asked.append(Asked(pull.number, name, ends, is_more=is_more, subjects=[*SUBJECTS, THIRD]))
    return world.asked[-1]


async def _until_at_work(world: World, asked: Asked) -> Run:
    await world.until(lambda: (run := world.run(asked)) is not None and bool(run.stages), "the follow-up begins")
    run = world.run(asked)
    assert run is not None
    return run


async def _assert_one_follow_up(world: World, pull: PullRequest, words: set[str]) -> None:
    """All that was said is in one run, which noted it once."""
    await world.settled()
    runs = [run for run in world.story.runs.values() if run.job.number == pull.number and run.plan is not None]
    assert len(runs) == 1, f"{[run.id for run in runs]} worked, not one."
    heard = [each.text for each in runs[0].heard]
    assert sorted(heard) == sorted(words), f"{heard} was heard."


async def killed_gathering(world: World) -> None:
    """The worker dies while it waits for what else is said; more is said meanwhile."""
    pull = await opened(world)
    first = await remark(world, pull, "Be polite.")
    await remark(world, pull, "And brief.")
    await _until_at_work(world, first)
    await world.until(lambda: (run := world.run(first)) is not None and len(run.heard) == 2, "the second is heard")
    await world.workers[0].kill()
    await world.story.mark("SIGKILL of the worker while it gathers")
    await remark(world, pull, "And kind.")
    await world.workers[0].start()
    await _assert_one_follow_up(world, pull, {"Be polite.", "And brief.", "And kind."})


async def killed_hearing(world: World, *, after: bool) -> None:
    """The worker dies when it has on record what a waiting run asks for, and completes that one."""
    pull = await opened(world)

    async def kill() -> None:
        await world.workers[0].kill()
        await world.story.mark("SIGKILL of the worker as it completes a run that it heard")
        raise Cut

    rule = world.redis_tap.when("Included in ", kill, after=after)
    await remark(world, pull, "Be polite.")
    await remark(world, pull, "And brief.")
    await world.until(rule.done.is_set, "a run is heard")
    await world.workers[0].start()
    await _assert_one_follow_up(world, pull, {"Be polite.", "And brief."})


async def killed_answering(world: World, *, is_carried_out: bool) -> None:
    """The worker dies while it answers in a thread; GitHub has, or has not, the answer."""
    pull = await opened(world)
    waiting = world.github.fails("POST", r"/replies$", hangs=True, before=not is_carried_out)
    await remark(world, pull, "Be polite.")
    await world.until_hit(waiting)
    await asyncio.sleep(0.3)
    await world.kill_worker()


async def killed_while_checks_run(world: World) -> None:
    """The worker dies while a failed check runs again; then it passes."""
    world.script.sleeps(SUBJECTS[1], "sleep 1")

    def judge(build: Build) -> Outcome:
        if build.branch != "main" and build.attempt == 1:
            world.github.ci.gate.clear()
            return Outcome("failure", "E   AssertionError: not today")
        return Outcome("success")

    await world.github.ci.judges(REPO, "tests", judge)
    await world.ask()
    asked = await _until_put_off(world)
    await world.kill_worker()
    world.github.ci.gate.set()
    await world.settled()
    (comment,) = [each for each in world.github.comments(REPO, asked.number) if each.author == "vibecoder[bot]"]
    assert "flaky" in comment.body, comment.body
    reruns = [request for request in world.github.requests if "rerun" in request.path]
    assert len(reruns) == 1, f"It was run again {len(reruns)} times."


async def _until_put_off(world: World) -> Asked:
    def waiting() -> Run | None:
        runs = [run for run in world.story.runs.values() if run.job.source is Source.CHECKS]
        return next((run for run in runs if run.wake_at is not None), None)

    await world.until(lambda: waiting() is not None, "a check runs again")
    run = waiting()
    assert run is not None
    assert run.job.number is not None
    world.asked.append(Asked(run.job.number, run.id, frozenset({Conclusion.NEUTRAL}), is_answer_only=True))
    return world.asked[-1]


async def killed_merging(world: World, *, is_carried_out: bool) -> None:
    """The worker dies while GitHub merges base into the branch; GitHub has done it, or has not."""
    pull = await opened(world)
    await world.github.push(REPO, "main", {"TONE.md": "Mind it.\n"}, message="Mind it", by="maintainer")
    world.asked[0].subjects = [*SUBJECTS, f"Merge main into {pull.head}"]
    waiting = world.github.fails("POST", r"/merges$", hangs=True, before=not is_carried_out)
    _, delivery = await world.github.comment(REPO, pull.number, "/vibecode update from main", by="maintainer")
    world.expect(pull.number, delivery).subjects = world.asked[0].subjects
    await world.until_hit(waiting)
    await asyncio.sleep(0.3)
    await world.kill_worker()


async def github_fails(world: World, path: str, way: str) -> None:
    """GitHub fails once at what is said on a line."""
    pull = await opened(world)
    ordered = world.github.fails("POST", path, **WAYS[way])
    await remark(world, pull, "Be polite.")
    await remark(world, pull, "And brief.")
    await world.until_hit(ordered)
    await world.story.mark(f"{path} failed: {way}")
    await world.settled()


async def model_dies(world: World) -> None:
    """The model is gone for half a minute in the follow-up's step."""
    pull = await opened(world)
    is_away = True

    async def hang_up() -> None:
        if is_away:
            raise Cut

    world.model_tap.when(f"{_STEP}.*{THIRD}", hang_up, times=1_000_000)
    await _until_at_work(world, await remark(world, pull, "Be polite."))
    await asyncio.sleep(30)
    is_away = False
    await world.story.mark("the model is back after 30 s")


async def model_refuses(world: World) -> None:
    """The model refuses in the follow-up's step for good: the thread is told, and again when a retry has done it."""
    pull = await opened(world)

    async def refuse() -> None:
        world.model.fails(401, code="invalid_api_key", times=1)
        await world.story.mark("the model refuses")

    world.model_tap.when(f"{_STEP}.*{THIRD}", refuse)
    await remark(world, pull, "Be polite.", ends=frozenset({Conclusion.FAILURE}))
    await world.settled()
    (_, reply), *_ = world.github.pulls.threads(REPO, pull.number)
    assert "`/vibecode retry`" in reply.body, reply.body
    _, delivery = await world.github.comment(REPO, pull.number, "/vibecode retry", by="maintainer")
    again = world.expect(pull.number, delivery)
    again.subjects, again.is_more = [*SUBJECTS, THIRD], True
    await world.settled()
    assert "Done in " in reply.body, reply.body


add(Fault("follow-up-killed-gathering", killed_gathering, waits=True, limit_s=150, environ={"GATHER_SECONDS": "4"}))
for _after in (False, True):
    _word = "after" if _after else "before"
    add(Fault(f"follow-up-killed-{_word}-it-completes-one-heard", partial(killed_hearing, after=_after),
              waits=True, limit_s=150, environ={"GATHER_SECONDS": "2"}))  # fmt: skip
    add(Fault(f"follow-up-killed-{_word}-its-answer", partial(killed_answering, is_carried_out=_after),
              waits=True, limit_s=150))  # fmt: skip
    add(Fault(f"follow-up-killed-{_word}-the-merge", partial(killed_merging, is_carried_out=_after),
              waits=True, limit_s=150))  # fmt: skip
add(Fault("follow-up-killed-while-checks-run", killed_while_checks_run, waits=True, limit_s=150))
for _way in ("500", "lost-answer", "429"):
    for _name, _path in (("answer", r"/replies$"), ("reaction", r"/pulls/comments/\d+/reactions$")):
        add(Fault(f"follow-up-github-{_way}-at-the-{_name}", partial(github_fails, path=_path, way=_way),
                  limit_s=120, environ={"GATHER_SECONDS": "1"}))  # fmt: skip
add(Fault("follow-up-model-away", model_dies, waits=True, limit_s=200))
add(Fault("follow-up-model-refuses", model_refuses, limit_s=150))
