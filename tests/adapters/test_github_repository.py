"""People, reactions, branches and pull requests of one repository."""

from base64 import b64encode
from typing import Any

import httpx
import pytest

from app.core.errors import GitHubError, MissingPermission
from app.core.policy.authorization import Role
from app.core.policy.branch_rules import BranchRule
from app.core.run.job import Person
from app.core.run.run import OpenedPullRequest
from tests.adapters.github_world import HEAD, NEXT, PATH, REPO, git_commit, open_world, pull, ref, refused

ADA = Person("ada", 5)
PULLS = f"{PATH}/pulls"
BRANCH = "vibecode/12-typo"


def may(permission: str, role_name: str | None, user_id: int = 5) -> dict[str, Any]:
    return {"permission": permission, "role_name": role_name, "user": {"login": "ada", "id": user_id}}


@pytest.mark.parametrize(
    ("answer", "role"),
    [
        (may("admin", "admin"), Role.ADMIN),
        (may("write", "maintain"), Role.MAINTAIN),
        (may("read", "triage"), Role.TRIAGE),
        (may("write", "security-champion"), Role.WRITE),
        (may("write", None), Role.WRITE),
        (may("none", "none"), Role.NONE),
        (may("owner", "emperor"), Role.NONE),
    ],
)
async def test_a_role_is_read(answer: dict[str, Any], role: Role) -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/collaborators/ada/permission").respond(json=answer)
        assert await world.github.permission(ADA) is role


async def test_strangers_have_no_role() -> None:
    async with open_world() as world:
        route = world.router.get(f"{PATH}/collaborators/ada/permission")
        route.respond(404, json={"message": "Not Found"})
        assert await world.github.permission(ADA) is Role.NONE
        route.respond(json={"permission": "admin", "role_name": "admin", "user": None})
        assert await world.github.permission(ADA) is Role.NONE


async def test_a_login_that_somebody_else_took_over_is_a_stranger() -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/collaborators/ada/permission").respond(json=may("admin", "admin", user_id=6))
        assert await world.github.permission(ADA) is Role.NONE


async def test_a_person_without_an_id_is_not_asked_about() -> None:
    async with open_world() as world:
        assert await world.github.permission(Person("ada")) is Role.NONE
        assert await world.github.permission(Person("", 5)) is Role.NONE
        assert len(world.router.calls) == 0


async def test_a_login_cannot_lead_elsewhere() -> None:
    async with open_world() as world:
        route = world.router.get(url__regex=r".*/permission$").respond(404, json={})
        await world.github.permission(Person("../../../user", 5))
        assert route.calls.last.request.url.raw_path.decode() == (
            f"{PATH}/collaborators/..%2F..%2F..%2Fuser/permission"
        )


async def test_reactions_go_to_the_comment_or_the_issue() -> None:
    async with open_world() as world:
        world.router.post(f"{PATH}/issues/12/reactions").respond(201, json={"id": 1})
        world.router.post(f"{PATH}/issues/comments/99/reactions").respond(200, json={"id": 1})
        await world.github.react("eyes", number=12)
        await world.github.react("confused", number=12, comment_id=99)
        assert world.sent("POST", f"{PATH}/issues/12/reactions") == [{"content": "eyes"}]
        assert world.sent("POST", f"{PATH}/issues/comments/99/reactions") == [{"content": "confused"}]


# --------------------------------------------------------------------------------------------------------- branches


async def test_a_branch_has_a_head_or_is_not_there() -> None:
    async with open_world() as world:
        route = world.router.get(f"{PATH}/git/ref/heads%2Fvibecode%2F12-typo")
        route.respond(json=ref(HEAD))
        assert await world.github.head(BRANCH) == HEAD
        route.respond(404, json={"message": "Not Found"})
        assert await world.github.head(BRANCH) is None
        route.mock(return_value=refused(403, "Resource not accessible by integration"))
        with pytest.raises(GitHubError):
            await world.github.head(BRANCH)


async def test_a_branch_is_created_once() -> None:
    async with open_world() as world:
        route = world.router.post(f"{PATH}/git/refs").respond(201, json=ref(HEAD))
        await world.github.create_branch(BRANCH, HEAD)
        assert world.sent("POST", f"{PATH}/git/refs") == [{"ref": f"refs/heads/{BRANCH}", "sha": HEAD}]

        route.mock(return_value=refused(422, "Reference already exists"))
        await world.github.create_branch(BRANCH, NEXT)

        route.mock(return_value=refused(422, "Object does not exist"))
        with pytest.raises(GitHubError, match="Object does not exist"):
            await world.github.create_branch(BRANCH, NEXT)


