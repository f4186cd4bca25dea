"""Deliveries that come three times, and deliveries that never come."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from app.adapters.redis import keys
from app.core.run.run import Conclusion
from app.demo.github.state.records import Issue
from app.demo.loopback import free_port
from tests.bot import REPO
from tests.faults import redis
from tests.faults.fault import Fault, add
from tests.faults.world import Asked, World

LOOK_S = 60.0


async def three_times(world: World) -> None:
    """Every delivery comes three times at once, and again at the end."""
    issue = await world.issue()
    delivery = await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    world.expect(issue.number, delivery)
    statuses = await world.github.redeliver(delivery, times=3)
    await world.story.mark("three more deliveries")
    await world.settled()
    statuses += await world.github.redeliver(delivery, times=3)
    assert statuses == [200] * 6, f"Duplicates were answered {statuses}."
    await asyncio.sleep(2)


async def three_times_to_two_webs(world: World) -> None:
    """A delivery comes to two web processes at once, for a commanding comment."""
    port = str(free_port())
    other = world.program("web", "web-2", PORT=port)
    await other.start()
    issue = await world.issue()
    first_url = world.github.webhook_url
    world.github.webhook_url = ""
    _, delivery = await world.github.comment(REPO, issue.number, "/vibecode", by="maintainer")
    tries = []
    for index in range(6):
        world.github.webhook_url = first_url if index % 2 else f"http://127.0.0.1:{port}/webhook"
        tries.append(asyncio.create_task(world.github.redeliver(delivery)))
        await asyncio.sleep(0)
    statuses = sorted([status for attempt in tries for status in await attempt])
    assert statuses == [200] * 5 + [202], f"One is new; they were answered {statuses}."
    world.expect(issue.number, next(each for each in world.github.deliveries if each.status_code == 202))
    await world.story.mark("six deliveries at two doors")


async def _lost(world: World, issue: Issue) -> None:
    """Expect that a run of this issue turns up."""

    def found() -> bool:
        return any(run.job.number == issue.number for run in world.story.runs.values())

    await world.until(found, "the lost delivery is found again", LOOK_S)
    job_id = next(run.id for run in world.story.runs.values() if run.job.number == issue.number)
    world.asked.append(Asked(issue.number, job_id))


async def nobody_was_there(world: World) -> None:
    """Nothing runs when a label is put; its delivery is found in GitHub's log at the start."""
    issue = await world.issue()
    await asyncio.gather(world.web.terminate(), world.workers[0].terminate())
    await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    await asyncio.gather(world.web.start(), world.workers[0].start())
    await world.story.mark("web and worker are up again")
    await _lost(world, issue)


async def comment_lost(world: World) -> None:
    """Nothing runs when somebody comments."""
    issue = await world.issue()
    await asyncio.gather(world.web.terminate(), world.workers[0].terminate())
    await world.github.comment(REPO, issue.number, "/vibecode", by="maintainer")
    await asyncio.gather(world.web.start(), world.workers[0].start())
    await world.story.mark("web and worker are up again")
    await _lost(world, issue)


async def web_was_down(world: World) -> None:
    """Only web is down when a label is put; the worker is restarted later, as a deploy does."""
    issue = await world.issue()
    await world.web.kill()
    await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    await world.web.start()
    await world.workers[0].terminate()
    await world.workers[0].start()
    await world.story.mark("web and worker are up again")
    await _lost(world, issue)


async def refused(world: World) -> None:
    """Redis is away when a label is put: the delivery is answered 503 and not sent again by hand."""
    issue = await world.issue()
    async with redis.killed(world):
        await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    await world.workers[0].terminate()
    await world.workers[0].start()
    await world.story.mark("Redis is back")
    await _lost(world, issue)


_HOUR: Final = timedelta(hours=1)


def _place(world: World) -> str:
    """The name of the note on the sweep of the tests' installation."""
    return f"sweep {world.github.world.repos[REPO].installation_id}"


async def _swept(world: World, after: str = "") -> dict[str, Any]:
    """Wait until a round of the sweep is over that began after that moment; the note on it."""
    while True:
        note = json.loads(await world.records.store.recall(_place(world)) or "{}")
        if note.get("is_over") and note["began_at"] > after:
            return dict(note)
        await asyncio.sleep(0.05)


