"""How the App authenticates and how it bears GitHub's faults."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import jwt
import pytest
import respx
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.address import api_url
from app.core.errors import GitHubError, UserError
from app.core.run.job import Person
from tests.adapters.github_world import API, PATH, REPO, TOKENS, key, open_world, private_key, refused

REPOSITORY = {"default_branch": "main"}


def test_the_api_is_where_each_server_has_it() -> None:
    assert api_url("https://github.com/") == "https://api.github.com"
    assert api_url("https://git.acme.test") == "https://git.acme.test/api/v3"
    assert api_url("http://127.0.0.1:8080/") == "http://127.0.0.1:8080/api/v3"


def test_a_key_that_is_no_rsa_key_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="settings page"):
        GithubkitApp("7", SecretStr("nonsense"))


async def test_a_name_that_leads_elsewhere_is_refused() -> None:
    for repo in ("acme", "acme/..", "acme/x/../../user", "acme/a b", "../x"):
        with pytest.raises(GitHubError, match="owner/name") as caught:
            async with GithubkitApp("7", private_key()).open(42, repo):
                pass
        assert caught.value.status == 404


async def test_nothing_is_sent_before_the_first_call() -> None:
    async with open_world() as world:
        assert len(world.router.calls) == 0


async def test_tokens_are_for_one_repository_and_the_least_permissions() -> None:
    async with open_world() as world:
        world.router.get(PATH).respond(json=REPOSITORY)
        await world.github.default_branch()
        token = await world.github.read_token()
        assert world.router.calls[1].request.headers["authorization"] == "Bearer ghs_1"

    work = {
        **{"contents": "write", "issues": "write", "pull_requests": "write"},
        **{"checks": "read", "statuses": "read", "actions": "write", "metadata": "read"},
    }
    assert world.minted == [
        {"repositories": ["greeter"], "permissions": work},
        {"repositories": ["greeter"], "permissions": {"contents": "read"}},
    ]
    assert token.get_secret_value() == "ghs_2"


async def test_the_app_signs_for_ten_minutes_at_most() -> None:
    async with open_world() as world:
        await world.github.read_token()
        sent = world.router.calls[0].request.headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(sent, key().public_key(), algorithms=["RS256"])
    assert claims["iss"] == "7"
    assert claims["exp"] - claims["iat"] <= 600
    assert claims["iat"] < datetime.now(UTC).timestamp() - 30


async def test_ten_calls_at_once_mint_one_token() -> None:
    async with open_world() as world:
        world.router.get(PATH).respond(json=REPOSITORY)
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(world.github.default_branch())
        assert len(world.minted) == 1


async def test_a_token_about_to_expire_is_renewed() -> None:
    async with open_world(expires_at="2001-01-01T00:00:00.123Z") as world:
        world.router.get(PATH).respond(json=REPOSITORY)
        world.router.post(f"{PATH}/issues/12/reactions").respond(201, json={})
        await world.github.default_branch()
        await world.github.react("eyes", number=12)
        assert len(world.minted) == 2


async def test_a_refused_token_is_minted_anew_once() -> None:
    async with open_world() as world:
        world.router.get(PATH).mock(side_effect=[refused(401, "Bad credentials"), httpx.Response(200, json=REPOSITORY)])
        assert await world.github.default_branch() == "main"
        assert world.router.calls.last.request.headers["authorization"] == "Bearer ghs_2"

        world.router.post(f"{PATH}/issues/12/reactions").mock(return_value=refused(401, "Bad credentials"))
        with pytest.raises(GitHubError, match="Bad credentials") as caught:
            await world.github.react("eyes", number=12)
        assert caught.value.status == 401
        assert len(world.minted) == 3


async def test_ten_refused_calls_mint_one_new_token() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        is_stale = request.headers["authorization"] == "Bearer ghs_1"
        return refused(401, "Bad credentials") if is_stale else httpx.Response(200, json=REPOSITORY)

    async with open_world() as world:
        world.router.get(PATH).mock(side_effect=answer)
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(world.github.default_branch())
        assert len(world.minted) == 2


@pytest.mark.parametrize(
    ("status", "words"),
    [(422, "The permissions requested are not granted to this installation."), (404, "Not Found")],
)
async def test_a_refusal_to_mint_is_no_answer_about_the_request(status: int, words: str) -> None:
    async with open_world() as world:
        world.router.post(TOKENS).mock(return_value=refused(status, words))
        if status == 404:  # may be because it has another name now
            world.router.get(f"{PATH}/installation").mock(return_value=refused(404, "Not Found"))
        for call in (world.github.head("main"), world.github.permission(Person("ada", 5)), world.github.read_token()):
            with pytest.raises(GitHubError, match=f"not installed on acme/greeter.*{words}") as caught:
                await call
            assert caught.value.status == 403


async def test_a_read_is_repeated_through_bad_moments() -> None:
    async with open_world() as world:
        world.router.get(PATH).mock(
            side_effect=[
                httpx.Response(502, text="<html>"),
                httpx.ReadTimeout("slow"),
                httpx.RemoteProtocolError("cut"),
                httpx.Response(200, json=REPOSITORY),
            ]
        )
        assert await world.github.default_branch() == "main"


async def test_repeating_ends() -> None:
    async with open_world() as world:
        route = world.router.get(PATH).mock(return_value=httpx.Response(503))
        with pytest.raises(GitHubError, match="503") as caught:
            await world.github.default_branch()
        assert caught.value.status == 503
        assert route.call_count == 4


async def test_no_answer_has_status_0() -> None:
    async with open_world() as world:
        for fault in (httpx.ReadTimeout("slow"), httpx.ConnectError("no route")):
            world.router.get(PATH).mock(side_effect=fault)
            with pytest.raises(GitHubError) as caught:
                await world.github.default_branch()
            assert caught.value.status == 0


async def test_an_answer_that_never_ends_is_not_waited_for() -> None:
    was_asked = asyncio.Event()

    async def dawdle(_: httpx.Request) -> httpx.Response:
        was_asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    app = GithubkitApp("7", private_key(), timeout_s=0.05)
    with respx.mock(base_url=API, assert_all_called=False) as router:
        router.post(TOKENS).mock(side_effect=dawdle)
        async with app.open(42, REPO) as github:
            with pytest.raises(GitHubError, match="in time") as caught:
                await github.default_branch()
    assert caught.value.status == 0
    assert was_asked.is_set()


async def test_an_answer_that_cannot_be_read_is_githubs_error() -> None:
    async with open_world() as world:
        world.router.get(PATH).mock(return_value=httpx.Response(200, text="<html>"))
        with pytest.raises(GitHubError, match="cannot be read"):
            await world.github.default_branch()


async def test_a_short_rate_limit_is_waited_for_even_by_a_post() -> None:
    async with open_world() as world:
        route = world.router.post(f"{PATH}/issues/12/reactions").mock(
            side_effect=[
                refused(403, "You have exceeded a secondary rate limit", retry_after="0"),
                httpx.Response(201, json={"id": 1}),
            ]
        )
        await world.github.react("eyes", number=12)
        assert route.call_count == 2


async def test_a_long_rate_limit_is_told_and_not_waited_for() -> None:
    async with open_world() as world:
        route = world.router.get(PATH)
        route.mock(return_value=refused(403, "You have exceeded a secondary rate limit", retry_after="61"))
        with pytest.raises(GitHubError, match="61 s") as caught:
            await world.github.default_branch()
        assert (caught.value.status, caught.value.retry_after_s) == (403, 61.0)

        reset = str(int(datetime.now(UTC).timestamp()) + 1800)
        route.mock(return_value=refused(429, "Limit", x_ratelimit_remaining="0", x_ratelimit_reset=reset))
        with pytest.raises(GitHubError) as caught:
            await world.github.default_branch()
        assert caught.value.status == 429
        assert caught.value.retry_after_s == pytest.approx(1800, abs=5)

        route.mock(return_value=refused(403, "You have exceeded a secondary rate limit"))
        with pytest.raises(GitHubError) as caught:
            await world.github.default_branch()
        assert caught.value.retry_after_s == 60.0
        assert route.call_count == 3


async def test_a_plain_refusal_asks_for_no_wait() -> None:
    async with open_world() as world:
        world.router.get(PATH).mock(return_value=refused(403, "Resource not accessible by integration"))
        with pytest.raises(GitHubError, match="not accessible") as caught:
            await world.github.default_branch()
        assert caught.value.retry_after_s is None


async def test_enterprise_server_has_both_apis_under_api() -> None:
    server = "https://git.acme.test"
    async with open_world(server_url=server, api=server) as world:
        world.router.post(f"/api/v3{TOKENS}").respond(201, json={"token": "t", "expires_at": "2999-01-01T00:00:00Z"})
        world.router.get(f"/api/v3{PATH}").respond(json=REPOSITORY)
        made = {"createCommitOnBranch": {"commit": {"oid": "b" * 40, "url": "u", "signature": None}}}
        world.router.post("/api/graphql").respond(json={"data": made})

        assert await world.github.default_branch() == "main"
        commit = await world.github.commit("fix", "a" * 40, "Fix", [])
        assert (commit.sha, commit.is_verified) == ("b" * 40, False)


async def test_requests_name_us_and_the_version_of_the_api() -> None:
    async with open_world() as world:
        world.router.get(PATH).respond(json=REPOSITORY)
        await world.github.default_branch()
        assert len(world.router.calls) == 2
        for call in world.router.calls:
            assert call.request.headers["user-agent"] == "vibecoder"
            assert call.request.headers["accept"] == "application/vnd.github+json"
            assert call.request.headers["x-github-api-version"] == "2022-11-28"


async def test_two_apps_share_no_token() -> None:
    async with open_world() as world:
        world.router.get(PATH).respond(json=REPOSITORY)
        await world.github.default_branch()
    async with open_world() as world:
        world.router.get(PATH).respond(json=REPOSITORY)
        await world.github.default_branch()
        assert len(world.minted) == 1


async def test_a_call_that_never_connected_is_repeated_though_it_creates() -> None:
    async with open_world() as world:
        comments = world.router.route(path=f"{PATH}/issues/12/comments")
        comments.mock(
            side_effect=[
                httpx.Response(200, json=[]),
                httpx.ConnectTimeout("no route"),
                httpx.Response(201, json={"id": 5}),
            ]
        )
        assert await world.github.put_comment(12, "hi", marker="m") == 5


async def test_a_fault_of_githubs_makes_nobody_a_stranger() -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/collaborators/ada/permission").respond(500)
        with pytest.raises(GitHubError):
            await world.github.permission(Person("ada", 5))


@pytest.mark.parametrize("ahead_s", [-7_200, 600, 86_400])
async def test_a_clock_that_is_wrong_is_set_by_githubs(ahead_s: int) -> None:
    """GitHub refuses what is signed for another time than its own, and says its time with every answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        there = datetime.now(UTC) + timedelta(seconds=ahead_s)
        claims = jwt.decode(
            request.headers["authorization"].removeprefix("Bearer "),
            key().public_key(),
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_iat": False},
        )
        is_now = claims["iat"] <= there.timestamp() < claims["exp"] <= there.timestamp() + 600
        headers = {"date": format_datetime(there, usegmt=True)}
        if not is_now:
            return httpx.Response(401, json={"message": "'Expiration time' claim ('exp') is bad"}, headers=headers)
        return httpx.Response(201, json={"token": "t", "expires_at": "2999-01-01T00:00:00Z"}, headers=headers)

    app = GithubkitApp("7", private_key())
    with respx.mock(base_url=API) as router:
        route = router.post(TOKENS).mock(side_effect=answer)
        for _ in range(2):
            async with app.open(42, REPO) as github:
                await github.read_token()
        assert route.call_count == 3


async def test_a_wrong_key_is_tried_once() -> None:
    async with open_world() as world:
        route = world.router.post(TOKENS).mock(return_value=refused(401, "A JSON web token could not be decoded"))
        with pytest.raises(GitHubError):
            await world.github.read_token()
        assert route.call_count == 1