async def test_a_branch_that_workflow_files_forbid_names_the_permission() -> None:
    async with open_world() as world:
        words = "Resource not accessible by integration"
        world.router.post(f"{PATH}/git/refs").mock(return_value=refused(403, words))
        with pytest.raises(MissingPermission, match="the optional permission `workflows: write`") as caught:
            await world.github.create_branch(BRANCH, HEAD)
        assert words in str(caught.value)


async def test_a_branch_is_deleted_only_where_it_was_put() -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/git/ref/heads%2Fvibecode%2F12-typo").respond(json=ref(HEAD))
        deleted = world.router.delete(f"{PATH}/git/refs/heads%2Fvibecode%2F12-typo").respond(204)
        await world.github.delete_branch(BRANCH, NEXT)
        assert not deleted.called
        await world.github.delete_branch(BRANCH, HEAD)
        assert deleted.call_count == 1
        deleted.mock(return_value=refused(422, "Reference does not exist"))
        await world.github.delete_branch(BRANCH, HEAD)
        deleted.mock(return_value=refused(422, "Repository rule violations found"))
        with pytest.raises(GitHubError, match="rule violations"):
            await world.github.delete_branch(BRANCH, HEAD)


def of_ruleset(kind: str, ruleset_id: int, **parameters: Any) -> dict[str, Any]:
    source = {"ruleset_source_type": "Organization", "ruleset_source": "acme", "ruleset_id": ruleset_id}
    return {"type": kind, "parameters": parameters, **source}


async def test_of_the_rules_those_are_told_that_bind_the_app() -> None:
    async with open_world() as world:
        signs = of_ruleset("required_signatures", 1)
        message = of_ruleset("commit_message_pattern", 2, operator="regex", pattern="^fix", negate=True)
        listed = [of_ruleset("deletion", 1), of_ruleset("creation", 3), of_ruleset("update", 4), message, signs]
        world.router.get(f"{PATH}/rules/branches/vibecode%2F12-typo").respond(json=listed)
        world.router.get(f"{PATH}/rulesets/2").respond(json={"name": "Messages", "current_user_can_bypass": "never"})
        world.router.get(f"{PATH}/rulesets/3").respond(json={"name": "Ours", "current_user_can_bypass": "always"})
        world.router.get(f"{PATH}/rulesets/4").mock(return_value=refused(404, "Not Found"))
        world.router.get(PATH).respond(json={"full_name": REPO})
        world.router.get(f"{PATH}/git/commits/{HEAD}").respond(json=git_commit(HEAD))
        world.router.post(f"{PATH}/git/commits").respond(201, json=git_commit(NEXT))
        assert await world.github.rules(BRANCH, HEAD) == (
            BranchRule("update", "acme 4"),
            BranchRule("commit_message_pattern", "Messages", "regex", "^fix", is_negated=True),
        )


@pytest.mark.parametrize(
    ("status", "words"), [(404, "Not Found"), (403, "Upgrade to GitHub Pro or make this repository public")]
)
async def test_where_github_knows_no_rules_there_are_none(status: int, words: str) -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/rules/branches/vibecode%2F12-typo").mock(return_value=refused(status, words))
        world.router.get(PATH).respond(json={"full_name": REPO})
        assert await world.github.rules(BRANCH, HEAD) == ()


# ---------------------------------------------------------------------------------------------------- pull requests

WANTED: dict[str, Any] = {"branch": BRANCH, "base": "main", "title": "Fix it", "body": "Why.", "is_draft": False}
OPENED = OpenedPullRequest(3, f"https://github.com/{REPO}/pull/3", HEAD)


async def test_the_open_pull_request_is_found_by_its_branch() -> None:
    async with open_world() as world:
        route = world.router.get(PULLS).respond(json=[pull(2, "another"), pull(3, draft=True)])
        found = await world.github.pull_request(BRANCH)
        assert found == OpenedPullRequest(3, OPENED.url, HEAD, is_draft=True)
        assert dict(route.calls.last.request.url.params) == {"state": "open", "head": f"acme:{BRANCH}"}
        route.respond(json=[pull(2, "another")])
        assert await world.github.pull_request(BRANCH) is None


async def test_an_issues_pull_request_is_the_apps_newest_from_a_branch_of_its_number() -> None:
    bot, person = {"login": "vibecoder[bot]", "id": 1, "type": "Bot"}, {"login": "mallory", "id": 2}
    rows = [
        pull(9, "vibecode/12-mine") | {"user": person},
        pull(8, "vibecode/123-other-k3x9qd") | {"user": bot},
        pull(7, "vibecode/12-fix-the-typo-k3x9qd") | {"user": bot},
        pull(6, "vibecode/12-fix-it-aaaaaa") | {"user": bot},
    ]
    async with open_world() as world:
        route = world.router.get(PULLS).respond(json=rows)
        found = await world.github.issue_pull_request(12, is_open=False)
        assert found is not None
        assert found.number == 7
        asked = dict(route.calls.last.request.url.params)
        assert (asked["state"], asked["sort"], asked["direction"]) == ("all", "created", "desc")
        assert await world.github.issue_pull_request(1) is None


