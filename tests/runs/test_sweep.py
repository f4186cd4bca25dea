"""The sweep for lost requests: a slice at a time, to the end, whoever does it and whatever gets in between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from app.adapters.memory import MemoryStore
from app.core.errors import GitHubError
from app.core.inbound.triggers import RecentActivity
from app.core.policy.rate_allowance import Allowance
from app.core.ports.bundle import Ports
from app.core.ports.github import Listing
from app.runs.background.sweep import AT_ONCE, EVERY, LOOK_BACK, MAX_FAILURES, sweep

AT = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
PAGE = 100


class Records(MemoryStore):
    """Every repository's file is known. Notes are counted."""

    async def recall(self, name: str) -> str:
        return await super().recall(name) or ("{}" if name.startswith("file ") else "")


@dataclass
class World:
    """The clock and the App: `sizes` are the numbers of repositories of its installations. Nothing changed anywhere but
    in `changed`; `fails` once, `refuses` while it is later than the moment."""

    sizes: dict[int, int]
    at: datetime = AT
    store: Records = field(default_factory=Records)
    looked_at: list[tuple[int, str, datetime]] = field(default_factory=list)
    read_anew: list[str] = field(default_factory=list)
    fails: dict[str, GitHubError] = field(default_factory=dict)
    refused_until: dict[int, datetime] = field(default_factory=dict)
    listings: int = 0
    queue: None = None

    @property
    def clock(self) -> "World":
        return self

    @property
    def github(self) -> "World":
        return self

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def installed(self, cursor: str = "") -> Listing[int]:
        self.listings += 1
        start, ids = int(cursor or 0), tuple(self.sizes)
        return Listing(ids[start : start + 2], str(start + 2) if start + 2 < len(ids) else "")

    @asynccontextmanager
    async def read(self, installation_id: int, allowance: Allowance) -> AsyncIterator["Reader"]:
        yield Reader(self, installation_id)

    async def goes(self, count: int, *, holder: str = "a worker") -> None:
        for _ in range(count):
            await sweep(cast("Ports", cast("Any", self)), label="vibecode", holder=holder)
            self.at += timedelta(seconds=10)

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.looked_at]


@dataclass
class Reader:
    world: World
    installation_id: int
    sent: int = 0

    async def repositories(self, cursor: str = "", *, etag: str = "") -> Listing[str] | None:
        self._send()
        size = self.world.sizes[self.installation_id]
        if etag == f"{size}":
            return None
        start = int(cursor or 0)
        names = [f"o{self.installation_id}/r{index}" for index in range(start, min(start + PAGE, size))]
        return Listing(tuple(names), str(start + PAGE) if start + PAGE < size else "", f"{size}")

    def repository(self, repo: str) -> "Repository":
        return Repository(self, repo)

    def _send(self) -> None:
        self.sent += 1
        left = (self.world.refused_until.get(self.installation_id, AT) - self.world.at).total_seconds()
        if left > 0:
            raise GitHubError("Slow down.", status=403, retry_after_s=left)


@dataclass
class Repository:
    reader: Reader
    repo: str

    async def recent(self, since: datetime, etag: str = "") -> RecentActivity | None:
        world = self.reader.world
        self.reader._send()
        if (error := world.fails.pop(self.repo, None)) is not None:
            raise error
        world.looked_at.append((self.reader.installation_id, self.repo, since))
        if etag == "unchanged":
            return None
        world.read_anew.append(self.repo)
        return RecentActivity(etag="unchanged")


