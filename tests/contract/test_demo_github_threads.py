"""Issues, comments, reactions, labels and pull requests at the embedded GitHub."""

import httpx
import pytest

from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO

github = demo_github.github
api = demo_github.api


@pytest.fixture
async def number(github: DemoGitHub) -> int:
    return (await github.issue(REPO, title="A typo", body="It says helo.", author="mona")).number


async def test_a_comment_is_written_edited_and_deleted(github: DemoGitHub, api: httpx.AsyncClient, number: int) -> None:
    made = (await api.post(f"/issues/{number}/comments", json={"body": "Working."})).json()
    path = f"/issues/comments/{made['id']}"
    edited = (await api.patch(path, json={"body": "Done."})).json()

    assert (made["user"]["login"], made["user"]["type"]) == ("vibecoder[bot]", "Bot")
    assert made["performed_via_github_app"]["id"] == github.world.app_id
    assert (edited["id"], edited["body"]) == (made["id"], "Done.")
    assert github.comments(REPO, number)[0].history == ["Working.", "Done."]
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404
    assert (await api.patch(path, json={"body": "Too late."})).status_code == 404


async def test_comments_of_people_are_not_by_the_app(github: DemoGitHub, api: httpx.AsyncClient, number: int) -> None:
    await github.comment(REPO, number, "Hello", by="mona")

    comment = (await api.get(f"/issues/{number}/comments")).json()[0]

    assert (comment["user"]["login"], comment["performed_via_github_app"]) == ("mona", None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, '"body" wasn\'t supplied'),
        ({"body": None}, "nil is not a string"),
        ({"body": 1}, "1 is not a string"),
        ({"body": " "}, "Validation Failed"),
        ({"body": "x" * 65_537}, "Validation Failed"),
    ],
)
async def test_a_comment_without_good_words_is_refused(
    github: DemoGitHub, api: httpx.AsyncClient, number: int, body: dict[str, object], message: str
) -> None:
    answer = await api.post(f"/issues/{number}/comments", json=body)

    assert answer.status_code == 422
    assert message in answer.json()["message"]
    assert github.comments(REPO, number) == []


@pytest.mark.parametrize(
    ("content", "message"), [(b"{", "Problems parsing JSON"), (b"[]", "Body should be a JSON object")]
)
async def test_what_is_no_json_object_is_refused(
    api: httpx.AsyncClient, number: int, content: bytes, message: str
) -> None:
    answer = await api.post(f"/issues/{number}/comments", content=content)

    assert (answer.status_code, answer.json()["message"]) == (400, message)


async def test_a_page_of_comments_leads_to_the_others(github: DemoGitHub, api: httpx.AsyncClient, number: int) -> None:
    for n in range(5):
        await github.comment(REPO, number, f"Comment {n}", by="mona")

    first = await api.get(f"/issues/{number}/comments?per_page=2")
    second = await api.get(first.links["next"]["url"])
    last = await api.get(first.links["last"]["url"])

    assert [[c["body"][-1] for c in page.json()] for page in (first, second, last)] == [["0", "1"], ["2", "3"], ["4"]]
    assert set(first.links) == {"next", "last"}
    assert set(last.links) == {"prev", "first"}


async def test_a_second_reaction_of_a_kind_is_the_first(
    github: DemoGitHub, api: httpx.AsyncClient, number: int
) -> None:
    comment, _ = await github.comment(REPO, number, "/vibecode", by="mona")
    for path in (f"/issues/{number}", f"/issues/comments/{comment.id}"):
        codes = [(await api.post(f"{path}/reactions", json={"content": "eyes"})).status_code for _ in range(2)]
        assert codes == [201, 200]
        assert (await api.get(path)).json()["reactions"]["eyes"] == 1
        assert (await api.post(f"{path}/reactions", json={"content": "thumbsup"})).status_code == 422

    assert [(reaction.content, reaction.user.login) for reaction in comment.reactions] == [("eyes", "vibecoder[bot]")]


async def test_labels_come_and_go(github: DemoGitHub, api: httpx.AsyncClient, number: int) -> None:
    before = (await api.get(f"/issues/{number}")).json()["updated_at"]
    added = (await api.post(f"/issues/{number}/labels", json={"labels": ["vibecode", "bug"]})).json()
    removed = (await api.delete(f"/issues/{number}/labels/vibecode")).json()

    assert [label["name"] for label in added] == ["vibecode", "bug"]
    assert [label["name"] for label in removed] == ["bug"]
    assert (await api.get(f"/issues/{number}")).json()["updated_at"] > before
    assert (await api.delete(f"/issues/{number}/labels/vibecode")).status_code == 404


