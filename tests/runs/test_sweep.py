"""The sweep for lost requests: a slice at a time, to the end, whoever does it and whatever gets in between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from app.adapters.memory import MemoryStore
from app.core.errors import GitHubError
from app.core.ports import Listing, Ports
from app.runs.sweep import AT_ONCE, EVERY, LOOK_BACK, sweep

AT = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
PAGE = 100


class Records(MemoryStore):
    """As long as these tests take, a claim would not end. Every repository's file is known."""

    async def claim(self, name: str, *, ttl_s: float) -> bool:
        return True

    async def recall(self, name: str) -> str:
        return await super().recall(name) or ("" if name == "sweep" else "{}")


@dataclass
class World:
    """The clock and the App: `sizes` are the numbers of repositories of its installations. Nothing changed anywhere."""

    sizes: dict[int, int]
    at: datetime = AT
    store: Records = field(default_factory=Records)
    looked_at: list[tuple[int, str, datetime]] = field(default_factory=list)
    fails: dict[str, GitHubError] = field(default_factory=dict)
    queue: None = None
    repo: str = ""
    installation: int = 0

    @property
    def clock(self) -> "World":
        return self

    @property
    def github(self) -> "World":
        return self

    def now(self) -> datetime:
        return self.at

    async def installed(self, cursor: str = "") -> Listing[int]:
        return _page(list(self.sizes), cursor, 2)

    async def repositories_of(self, installation_id: int, cursor: str = "") -> Listing[str]:
        return _page([f"o{installation_id}/r{index}" for index in range(self.sizes[installation_id])], cursor, PAGE)

    @asynccontextmanager
    async def open(self, installation_id: int, repo: str, *, is_read_only: bool = False) -> AsyncIterator["World"]:
        assert is_read_only
        self.repo, self.installation = repo, installation_id
        yield self

    async def recent(self, since: datetime, installation_id: int) -> None:
        if (error := self.fails.pop(self.repo, None)) is not None:
            raise error
        self.looked_at.append((installation_id, self.repo, since))

    async def slices(self, count: int) -> None:
        for _ in range(count):
            await sweep(cast("Ports", cast("Any", self)), label="vibecode")
            self.at += timedelta(seconds=10)


def _page(items: list[Any], cursor: str, size: int) -> Listing[Any]:
    start = int(cursor or 0)
    return Listing(tuple(items[start : start + size]), str(start + size) if start + size < len(items) else "")


async def test_every_repository_is_looked_at_once_a_round() -> None:
    world = World({1: 1_450, 2: 0, 3: 7, 4: 100, 5: 101})
    await world.slices(3_000 // AT_ONCE)
    names = [name for _, name, _ in world.looked_at]
    assert len(names) == len(set(names)) == 1_450 + 7 + 100 + 101


async def test_a_slice_is_small() -> None:
    world = World({1: 100_000})
    await world.slices(1)
    assert 0 < len(world.looked_at) <= AT_ONCE


async def test_a_round_begins_only_every_half_hour() -> None:
    world = World({1: 3})
    await world.slices(10)
    assert len(world.looked_at) == 3
    world.at += EVERY
    await world.slices(2)
    assert len(world.looked_at) == 6


async def test_a_limit_ends_the_slice_and_loses_nothing() -> None:
    world = World({1: 5}, fails={"o1/r2": GitHubError("Slow down.", status=403, retry_after_s=60.0)})
    with pytest.raises(GitHubError):
        await world.slices(1)
    assert len(world.looked_at) == 2
    await world.slices(2)
    assert [name for _, name, _ in world.looked_at] == [f"o1/r{index}" for index in range(5)]


async def test_a_round_looks_back_to_the_one_before_the_last() -> None:
    world = World({1: 1})
    began = []
    for _ in range(4):
        began.append(world.at)
        await world.slices(2)
        world.at += EVERY
    assert [since for *_, since in world.looked_at] == [AT - LOOK_BACK, AT - LOOK_BACK, began[0], began[1]]


async def test_what_could_not_be_read_is_looked_for_in_the_next_round() -> None:
    world = World({1: 2})
    for fails in ({}, {}, {"o1/r0": GitHubError("It is away.", status=502)}, {}):
        world.fails = dict(fails)
        before = len(world.looked_at)
        await world.slices(2)
        world.at += EVERY
    since = {name: since for _, name, since in world.looked_at[before:]}
    assert since["o1/r0"] == AT, "as far back as the round that failed"
