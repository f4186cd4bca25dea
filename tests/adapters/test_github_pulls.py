"""Pull requests, their threads, reviewers and merges: what is read of GitHub's answers, and its bad moments."""

from base64 import encodebytes
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.adapters.github.client.tokens import WORK
from app.core.errors import GitHubError, MissingPermission
from app.core.run.job import Person
from app.core.run.pull_requests import IssueText, MergeResult, PullRequest, ThumbsUp
from tests.adapters.github_world import HEAD, PATH, REPO, TOKENS, World, open_world, pull, refused

PULLS = f"{PATH}/pulls"
BOT = {"login": "vibecoder[bot]", "id": 1, "type": "Bot"}
ADA = {"login": "ada", "id": 5, "type": "User"}
MARK = "<!-- mark -->"


def whole(**changes: Any) -> dict[str, Any]:
    """A pull request as its own address tells it."""
    end = {"ref": "main", "sha": HEAD, "repo": {"full_name": REPO}}
    known = {"title": "Fix", "body": None, "state": "open", "user": BOT, "merged": False, "mergeable": None}
    simple = pull(3)
    return {**simple, **known, "head": {**simple["head"], "repo": {"full_name": REPO}}, "base": end, **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"is_ours": True, "is_fork": False, "is_mergeable": None}),
        ({"mergeable": False}, {"is_mergeable": False}),
        ({"state": "closed", "merged": True}, {"is_open": False, "is_merged": True}),
        ({"user": ADA}, {"is_ours": False, "author": Person("ada", 5)}),
        ({"user": {**BOT, "login": "other[bot]"}}, {"is_ours": False}),
        ({"user": None}, {"is_ours": False, "author": None}),
        ({"head": {"ref": "fix", "sha": HEAD, "repo": {"full_name": "eve/greeter"}}}, {"is_fork": True}),
        ({"head": {"ref": "fix", "sha": HEAD, "repo": None}}, {"is_fork": True}),
        ({"head": {"ref": "fix", "sha": HEAD, "repo": {"full_name": "Acme/Greeter"}}}, {"is_fork": False}),
    ],
)
async def test_a_pull_request_is_read(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    async with open_world() as world:
        world.router.get(f"{PULLS}/3").respond(json=whole(**changes))
        found = await world.github.pulls.pull(3)
    assert found is not None
    assert {name: getattr(found, name) for name in expected} == expected


async def test_all_of_a_pull_request_is_read() -> None:
    async with open_world() as world:
        world.router.get(f"{PULLS}/3").respond(json=whole(body="Why.", draft=True, mergeable=True))
        assert await world.github.pulls.pull(3) == PullRequest(
            number=3,
            title="Fix",
            body="Why.",
            url=f"https://github.com/{REPO}/pull/3",
            head="vibecode/12-typo",
            head_sha=HEAD,
            base="main",
            author=Person("vibecoder[bot]", 1, is_bot=True),
            is_draft=True,
            is_ours=True,
            is_mergeable=True,
        )


async def test_what_is_not_there_is_none() -> None:
    async with open_world() as world:
        world.router.get(url__regex=r".*/(pulls|issues|contents)/.*").respond(404, json={"message": "Not Found"})
        pulls = world.github.pulls
        assert (await pulls.pull(3), await pulls.issue(3), await pulls.read_file("x")) == (None, None, None)
        assert await pulls.thumbs_ups(9) == ()


# -------------------------------------------------------------------------------------------------------------- threads


def remark(number: int, body: str = "", *, user: dict[str, Any] = ADA, to: int | None = None) -> dict[str, Any]:
    return {"id": number, "body": body, "user": user, **({} if to is None else {"in_reply_to_id": to})}


def thread(world: World, *comments: dict[str, Any]) -> None:
    """A thread that begins with 50; 51 is a reply there."""
    listed = [remark(50), remark(51, to=50), *comments]
    world.router.get(f"{PULLS}/3/comments").respond(json=listed)
    for each in listed:
        world.router.get(f"{PULLS}/comments/{each['id']}").respond(json=each)


@pytest.mark.parametrize("comment_id", [50, 51])
async def test_an_answer_goes_to_the_first_comment_of_the_thread(comment_id: int) -> None:
    async with open_world() as world:
        thread(world, remark(60, f"Elsewhere {MARK}", user=BOT, to=40), remark(61, f"Quoted {MARK}", to=50))
        world.router.post(f"{PULLS}/3/comments/50/replies").respond(201, json=remark(62, user=BOT, to=50))
        await world.github.pulls.put_reply(3, comment_id, f"Done {MARK}", marker=MARK)
        assert world.sent("POST", f"{PULLS}/3/comments/50/replies") == [{"body": f"Done {MARK}"}]


async def test_our_own_answer_in_the_thread_is_edited() -> None:
    async with open_world() as world:
        thread(world, remark(60, f"At it {MARK}", user=BOT, to=50))
        world.router.patch(f"{PULLS}/comments/60").respond(json=remark(60, user=BOT, to=50))
        await world.github.pulls.put_reply(3, 51, f"Done {MARK}", marker=MARK)
        assert world.sent("PATCH", f"{PULLS}/comments/60") == [{"body": f"Done {MARK}"}]


@pytest.mark.parametrize("fault", [httpx.Response(502), httpx.ReadTimeout("slow")])
async def test_an_answer_that_arrived_after_all_is_not_given_twice(fault: httpx.Response | Exception) -> None:
    async with open_world() as world:
        thread(world)
        listed = world.router.get(f"{PULLS}/3/comments")
        own = [remark(60, f"Done {MARK}", user=BOT, to=50)]
        listed.mock(side_effect=[httpx.Response(200, json=[]), httpx.Response(200, json=own)])
        world.router.post(f"{PULLS}/3/comments/50/replies").mock(side_effect=[fault])
        world.router.patch(f"{PULLS}/comments/60").respond(json=own[0])
        await world.github.pulls.put_reply(3, 50, f"Done {MARK}", marker=MARK)
        assert len(world.sent("POST", f"{PULLS}/3/comments/50/replies")) == 1


@pytest.mark.parametrize("status", [403, 404])
async def test_where_replies_are_refused_the_comment_names_what_it_answers(status: int) -> None:
    async with open_world() as world:
        thread(world)
        world.router.get(PATH).respond(json={"full_name": REPO})
        world.router.post(f"{PULLS}/3/comments/50/replies").mock(return_value=refused(status, "No"))
        world.router.post(f"{PULLS}/3/comments").respond(201, json=remark(62, user=BOT, to=50))
        await world.github.pulls.put_reply(3, 51, f"Done {MARK}", marker=MARK)
        assert world.sent("POST", f"{PULLS}/3/comments") == [{"body": f"Done {MARK}", "in_reply_to": 50}]


async def test_where_the_thread_takes_no_answer_at_all_it_is_a_comment_of_its_own() -> None:
    async with open_world() as world:
        thread(world)
        world.router.get(f"{PULLS}/comments/51").respond(json=remark(51, to=50) | {"html_url": "https://x/51"})
        world.router.post(url__regex=r".*/pulls/3/comments").mock(return_value=refused(403, "No"))
        world.router.get(f"{PATH}/issues/3/comments").respond(json=[])
        world.router.post(f"{PATH}/issues/3/comments").respond(201, json=remark(70, user=BOT))
        await world.github.pulls.put_reply(3, 51, f"{MARK}\nDone", marker=MARK)
        (sent,) = world.sent("POST", f"{PATH}/issues/3/comments")
    assert sent == {"body": "<!-- answer to 51 -->\nDone\n\n[The comment that this answers](https://x/51)"}


async def test_a_comment_that_is_gone_cannot_be_answered() -> None:
    async with open_world() as world:
        world.router.get(f"{PULLS}/comments/50").respond(404, json={"message": "Not Found"})
        with pytest.raises(GitHubError, match="404"):
            await world.github.pulls.put_reply(3, 50, "Done", marker=MARK)


# ------------------------------------------------------------------------------------------------- labels and reviewers


async def test_people_and_teams_are_asked_for_their_review() -> None:
    path = f"{PULLS}/3/requested_reviewers"
    async with open_world() as world:
        world.router.post(path).respond(201, json={"number": 3})
        revoked = world.router.delete("/installation/token").respond(204)
        await world.github.pulls.request_reviews(3, ["ada", "acme/core"])
        await world.github.pulls.request_reviews(3, ["ada"])
        await world.github.pulls.request_reviews(3, [])
        assert world.sent("POST", path) == [
            {"reviewers": ["ada"]},
            {"team_reviewers": ["core"]},
            {"reviewers": ["ada"]},
        ]
        of_repo, of_account = world.minted
        assert of_repo["repositories"] == ["greeter"]
        assert of_account == {"permissions": {"members": "read", "metadata": "read", "pull_requests": "write"}}
        assert revoked.call_count == 1, "what is good for all repositories is given back at once"


async def test_a_team_of_another_organization_is_not_taken_for_one_of_that_name_here() -> None:
    async with open_world() as world:
        with pytest.raises(GitHubError, match="`other/core` is not a team of `acme`"):
            await world.github.pulls.request_reviews(3, ["other/core"])
        assert len(world.router.calls) == 0


async def test_a_team_that_the_app_may_not_see_names_the_permission_and_who_grants_it() -> None:
    account = {"login": "acme", "id": 9, "type": "Organization"}
    page = "https://github.com/organizations/acme/settings/installations/42"
    async with open_world() as world:
        words = "The permissions requested are not granted to this installation."
        world.router.post(TOKENS).mock(return_value=refused(422, words))
        known = {"id": 42, "account": account, "html_url": page, "permissions": WORK}
        world.router.get("/app/installations/42").respond(json=known)
        with pytest.raises(MissingPermission, match="lacks the permission `members: read` on acme") as caught:
            await world.github.pulls.request_reviews(3, ["acme/core"])
    assert str(caught.value).endswith(f"then an owner of acme accepts it at {page}.")
    assert not caught.value.is_passing


async def test_a_reviewer_that_github_refuses_is_told() -> None:
    words = "Reviews may only be requested from collaborators."
    async with open_world() as world:
        world.router.post(f"{PULLS}/3/requested_reviewers").mock(return_value=refused(422, words))
        with pytest.raises(GitHubError, match=words) as caught:
            await world.github.pulls.request_reviews(3, ["stranger"])
    assert (caught.value.status, caught.value.is_passing) == (422, False)


async def test_no_labels_are_no_request() -> None:
    async with open_world() as world:
        await world.github.pulls.add_labels(3, [])
        assert len(world.router.calls) == 0


# -------------------------------------------------------------------------------------------------------------- merging


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (httpx.Response(201, json={"sha": HEAD}), MergeResult.MERGED),
        (httpx.Response(204), MergeResult.NOTHING),
        (refused(409, "Merge conflict"), MergeResult.CONFLICT),
    ],
)
async def test_a_merge_ends_in_one_of_three_ways(answer: httpx.Response, ending: MergeResult) -> None:
    async with open_world() as world:
        world.router.post(f"{PATH}/merges").mock(return_value=answer)
        assert await world.github.pulls.merge("fix", "main") is ending


