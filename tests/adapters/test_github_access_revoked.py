"""What the adapter makes of a repository that was archived, deleted, renamed or transferred."""

import httpx
import pytest

from app.core.errors import GitHubError, RepositoryGone
from tests.adapters.github_world import API, HEAD, PATH, REPO, TOKENS, comment, open_world, ref, refused

BY_ID = "/repositories/5"


def moved(status: int, tail: str = "", base: str = API) -> httpx.Response:
    return httpx.Response(status, json={"message": "Moved"}, headers={"location": f"{base}{BY_ID}{tail}"})


async def test_what_is_written_where_nothing_may_be_is_told_as_archived() -> None:
    async with open_world() as world:
        world.router.post(f"{PATH}/git/refs").mock(
            return_value=refused(403, "Repository was archived so is read-only.")
        )
        with pytest.raises(RepositoryGone, match="acme/greeter was archived, so nothing can be written there") as gone:
            await world.github.create_branch("vibecode/12-typo", HEAD)
        assert not gone.value.is_passing


async def test_a_mutation_is_told_so_too() -> None:
    async with open_world() as world:
        fault = {"type": "UNPROCESSABLE", "message": "Repository was archived so is read-only."}
        world.router.post("/graphql").respond(json={"data": None, "errors": [fault]})
        with pytest.raises(RepositoryGone, match="was archived"):
            await world.github.commit("vibecode/12-typo", HEAD, "Fix the typo", ())


async def test_a_missing_branch_of_a_repository_that_is_there_is_only_missing() -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/git/ref/heads%2Fmain").mock(return_value=refused(404, "Not Found"))
        world.router.get(PATH).respond(json={"full_name": REPO})
        assert await world.github.head("main") is None


async def test_a_missing_branch_of_a_repository_that_is_gone_is_no_answer() -> None:
    async with open_world() as world:
        world.router.route().mock(return_value=refused(404, "Not Found"))
        with pytest.raises(RepositoryGone, match="acme/greeter is gone, or the App may not see it any more"):
            await world.github.head("main")


@pytest.mark.parametrize("words", ["Not Found", "at least one repository that does not exist or is not accessible"])
async def test_no_token_for_a_repository_says_that_it_is_gone(words: str) -> None:
    async with open_world() as world:
        world.router.post(TOKENS).mock(return_value=refused(404 if words == "Not Found" else 422, words))
        world.router.get(f"{PATH}/installation").mock(return_value=refused(404, "Not Found"))
        with pytest.raises(RepositoryGone, match="not installed on acme/greeter, or that is gone or has another name"):
            await world.github.default_branch()


async def test_a_renamed_repository_is_followed() -> None:
    async with open_world() as world:
        world.router.patch(f"{PATH}/issues/comments/3").mock(return_value=moved(307, "/issues/comments/3"))
        world.router.get(PATH).mock(return_value=moved(301))
        world.router.get(BY_ID).respond(json={"full_name": "acme/welcomer"})
        edit = world.router.patch(f"{BY_ID}/issues/comments/3").respond(json=comment(3, "Stopped"))
        assert await world.github.put_comment(12, "Stopped", marker="m", comment_id=3) == 3
        assert edit.call_count == 1
        assert world.github.repo == "acme/welcomer"


async def test_what_is_written_is_not_sent_again_where_the_method_may_change() -> None:
    async with open_world() as world:
        world.router.post(f"{PATH}/git/refs").mock(return_value=moved(301, "/git/refs"))
        world.router.get(PATH).mock(return_value=moved(301))
        world.router.get(BY_ID).respond(json={"full_name": "acme/welcomer"})
        with pytest.raises(GitHubError, match="GitHub answered 301"):
            await world.github.create_branch("vibecode/12-typo", HEAD)


async def test_a_mutation_goes_to_the_new_name() -> None:
    async with open_world() as world:
        fault = {"type": "NOT_FOUND", "message": "Could not resolve to a Repository"}
        made = {"createCommitOnBranch": {"commit": {"oid": HEAD, "url": "", "signature": {"isValid": True}}}}
        answers = [{"data": None, "errors": [fault]}, {"data": made}]
        sent = world.router.post("/graphql").mock(side_effect=[httpx.Response(200, json=each) for each in answers])
        world.router.get(PATH).mock(return_value=moved(301))
        world.router.get(BY_ID).respond(json={"full_name": "acme/welcomer"})
        assert (await world.github.commit("vibecode/12-typo", HEAD, "Fix the typo", ())).sha == HEAD
        assert b'"acme/greeter"' in sent.calls[0].request.content
        assert b'"acme/welcomer"' in sent.calls[1].request.content


async def test_a_token_for_a_renamed_repository_is_minted_by_its_number() -> None:
    async with open_world() as world:
        unseen = refused(422, "at least one repository that does not exist or is not accessible")
        good = httpx.Response(201, json={"token": "ghs_new", "expires_at": "2999-01-01T00:00:00Z"})
        minted = world.router.post(TOKENS).mock(side_effect=[unseen, good])
        world.router.get(f"{PATH}/installation").mock(return_value=moved(301, "/installation"))
        assert (await world.github.read_token()).get_secret_value() == "ghs_new"
        assert b'"repository_ids":[5]' in minted.calls[1].request.content.replace(b" ", b"")


@pytest.mark.parametrize("base", ["https://elsewhere.example", f"{API}.elsewhere.example", f"{API}/../else"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_leads_a_token_elsewhere(status: int, base: str) -> None:
    async with open_world() as world:
        world.router.get(PATH).mock(return_value=moved(status, base=base))
        world.router.post(f"{PATH}/git/refs").mock(return_value=moved(status, "/git/refs", base=base))
        with pytest.raises(GitHubError, match=f"GitHub answered {status}") as caught:
            await world.github.create_branch("vibecode/12-typo", HEAD)
        assert not caught.value.is_passing
        assert {call.request.url.path for call in world.router.calls} == {TOKENS, PATH, f"{PATH}/git/refs"}


async def test_a_redirect_within_the_api_is_not_followed_blindly_either() -> None:
    async with open_world() as world:
        world.router.get(PATH).respond(json={"full_name": REPO})
        found = world.router.post("/anything").respond(json=ref(HEAD))
        location = {"location": f"{API}/anything"}
        world.router.post(f"{PATH}/git/refs").mock(return_value=httpx.Response(307, headers=location))
        with pytest.raises(GitHubError, match="GitHub answered 307"):
            await world.github.create_branch("vibecode/12-typo", HEAD)
        assert not found.called
