"""Reviews, threads on lines, merges and forks at the embedded GitHub, and what of them is delivered."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from app.demo.github.reviews import NotInDiff, locate
from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO, client, mint

github = demo_github.github
api = demo_github.api

HELLO = {"greet.py": "print('hello')\nprint('bye')\n"}


@pytest.fixture
async def number(github: DemoGitHub) -> int:
    """An open pull request that changes `greet.py`."""
    github.grant(REPO, "mona", "write")
    await github.push(REPO, "fix", HELLO, message="Fix", by="mona")
    return (await github.pulls.open(REPO, "fix", title="Fix", by="mona")).number


def told(github: DemoGitHub, event: str) -> list[dict[str, Any]]:
    """The payloads of an event, in the order in which they were sent."""
    return [json.loads(each.payload) for each in github.deliveries if each.event == event]


async def settled(github: DemoGitHub, event: str, count: int) -> list[dict[str, Any]]:
    """The same, once there are so many."""
    async with asyncio.timeout(10):
        while len(found := told(github, event)) < count:  # noqa: ASYNC110 -- nobody tells of it
            await asyncio.sleep(0.01)
    return found


async def test_a_review_is_told_with_each_of_its_comments(github: DemoGitHub, number: int) -> None:
    github.webhook_url = f"{github.url}/nobody/listens"

    made = await github.pulls.review(
        REPO,
        number,
        state="changes_requested",
        body="Shorter.",
        comments=[("greet.py", 1, "Why?"), ("greet.py", 2, "Not this.")],
        by="hubot",
    )

    review, (first, second) = told(github, "pull_request_review")[0], told(github, "pull_request_review_comment")
    assert (review["action"], review["review"]["state"], review["sender"]["login"]) == (
        *("submitted", "changes_requested", "hubot"),
    )
    assert "number" not in review
    assert [each["comment"]["line"] for each in (first, second)] == [1, 2]
    assert {each["comment"]["pull_request_review_id"] for each in (first, second)} == {made.id}
    assert first["comment"]["diff_hunk"] == "@@ -1 +1,2 @@\n-print('helo')\n+print('hello')"
    assert first["pull_request"]["head"]["ref"] == "fix"


async def test_a_lone_comment_has_a_review_without_words(github: DemoGitHub, number: int) -> None:
    github.webhook_url = f"{github.url}/nobody/listens"

    await github.pulls.remark(REPO, number, "greet.py", 2, "Not this.", by="hubot")

    review = told(github, "pull_request_review")[0]["review"]
    assert (review["state"], review["body"]) == ("commented", None)
    assert told(github, "pull_request_review_comment")[0]["comment"]["body"] == "Not this."


async def test_a_thread_goes_on_with_replies_to_its_first_comment(
    github: DemoGitHub, api: httpx.AsyncClient, number: int
) -> None:
    first = await github.pulls.remark(REPO, number, "greet.py", 2, "Not this.", by="hubot")
    second = await github.pulls.reply(REPO, number, first, "Nor that.", by="hubot")
    github.webhook_url = f"{github.url}/nobody/listens"

    answered = await api.post(f"/pulls/{number}/comments/{first.id}/replies", json={"body": "Gone."})
    refused = await api.post(f"/pulls/{number}/comments/{second.id}/replies", json={"body": "Gone."})

    assert (answered.status_code, refused.status_code) == (201, 404)
    assert answered.json()["in_reply_to_id"] == first.id
    listed = (await api.get(f"/pulls/{number}/comments")).json()
    assert [each.get("in_reply_to_id") for each in listed] == [None, first.id, first.id]
    assert [[each.body for each in thread] for thread in github.pulls.threads(REPO, number)] == [
        ["Not this.", "Nor that.", "Gone."]
    ]
    assert (await settled(github, "pull_request_review_comment", 1))[0]["sender"]["type"] == "Bot"
    assert [each["state"] for each in (await api.get(f"/pulls/{number}/reviews")).json()] == ["COMMENTED"] * 3


async def test_only_its_author_edits_a_comment_on_a_line(
    github: DemoGitHub, api: httpx.AsyncClient, number: int
) -> None:
    first = await github.pulls.remark(REPO, number, "greet.py", 2, "Not this.", by="hubot")
    own = (await api.post(f"/pulls/{number}/comments/{first.id}/replies", json={"body": "Gone."})).json()["id"]

    assert (await api.patch(f"/pulls/comments/{own}", json={"body": "Done."})).json()["body"] == "Done."
    assert (await api.patch(f"/pulls/comments/{first.id}", json={"body": "Fine."})).status_code == 403
    assert (await api.get(f"/pulls/comments/{first.id}")).json()["body"] == "Not this."
    assert (await api.get("/pulls/comments/5")).status_code == 404


async def test_comments_on_lines_have_reactions(github: DemoGitHub, api: httpx.AsyncClient, number: int) -> None:
    comment = await github.pulls.remark(REPO, number, "greet.py", 2, "Not this.", by="hubot")
    path = f"/pulls/comments/{comment.id}/reactions"

    codes = [(await api.post(path, json={"content": "eyes"})).status_code for _ in range(2)]

    assert codes == [201, 200]
    assert [each["content"] for each in (await api.get(path)).json()] == ["eyes"]


async def test_a_line_outside_of_the_diff_cannot_be_talked_about(github: DemoGitHub, number: int) -> None:
    for path, line in (("greet.py", 3), ("README.md", 1)):
        with pytest.raises(NotInDiff):
            await github.pulls.remark(REPO, number, path, line, "Here!", by="hubot")


def test_a_line_is_found_among_those_that_went() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n@@ -9,2 +9,3 @@ def f():\n i\n+new\n j\n"

    spot = locate(diff, "x", 2)
    assert (spot.hunk, spot.position) == ("@@ -1,3 +1,3 @@\n a\n-b\n+B", 3)
    assert (locate(diff, "x", 10).hunk, locate(diff, "x", 10).position) == ("@@ -9,2 +9,3 @@ def f():\n i\n+new", 7)


# ----------------------------------------------------------------------------------------------------------- reviewers


async def test_all_who_are_asked_for_a_review_are_known_or_none_is_asked(
    github: DemoGitHub, api: httpx.AsyncClient, number: int
) -> None:
    github.grant(REPO, "ada", "read")
    github.world.repos[REPO].teams.add("core")
    path = f"/pulls/{number}/requested_reviewers"

    for body in ({"reviewers": ["ada", "stranger"]}, {"reviewers": ["mona"]}, {"team_reviewers": ["other"]}):
        assert (await api.post(path, json=body)).status_code == 422
    assert (await api.get(f"/pulls/{number}")).json()["requested_reviewers"] == []
    refused = await api.post(path, json={"team_reviewers": ["core"]})
    assert "Could not resolve to a node with the global id" in refused.json()["errors"][0]
    github.permit("acme", members="read")
    async with client(github, await mint(github), path=f"/repos/{REPO}/pulls/{number}") as all_of_acme:
        body = {"reviewers": ["ada"], "team_reviewers": ["core"]}
        asked = (await all_of_acme.post("/requested_reviewers", json=body)).json()

    assert [each["login"] for each in asked["requested_reviewers"]] == ["ada"]
    assert [each["slug"] for each in asked["requested_teams"]] == ["core"]


# -------------------------------------------------------------------------------------------------------------- merges


async def test_base_is_merged_into_a_branch_by_a_signed_commit(
    github: DemoGitHub, api: httpx.AsyncClient, number: int
) -> None:
    before = await github.head(REPO, "fix")
    pushed = await github.push(REPO, "main", {"new.txt": "new\n"}, message="Meanwhile", by="mona")

    made = await api.post("/merges", json={"base": "fix", "head": "main"})
    again = await api.post("/merges", json={"base": "fix", "head": pushed})

    assert (made.status_code, again.status_code, again.content) == (201, 204, b"")
    assert [parent["sha"] for parent in made.json()["parents"]] == [before, pushed]
    assert made.json()["commit"]["verification"]["verified"] is True
    assert await github.file(REPO, "fix", "new.txt") == b"new\n"
    assert await github.file(REPO, "fix", "greet.py") == HELLO["greet.py"].encode()


async def test_a_conflict_is_told_and_merges_nothing(github: DemoGitHub, api: httpx.AsyncClient, number: int) -> None:
    assert (await api.get(f"/pulls/{number}")).json()["mergeable"] is True
    head = await github.head(REPO, "fix")
    await github.push(REPO, "main", {"greet.py": "print('hi')\n"}, message="Meanwhile", by="mona")

    answer = await api.post("/merges", json={"base": "fix", "head": "main"})

    assert (answer.status_code, answer.json()["message"]) == (409, "Merge conflict")
    assert await github.head(REPO, "fix") == head
    shown = (await api.get(f"/pulls/{number}")).json()
    assert (shown["mergeable"], shown["mergeable_state"]) == (False, "dirty")
    assert (await api.post("/merges", json={"base": "fix", "head": "nope"})).status_code == 404
    assert (await api.post("/merges", json={"base": "nope", "head": "main"})).status_code == 404


async def test_a_merged_pull_request_shows_what_it_was(github: DemoGitHub, api: httpx.AsyncClient, number: int) -> None:
    sha = await github.pulls.merge(REPO, number, by="mona")

    shown = (await api.get(f"/pulls/{number}")).json()

    assert await github.head(REPO, "main") == sha
    assert (shown["state"], shown["merged"], shown["mergeable"], shown["commits"]) == ("closed", True, None, 1)
    assert shown["merged_by"]["login"] == "mona"
    with pytest.raises(ValueError, match="cannot be merged"):
        await github.pulls.merge(REPO, number, by="mona")


async def test_who_may_not_does_not(github: DemoGitHub, number: int) -> None:
    for deed in (github.pulls.merge, github.pulls.close):
        with pytest.raises(PermissionError):
            await deed(REPO, number, by="stranger")
    github.webhook_url = f"{github.url}/nobody/listens"

    await github.pulls.close(REPO, number, by="mona")

    assert [each["action"] for each in told(github, "pull_request")] == ["closed"]


async def test_a_token_that_only_reads_changes_nothing(github: DemoGitHub, number: int) -> None:
    comment = await github.pulls.remark(REPO, number, "greet.py", 2, "Not this.", by="hubot")
    token = await mint(github, permissions={"contents": "read", "pull_requests": "read"})
    async with client(github, token) as api:
        for path, body in (
            (f"/pulls/{number}/comments/{comment.id}/replies", {"body": "x"}),
            (f"/pulls/comments/{comment.id}/reactions", {"content": "eyes"}),
            (f"/pulls/{number}/requested_reviewers", {"reviewers": ["ada"]}),
            ("/merges", {"base": "fix", "head": "main"}),
        ):
            assert (await api.post(path, json=body)).status_code == 403, path
        assert (await api.get(f"/pulls/{number}/comments")).status_code == 200


# --------------------------------------------------------------------------------------------------------------- forks


async def test_a_pull_request_of_a_fork_names_the_fork(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    fork = await github.pulls.fork(REPO, by="eve")
    first = await github.push(fork, "main", {"greet.py": "print('hey')\n"}, message="Hey", by="eve")
    pull = await github.pulls.open(REPO, "eve:main", title="Hey", by="eve")
    second = await github.push(fork, "main", {"more.py": ""}, message="More", by="eve")

    shown = (await api.get(f"/pulls/{pull.number}")).json()

    assert (pull.head_sha, shown["head"]["sha"]) == (first, second)
    assert (shown["head"]["label"], shown["head"]["repo"]["full_name"]) == ("eve:main", "eve/greeter")
    assert (shown["base"]["repo"]["full_name"], shown["changed_files"]) == (REPO, 2)
    async with client(github, await mint(github), path="/repos/eve/greeter") as other:
        assert (await other.get("")).status_code == 404, "the App is not installed there"
