"""What every store promises of what is kept beside runs: conversations, claims and notes; and what Redis is asked."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.adapters.redis import keys
from app.adapters.redis.connection import open_redis
from app.adapters.redis.queue import ArqQueue
from app.adapters.redis.store import RedisStore
from app.core.conversation import AssistantMessage, Conversation, Instructions, ToolCall, ToolResult, UserMessage
from app.core.errors import LeaseLost
from tests.contract.sample_run import Records, a_run, completed, taken

pytest_plugins = ["tests.contract.records"]

BEGUN: Conversation = (Instructions("You mend."), UserMessage("Mend the greeting."))
TURN: Conversation = (
    AssistantMessage("I look. 🙂 \ud83d", (ToolCall("c1", "read_file", '{"path": "greet.py'),), '[{"encrypted": "…"}]'),
    ToolResult("c1", "print('helo')\n\x00"),
)


async def test_a_conversation_is_there_for_the_next_worker(records: Records) -> None:
    held = await taken(records, a_run())
    await records.store.keep_conversation(held, "step 0", BEGUN)
    await records.store.keep_conversation(held, "step 0", (*BEGUN, *TURN))
    await records.store.release(held)

    assert await records.store.conversation(held.id, "step 0") == (*BEGUN, *TURN)


async def test_nothing_was_said_in_a_task_that_was_not_begun(records: Records) -> None:
    held = await taken(records, a_run())
    assert await records.store.conversation(held.id, "plan") == ()
    assert await records.store.conversation("acme~greeter~1~comment~404", "plan") == ()

    await records.store.keep_conversation(held, "plan", BEGUN)

    assert await records.store.conversation(held.id, "step 0") == ()


async def test_one_task_takes_the_place_of_another(records: Records) -> None:
    held = await taken(records, a_run())
    await records.store.keep_conversation(held, "plan", (*BEGUN, *TURN))

    await records.store.keep_conversation(held, "step 0", BEGUN)

    assert await records.store.conversation(held.id, "plan") == ()
    assert await records.store.conversation(held.id, "step 0") == BEGUN


@pytest.mark.parametrize(
    "other",
    [(UserMessage("Begun anew."),), BEGUN, (*BEGUN[:1], UserMessage("Changed."), *TURN), (*TURN, *BEGUN, *TURN), ()],
    ids=["shorter", "a beginning", "changed in the middle", "longer", "none"],
)
async def test_a_conversation_that_does_not_go_on_with_the_kept_one_replaces_it(
    records: Records, other: Conversation
) -> None:
    held = await taken(records, a_run())
    await records.store.keep_conversation(held, "step 0", (*BEGUN, *TURN))

    await records.store.keep_conversation(held, "step 0", other)

    assert await records.store.conversation(held.id, "step 0") == other


async def test_the_same_conversation_may_be_kept_twice(records: Records) -> None:
    held = await taken(records, a_run())
    for _ in range(2):
        await records.store.keep_conversation(held, "step 0", (*BEGUN, *TURN))

    assert await records.store.conversation(held.id, "step 0") == (*BEGUN, *TURN)


async def test_who_lost_the_lease_adds_nothing_to_a_conversation(records: Records) -> None:
    late = await taken(records, a_run(), ttl_s=0.001)
    now = await taken(records, a_run())
    await records.store.keep_conversation(now, "step 0", BEGUN)

    with pytest.raises(LeaseLost):
        await records.store.keep_conversation(late, "step 0", (*BEGUN, *TURN))

    assert await records.store.conversation(now.id, "step 0") == BEGUN


async def test_a_conversation_ends_with_its_run(records: Records) -> None:
    held = await taken(records, a_run())
    await records.store.keep_conversation(held, "step 0", BEGUN)
    await records.store.save(held)
    assert await records.store.conversation(held.id, "step 0") == BEGUN

    await records.store.save(completed(held))

    assert await records.store.conversation(held.id, "step 0") == ()


async def test_one_of_many_claims(records: Records) -> None:
    async with asyncio.TaskGroup() as together:
        claims = [together.create_task(records.store.claim("recovery", ttl_s=30)) for _ in range(10)]

    assert sum(claim.result() for claim in claims) == 1
    assert await records.store.claim("another", ttl_s=30)


async def test_a_claim_lasts_so_long_and_no_longer(records: Records) -> None:
    assert await records.store.claim("recovery", ttl_s=0.001)
    async with asyncio.timeout(5):
        while not await records.store.claim("recovery", ttl_s=30):
            pass
    assert not await records.store.claim("recovery", ttl_s=30)


async def test_a_note_is_recalled_until_it_is_written_anew(records: Records) -> None:
    assert await records.store.recall("seen") == ""

    await records.store.note("seen", "é 1")
    await records.store.note("seen", "é 2")

    assert await records.store.recall("seen") == "é 2"
    assert await records.store.recall("other") == ""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with open_redis(redis_url) as redis:
        await redis.flushall()
        yield redis


async def test_only_what_is_new_is_written(redis: Any) -> None:
    store = RedisStore(redis)
    held = await taken(Records(ArqQueue(redis), store), a_run())
    long: Conversation = (*BEGUN, ToolResult("c0", "x" * 100_000))
    await store.keep_conversation(held, "step 0", long)
    before = (await redis.info("stats"))["total_net_input_bytes"]

    await store.keep_conversation(held, "step 0", (*long, *TURN))

    assert (await redis.info("stats"))["total_net_input_bytes"] - before < 2_000
    assert await redis.llen(keys.conversation(held.id)) == 6


async def test_what_is_kept_beside_runs_ends(redis: Any) -> None:
    store = RedisStore(redis)
    held = await taken(Records(ArqQueue(redis), store), a_run())
    await store.keep_conversation(held, "plan", BEGUN)
    await store.note("seen", "yesterday")
    await store.claim("recovery", ttl_s=30)

    assert await redis.ttl(keys.conversation(held.id)) == 2 * keys.DAY_S
    assert await redis.ttl(keys.note("seen")) == 30 * keys.DAY_S
    assert 29 <= await redis.ttl(keys.claim("recovery")) <= 30


async def test_a_conversation_that_expired_between_two_turns_is_kept_whole(redis: Any) -> None:
    store = RedisStore(redis)
    held = await taken(Records(ArqQueue(redis), store), a_run())
    await store.keep_conversation(held, "plan", BEGUN)
    await redis.delete(keys.conversation(held.id))

    await store.keep_conversation(held, "plan", (*BEGUN, *TURN))

    assert await store.conversation(held.id, "plan") == (*BEGUN, *TURN)


async def test_a_conversation_in_words_of_a_newer_version_begins_anew(redis: Any) -> None:
    store = RedisStore(redis)
    held = await taken(Records(ArqQueue(redis), store), a_run())
    message = b'{"kind": "sung", "text": "la"}'
    head = hashlib.sha256(b"%d:%s" % (len(message), message)).hexdigest() + " plan"
    await redis.rpush(keys.conversation(held.id), head, message)

    assert await store.conversation(held.id, "plan") == ()
    await store.keep_conversation(held, "plan", BEGUN)
    assert await store.conversation(held.id, "plan") == BEGUN


async def test_a_damaged_conversation_is_not_gone_on_with(redis: Any) -> None:
    store = RedisStore(redis)
    held = await taken(Records(ArqQueue(redis), store), a_run())
    await store.keep_conversation(held, "plan", (*BEGUN, *TURN))

    await redis.ltrim(keys.conversation(held.id), 0, -2)

    assert await store.conversation(held.id, "plan") == ()
