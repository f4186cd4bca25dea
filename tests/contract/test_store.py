"""What every store promises."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from app.core.errors import LeaseLost, StoreError, UserError
from app.core.ports.store import QueueNotice, Signal
from app.core.run.codec import MAX_DOCUMENT_BYTES
from app.core.run.job import Verb
from app.core.run.run import Conclusion, Run, Status
from tests.contract.sample_run import REPO, Records, a_full_run, a_run, completed, in_progress, taken

pytest_plugins = ["tests.contract.records"]


async def test_there_is_no_unknown_run(records: Records) -> None:
    assert await records.store.load("acme~greeter~1~comment~404") is None


async def test_a_run_is_loaded_as_it_was_saved(records: Records) -> None:
    held = await taken(records, a_run())
    run = replace(a_full_run(), attempt=held.attempt)

    await records.store.save(run)

    assert await records.store.load(run.id) == run


async def test_a_run_that_nobody_holds_cannot_be_saved(records: Records) -> None:
    await records.queue.put(a_run())

    with pytest.raises(LeaseLost):
        await records.store.save(a_run())


async def test_a_run_that_is_too_large_is_refused(records: Records) -> None:
    held = await taken(records, a_run())

    with pytest.raises(StoreError, match="bytes; at most"):
        await records.store.save(replace(held, summary="x" * MAX_DOCUMENT_BYTES))

    assert await records.store.load(held.id) == held


async def test_taking_a_run_raises_its_attempt(records: Records) -> None:
    held = await taken(records, a_run())
    assert held == replace(a_run(), attempt=1)
    await records.store.release(held)

    again = await taken(records, a_run())

    assert again.attempt == 2
    assert await records.store.load(a_run().id) == again


async def test_one_of_many_takes_a_run(records: Records) -> None:
    await records.queue.put(a_run())

    async with asyncio.TaskGroup() as together:
        tries = [
            together.create_task(records.store.acquire(a_run().id, worker=f"w{number}", ttl_s=30))
            for number in range(10)
        ]

    assert [held.attempt for each in tries if (held := each.result())] == [1]


async def test_what_is_held_completed_or_unknown_cannot_be_taken(records: Records) -> None:
    held = await taken(records, a_run())
    assert await records.store.acquire(held.id, worker="w", ttl_s=30) is None

    await records.store.save(completed(held))
    await records.store.release(held)

    assert await records.store.acquire(held.id, worker="w", ttl_s=30) is None
    assert await records.store.acquire("acme~greeter~1~comment~404", worker="w", ttl_s=30) is None


async def test_who_lost_the_lease_can_do_nothing_more(records: Records) -> None:
    late = await taken(records, a_run(), ttl_s=0.001)
    now = await taken(records, a_run())
    assert (late.attempt, now.attempt) == (1, 2)

    with pytest.raises(LeaseLost, match="Attempt 1 of acme~greeter~12~comment~1 does not hold"):
        await records.store.save(replace(late, message="I am still here."))
    with pytest.raises(LeaseLost):
        await records.store.renew(late, ttl_s=30)
    await records.store.release(late)

    assert await records.store.acquire(now.id, worker="w", ttl_s=30) is None
    await records.store.save(now)


async def test_a_lease_lasts_as_long_as_it_is_renewed(records: Records) -> None:
    held = await taken(records, a_run(), ttl_s=30)

    await records.store.renew(held, ttl_s=0.001)

    assert (await taken(records, a_run())).attempt == 2


async def test_what_was_begun_and_is_held_by_nobody_is_leaseless(records: Records) -> None:
    store = records.store
    held = await taken(records, a_run(1))
    await records.queue.put(a_run(2))
    assert await store.leaseless() == ()

    await store.release(held)
    assert await store.leaseless() == (held.id,)

    held = await taken(records, a_run(1))
    assert await store.leaseless() == ()
    await store.save(completed(held))
    await store.release(held)
    assert await store.leaseless() == ()


async def test_leaseless_runs_come_oldest_first_and_so_many_at_most(records: Records) -> None:
    for key in range(5):
        await records.store.release(await taken(records, a_run(key)))

    assert await records.store.leaseless(limit=3) == tuple(a_run(key).id for key in range(3))


async def test_pages_hold_every_run_once_newest_first(records: Records) -> None:
    for key in range(7):
        await records.queue.put(a_run(key))

    first = await records.store.list(limit=3)
    await records.queue.put(a_run("put while somebody reads"))
    second = await records.store.list(limit=3, cursor=first.cursor)
    third = await records.store.list(limit=3, cursor=second.cursor)

    assert [run.id for page in (first, second, third) for run in page.runs] == [
        a_run(key).id for key in range(6, -1, -1)
    ]
    assert third.cursor == ""


async def test_a_page_that_holds_all_that_is_left_is_the_last(records: Records) -> None:
    for key in range(3):
        await records.queue.put(a_run(key))

    assert (await records.store.list(limit=3)).cursor == ""


async def test_lists_are_of_a_repository_a_status_or_both(records: Records) -> None:
    here, elsewhere = a_run(1), a_run(2, repo="acme/other")
    for run in (here, elsewhere, a_run(3)):
        await records.queue.put(run)
    for run in (here, elsewhere):
        await records.store.save(in_progress(await taken(records, run)))

    async def ids(**wanted: Any) -> list[str]:
        return [run.id for run in (await records.store.list(**wanted)).runs]

    assert await ids(repo="acme/greeter") == [a_run(3).id, here.id]
    assert await ids(status=Status.IN_PROGRESS) == [elsewhere.id, here.id]
    assert await ids(status=Status.QUEUED) == [a_run(3).id]
    assert await ids(repo="acme/other", status=Status.IN_PROGRESS) == [elsewhere.id]
    assert await ids(repo="acme/other", status=Status.QUEUED) == []
    assert await ids(repo="acme/none") == []


@pytest.mark.parametrize("cursor", ["-1", "1.5", "now", "²", "(1", "1" * 20, "+inf"])
async def test_a_cursor_that_no_page_gave_is_refused(records: Records, cursor: str) -> None:
    with pytest.raises(UserError, match="cursor"):
        await records.store.list(cursor=cursor)


async def test_a_page_holds_one_to_a_hundred_runs(records: Records) -> None:
    for key in range(101):
        await records.queue.put(a_run(key))

    assert len((await records.store.list(limit=1_000)).runs) == 100
    assert len((await records.store.list(limit=0)).runs) == 1


async def test_the_latest_run_of_a_thread_is_the_last_that_started(records: Records) -> None:
    for run in (
        a_run(1),
        a_run(2, verb=Verb.PLAN),
        a_run(3, verb=Verb.STATUS),
        a_run(4, verb=Verb.STOP),
        a_run(5, number=13),
        a_run(6, number=None),
        a_run(7, repo="acme/other"),
    ):
        await records.queue.put(run)

    assert await records.store.latest("acme/greeter", 12) == a_run(2, verb=Verb.PLAN)
    assert await records.store.latest("acme/greeter", 99) is None


async def test_a_follower_sees_the_run_as_it_stands_and_each_save_until_its_end(records: Records) -> None:
    held = await taken(records, a_run())
    async with asyncio.timeout(5), aclosing(cast(Any, records.store.follow(held.id))) as following:
        seen = [await anext(following)]
        for run in (in_progress(held), replace(in_progress(held), percent=50), completed(held)):
            await records.store.save(run)
            seen.append(await anext(following))
        rest = [run async for run in following]

    assert seen == [held, in_progress(held), replace(in_progress(held), percent=50), completed(held)]
    assert rest == []


async def test_a_slow_follower_skips_to_the_newest(records: Records) -> None:
    held = await taken(records, a_run())
    async with asyncio.timeout(5), aclosing(cast(Any, records.store.follow(held.id))) as following:
        await anext(following)
        for percent in range(10):
            await records.store.save(replace(held, percent=percent))

        async for run in following:
            if run.percent == 9:
                break


async def test_many_follow_one_run(records: Records) -> None:
    held = await taken(records, a_run())

    async def watch() -> Run:
        return [run async for run in records.store.follow(held.id)][-1]

    async with asyncio.timeout(5), asyncio.TaskGroup() as together:
        watching = [together.create_task(watch()) for _ in range(50)]
        await records.store.save(completed(held))

    assert {each.result().status for each in watching} == {Status.COMPLETED}


async def test_nobody_follows_an_unknown_run(records: Records) -> None:
    assert [run async for run in records.store.follow("acme~greeter~1~comment~404")] == []


async def test_a_follower_that_stops_leaves_nothing_behind(records: Records) -> None:
    held = await taken(records, a_run())
    before = asyncio.all_tasks()
    following = cast(Any, records.store.follow(held.id))
    await anext(following)

    await following.aclose()

    assert asyncio.all_tasks() == before


async def test_signals_are_taken_once_in_order(records: Records) -> None:
    await records.queue.put(a_run())
    stop, more = Signal("stop", "maintainer"), Signal("budget", "member", 2.5)
    await records.store.signal(a_run().id, stop)
    await records.store.signal(a_run().id, more)

    assert await records.store.signals(a_run().id) == (stop, more)
    assert await records.store.signals(a_run().id) == ()


async def test_the_newest_hundred_signals_are_kept(records: Records) -> None:
    await records.queue.put(a_run())
    for number in range(105):
        await records.store.signal(a_run().id, Signal("budget", "member", number))

    assert [signal.amount for signal in await records.store.signals(a_run().id)] == list(range(5, 105))


async def test_the_store_answers(records: Records) -> None:
    await records.store.ping()


async def test_no_more_is_set_aside_than_a_day_has(records: Records) -> None:
    store = records.store
    granted = [await store.reserve("acme/greeter:today", f"run-{number}", 2.0, limit=5.0) for number in range(3)]
    assert granted == [True, True, False]


async def test_what_was_set_aside_and_not_spent_is_there_for_others(records: Records) -> None:
    store = records.store
    assert await store.reserve("day", "one", 4.0, limit=5.0)
    assert not await store.reserve("day", "two", 2.0, limit=5.0)
    await store.settle("day", "one", 0.5)
    await store.settle("day", "one", 0.5)
    assert await store.reserve("day", "two", 4.5, limit=5.0)


async def test_setting_aside_again_replaces_what_was_there(records: Records) -> None:
    assert all([await records.store.reserve("day", "one", 4.0, limit=5.0) for _ in range(3)])


async def test_many_at_once_are_granted_no_more_than_there_is(records: Records) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(records.store.reserve("day", f"run-{number}", 1.0, limit=7.0)) for number in range(40)
        ]
    assert sum(task.result() for task in asked) == 7


async def test_a_run_is_due_from_its_moment_on_until_it_is_reminded_again(records: Records) -> None:
    store, now = records.store, datetime(2026, 11, 22, 15, tzinfo=UTC)
    await store.remind("late", now + timedelta(seconds=1))
    await store.remind("first", now - timedelta(hours=1))
    await store.remind("second", now)

    assert await store.due(now, limit=9) == await store.due(now, limit=9) == ("first", "second")
    assert await store.due(now, limit=1) == ("first",)

    await store.remind("first", now + timedelta(hours=1))
    await store.remind("second", None)
    assert await store.due(now, limit=9) == ()
    assert await store.due(now + timedelta(hours=2), limit=9) == ("late", "first")


async def found(records: Records, repo: str = REPO, **wanted: Any) -> list[str]:
    return [run.id async for run in records.store.runs_of(repo, **wanted)]


async def test_the_runs_of_a_thread_are_found_newest_first_beside_any_number_of_others(records: Records) -> None:
    mine = [a_run(key) for key in range(60)]
    for run in mine:
        await records.queue.put(run)
        await records.queue.put(a_run(run.id[-2:], number=13))
        await records.queue.put(a_run(run.id[-2:], repo="acme/other"))
    await records.queue.put(a_run("api", number=None))

    assert await found(records, number=12) == [run.id for run in reversed(mine)]
    assert await found(records, number=1) == []
    assert await found(records) == []


async def test_the_runs_of_a_branch_are_found_while_it_is_theirs(records: Records) -> None:
    for key in (1, 2, 3):
        held = await taken(records, a_run(key, number=key))
        await records.store.save(replace(in_progress(held), branch="vibecode/x#3"))
    assert await found(records, branch="vibecode/x#3") == [a_run(key, number=key).id for key in (3, 2, 1)]
    assert await found(records, "acme/other", branch="vibecode/x#3") == []

    await records.store.save(replace(in_progress(held), branch="vibecode/y"))

    assert await found(records, branch="vibecode/x#3") == [a_run(key, number=key).id for key in (2, 1)]
    assert await found(records, branch="vibecode/y") == [held.id]
    assert await found(records, number=1, branch="vibecode/y") == [held.id, a_run(1, number=1).id]

    await records.store.save(replace(in_progress(held), branch=""))
    assert await found(records, branch="vibecode/y") == []


async def test_a_run_of_a_thread_that_is_on_a_branch_is_found_once(records: Records) -> None:
    runs = [await taken(records, a_run(key)) for key in range(30)]
    for run in runs:
        await records.store.save(replace(in_progress(run), branch="vibecode/x"))

    assert await found(records, number=12, branch="vibecode/x") == [run.id for run in reversed(runs)]


async def test_the_runs_of_a_thread_are_found_by_status(records: Records) -> None:
    queued, at_work, ended = [a_run(key) for key in (1, 2, 3)]
    await records.queue.put(queued)
    held = await taken(records, at_work)
    await records.store.save(replace(in_progress(held), branch="vibecode/x"))
    held = await taken(records, ended)
    await records.store.save(in_progress(held))
    await records.store.save(replace(completed(held), branch="vibecode/x"))

    for status, run in ((Status.QUEUED, queued), (Status.IN_PROGRESS, at_work), (Status.COMPLETED, ended)):
        assert await found(records, number=12, status=status) == [run.id]
        on_branch = [] if run is queued else [run.id]
        assert await found(records, branch="vibecode/x", status=status) == on_branch


async def test_the_first_run_that_supersedes_another_does(records: Records) -> None:
    held = await taken(records, a_run())
    assert await records.store.supersede(held.id, "early") == "", "a run at work is superseded by nothing"
    waits = replace(held, status=Status.COMPLETED, conclusion=Conclusion.ACTION_REQUIRED, needs="approval")
    await records.store.save(waits)

    by = await asyncio.gather(*(records.store.supersede(held.id, name) for name in ("one", "two", "one")))

    assert len(set(by)) == 1
    assert await records.store.load(held.id) == waits.as_superseded(by[0])
    assert (await records.store.list()).runs == (waits.as_superseded(by[0]),)


async def test_nothing_supersedes_a_run_that_there_is_not(records: Records) -> None:
    assert await records.store.supersede("acme~greeter~1~comment~404", "one") == ""
    assert await records.store.load("acme~greeter~1~comment~404") is None


async def test_a_thread_has_the_lead_that_was_set_last(records: Records) -> None:
    assert await records.store.lead("acme/greeter#1") == ""
    for name in ("one", "two"):
        await records.store.set_lead("acme/greeter#1", name)
    assert await records.store.lead("acme/greeter#1") == "two"
    assert await records.store.lead("acme/greeter#12") == ""


async def test_a_reaction_that_approves_nothing_is_remembered(records: Records) -> None:
    await records.store.pass_over_reaction(31)
    assert await records.store.is_passed_over(31)
    assert not await records.store.is_passed_over(3)


async def test_what_a_waiting_runs_comment_shows_is_remembered(records: Records) -> None:
    assert await records.store.queue_notice(a_run().id) is None
    for notice in (QueueNotice(is_drawing=True), QueueNotice(7, "repo 2 1"), QueueNotice(None, "workers 1 0")):
        await records.store.set_queue_notice(a_run().id, notice)
        assert await records.store.queue_notice(a_run().id) == notice
    assert [QueueNotice().is_unclear, notice.is_unclear] == [True, False]
