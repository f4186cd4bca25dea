"""What the App sees of all its installations: repositories, the log of deliveries, labelled issues."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.core.errors import GitHubError
from app.core.inbound.delivery import DeliveryAttempt
from app.core.inbound.triggers import LabelledIssue
from app.core.run.job import Person
from tests.adapters.github_world import API, PATH, World, all_repositories, open_world, refused

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LOG = "/app/hook/deliveries"


def installed(world: World, *ids: int, **repos: list[dict[str, Any]]) -> None:
    """Installations of these ids; each has the repositories given as `r42=[…]`."""
    world.router.get("/app/installations").respond(json=[{"id": key, "suspended_at": None} for key in ids])

    def mint(request: httpx.Request) -> httpx.Response:
        token = f"ghs_for_{request.url.path.split('/')[-2]}"
        return httpx.Response(201, json={"token": token, "expires_at": "2999-01-01T00:00:00Z"})

    def show(request: httpx.Request) -> httpx.Response:
        found = repos["r" + request.headers["authorization"].rpartition("_")[2]]
        return httpx.Response(200, json={"total_count": len(found), "repositories": found})

    for key in ids:
        world.router.post(f"/app/installations/{key}/access_tokens").mock(side_effect=mint)
    world.router.get("/installation/repositories").mock(side_effect=show)


def line(number: int, minutes_ago: int, status_code: int = 202, **more: object) -> dict[str, object]:
    at = (NOW - timedelta(minutes=minutes_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"guid": f"guid-{number}", "event": "issues", "action": "labeled", "redelivery": False, "duration": 0.1}
    return {"id": number, "delivered_at": at, "status_code": status_code, "status": "OK", **about, **more}


async def test_every_installations_repositories_are_named() -> None:
    async with open_world() as world:
        installed(world, 42, 43, r42=[{"full_name": "acme/a"}, {"full_name": "acme/b"}], r43=[{"full_name": "ada/c"}])
        assert await all_repositories(world.app) == ((42, "acme/a"), (42, "acme/b"), (43, "ada/c"))
        minted = world.sent("POST", "/app/installations/42/access_tokens")
        assert set(minted[0]["permissions"].values()) == {"read"}


async def test_what_cannot_be_written_to_is_left_out() -> None:
    async with open_world() as world:
        archived = {"full_name": "acme/old", "archived": True}
        installed(world, 42, r42=[archived, {"full_name": "acme/off", "disabled": True}, {"full_name": "acme/a"}])
        world.router.get("/app/installations").respond(
            json=[{"id": 41, "suspended_at": "2026-01-01T00:00:00Z"}, {"id": 42}]
        )
        assert await all_repositories(world.app) == ((42, "acme/a"),)
        assert world.sent("POST", "/app/installations/41/access_tokens") == []


async def test_an_absent_github_is_not_taken_for_an_empty_one() -> None:
    async with open_world() as world:
        installed(world, 42, 43, r43=[{"full_name": "ada/c"}])
        world.router.post("/app/installations/42/access_tokens").respond(502)
        with pytest.raises(GitHubError):
            await all_repositories(world.app)


def paged(world: World, *pages: list[dict[str, object]]) -> list[str]:
    """Serve the log in these pages, each led to by a cursor; the cursors asked for."""
    asked: list[str] = []

    def show(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("cursor", ""))
        assert request.url.params["per_page"] == "100"
        index = int(asked[-1].removeprefix("v1_") or 0)
        following = f'<{API}/elsewhere?per_page=100&cursor=v1_{index + 1}>; rel="next"'
        headers = {"link": following} if index + 1 < len(pages) else {}
        return httpx.Response(200, json=pages[index], headers=headers)

    world.router.get(path__regex=f"^{LOG}$").mock(side_effect=show)
    return asked


async def test_the_log_is_read_back_to_the_moment_asked_for() -> None:
    async with open_world() as world:
        asked = paged(world, [line(9, 1), line(8, 2, 502)], [line(7, 3, 0, action=None), line(6, 60)], [line(5, 70)])
        found = await world.app.deliveries(NOW - timedelta(minutes=30))

    assert [attempt.id for attempt in found] == [9, 8, 7]
    assert found[1] == DeliveryAttempt(8, "guid-8", "issues", "labeled", NOW - timedelta(minutes=2), 502)
    assert (found[2].action, found[2].arrived) == ("", False)
    assert asked == ["", "v1_1"]


async def test_the_log_is_read_for_a_thousand_lines_at_most() -> None:
    async with open_world() as world:
        asked = paged(world, *([line(index, 1)] * 100 for index in range(15)))
        assert len(await world.app.deliveries(NOW - timedelta(hours=1))) == 1_000
        assert len(asked) == 10


async def test_an_attempt_is_asked_for_again() -> None:
    async with open_world() as world:
        asked = world.router.post(f"{LOG}/12345678/attempts").mock(
            side_effect=[httpx.Response(502), httpx.Response(202, content=b"")]
        )
        await world.app.redeliver(12_345_678)
        assert asked.call_count == 2
        assert asked.calls.last.request.headers["authorization"].startswith("Bearer ey")


async def test_an_attempt_that_github_forgot_is_told() -> None:
    async with open_world() as world:
        world.router.post(f"{LOG}/1/attempts").mock(return_value=refused(404, "Not Found"))
        with pytest.raises(GitHubError) as caught:
            await world.app.redeliver(1)
        assert not caught.value.is_passing


def issue(number: int, **more: object) -> dict[str, object]:
    return {"number": number, "title": f"Issue {number}", "body": None, "user": {"login": "ada", "id": 1}, **more}


def labelled(at: str, *, by: str = "mona", label: str = "vibecode", event: str = "labeled") -> dict[str, object]:
    kind = "Bot" if by.endswith("[bot]") else "User"
    return {
        "event": event,
        "actor": {"login": by, "id": 5, "type": kind} if by else None,
        "created_at": f"2026-11-22T{at}Z",
        "label": {"name": label, "color": "ededed"},
    }


async def test_a_labelled_issue_tells_who_labelled_it_last_and_when() -> None:
    async with open_world() as world:
        issues = world.router.get(f"{PATH}/issues").respond(json=[issue(7), issue(5, pull_request={"url": "u"})])
        world.router.get(PATH).respond(json={"default_branch": "main", "private": True})
        events = [
            labelled("08:00:00", by="eve"),
            labelled("08:30:00", event="unlabeled"),
            labelled("09:00:00", label="Vibecode"),
            labelled("09:30:00", by="eve", label="bug"),
            {"event": "closed", "actor": None, "created_at": "2026-11-22T09:40:00Z"},
        ]
        world.router.get(f"{PATH}/issues/7/events").respond(json=events)
        found = await world.github.labelled("vibecode")

    at = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    assert found == (LabelledIssue(7, "Issue 7", "", Person("ada", 1), Person("mona", 5), at, is_private=True),)
    assert dict(issues.calls.last.request.url.params) == {"state": "open", "labels": "vibecode", "per_page": "100"}


async def test_a_label_far_back_in_an_issues_life_is_found() -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/issues").respond(json=[issue(7)])
        world.router.get(PATH).respond(json={})
        following = f'<{API}/repositories/1/issues/7/events?per_page=100&page=2>; rel="next"'
        world.router.get(f"{PATH}/issues/7/events").mock(
            side_effect=[
                httpx.Response(200, json=[labelled("08:00:00", by="eve")], headers={"link": following}),
                httpx.Response(200, json=[labelled("09:00:00")]),
            ]
        )
        (found,) = await world.github.labelled("vibecode")
        assert found.labelled_by == Person("mona", 5)


@pytest.mark.parametrize("event", [labelled("09:00:00", by=""), labelled("09:00:00", by="x[bot]"), None])
async def test_what_no_known_person_labelled_is_left_out(event: dict[str, object] | None) -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/issues").respond(json=[issue(7)])
        world.router.get(PATH).respond(json={})
        world.router.get(f"{PATH}/issues/7/events").respond(json=[event] if event else [])
        assert await world.github.labelled("vibecode") == ()


async def test_a_repository_without_labelled_issues_costs_one_request() -> None:
    async with open_world() as world:
        world.router.get(f"{PATH}/issues").respond(json=[])
        assert await world.github.labelled("vibecode") == ()
        assert len(world.router.calls) == 2


async def test_the_commits_between_two_ends_are_told() -> None:
    async with open_world() as world:
        commit = {"message": "Fix it\n\nBecause.", "verification": {"verified": True}}
        first = {"sha": "1" * 40, "html_url": "u", "commit": commit}
        second = {"sha": "2" * 40, "html_url": "v", "commit": {"message": "More"}}
        compared = world.router.get(path__regex="/compare/").respond(json={"commits": [first, second]})
        found = await world.github.commits("main", "vibecode/1-fix")

    assert [(made.sha, made.subject, made.is_verified, made.url) for made in found] == [
        ("1" * 40, "Fix it", True, "u"),
        ("2" * 40, "More", False, "v"),
    ]
    assert compared.calls.last.request.url.raw_path.decode() == f"{PATH}/compare/main...vibecode%2F1-fix"
