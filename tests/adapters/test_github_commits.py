"""Commits: on the expected head or not at all, never twice, with the right modes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.core.errors import GitHubError, HeadMoved
from app.core.policy.changes import Change
from app.core.run.run import Commit
from tests.adapters import github_world
from tests.adapters.github_world import HEAD, NEXT, OTHER, PATH, REPO, TOKENS, World, git_commit, ref, refused

BRANCH = "vibecode/12-typo"
REF = f"{PATH}/git/ref/heads%2Fvibecode%2F12-typo"
MOVE = f"{PATH}/git/refs/heads%2Fvibecode%2F12-typo"
MESSAGE = "Fix the typo\n\nIt said helo."
PLAIN = [
    Change("greet.py", "100644", b"hello\n", old_mode="100644"),
    Change("new \xe4.bin", "100644", b"\xff\x00"),
    Change("old.sh", "000000", old_mode="100755"),
]
MADE = {"oid": NEXT, "url": f"https://github.com/{REPO}/commit/{NEXT}", "signature": {"isValid": True}}
COMMIT = Commit(NEXT, "Fix the typo", ("greet.py", "new \xe4.bin", "old.sh"), is_verified=True, url=str(MADE["url"]))
STALE = {"type": "STALE_DATA", "message": f'Expected branch to point to "{HEAD}" but it did not.  Pull and try again.'}


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    """Wherever the branch is instead of where it is expected, it went on from there."""
    async with github_world.open_world() as world:
        world.router.get(path__regex=rf"^{PATH}/compare/").respond(json={"status": "ahead", "commits": []})
        yield world


def made() -> httpx.Response:
    return httpx.Response(200, json={"data": {"createCommitOnBranch": {"commit": MADE}}})


def fault(**error: Any) -> httpx.Response:
    return httpx.Response(200, json={"data": {"createCommitOnBranch": None}, "errors": [error]})


def objects(world: World, *, head: str = HEAD) -> None:
    world.router.get(REF).respond(json=ref(head))
    world.router.get(f"{PATH}/git/commits/{HEAD}").respond(json=git_commit(HEAD))
    world.router.post(f"{PATH}/git/blobs").respond(201, json={"sha": "e" * 40})
    world.router.post(f"{PATH}/git/trees").respond(201, json={"sha": "f" * 40})
    world.router.post(f"{PATH}/git/commits").respond(201, json=git_commit(NEXT))
    world.router.patch(MOVE).respond(json=ref(NEXT))


def landed(world: World) -> None:
    """The branch holds the commit that is asked for."""
    objects(world, head=NEXT)
    there = git_commit(NEXT, message=MESSAGE) | {"tree": {"sha": "f" * 40}}
    world.router.get(f"{PATH}/git/commits/{NEXT}").respond(json=there)


async def test_plain_files_are_committed_in_one_call() -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(return_value=made())
        assert await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN) == COMMIT
        (sent,) = world.sent("POST", "/graphql")
        assert "createCommitOnBranch(input: $input)" in sent["query"]
        assert sent["variables"] == {
            "input": {
                "branch": {"repositoryNameWithOwner": REPO, "branchName": BRANCH},
                "expectedHeadOid": HEAD,
                "message": {"headline": "Fix the typo", "body": "It said helo."},
                "fileChanges": {
                    "additions": [
                        {"path": "greet.py", "contents": "aGVsbG8K"},
                        {"path": "new \xe4.bin", "contents": "/wA="},
                    ],
                    "deletions": [{"path": "old.sh"}],
                },
            }
        }
        assert len(world.router.calls) == 2


@pytest.mark.parametrize(
    "answer",
    [
        refused(404, "Not Found"),
        refused(501, "Not Implemented"),
        refused(403, "The GraphQL API is disabled on this server."),
        httpx.Response(
            200, json={"errors": [{"message": "Field 'createCommitOnBranch' doesn't exist on type 'Mutation'"}]}
        ),
    ],
)
async def test_a_server_without_graphql_gets_the_commit_over_rest_and_is_not_asked_again(
    answer: httpx.Response,
) -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(return_value=answer)
        world.router.get(PATH).respond(json={"full_name": REPO})
        objects(world)
        assert await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN) == COMMIT
        assert await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN) == COMMIT
        assert len(world.sent("POST", "/graphql")) == 1
        assert len(world.sent("PATCH", MOVE)) == 2


@pytest.mark.parametrize(
    "error",
    [STALE, {"message": STALE["message"]}, {"type": "UNPROCESSABLE", "message": "is at bbbbbbbb but expected aaaaaaa"}],
)
async def test_a_stale_head_is_told(error: dict[str, str]) -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(return_value=fault(**error))
        world.router.get(REF).respond(json=ref(OTHER))
        world.router.get(f"{PATH}/git/commits/{OTHER}").respond(json=git_commit(OTHER, message="Theirs"))
        with pytest.raises(HeadMoved):
            await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN)
        assert len(world.sent("POST", "/graphql")) == 1


async def test_a_stale_head_of_a_branch_that_is_gone_is_told() -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(return_value=fault(**STALE))
        world.router.get(REF).respond(404)
        with pytest.raises(HeadMoved):
            await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN)


async def test_a_commit_that_an_earlier_attempt_made_is_returned() -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(return_value=fault(**STALE))
        landed(world)
        assert await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN) == COMMIT
        run = await world.github.commit(BRANCH, HEAD, MESSAGE, [Change("run.sh", "100755", b"x")])
        assert (run.sha, run.files) == (NEXT, ("run.sh",))
        assert world.sent("PATCH", MOVE) == []


async def test_a_commit_of_ours_with_other_contents_is_another_commit() -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(return_value=fault(**STALE))
        landed(world)
        world.router.post(f"{PATH}/git/trees").respond(201, json={"sha": "9" * 40})
        with pytest.raises(HeadMoved):
            await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN)


@pytest.mark.parametrize(
    ("kind", "status"), [("NOT_FOUND", 404), ("FORBIDDEN", 403), ("UNPROCESSABLE", 422), ("SOMETHING_NEW", 422)]
)
async def test_a_refused_mutation_is_told_and_not_repeated(kind: str, status: int) -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(return_value=fault(type=kind, message="A path was wrong"))
        with pytest.raises(GitHubError, match="A path was wrong") as caught:
            await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN)
        assert caught.value.status == status
        assert not isinstance(caught.value, HeadMoved)
        assert len(world.sent("POST", "/graphql")) == 1


async def test_a_rate_limited_mutation_says_how_long() -> None:
    async with open_world() as world:
        limited = httpx.Response(200, json={"errors": [{"type": "RATE_LIMITED", "message": "no"}]})
        world.router.post("/graphql").mock(return_value=limited)
        with pytest.raises(GitHubError) as caught:
            await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN)
        assert (caught.value.status, caught.value.retry_after_s) == (403, 60.0)


UNCLEAR = [httpx.Response(502), httpx.ReadTimeout("slow"), fault(message="Something went wrong"), httpx.Response(200)]


@pytest.mark.parametrize("ending", UNCLEAR)
async def test_a_commit_that_landed_after_all_is_not_made_twice(ending: httpx.Response | Exception) -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(side_effect=[ending])
        landed(world)
        assert await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN) == COMMIT
        assert len(world.sent("POST", "/graphql")) == 1


@pytest.mark.parametrize("ending", UNCLEAR)
async def test_a_commit_that_did_not_land_is_made_again(ending: httpx.Response | Exception) -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(side_effect=[ending, made()])
        world.router.get(REF).respond(json=ref(HEAD))
        assert await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN) == COMMIT


async def test_a_commit_that_lands_late_is_taken_as_made() -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(side_effect=[httpx.ReadTimeout("slow"), fault(**STALE)])
        landed(world)
        world.router.get(REF).mock(
            side_effect=[httpx.Response(200, json=ref(HEAD)), httpx.Response(200, json=ref(NEXT))]
        )
        assert await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN) == COMMIT


@pytest.mark.parametrize(
    "there",
    [
        git_commit(OTHER, message="Theirs"),
        git_commit(OTHER, message=MESSAGE, parent=NEXT),
        git_commit(OTHER, message=MESSAGE, author="mallory"),
        git_commit(OTHER, message=MESSAGE) | {"parents": [{"sha": HEAD}, {"sha": NEXT}]},
    ],
)
@pytest.mark.parametrize("ending", [httpx.Response(502), fault(**STALE)])
async def test_somebody_elses_commit_is_not_taken_for_ours(there: dict[str, Any], ending: httpx.Response) -> None:
    async with open_world() as world:
        world.router.post("/graphql").mock(return_value=ending)
        world.router.get(REF).respond(json=ref(OTHER))
        world.router.get(f"{PATH}/git/commits/{OTHER}").respond(json=there)
        with pytest.raises(HeadMoved):
            await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN)


async def test_committing_ends() -> None:
    async with open_world() as world:
        world.router.post("/graphql").respond(502)
        world.router.get(REF).respond(json=ref(HEAD))
        with pytest.raises(GitHubError) as caught:
            await world.github.commit(BRANCH, HEAD, MESSAGE, PLAIN)
        assert caught.value.status == 502
        assert len(world.sent("POST", "/graphql")) == 2


async def test_modes_and_links_are_committed_by_objects() -> None:
    changes = [
        Change("run.sh", "100755", b"#!/bin/sh\n"),
        Change("latest", "120000", b"v2/notes"),
        Change("logo.png", "100644", b"\x89PNG\x00", old_mode="100644"),
        Change("gone.txt", "000000", old_mode="100644"),
    ]
    async with open_world() as world:
        objects(world)
        commit = await world.github.commit(BRANCH, HEAD, MESSAGE, changes)
        assert commit == Commit(
            NEXT,
            "Fix the typo",
            ("run.sh", "latest", "logo.png", "gone.txt"),
            is_verified=True,
            url=f"https://github.com/{REPO}/commit/{NEXT}",
        )
        assert world.sent("POST", f"{PATH}/git/blobs") == [{"content": "iVBORwA=", "encoding": "base64"}]
        assert world.sent("POST", f"{PATH}/git/trees") == [
            {
                "base_tree": "d" * 40,
                "tree": [
                    {"path": "run.sh", "mode": "100755", "type": "blob", "content": "#!/bin/sh\n"},
                    {"path": "latest", "mode": "120000", "type": "blob", "content": "v2/notes"},
                    {"path": "logo.png", "mode": "100644", "type": "blob", "sha": "e" * 40},
                    {"path": "gone.txt", "mode": "100644", "type": "blob", "sha": None},
                ],
            }
        ]
        assert world.sent("POST", f"{PATH}/git/commits") == [{"message": MESSAGE, "tree": "f" * 40, "parents": [HEAD]}]
        assert world.sent("PATCH", MOVE) == [{"sha": NEXT, "force": False}]


@pytest.mark.parametrize(
    ("old", "new"),
    [("100644", "100755"), ("100755", "100644"), ("100755", "100755"), ("120000", "100644"), ("100644", "120000")],
)
async def test_a_mode_that_the_mutation_would_lose_goes_by_objects(old: str, new: str) -> None:
    async with open_world() as world:
        objects(world)
        await world.github.commit(BRANCH, HEAD, MESSAGE, [Change("x", new, b"x", old_mode=old), *PLAIN])
        assert world.sent("POST", f"{PATH}/git/trees")[0]["tree"][0]["mode"] == new
        assert world.sent("POST", "/graphql") == []


async def test_nothing_is_written_when_the_branch_is_elsewhere() -> None:
    async with open_world() as world:
        objects(world, head=OTHER)
        world.router.get(f"{PATH}/git/commits/{OTHER}").respond(json=git_commit(OTHER, message="Theirs"))
        with pytest.raises(HeadMoved):
            await world.github.commit(BRANCH, HEAD, MESSAGE, [Change("run.sh", "100755", b"x")])
        assert {call.request.method for call in world.router.calls if call.request.url.path != TOKENS} == {"GET"}


async def test_a_push_in_between_is_never_overwritten() -> None:
    async with open_world() as world:
        objects(world)
        world.router.patch(MOVE).mock(return_value=refused(422, "Update is not a fast forward"))
        with pytest.raises(HeadMoved):
            await world.github.commit(BRANCH, HEAD, MESSAGE, [Change("run.sh", "100755", b"x")])


async def test_other_refusals_to_move_the_branch_are_no_moved_head() -> None:
    async with open_world() as world:
        objects(world)
        world.router.patch(MOVE).mock(return_value=refused(422, "Reference does not exist"))
        with pytest.raises(GitHubError, match="does not exist") as caught:
            await world.github.commit(BRANCH, HEAD, MESSAGE, [Change("run.sh", "100755", b"x")])
        assert not isinstance(caught.value, HeadMoved)