async def test_every_repository_is_looked_at_once_a_round() -> None:
    world = World({1: 1_450, 2: 0, 3: 7, 4: 100, 5: 101})
    await world.goes(2_000 // AT_ONCE)
    assert len(world.names) == len(set(world.names)) == 1_450 + 7 + 100 + 101


async def test_twenty_thousand_repositories_are_read_to_the_last() -> None:
    world = World({1: 20_000})
    await world.goes(20_200 // (AT_ONCE - 1) + 1)
    assert len(world.names) == len(set(world.names)) == 20_000


async def test_a_slice_is_small_and_every_installation_has_its_own() -> None:
    world = World({1: 100_000, 2: 3})
    await world.goes(1)
    assert 0 < world.names.index("o2/r0") <= AT_ONCE
    assert len(world.names) < AT_ONCE + 3


async def test_a_round_begins_only_every_half_hour() -> None:
    world = World({1: 3})
    await world.goes(10)
    assert (len(world.names), world.listings) == (3, 1)
    world.at += EVERY
    await world.goes(2)
    assert (len(world.names), world.listings) == (6, 2)


async def test_what_did_not_change_is_not_read_again() -> None:
    world = World({1: 250})
    await world.goes(20)
    world.at += EVERY
    await world.goes(20)
    assert len(world.names) == 2 * len(world.read_anew) == 500


async def test_the_successor_of_a_dead_sweeper_goes_on_where_it_was() -> None:
    world = World({1: 120})
    await world.goes(1)
    first = len(world.names)
    await world.goes(5, holder="another")
    assert len(world.names) == first, "one worker sweeps"
    cast("Any", world.store)._claims.clear()
    await world.goes(5, holder="another")
    assert world.names == [f"o1/r{index}" for index in range(120)]


async def test_a_limit_pauses_its_installation_alone_and_loses_nothing() -> None:
    world = World({1: 5, 2: 5}, fails={"o1/r2": GitHubError("Slow down.", status=403, retry_after_s=60.0)})
    await world.goes(6)
    assert world.names == ["o1/r0", "o1/r1", *(f"o2/r{index}" for index in range(5))]
    await world.goes(2)
    assert world.names[-3:] == ["o1/r2", "o1/r3", "o1/r4"]


async def test_a_repository_that_takes_more_than_a_limit_allows_is_passed_over() -> None:
    world = World({1: 3})
    for _ in range(3):
        world.fails["o1/r1"] = GitHubError("Used up.", status=429, retry_after_s=30.0)
        await world.goes(3)
    assert set(world.names) == {"o1/r0", "o1/r2"}


async def test_a_limit_that_lasts_pauses_and_passes_nothing_over() -> None:
    world = World({1: 3, 2: 3}, refused_until={1: AT + timedelta(minutes=20)})
    await world.goes(6)
    assert {name[:2] for name in world.names} == {"o2"}
    await world.goes(130)
    assert {name for name in world.names if name.startswith("o1")} == {"o1/r0", "o1/r1", "o1/r2"}


async def test_an_outage_pauses_an_installation_for_a_while() -> None:
    world = World({1: 10, 2: 2})
    world.fails = {f"o1/r{index}": GitHubError("It is away.", status=502) for index in range(10)}
    await world.goes(20)
    assert len(world.fails) == 10 - MAX_FAILURES
    assert world.names == ["o2/r0", "o2/r1"]


async def test_a_removed_installation_is_left_until_the_next_round() -> None:
    world = World({1: 1, 2: 1})
    world.fails = {"o1/r0": GitHubError("It is suspended.", status=403)}
    await world.goes(3)
    assert world.names == ["o2/r0"]


async def test_a_round_looks_back_to_the_one_before_the_last() -> None:
    world = World({1: 1})
    began = []
    for _ in range(4):
        began.append(world.at)
        await world.goes(2)
        world.at += EVERY
    assert [since for *_, since in world.looked_at] == [AT - LOOK_BACK, began[1] - LOOK_BACK, began[0], began[1]]


async def test_what_could_not_be_read_is_looked_for_in_the_next_round() -> None:
    world = World({1: 2})
    for fails in ({}, {}, {"o1/r0": GitHubError("It is away.", status=502)}, {}):
        world.fails = dict(fails)
        before = len(world.looked_at)
        await world.goes(2)
        world.at += EVERY
    since = {name: since for _, name, since in world.looked_at[before:]}
    assert since["o1/r0"] == AT, "as far back as the round that failed"
