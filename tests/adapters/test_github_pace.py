"""Writes stay below GitHub's limits on creating content: by waiting a little, or by saying how long."""

from dataclasses import dataclass, field

import httpx
import pytest

from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.write_limits import Windows, WriteLimiter, shared_write_limiter
from app.adapters.memory import MemoryStore
from app.core.errors import GitHubError, StoreError
from app.core.policy.changes import Change
from tests.adapters.github_world import (
    HEAD,
    NEXT,
    PATH,
    REPO,
    TOKENS,
    comment,
    git_commit,
    open_world,
    private_key,
    ref,
    respx_world,
)


@dataclass
class Time:
    """A clock that moves when somebody sleeps."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pace(time: Time) -> WriteLimiter:
    return WriteLimiter(monotonic=time.monotonic, sleep=time.sleep)


async def test_sixty_writes_a_minute_pass_at_once(time: Time, pace: WriteLimiter) -> None:
    for _ in range(60):
        await pace.admit()
    assert time.slept == []


async def test_a_short_wait_is_waited(time: Time, pace: WriteLimiter) -> None:
    for _ in range(60):
        await pace.admit()
    time.now += 52
    await pace.admit()
    assert time.slept == [8.0]


async def test_a_long_wait_is_told(time: Time, pace: WriteLimiter) -> None:
    for _ in range(60):
        await pace.admit()
    time.now += 20
    with pytest.raises(GitHubError, match="room for more in 40 s") as caught:
        await pace.admit()
    assert (caught.value.status, caught.value.retry_after_s, caught.value.is_passing) == (429, 40.0, True)
    assert time.slept == []

    time.now += 40
    await pace.admit()


async def test_a_refused_write_takes_no_room(time: Time, pace: WriteLimiter) -> None:
    for _ in range(60):
        await pace.admit()
    for _ in range(100):
        with pytest.raises(GitHubError):
            await pace.admit()
    time.now += 60
    for _ in range(60):
        await pace.admit()
    assert time.slept == []


async def test_four_hundred_writes_fill_an_hour(time: Time, pace: WriteLimiter) -> None:
    for _ in range(400):
        await pace.admit()
        time.now += 1.5
    with pytest.raises(GitHubError) as caught:
        await pace.admit()
    assert caught.value.retry_after_s == 3_600 - 600


async def test_edits_leave_a_quarter_to_what_is_new(time: Time, pace: WriteLimiter) -> None:
    for _ in range(45):
        await pace.admit(is_edit=True)
    with pytest.raises(GitHubError):
        await pace.admit(is_edit=True)
    for _ in range(15):
        await pace.admit()
    with pytest.raises(GitHubError):
        await pace.admit()


async def test_those_who_wait_go_one_by_one() -> None:
    """Each takes a turn of its own: nobody begins because another one may."""
    slept: list[float] = []
    seconds = 0.0

    async def sleep(wait_s: float) -> None:
        slept.append(wait_s)

    pace = WriteLimiter(monotonic=lambda: seconds, sleep=sleep)
    for _ in range(60):
        await pace.admit()
        seconds += 1
    seconds = 55.0
    for _ in range(5):
        await pace.admit()
    assert slept == [5.0, 6.0, 7.0, 8.0, 9.0]


async def test_several_workers_count_together() -> None:
    store = MemoryStore()
    paces = [shared_write_limiter(store.take_turn, 42) for _ in range(3)]
    for number in range(60):
        await paces[number % 3].admit()
    for pace in paces:
        with pytest.raises(GitHubError, match="Too much"):
            await pace.admit()
    await shared_write_limiter(store.take_turn, 43).admit()


async def test_while_the_store_is_away_each_worker_counts_on_its_own(time: Time) -> None:
    is_away = False
    store = MemoryStore()

    async def take_turn(windows: Windows) -> float:
        if is_away:
            raise StoreError("Redis is away.")
        return await store.take_turn("writes 42", windows, longest_s=10)

    pace = WriteLimiter(monotonic=time.monotonic, sleep=time.sleep, shared=take_turn)
    for _ in range(40):
        await pace.admit()
    is_away = True
    for _ in range(20):
        await pace.admit()
    with pytest.raises(GitHubError, match="Too much"):
        await pace.admit()


async def test_each_installation_has_its_own(time: Time) -> None:
    with respx_world() as router:
        router.route(path__regex=r"/access_tokens$").respond(
            201, json={"token": "t", "expires_at": "2999-01-01T00:00:00Z"}
        )
        router.post(f"{PATH}/issues/12/reactions").respond(201, json={})
        app = GithubkitApp("7", private_key(), pace=lambda _: WriteLimiter(monotonic=time.monotonic, sleep=time.sleep))
        for _ in range(2):
            async with app.open(42, REPO) as github:
                for _ in range(30):
                    await github.react("eyes", number=12)
        async with app.open(42, REPO) as github:
            with pytest.raises(GitHubError, match="Too much"):
                await github.react("eyes", number=12)
        async with app.open(43, REPO) as github:
            await github.react("eyes", number=12)


async def test_an_enterprise_server_is_not_held_back() -> None:
    async with open_world(server_url="https://git.acme.test", api="https://git.acme.test", pace=None) as world:
        world.router.post(f"/api/v3{TOKENS}").respond(201, json={"token": "t", "expires_at": "2999-01-01T00:00:00Z"})
        reactions = world.router.post(f"/api/v3{PATH}/issues/12/reactions").respond(201, json={})
        for _ in range(61):
            await world.github.react("eyes", number=12)
        assert reactions.call_count == 61


async def test_reading_and_unseen_objects_take_no_room(time: Time) -> None:
    async with open_world(pace=lambda _: WriteLimiter(monotonic=time.monotonic, sleep=time.sleep)) as world:
        world.router.get(PATH).respond(json={"default_branch": "main"})
        world.router.get(path__regex="/git/ref/").respond(json=ref(HEAD))
        world.router.get(f"{PATH}/git/commits/{HEAD}").respond(json=git_commit(HEAD))
        world.router.post(f"{PATH}/git/blobs").respond(201, json={"sha": "e" * 40})
        world.router.post(f"{PATH}/git/trees").respond(201, json={"sha": "f" * 40})
        world.router.post(f"{PATH}/git/commits").respond(201, json=git_commit(NEXT))
        world.router.patch(path__regex="/git/refs/").respond(json=ref(NEXT))
        for _ in range(70):
            await world.github.default_branch()
        images = [Change(f"{index}.png", "100755", b"\x00") for index in range(70)]
        assert (await world.github.commit("fix", HEAD, "Draw", images)).sha == NEXT
        assert time.slept == []


async def test_a_write_that_is_held_back_is_not_sent(time: Time) -> None:
    async with open_world(pace=lambda _: WriteLimiter(monotonic=time.monotonic, sleep=time.sleep)) as world:
        edits = world.router.patch(f"{PATH}/issues/comments/9").mock(
            return_value=httpx.Response(200, json=comment(9, "hi"))
        )
        for _ in range(45):
            await world.github.put_comment(12, "hi", marker="m", comment_id=9)
        with pytest.raises(GitHubError) as caught:
            await world.github.put_comment(12, "hi", marker="m", comment_id=9)
        assert caught.value.is_passing
        assert edits.call_count == 45


async def test_that_a_run_waits_for_the_limit_is_said_beyond_it(time: Time) -> None:
    async with open_world(pace=lambda _: WriteLimiter(monotonic=time.monotonic, sleep=time.sleep)) as world:
        world.router.patch(f"{PATH}/issues/comments/9").mock(return_value=httpx.Response(200, json=comment(9, "hi")))
        world.router.post(f"{PATH}/issues/12/reactions").respond(201, json={})
        for _ in range(60):
            await world.github.react("eyes", number=12)
        for _ in range(6):
            await world.github.put_comment(12, "Waiting", marker="m", comment_id=9, is_urgent=True)
        with pytest.raises(GitHubError):
            await world.github.put_comment(12, "Waiting", marker="m", comment_id=9, is_urgent=True)
        assert time.slept == []
