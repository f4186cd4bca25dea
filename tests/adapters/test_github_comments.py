"""One comment of the bot's own: found again, never doubled, never somebody else's."""

import httpx
import pytest

from app.core.errors import GitHubError
from tests.adapters.github_world import PATH, comment, open_world, refused

MARK = "<!-- vibecoder:acme~greeter~12~label~1 -->"
COMMENTS = f"{PATH}/issues/12/comments"


async def test_a_known_comment_is_edited() -> None:
    async with open_world() as world:
        world.router.patch(f"{PATH}/issues/comments/99").respond(json=comment(99, "new"))
        assert await world.github.put_comment(12, "new", marker=MARK, comment_id=99) == 99
        assert world.sent("PATCH", f"{PATH}/issues/comments/99") == [{"body": "new"}]
        assert len(world.router.calls) == 2


async def test_a_first_comment_is_created() -> None:
    async with open_world() as world:
        world.router.get(COMMENTS).respond(json=[comment(1, f"> {MARK}", user="ada", app=None)])
        world.router.post(COMMENTS).respond(201, json=comment(100, "hi"))
        assert await world.github.put_comment(12, f"hi {MARK}", marker=MARK) == 100
        assert world.sent("POST", COMMENTS) == [{"body": f"hi {MARK}"}]


@pytest.mark.parametrize("status", [404, 410])
async def test_a_comment_that_is_gone_is_looked_up_by_its_marker(status: int) -> None:
    async with open_world() as world:
        world.router.patch(f"{PATH}/issues/comments/98").respond(status, json={"message": "gone"})
        world.router.get(COMMENTS).respond(json=[comment(99, f"old {MARK}")])
        world.router.patch(f"{PATH}/issues/comments/99").respond(json=comment(99, "new"))
        assert await world.github.put_comment(12, "new", marker=MARK, comment_id=98) == 99


async def test_other_peoples_comments_are_never_edited() -> None:
    others = [
        comment(1, f"quoting {MARK}", user="mallory", app=None),
        comment(2, f"another app {MARK}", app=8),
        comment(3, f"another bot {MARK}", app=None, user="other[bot]"),
        comment(4, "ours, of another run"),
    ]
    async with open_world() as world:
        world.router.get("/app").respond(json={"id": 7, "slug": "vibecoder"})
        world.router.get(COMMENTS).respond(json=others)
        world.router.post(COMMENTS).respond(201, json=comment(100, "hi"))
        assert await world.github.put_comment(12, "hi", marker=MARK) == 100


async def test_own_comments_are_known_by_the_bots_name_where_github_names_no_app() -> None:
    async with open_world() as world:
        world.router.get("/app").respond(json={"id": 7, "slug": "vibecoder"})
        world.router.get(COMMENTS).respond(json=[comment(99, MARK, app=None)])
        world.router.patch(f"{PATH}/issues/comments/99").respond(json=comment(99, "new"))
        assert await world.github.put_comment(12, "new", marker=MARK) == 99
        asked = next(call.request for call in world.router.calls if call.request.url.path == "/app")
        assert asked.headers["authorization"].startswith("Bearer ey")


async def test_an_app_known_by_its_client_id_finds_its_comment() -> None:
    own = {**comment(99, MARK), "performed_via_github_app": {"id": 7, "client_id": "Iv1.abc"}}
    async with open_world(app_id="Iv1.abc") as world:
        world.router.get(COMMENTS).respond(json=[own])
        world.router.patch(f"{PATH}/issues/comments/99").respond(json=own)
        assert await world.github.put_comment(12, "new", marker=MARK) == 99


async def test_a_long_thread_is_read_page_by_page() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        assert request.url.params["per_page"] == "100"
        number = int(request.url.params["page"])
        rows = [comment(number * 1000 + row, "talk", user="ada", app=None) for row in range(100)]
        return httpx.Response(200, json=rows if number < 3 else [comment(99, MARK)])

    async with open_world() as world:
        route = world.router.get(COMMENTS).mock(side_effect=page)
        world.router.patch(f"{PATH}/issues/comments/99").respond(json=comment(99, "new"))
        assert await world.github.put_comment(12, "new", marker=MARK) == 99
        assert route.call_count == 3


async def test_an_endless_thread_is_not_read_to_its_end() -> None:
    rows = [comment(row, "talk", user="ada", app=None) for row in range(100)]
    async with open_world() as world:
        route = world.router.get(COMMENTS).respond(json=rows)
        world.router.post(COMMENTS).respond(201, json=comment(100, "hi"))
        await world.github.put_comment(12, "hi", marker=MARK)
        assert route.call_count == 30


@pytest.mark.parametrize("fault", [httpx.Response(502), httpx.ReadTimeout("slow")])
async def test_a_comment_that_landed_after_all_is_not_made_twice(fault: httpx.Response | Exception) -> None:
    async with open_world() as world:
        world.router.get(COMMENTS).mock(
            side_effect=[httpx.Response(200, json=[]), httpx.Response(200, json=[comment(100, MARK)])]
        )
        world.router.post(COMMENTS).mock(side_effect=[fault])
        world.router.patch(f"{PATH}/issues/comments/100").respond(json=comment(100, "hi"))
        assert await world.github.put_comment(12, "hi", marker=MARK) == 100
        assert len(world.sent("POST", COMMENTS)) == 1


async def test_a_comment_that_did_not_land_is_made_again() -> None:
    async with open_world() as world:
        world.router.get(COMMENTS).respond(json=[])
        world.router.post(COMMENTS).mock(
            side_effect=[httpx.Response(502), httpx.Response(201, json=comment(100, "hi"))]
        )
        assert await world.github.put_comment(12, "hi", marker=MARK) == 100


async def test_creating_ends() -> None:
    async with open_world() as world:
        world.router.get(COMMENTS).respond(json=[])
        world.router.post(COMMENTS).respond(502)
        with pytest.raises(GitHubError) as caught:
            await world.github.put_comment(12, "hi", marker=MARK)
        assert caught.value.status == 502
        assert len(world.sent("POST", COMMENTS)) == 2


async def test_a_locked_issue_is_told_at_once() -> None:
    async with open_world() as world:
        world.router.get(COMMENTS).respond(json=[])
        world.router.post(COMMENTS).mock(return_value=refused(403, "Unable to create comment because issue is locked."))
        with pytest.raises(GitHubError, match="locked") as caught:
            await world.github.put_comment(12, "hi", marker=MARK)
        assert caught.value.status == 403
        assert len(world.sent("POST", COMMENTS)) == 1
