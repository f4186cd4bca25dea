"""The embedded GitHub refuses what GitHub refuses: too much, too fast, and what is not asked for as it should be."""

import pytest
from httpx import AsyncClient, Response

from app.demo.github.server import DemoGitHub
from app.demo.github.state.limits import Rates
from tests.contract import demo_github
from tests.contract.demo_github import REPO, client, mint

github = demo_github.github
api = demo_github.api

HERE = "/branches/main"


class Hand:
    """A clock that a test moves."""

    def __init__(self, github: DemoGitHub) -> None:
        self.now = github.world.monotonic()
        github.world.clock = lambda: self.now


async def statuses(api: AsyncClient, method: str, path: str, times: int, json: object = None) -> list[int]:
    return [(await api.request(method, path, json=json)).status_code for _ in range(times)]


@pytest.mark.parametrize("status", [403, 429])
async def test_points_run_out_and_come_back(github: DemoGitHub, api: AsyncClient, status: int) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    hand = Hand(github)
    github.world.limits.rates = Rates(points_per_minute=12, secondary_status=status)

    reaction = f"/issues/{issue.number}/reactions"
    assert await statuses(api, "GET", HERE, 2) == [200, 200]
    assert await statuses(api, "POST", reaction, 3, {"content": "eyes"}) == [201, 200, status]
    hand.now += 20
    refused: Response = await api.get(HERE)
    assert (refused.status_code, refused.headers["retry-after"]) == (status, "40")
    assert "secondary rate limit" in refused.json()["message"]
    hand.now += 40
    assert await statuses(api, "GET", HERE, 1) == [200]


async def test_content_has_a_limit_of_its_own(github: DemoGitHub, api: AsyncClient) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    hand = Hand(github)
    github.world.limits.rates = Rates(content_per_minute=2, content_per_hour=3)

    path, said = f"/issues/{issue.number}/comments", {"body": "Hello"}
    assert await statuses(api, "POST", path, 3, said) == [201, 201, 403]
    assert await statuses(api, "GET", path, 1) == [200]
    hand.now += 60
    assert await statuses(api, "POST", path, 2, said) == [201, 403]
    assert (await api.post(path, json=said)).headers["retry-after"] == "3540"
    assert len(github.comments(REPO, issue.number)) == 3


async def test_an_hours_requests_run_out_for_one_installation(github: DemoGitHub, api: AsyncClient) -> None:
    hand = Hand(github)
    github.world.limits.rates = Rates(requests_per_hour=2)

    first = await api.get(HERE)
    assert (first.headers["x-ratelimit-remaining"], first.headers["x-ratelimit-used"]) == ("1", "1")
    assert await statuses(api, "GET", HERE, 2) == [200, 403]
    refused = await api.get(HERE)
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.json()["message"].startswith("API rate limit exceeded for installation ID")
    async with client(github, github.user_token("mona")) as other:
        assert (await other.get(HERE)).status_code == 200
    hand.now += 3_600
    assert await statuses(api, "GET", HERE, 1) == [200]


async def test_what_did_not_change_is_free(github: DemoGitHub, api: AsyncClient) -> None:
    Hand(github)
    github.world.limits.rates = Rates()
    known = await api.get("/issues")

    again = await api.get("/issues", headers={"if-none-match": known.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await api.get(HERE)).headers["x-ratelimit-used"] == "2"

    await github.issue(REPO, title="A typo", author="mona")
    changed = await api.get("/issues", headers={"if-none-match": known.headers["etag"]})
    assert (changed.status_code, len(changed.json())) == (200, 1)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"user-agent": ""}, 403), ({"accept": "text/html"}, 415), ({"x-github-api-version": "2020-01-01"}, 400)],
)
async def test_headers_that_github_refuses(api: AsyncClient, headers: dict[str, str], status: int) -> None:
    assert (await api.get(HERE, headers=headers)).status_code == status


async def test_links_are_opaque_and_lead_through_everything(github: DemoGitHub, api: AsyncClient) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    for number in range(5):
        await github.comment(REPO, issue.number, str(number), by="mona")

    page = await api.get(f"/issues/{issue.number}/comments?per_page=2")
    said = [each["body"] for each in page.json()]
    while link := page.links.get("next"):
        assert "page=2" not in link["url"].replace("per_page=2", "")
        page = await api.get(link["url"])
        said += [each["body"] for each in page.json()]
    assert said == ["0", "1", "2", "3", "4"]


async def test_issues_may_be_off_and_a_repository_blocked(github: DemoGitHub, api: AsyncClient) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    repo = github.world.repos[REPO]
    repo.has_issues = False
    assert [(await api.get(path)).status_code for path in ("/issues", f"/issues/{issue.number}", HERE)] == [
        410,
        410,
        200,
    ]
    repo.is_blocked = True
    assert (await api.get(HERE)).status_code == 451


async def test_a_deleted_account_is_nobodys_author(github: DemoGitHub, api: AsyncClient) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    comment, _ = await github.comment(REPO, issue.number, "Hello", by="mona")
    await github.label(REPO, issue.number, "bug", by="mona")
    github.thumb(REPO, comment.id, by="mona")
    github.user("mona").is_deleted = True

    shown = (await api.get("/issues/1")).json()
    assert (shown["user"], shown["body"]) == (None, None)
    assert (await api.get("/issues/1/comments")).json()[0]["user"] is None
    assert (await api.get("/issues/1/events")).json()[0]["actor"] is None
    assert (await api.get(f"/issues/comments/{comment.id}/reactions")).json()[0]["user"] is None


async def test_a_token_is_limited_by_its_installation(github: DemoGitHub) -> None:
    Hand(github)
    github.world.limits.rates = Rates(requests_per_hour=3)
    async with client(github, await mint(github)) as one, client(github, await mint(github)) as other:
        assert await statuses(one, "GET", HERE, 2) == [200, 200]
        assert await statuses(other, "GET", HERE, 2) == [200, 403]
