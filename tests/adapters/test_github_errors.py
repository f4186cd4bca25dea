"""What each failure of GitHub's becomes: its status, whether it passes, and how long to wait."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from app.core.errors import GitHubError
from tests.adapters.github_world import PATH, TOKENS, open_world, refused

SECONDARY = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation."
ABUSE = "You have triggered an abuse detection mechanism. Please wait a few minutes before you try again."
TOO_QUICK = {"resource": "Issue", "code": "custom", "message": "was submitted too quickly"}
Answer = httpx.Response | httpx.TransportError


def reset(seconds: int, *, ahead_s: float = 0) -> dict[str, str]:
    """The headers of a used up rate limit, by a clock that is ahead of ours."""
    now = datetime.now(UTC) + timedelta(seconds=ahead_s)
    at = str(int(now.timestamp()) + seconds)
    return {"x_ratelimit_remaining": "0", "x_ratelimit_reset": at, "date": format_datetime(now, usegmt=True)}


CASES: dict[str, tuple[Callable[[], Answer], int, bool, float | None]] = {
    "secondary limit": (lambda: refused(403, SECONDARY), 403, True, 60),
    "secondary limit that says how long": (lambda: refused(403, SECONDARY, retry_after="73"), 403, True, 73),
    "secondary limit by 429": (lambda: refused(429, SECONDARY), 429, True, 60),
    "abuse": (lambda: refused(403, ABUSE), 403, True, 60),
    "too quick": (lambda: refused(422, "Validation Failed", TOO_QUICK), 422, True, 60),
    "primary limit": (lambda: refused(403, "API rate limit exceeded", **reset(1_800)), 403, True, 1_800),
    "primary limit, our clock ahead": (lambda: refused(429, "Limit", **reset(90, ahead_s=-7_200)), 429, True, 90),
    "primary limit, our clock behind": (lambda: refused(403, "Limit", **reset(90, ahead_s=7_200)), 403, True, 90),
    "server error": (lambda: httpx.Response(500), 500, True, None),
    "bad gateway": (lambda: httpx.Response(502, text="<html>Unicorn</html>"), 502, True, None),
    "maintenance": (lambda: httpx.Response(503, headers={"retry-after": "120"}), 503, True, 120),
    "gateway time-out": (lambda: httpx.Response(504), 504, True, None),
    "no name": (lambda: httpx.ConnectError("[Errno -3] Temporary failure in name resolution"), 0, True, None),
    "nobody listens": (lambda: httpx.ConnectError("Connection refused"), 0, True, None),
    "no connection in time": (lambda: httpx.ConnectTimeout("slow"), 0, True, None),
    "no answer in time": (lambda: httpx.ReadTimeout("slow"), 0, True, None),
    "connection dropped": (lambda: httpx.RemoteProtocolError("Server disconnected"), 0, True, None),
    "connection reset": (lambda: httpx.ReadError("reset"), 0, True, None),
    "half an answer": (lambda: httpx.Response(200, text='{"default_bra'), 0, True, None),
    "request time-out": (lambda: httpx.Response(408), 408, True, None),
    "bad credentials": (lambda: refused(401, "Bad credentials"), 401, False, None),
    "forbidden": (lambda: refused(403, "Resource not accessible by integration"), 403, False, None),
    "suspended": (lambda: refused(403, "This installation has been suspended"), 403, False, None),
    "not found": (lambda: refused(404, "Not Found"), 403, False, None),
    "not found by the last request of the hour": (
        lambda: refused(404, "Not Found", **reset(1_800)),
        403,
        False,
        None,
    ),
    "conflict": (lambda: refused(409, "Git Repository is empty."), 409, False, None),
    "gone": (lambda: refused(410, "This issue was deleted"), 410, False, None),
    "invalid": (lambda: refused(422, "Validation Failed"), 422, False, None),
    "invalid, quoting": (lambda: refused(422, "No branch `rate limit`"), 422, False, None),
    "blocked for legal reasons": (lambda: refused(451, "Repository access blocked"), 451, False, None),
}


def answering(router: Any, answer: Answer) -> None:
    route = router.get(PATH)
    if isinstance(answer, httpx.Response):
        route.mock(return_value=answer)
    else:
        route.mock(side_effect=answer)


@pytest.mark.parametrize("case", CASES)
async def test_a_failure_says_whether_it_passes(case: str) -> None:
    answer, status, is_passing, retry_after_s = CASES[case]
    async with open_world() as world:
        answering(world.router, answer())
        with pytest.raises(GitHubError) as caught:
            await world.github.default_branch()
    error = caught.value
    assert (error.status, error.is_passing) == (status, is_passing)
    assert error.retry_after_s == (retry_after_s and pytest.approx(retry_after_s, abs=3))


GRAPHQL: dict[str, tuple[dict[str, Any], int, bool, float | None]] = {
    "primary limit": ({"type": "RATE_LIMITED", "message": "API rate limit exceeded"}, 403, True, 60),
    "primary limit, new name": ({"type": "RATE_LIMIT", "message": "exceeded"}, 403, True, 60),
    "secondary limit": ({"message": SECONDARY}, 403, True, 60),
    "too quick": ({"type": "UNPROCESSABLE", "message": "was submitted too quickly"}, 403, True, 60),
    "its own fault": ({"message": "Something went wrong while executing your query."}, 502, True, None),
    "its own fault, named": ({"type": "SERVICE_UNAVAILABLE", "message": "Down"}, 503, True, None),
    "forbidden": ({"type": "FORBIDDEN", "message": "Resource not accessible by integration"}, 403, False, None),
    "invalid": ({"type": "UNPROCESSABLE", "message": "A path is malformed."}, 422, False, None),
}


@pytest.mark.parametrize("case", GRAPHQL)
async def test_a_failed_mutation_says_whether_it_passes(case: str) -> None:
    fault, status, is_passing, retry_after_s = GRAPHQL[case]
    async with open_world() as world:
        world.router.post("/graphql").respond(json={"data": None, "errors": [fault]})
        world.router.get(path__regex="/git/ref/").respond(404)
        with pytest.raises(GitHubError) as caught:
            await world.github.commit("fix", "a" * 40, "Fix", [])
    error = caught.value
    assert (error.status, error.is_passing, error.retry_after_s) == (status, is_passing, retry_after_s)


async def test_a_limited_graphql_api_says_until_when() -> None:
    async with open_world() as world:
        used_up = {name.replace("_", "-"): value for name, value in reset(600).items()}
        limited = {"errors": [{"type": "RATE_LIMITED", "message": "no"}]}
        world.router.post("/graphql").mock(return_value=httpx.Response(200, json=limited, headers=used_up))
        with pytest.raises(GitHubError) as caught:
            await world.github.commit("fix", "a" * 40, "Fix", [])
    assert caught.value.retry_after_s == pytest.approx(600, abs=3)


async def test_a_token_that_cannot_be_minted_for_now_passes() -> None:
    for answer, is_passing in (
        (httpx.Response(500), True),
        (refused(403, SECONDARY), True),
        (refused(403, "This installation has been suspended"), False),
        (refused(404, "Not Found"), False),
        (refused(401, "Integration not found"), False),
    ):
        async with open_world() as world:
            world.router.post(TOKENS).mock(return_value=answer)
            if answer.status_code == 404:  # may be because it has another name now
                world.router.get(f"{PATH}/installation").mock(return_value=refused(404, "Not Found"))
            with pytest.raises(GitHubError) as caught:
                await world.github.default_branch()
            assert caught.value.is_passing is is_passing


async def test_a_server_that_is_away_is_not_asked_to_write_twice() -> None:
    """Whether a failure names a time or not: what was carried out may have been carried out."""
    async with open_world() as world:
        comments = world.router.route(path=f"{PATH}/issues/12/comments")
        comments.mock(
            side_effect=[
                httpx.Response(200, json=[]),
                httpx.Response(503, headers={"retry-after": "0"}),
                httpx.Response(200, json=[{"id": 5, "body": "m", "performed_via_github_app": {"id": 7}}]),
            ]
        )
        world.router.patch(f"{PATH}/issues/comments/5").respond(json={"id": 5})
        assert await world.github.put_comment(12, "m", marker="m") == 5
        assert world.sent("POST", f"{PATH}/issues/12/comments") == [{"body": "m"}]
