"""What every store promises of counting runs within a scope."""

import asyncio

from tests.contract.sample_run import Records

pytest_plugins = ["tests.contract.records"]


async def test_a_scope_lets_so_many_pass_and_says_how_long_it_is_closed(records: Records) -> None:
    waits = [await records.store.count("thread", f"run-{number}", limit=2, ttl_s=60) for number in range(4)]

    assert waits[:2] == [0, 0]
    assert all(50 < wait_s <= 60 for wait_s in waits[2:])
    assert await records.store.count("another", "run-3", limit=2, ttl_s=60) == 0


async def test_a_run_is_counted_once(records: Records) -> None:
    waits = [await records.store.count("thread", "one", limit=1, ttl_s=60) for _ in range(3)]
    assert waits == [0, 0, 0]
    assert await records.store.count("thread", "two", limit=1, ttl_s=60) > 0


async def test_a_scope_begins_anew(records: Records) -> None:
    assert await records.store.count("thread", "one", limit=1, ttl_s=0.05) == 0
    async with asyncio.timeout(5):
        while await records.store.count("thread", "two", limit=1, ttl_s=0.05):  # noqa: ASYNC110 -- nobody tells of it
            await asyncio.sleep(0.01)


async def test_many_at_once_are_no_more_than_the_limit(records: Records) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(records.store.count("repo", f"run-{n}", limit=7, ttl_s=60)) for n in range(40)]
    assert sum(task.result() == 0 for task in asked) == 7


async def test_turns_are_one_count_for_all_who_share_a_scope(records: Records) -> None:
    windows = [(5, 60.0), (8, 3_600.0)]
    async with asyncio.TaskGroup() as group:
        turns = [group.create_task(records.store.take_turn("writes 1", windows, longest_s=0)) for _ in range(9)]
    waits = sorted(turn.result() for turn in turns)
    assert waits[:5] == [0] * 5
    assert all(50 < wait_s <= 60 for wait_s in waits[5:])
    assert await records.store.take_turn("writes 2", windows, longest_s=0) == 0


async def test_a_turn_that_is_near_is_taken_and_the_next_is_after_it(records: Records) -> None:
    windows = [(1, 60.0), (3, 3_600.0)]
    waits = [await records.store.take_turn("writes 1", windows, longest_s=130) for _ in range(4)]
    assert waits[0] == 0
    assert 50 < waits[1] <= 60 < waits[2] <= 120
    assert waits[3] > 3_000
