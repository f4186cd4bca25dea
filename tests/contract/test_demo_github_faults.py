"""The embedded GitHub fails when it is told to, and remembers who asked for what."""

import httpx
import pytest

from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO

github = demo_github.github
api = demo_github.api


async def test_a_fault_comes_as_often_as_it_was_ordered(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    fault = github.fails(
        "GET", r"/branches/", status=503, headers={"retry-after": "7"}, json={"message": "Busy"}, times=2
    )

    answers = [await api.get("/branches/main") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert (answers[0].headers["retry-after"], answers[0].json()) == ("7", {"message": "Busy"})
    assert fault.times == 0


async def test_a_fault_beforehand_changes_nothing(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    github.fails("POST", r"/comments$")

    assert (await api.post(f"/issues/{issue.number}/comments", json={"body": "Hello"})).status_code == 502
    assert github.comments(REPO, issue.number) == []


async def test_a_fault_afterwards_loses_only_the_answer(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    github.fails("POST", r"/comments$", before=False)

    assert (await api.post(f"/issues/{issue.number}/comments", json={"body": "Hello"})).status_code == 502
    assert [comment.body for comment in github.comments(REPO, issue.number)] == ["Hello"]


@pytest.mark.parametrize("before", [True, False])
async def test_a_connection_is_dropped(github: DemoGitHub, api: httpx.AsyncClient, before: bool) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    github.fails("*", r"/comments$", status=0, before=before)

    with pytest.raises(httpx.TransportError):
        await api.post(f"/issues/{issue.number}/comments", json={"body": "Hello"})

    assert len(github.comments(REPO, issue.number)) == (0 if before else 1)
    assert (await api.get("/branches/main")).status_code == 200
    assert [request.status for request in github.requests[-2:]] == [0, 200]


async def test_an_answer_never_comes(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    github.fails("GET", r"/branches/", hangs=True)

    with pytest.raises(httpx.ReadTimeout):
        await api.get("/branches/main", timeout=httpx.Timeout(5, read=0.3))

    assert (await api.get("/branches/main")).status_code == 200


async def test_other_requests_do_not_fail(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    github.fails("POST", r"/branches/")
    github.fails("GET", r"/comments$")

    assert (await api.get("/branches/main")).status_code == 200


async def test_requests_are_remembered_with_the_kind_of_their_token(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    await api.get("/commits", params={"sha": "main"})
    await api.get(f"{github.url}/api/v3/user", headers={"authorization": f"token {github.user_token('mona')}"})

    shown = [(request.method, request.path, request.status, request.token) for request in github.requests[-3:]]

    installation = github.world.repos[REPO].installation_id
    assert shown == [
        ("POST", f"/api/v3/app/installations/{installation}/access_tokens", 201, "app"),
        ("GET", f"/api/v3/repos/{REPO}/commits", 200, "installation"),
        ("GET", "/api/v3/user", 200, "user"),
    ]
    assert github.requests[-2].query == "sha=main"
