"""Which requests are sent again, and when."""

import httpx
import pytest
from githubkit.exception import RequestFailed
from githubkit.response import Response

from app.adapters.github.client.retry import Retry, is_repeatable


def _failed(status: int, method: str = "GET", path: str = "/x", **headers: str) -> RequestFailed:
    request = httpx.Request(method, f"https://api.github.com{path}")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestFailed(Response(httpx.Response(status, request=request, headers=named), object))


def test_waits_double_and_end() -> None:
    retry = Retry(repeats=3, first_wait_s=0.5)
    waits = [retry(_failed(500), count).retry_after for count in range(3)]
    assert [wait and wait.total_seconds() for wait in waits] == [0.5, 1.0, 2.0]
    assert not retry(_failed(500), 3).do_retry
    assert not retry(_failed(404), 0).do_retry
    assert not retry(_failed(500, "POST", "/graphql"), 0).do_retry


def test_a_wait_of_nothing_is_not_a_minute() -> None:
    option = Retry(first_wait_s=0.0)(_failed(500), 0)
    assert option.do_retry
    assert option.retry_after


def test_a_rate_limit_is_waited_for_up_to_ten_seconds() -> None:
    for seconds, waits in (("10", True), ("11", False)):
        assert Retry()(_failed(403, "POST", "/graphql", retry_after=seconds), 0).do_retry is waits


def test_a_server_that_is_away_for_a_named_time_is_asked_then() -> None:
    assert Retry()(_failed(503, retry_after="11"), 0).do_retry is False
    option = Retry()(_failed(503, retry_after="4"), 0)
    assert option.retry_after is not None
    assert option.retry_after.total_seconds() == 4.0
    assert not Retry()(_failed(503, "POST", "/graphql", retry_after="4"), 0).do_retry


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("/repos/a/b/issues/1/reactions", True),
        ("/repos/a/b/issues/1/labels", True),
        ("/repos/a/b/pulls/1/requested_reviewers", True),
        ("/repos/a/b/pulls/1/comments/2/replies", False),
        ("/repos/a/b/merges", False),
        ("/repos/a/b/git/refs", True),
        ("/repos/a/b/git/trees", True),
        ("/app/installations/1/access_tokens", True),
        ("/repos/a/b/issues/1/comments", False),
        ("/repos/a/b/git/commits", False),
        ("/repos/a/b/pulls", False),
        ("/graphql", False),
    ],
)
def test_only_posts_that_leave_nothing_twice_are_repeated(path: str, may: bool) -> None:
    assert is_repeatable(httpx.Request("POST", f"https://api.github.com{path}")) is may