@pytest.mark.parametrize(("status", "words"), [(404, "Head does not exist"), (409, "Repository rule violations found")])
async def test_another_refusal_to_merge_is_no_conflict(status: int, words: str) -> None:
    async with open_world() as world:
        world.router.post(f"{PATH}/merges").mock(return_value=refused(status, words))
        with pytest.raises(GitHubError, match=words):
            await world.github.pulls.merge("fix", "main")


# -------------------------------------------------------------------------------------------- thumbs, issues and files


async def test_thumbs_are_told_oldest_first() -> None:
    given = [
        {"id": 2, "user": BOT, "content": "+1", "created_at": "2026-11-22T12:00:01Z"},
        {"id": 3, "user": None, "content": "+1", "created_at": "2026-11-22T12:00:00Z"},
        {"id": 1, "user": ADA, "content": "+1", "created_at": "2026-11-22T12:00:00Z"},
    ]
    async with open_world() as world:
        route = world.router.get(f"{PATH}/issues/comments/9/reactions").respond(json=given)
        thumbs_ups = await world.github.pulls.thumbs_ups(9)
        assert dict(route.calls.last.request.url.params) == {"content": "+1", "per_page": "100"}
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert thumbs_ups[0] == ThumbsUp(1, Person("ada", 5), is_bot=False, created_at=at)
    assert [(thumb.id, thumb.is_bot) for thumb in thumbs_ups] == [(1, False), (2, True)]


async def test_an_issue_is_read_as_it_is_now() -> None:
    issue = {"number": 12, "title": "Typo", "body": None, "state": "closed", "user": ADA}
    async with open_world() as world:
        world.router.get(f"{PATH}/issues/12").respond(json=issue)
        read = await world.github.pulls.issue(12)
    assert read == IssueText("Typo", "", is_open=False, author=Person("ada", 5))


async def test_a_file_is_read_byte_by_byte() -> None:
    data = bytes(range(256))
    file = {"type": "file", "encoding": "base64", "content": encodebytes(data).decode()}
    async with open_world() as world:
        route = world.router.get(f"{PATH}/contents/.github/vibecode.yml").respond(json=file)
        assert await world.github.pulls.read_file(".github/vibecode.yml") == data
        for other in ([file, file], {"type": "submodule"}, {"type": "symlink"}):
            route.respond(json=other)
            assert await world.github.pulls.read_file(".github/vibecode.yml") is None
        route.respond(json={"type": "file", "encoding": "none", "content": ""})
        with pytest.raises(GitHubError, match="larger than 1 MB"):
            await world.github.pulls.read_file(".github/vibecode.yml")