async def _an_hour_passes(world: World, note: Mapping[str, Any]) -> None:
    """While no worker runs, let the round of this note have begun an hour earlier: the next one is due."""
    began_at = datetime.fromisoformat(note["began_at"]) - _HOUR
    await world.records.store.note(_place(world), json.dumps({**note, "began_at": began_at.isoformat()}))
    await world.keys.delete(keys.claim("sweep"))


async def forgotten(world: World) -> None:
    """Nothing runs when a label is put, and GitHub no longer lists the delivery: the label itself is found."""
    issue = await world.issue()
    note = await _swept(world)
    await asyncio.gather(world.web.terminate(), world.workers[0].terminate())
    await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    world.github.world.deliveries.clear()
    await _an_hour_passes(world, note)
    await asyncio.gather(world.web.start(), world.workers[0].start())
    await world.story.mark("web and worker are up again")
    await _lost(world, issue)


async def found_and_delivered(world: World) -> None:
    """What was found by its label is delivered after all: it is one run."""
    issue = await world.issue()
    note = await _swept(world)
    await asyncio.gather(world.web.terminate(), world.workers[0].terminate())
    delivery = await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    world.github.world.deliveries.clear()
    await _an_hour_passes(world, note)
    await asyncio.gather(world.web.start(), world.workers[0].start())
    await world.story.mark("web and worker are up again")
    await _lost(world, issue)
    statuses = await world.github.redeliver(delivery, times=3)
    assert statuses == [200] * 3, f"It is known already; it was answered {statuses}."


async def sweeper_killed(world: World) -> None:
    """The sweeper is killed while GitHub does not answer it; its successor finds what was lost."""
    issue = await world.issue()
    note = await _swept(world)
    await asyncio.gather(world.web.terminate(), world.workers[0].terminate())
    await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    world.github.world.deliveries.clear()
    await _an_hour_passes(world, note)
    hanging = world.github.fails("GET", rf"/repos/{REPO}/issues$", hangs=True)
    await asyncio.gather(world.web.start(), world.workers[0].start())
    await world.until_hit(hanging)
    await world.kill_worker()
    await world.keys.delete(keys.claim("sweep"))
    await _lost(world, issue)


async def sweep_refused(world: World) -> None:
    """GitHub refuses the sweep of another installation for ten minutes: this one's lost label is found all the same."""
    other = await world.github.repo("other/place", files={"README.md": "Elsewhere.\n"})
    issue = await world.issue()
    note = await _swept(world)
    await asyncio.gather(world.web.terminate(), world.workers[0].terminate())
    await world.github.label(REPO, issue.number, "vibecode", by="maintainer")
    world.github.world.deliveries.clear()
    world.github.world.limits.block(f"installation ID {other.installation_id}", 600)
    await world.keys.delete(keys.note("sweep"))
    await _an_hour_passes(world, note)
    await asyncio.gather(world.web.start(), world.workers[0].start())
    await world.story.mark("web and worker are up again")
    await _lost(world, issue)
    await world.until(lambda: world.github.world.limits.refused > 0, "the other installation was asked")


async def stopped_and_not_begun_again(world: World) -> None:
    """A run that ended in failure keeps its label: no sweep begins it again."""
    world.github.fails("POST", r"/git/refs$", status=422, json={"message": "It is not to be."})
    await world.ask(ends=frozenset({Conclusion.FAILURE}))
    await world.settled()
    world.github.world.deliveries.clear()
    note = await _swept(world)
    await world.workers[0].terminate()
    await _an_hour_passes(world, note)
    await world.workers[0].start()
    await world.story.mark("the worker is up again")
    await _swept(world, after=note["began_at"])
    assert len(world.story.runs) == 1, f"There are {len(world.story.runs)} runs."


add(Fault("delivered-three-times", three_times))
add(Fault("delivered-to-two-webs", three_times_to_two_webs))
add(Fault("lost-while-nothing-ran", nobody_was_there))
add(Fault("lost-comment", comment_lost))
add(Fault("lost-while-web-was-down", web_was_down))
add(Fault("lost-to-a-503", refused, is_direct=True))
add(Fault("lost-and-forgotten", forgotten))
add(Fault("lost-found-and-delivered", found_and_delivered))
add(Fault("lost-and-the-sweeper-killed", sweeper_killed))
add(Fault("lost-and-the-sweep-refused", sweep_refused))
add(Fault("failed-and-not-begun-again", stopped_and_not_begun_again))
