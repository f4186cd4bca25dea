import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette

from app.core.run.run import Kind
from app.web.api.events import Events
from app.web.api.views import Documents
from app.web.app import WebOptions
from tests.web.sample import ID, at, at_work, ended, queued
from tests.web.site import OPERATOR, SECRET, Site, serving

URL = f"/api/jobs/{ID}/events"


@asynccontextmanager
async def listening(address: str, **headers: str) -> AsyncIterator[AsyncIterator[str]]:
    """The stream's blocks of lines, as they come."""
    async with (
        asyncio.timeout(10),
        httpx.AsyncClient(base_url=address, timeout=10) as client,
        client.stream("GET", URL, headers=OPERATOR | headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"

        async def blocks() -> AsyncIterator[str]:
            lines: list[str] = []
            async for line in answer.aiter_lines():
                if line:
                    lines.append(line)
                elif lines:
                    yield "\n".join(lines)
                    lines = []

        yield blocks()


def name_of(block: str) -> str:
    return block.partition("\n")[0].removeprefix("event: ")


async def test_a_run_that_is_over_is_told_at_once_and_the_stream_ends() -> None:
    site = Site()
    await site.has(ended())
    async with serving(site.app) as address, listening(address) as blocks:
        told = [block async for block in blocks]
    assert [name_of(block) for block in told] == ["retry: 3000", *["activity"] * 6, "progress", "done"]
    ids = [block.split("\n")[1] for block in told[1:]]
    assert ids == [f"id: {seq}" for seq in (1, 2, 3, 4, 5, 6, 6, 6)]
    assert json.loads(told[-1].split("data: ")[1])["pull_request"]["number"] == 13


@pytest.mark.parametrize(("after", "count"), [("4", 2), ("6", 0), ("x", 6), ("-1", 6), ("99999999999", 6)])
async def test_who_comes_back_is_told_only_what_is_new(after: str, count: int) -> None:
    site = Site()
    await site.has(ended())
    async with serving(site.app) as address, listening(address, **{"Last-Event-ID": after}) as blocks:
        names = [name_of(block) async for block in blocks]
    assert names == ["retry: 3000", *["activity"] * count, "progress", "done"]


async def test_what_happens_is_told_while_it_happens() -> None:
    site = Site()
    held = await site.begins(at_work())
    async with serving(site.app) as address, listening(address, **{"Last-Event-ID": "6"}) as blocks:
        assert [name_of(await anext(blocks)) for _ in range(2)] == ["retry: 3000", "progress"]
        held = replace(held, percent=60).with_activity(at(70), Kind.TOOL, "read README.md")
        await site.store.save(held)
        activity, progress = await anext(blocks), await anext(blocks)
        assert activity.startswith("event: activity\nid: 7\n")
        assert json.loads(activity.split("data: ")[1])["text"] == "read README.md"
        assert json.loads(progress.split("data: ")[1])["progress_percentage"] == 60
        await site.store.save(replace(ended(), attempt=held.attempt, activities=held.activities))
        assert [name_of(block) async for block in blocks] == ["progress", "done"]


async def test_open_streams_do_not_hold_up_a_shutdown() -> None:
    is_closing = asyncio.Event()
    site = Site(WebOptions(is_closing=is_closing.is_set))
    await site.begins(at_work())
    loop = asyncio.get_running_loop()
    async with serving(site.app) as address, listening(address) as blocks:
        await anext(blocks)
        is_closing.set()
        asked = loop.time()
        assert name_of([block async for block in blocks][-1]) == "progress"
        assert loop.time() - asked < 3


async def test_no_more_streams_than_the_cap_and_a_place_is_free_again() -> None:
    site = Site(WebOptions(max_streams=1))
    held = await site.begins(at_work())
    async with serving(site.app) as address:
        async with listening(address) as blocks:
            await anext(blocks)
            async with httpx.AsyncClient(base_url=address) as client:
                full = await client.get(URL, headers=OPERATOR)
            assert (full.status_code, full.headers["retry-after"]) == (503, "10")
            await site.store.save(replace(ended(), attempt=held.attempt))
            assert [name_of(block) async for block in blocks][-1] == "done"
        async with listening(address) as blocks:
            assert [name_of(block) async for block in blocks][-1] == "done"


async def test_a_client_that_went_away_leaves_its_place() -> None:
    site = Site()
    await site.begins(at_work())
    events = Events(site.store, site.access, Documents(SECRET), pulse_s=0.01)
    loop = asyncio.get_running_loop()
    async with serving(Starlette(routes=[events.route()])) as address:
        async with listening(address) as blocks:
            await anext(blocks)
            assert events.open == 1
        left = loop.time()
    # a server that still had the stream would have waited five seconds for it
    assert (events.open, loop.time() - left < 3) == (0, True)


async def test_silence_is_broken_by_a_comment() -> None:
    site = Site()
    await site.begins(queued())
    events = Events(site.store, site.access, Documents(SECRET), heartbeat_s=0.02, pulse_s=0.01)
    async with serving(Starlette(routes=[events.route()])) as address, listening(address) as blocks:
        assert [await anext(blocks) for _ in range(4)][2:] == [": still here"] * 2