async def test_a_pull_request_is_opened() -> None:
    async with open_world() as world:
        world.router.get(PULLS).respond(json=[])
        world.router.post(PULLS).respond(201, json=pull(3))
        assert await world.github.put_pull_request(**WANTED) == OPENED
        wanted = {"title": "Fix it", "head": BRANCH, "base": "main", "body": "Why.", "draft": False}
        assert world.sent("POST", PULLS) == [wanted]


async def test_an_open_pull_request_is_brought_up_to_date() -> None:
    async with open_world() as world:
        world.router.get(PULLS).respond(json=[pull(3)])
        world.router.patch(f"{PULLS}/3").respond(json=pull(3))
        assert await world.github.put_pull_request(**WANTED) == OPENED
        assert world.sent("PATCH", f"{PULLS}/3") == [{"title": "Fix it", "body": "Why."}]


@pytest.mark.parametrize(
    "fault",
    [
        refused(422, "Validation Failed", {"message": f"A pull request already exists for acme:{BRANCH}."}),
        httpx.Response(500),
        httpx.ReadTimeout("slow"),
    ],
)
async def test_a_pull_request_that_exists_after_all_is_not_opened_twice(fault: httpx.Response | Exception) -> None:
    async with open_world() as world:
        world.router.get(PULLS).mock(side_effect=[httpx.Response(200, json=[]), httpx.Response(200, json=[pull(3)])])
        world.router.post(PULLS).mock(side_effect=[fault])
        world.router.patch(f"{PULLS}/3").respond(json=pull(3))
        assert await world.github.put_pull_request(**WANTED) == OPENED
        assert len(world.sent("POST", PULLS)) == 1


async def test_what_github_says_of_a_pull_request_is_passed_on() -> None:
    async with open_world() as world:
        world.router.get(PULLS).respond(json=[])
        world.router.post(PULLS).mock(
            return_value=refused(422, "Validation Failed", {"message": "No commits between main and fix"})
        )
        with pytest.raises(GitHubError, match="No commits between main and fix"):
            await world.github.put_pull_request(**WANTED)


async def test_where_there_are_no_drafts_the_pull_request_is_ready() -> None:
    no_drafts = refused(422, "Draft pull requests are not supported in this repository.")
    async with open_world() as world:
        world.router.get(PULLS).respond(json=[])
        world.router.post(PULLS).mock(side_effect=[no_drafts, httpx.Response(201, json=pull(3))])
        opened = await world.github.put_pull_request(**{**WANTED, "is_draft": True})
        assert not opened.is_draft
        assert [body["draft"] for body in world.sent("POST", PULLS)] == [True, False]


async def test_the_repository_itself_is_read_once() -> None:
    async with open_world() as world:
        route = world.router.get(PATH).respond(json={"default_branch": "trunk"})
        assert [await world.github.default_branch() for _ in range(3)] == ["trunk"] * 3
        assert route.call_count == 1


async def test_a_file_that_did_not_change_is_not_sent_again() -> None:
    def content(text: bytes) -> dict[str, str]:
        return {"type": "file", "encoding": "base64", "content": b64encode(text).decode()}

    async with open_world() as world:
        route = world.router.get(f"{PATH}/contents/a.txt")
        route.respond(json=content(b"one"), headers={"ETag": '"1"'})
        assert await world.github.pulls.read_file("a.txt") == b"one"
        assert "if-none-match" not in route.calls.last.request.headers
        route.respond(304)
        assert await world.github.pulls.read_file("a.txt") == b"one"
        assert route.calls.last.request.headers["if-none-match"] == '"1"'
        route.respond(json=content(b"two"), headers={"ETag": '"2"'})
        assert await world.github.pulls.read_file("a.txt") == b"two"
        route.respond(404, json={"message": "Not Found"})
        assert await world.github.pulls.read_file("a.txt") is None


async def test_a_role_is_always_asked_for_anew() -> None:
    async with open_world() as world:
        route = world.router.get(f"{PATH}/collaborators/ada/permission")
        route.respond(json=may("write", "write"), headers={"ETag": '"1"'})
        for _ in range(2):
            assert await world.github.permission(ADA) is Role.WRITE
            assert "if-none-match" not in route.calls.last.request.headers
