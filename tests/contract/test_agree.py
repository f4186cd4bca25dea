"""What every store promises of a text on which many must agree."""

import asyncio

from tests.contract.sample_run import Records

pytest_plugins = ["tests.contract.records"]


async def test_many_at_once_agree_on_one(records: Records) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(records.store.agree("request", f"key-{n}", ttl_s=60)) for n in range(20)]
    (agreed,) = {task.result() for task in asked}
    assert await records.store.agree("request", "later", ttl_s=60) == agreed
    assert await records.store.agree("another", "later", ttl_s=60) == "later"


async def test_after_its_time_another_text_is_taken(records: Records) -> None:
    assert await records.store.agree("request", "first", ttl_s=0.05) == "first"
    async with asyncio.timeout(5):
        while await records.store.agree("request", "second", ttl_s=0.05) == "first":  # noqa: ASYNC110 -- as time passes
            await asyncio.sleep(0.01)


async def test_who_holds_a_claim_may_hold_it_on(records: Records) -> None:
    assert await records.store.claim("sweeping", ttl_s=30, holder="one")
    assert await records.store.claim("sweeping", ttl_s=0.05, holder="one")
    assert not await records.store.claim("sweeping", ttl_s=30, holder="other")
    async with asyncio.timeout(5):
        while not await records.store.claim("sweeping", ttl_s=30, holder="other"):  # noqa: ASYNC110 -- as time passes
            await asyncio.sleep(0.01)
    assert not await records.store.claim("sweeping", ttl_s=30, holder="one")
    assert not await records.store.claim("sweeping", ttl_s=30)