async def test_issues_and_pull_requests_share_their_numbers(
    github: DemoGitHub, api: httpx.AsyncClient, number: int
) -> None:
    await github.push(REPO, "fix", {"greet.py": "print('hello')\n"}, message="Fix", by="mona")
    pull = (await api.post("/pulls", json={"title": "Fix", "head": "fix", "base": "main"})).json()
    later = await github.issue(REPO, title="Another", author="mona")

    assert (number, pull["number"], later.number) == (1, 2, 3)
    assert "pull_request" in (await api.get("/issues/2")).json()
    assert (await api.get("/pulls/1")).status_code == 404


async def test_a_pull_request_shows_where_its_branch_is(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    first = await github.push(REPO, "fix", {"greet.py": "print('hello')\n"}, message="Fix", by="mona")
    body = {"title": "Fix", "head": "acme:fix", "base": "main", "body": "Closes #1", "draft": True}
    pull = (await api.post("/pulls", json=body)).json()
    second = await github.push(REPO, "fix", {"new.txt": "1\n2\n"}, message="More", by="mona")

    shown = (await api.get(f"/pulls/{pull['number']}")).json()

    assert (pull["head"]["sha"], pull["draft"], pull["state"]) == (first, True, "open")
    assert (shown["head"]["sha"], shown["commits"], shown["changed_files"]) == (second, 2, 2)
    assert (shown["additions"], shown["deletions"]) == (3, 1)
    files = (await api.get(f"/pulls/{pull['number']}/files")).json()
    assert [(file["filename"], file["status"]) for file in files] == [("greet.py", "modified"), ("new.txt", "added")]
    assert "+print('hello')" in files[0]["patch"]
    commits = (await api.get(f"/pulls/{pull['number']}/commits")).json()
    assert [commit["sha"] for commit in commits] == [first, second]
    assert github.pull_requests(REPO)[0].author == "vibecoder[bot]"


async def test_a_pull_request_is_found_by_its_head(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    for branch in ("one", "two"):
        await github.push(REPO, branch, {branch: branch}, message=branch, by="mona")
        await api.post("/pulls", json={"title": branch, "head": branch, "base": "main"})

    async def found(query: str) -> list[str]:
        return [pull["title"] for pull in (await api.get(f"/pulls?{query}")).json()]

    assert await found("head=acme:one") == ["one"]
    assert await found("head=mona:one") == []
    assert await found("head=one") == ["two", "one"], "without an owner GitHub does not filter"
    assert await found("base=other") == []
    await api.patch("/pulls/1", json={"state": "closed", "title": "One"})
    assert await found("head=acme:one") == []
    assert await found("head=acme:one&state=all") == ["One"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"head": "nope"}, {"field": "head", "code": "invalid"}),
        ({"base": "nope"}, {"field": "base", "code": "invalid"}),
        ({"title": ""}, {"field": "title", "code": "missing_field"}),
        ({"head": "main"}, {"message": "No commits between main and main"}),
        ({}, {"message": "A pull request already exists for acme:fix."}),
    ],
)
async def test_a_pull_request_that_cannot_be_is_refused(
    github: DemoGitHub, api: httpx.AsyncClient, change: dict[str, str], fault: dict[str, str]
) -> None:
    await github.push(REPO, "fix", {"greet.py": "print('hello')\n"}, message="Fix", by="mona")
    body = {"title": "Fix", "head": "fix", "base": "main"}
    assert (await api.post("/pulls", json=body)).status_code == 201

    answer = await api.post("/pulls", json={**body, **change})

    assert answer.status_code == 422
    assert fault.items() <= answer.json()["errors"][0].items()
    assert len(github.pull_requests(REPO)) == 1


async def test_an_address_that_is_not_served_is_not_found_in_githubs_words(api: httpx.AsyncClient) -> None:
    for path in ("/nothing/here", "/issues/abc", "/issues/99", "/git/ref/heads/nope"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["message"]) == (404, "Not Found")
        assert answer.headers["x-github-request-id"]
        assert int(answer.headers["x-ratelimit-remaining"]) < 5_000
