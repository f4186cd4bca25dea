"""What GitHub says of the App itself, as `doctor` asks for it."""

from typing import Any

import httpx

from app.core.ports.registration import AppInfo, HookInfo, InstallationInfo
from tests.adapters.github_world import open_world

APP: dict[str, Any] = {
    "id": 7,
    "slug": "vibecoder",
    "html_url": "https://github.com/apps/vibecoder",
    "owner": {"login": "ada", "id": 1, "type": "User"},
    "permissions": {"issues": "write"},
    "events": ["issues"],
}


async def test_the_app_s_settings_are_with_its_owner() -> None:
    async with open_world() as world:
        world.router.get("/app").respond(json=APP)
        assert await world.app.about() == AppInfo(
            slug="vibecoder",
            html_url="https://github.com/apps/vibecoder",
            settings_url="https://github.com/settings/apps/vibecoder",
            permissions={"issues": "write"},
            events=("issues",),
        )
        world.router.get("/app").respond(json=APP | {"owner": {"login": "acme", "id": 2, "type": "Organization"}})
        about = await world.app.about()
        assert about.settings_url == "https://github.com/organizations/acme/settings/apps/vibecoder"


async def test_an_enterprise_server_has_pages_of_its_own() -> None:
    url = "https://git.acme.test"
    async with open_world(api=f"{url}/api/v3", server_url=f"{url}/") as world:
        world.router.get("/app").respond(json=APP)
        assert (await world.app.about()).settings_url == f"{url}/settings/apps/vibecoder"


async def test_suspended_installations_are_named_too() -> None:
    page = "https://github.com/organizations/acme/settings/installations/42"
    whole = {
        "id": 42,
        "account": {"login": "acme", "id": 2, "type": "Organization"},
        "html_url": page,
        "permissions": {"issues": "write"},
        "events": ["issues"],
        "suspended_at": "2026-01-01T00:00:00Z",
    }
    async with open_world() as world:
        world.router.get("/app/installations").respond(json=[whole, {"id": 43, "account": None}])
        assert await world.app.installations() == (
            InstallationInfo(42, "acme", page, is_suspended=True, permissions={"issues": "write"}, events=("issues",)),
            InstallationInfo(43, "43", "", is_suspended=False, permissions={}, events=()),
        )


async def test_a_token_that_was_tried_is_given_back() -> None:
    async with open_world() as world:
        world.router.get("/installation/repositories").respond(json={"total_count": 250, "repositories": []})
        given_back = world.router.delete("/installation/token").mock(return_value=httpx.Response(204))
        assert await world.app.try_token(42) == 250
        assert world.minted == [{"permissions": {"metadata": "read"}}]
        assert given_back.calls.last.request.headers["authorization"] == "Bearer ghs_1"


async def test_the_webhook_is_told_as_it_is_set() -> None:
    async with open_world() as world:
        hook = {"url": "https://bot.example/webhook", "content_type": "form", "insecure_ssl": "1", "secret": "********"}
        world.router.get("/app/hook/config").respond(json=hook)
        assert await world.app.hook() == HookInfo("https://bot.example/webhook", "form", verifies_tls=False)
        world.router.get("/app/hook/config").respond(json={})
        assert await world.app.hook() == HookInfo("", "form", verifies_tls=True)
