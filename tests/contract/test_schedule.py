"""Who may start, who waits and for what."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.adapters.redis import keys
from app.adapters.redis.connection import open_redis, read_script
from app.adapters.redis.queue import ArqQueue
from app.adapters.redis.store import RedisStore
from app.core.ports.queue import ConcurrencyLimits, WaitReason
from app.core.run.job import Verb
from app.core.run.run import Run
from tests.contract.sample_run import Records, a_run, completed, taken

pytest_plugins = ["tests.contract.records"]

CAPS = ConcurrencyLimits(per_repo=2, per_installation=3, sandboxes=6)


@dataclass(frozen=True)
class Line(Records):
    """A queue, a store, and a worker that takes one job at a time while it finds any."""

    take: Callable[[], Awaitable[str]]

    async def put(self, *runs: Run) -> None:
        for run in runs:
            assert await self.queue.put(run)

    async def taken(self) -> list[str]:
        """All that may be taken now, each kept at work."""
        ids = []
        while job_id := await self.take():
            ids.append(job_id)
        return ids

    async def ends(self, run: Run) -> None:
        held = await taken(self, run)
        await self.store.save(completed(held))
        await self.store.release(held)

    async def places(self) -> list[tuple[str, int, str]]:
        return [(each.job_id, each.position, str(each.reason)) for each in await self.queue.waiting()]


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Line]:
    async with open_redis(redis_url) as client:
        redis: Any = client
        await redis.flushall()
        script = redis.register_script(read_script("schedule", "take"))
        tokens = iter(range(1_000))

        async def take() -> str:
            words = [*keys.schedule_arguments(CAPS), 1, 1, 60_000, f"token {next(tokens)}"]
            found = await script(keys.SCHEDULE, words)
            if len(found) > 3:  # an answer and a run of work: the latter is left for the next look
                await redis.delete(keys.ARQ_IN_PROGRESS + found[3].decode())
                await redis.srem(keys.BEGUN, found[3])
            return found[0].decode() if found else ""

        yield Line(ArqQueue(client, caps=CAPS), RedisStore(client), take)


def of(repo: str, number: int, key: int = 1, *, installation: int = 7, verb: Verb = Verb.START) -> Run:
    run = a_run(key, repo=repo, number=number, verb=verb)
    return replace(run, job=replace(run.job, installation_id=installation))


async def test_one_run_of_a_thread_is_taken_at_a_time(line: Line) -> None:
    first, second, elsewhere = of("acme/a", 1), of("acme/a", 1, 2), of("acme/b", 1)
    await line.put(first, second, elsewhere)

    assert await line.taken() == [first.id, elsewhere.id]
    assert await line.places() == [(second.id, 1, WaitReason.THREAD)]

    await line.ends(first)
    assert await line.taken() == [second.id]


async def test_a_repository_has_so_many_at_work_and_the_others_wait_in_order(line: Line) -> None:
    runs = [of("acme/a", number) for number in range(1, 6)]
    await line.put(*runs)

    assert await line.taken() == [run.id for run in runs[:2]]
    assert await line.places() == [(run.id, place, WaitReason.REPO) for place, run in enumerate(runs[2:], 1)]

    await line.ends(runs[1])
    assert await line.taken() == [runs[2].id]
    assert await line.places() == [(runs[3].id, 1, WaitReason.REPO), (runs[4].id, 2, WaitReason.REPO)]


async def test_an_installation_has_so_many_at_work(line: Line) -> None:
    runs = [of(f"acme/{name}", 1) for name in "abcd"]
    await line.put(*runs)

    assert await line.taken() == [run.id for run in runs[:3]]
    assert await line.places() == [(runs[3].id, 1, WaitReason.INSTALLATION)]


async def test_the_deployment_has_so_many_sandboxes_also_of_runs_that_were_put_off(line: Line) -> None:
    runs = [of(f"owner{number}/a", 1, installation=number) for number in range(1, 8)]
    await line.put(*runs)

    assert await line.taken() == [run.id for run in runs[:6]]
    assert await line.places() == [(runs[6].id, 1, WaitReason.SANDBOXES)]

    await line.queue.put_again(runs[0].id)
    assert await line.taken() == [runs[0].id]
    await line.ends(runs[0])
    assert await line.taken() == [runs[6].id]


async def test_the_installation_with_the_fewest_at_work_goes_first(line: Line) -> None:
    busy = [of(f"busy/{name}", 1, installation=1) for name in "abc"]
    quiet = of("quiet/a", 1, installation=2)
    await line.put(*busy, quiet)

    assert await line.taken() == [busy[0].id, quiet.id, busy[1].id, busy[2].id]


async def test_installations_take_turns(line: Line) -> None:
    busy = [of(f"busy/{name}", 1, installation=1) for name in "abc"]
    quiet = of("quiet/a", 1, installation=2)
    await line.put(busy[0])
    assert await line.take() == busy[0].id
    await line.put(*busy[1:], quiet)
    await line.ends(busy[0])

    assert (await line.queue.waiting())[0].job_id == quiet.id
    assert await line.take() == quiet.id


async def test_a_run_that_only_wants_a_worker_waits_for_one(line: Line) -> None:
    runs = [of("acme/a", 1), of("acme/b", 1)]
    await line.put(*runs)

    waiting = await line.queue.waiting()

    assert [(each.job_id, each.position, each.reason) for each in waiting] == [
        (run.id, place, WaitReason.WORKERS) for place, run in enumerate(runs, 1)
    ]
    assert all(0 <= each.waited_s < 5 and not each.has_begun for each in waiting)


async def test_answers_go_past_all_caps(line: Line) -> None:
    await line.put(*(of("acme/a", 1, key) for key in range(3)))
    await line.taken()
    stop = of("acme/a", 1, 9, verb=Verb.STOP)
    await line.put(stop)

    assert stop.id not in [each.job_id for each in await line.queue.waiting()]
    assert await line.taken() == [stop.id]


async def test_a_run_put_off_holds_its_thread_and_no_slot(line: Line) -> None:
    runs = [of("acme/a", number) for number in (1, 2, 3)]
    await line.put(*runs)
    await line.taken()
    await line.queue.put_again(runs[0].id, after_s=60)
    follower = of("acme/a", 1, 2)
    await line.put(follower)

    assert await line.taken() == [runs[2].id]
    assert await line.places() == [(follower.id, 1, WaitReason.THREAD)]


async def test_a_run_that_goes_on_goes_before_new_ones(line: Line) -> None:
    begun, other = of("acme/a", 1), of("acme/a", 2)
    await line.put(begun, other)
    await line.taken()
    await line.put(of("acme/a", 3), of("acme/a", 1, 2))
    await line.queue.put_again(begun.id)  # its worker died: the slot is free, and the run's own again

    waiting = await line.queue.waiting()
    assert (waiting[0].job_id, waiting[0].reason, waiting[0].has_begun) == (begun.id, WaitReason.WORKERS, True)
    assert await line.taken() == [begun.id]


async def test_a_begun_run_that_waits_for_a_slot_is_not_lost(line: Line) -> None:
    await line.put(of("acme/a", 1))
    await line.taken()
    held = await taken(line, of("acme/a", 1))
    await line.store.release(held)
    assert await line.store.leaseless() == (held.id,)

    await line.queue.put_again(held.id)

    assert await line.store.leaseless() == ()
