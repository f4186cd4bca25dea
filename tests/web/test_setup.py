import json
import re
from html import unescape

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.core.run.links import setup_url
from app.web.app import WebOptions
from app.web.setup import Credentials, SetupOptions
from tests.web.site import OPERATOR, SECRET, Site, serving

MANIFEST = {"name": "vibecoder", "default_permissions": {"contents": "write"}, "default_events": ["issues"]}
MADE = {
    "id": 42,
    "slug": "vibecoder-acme",
    "html_url": "https://github.com/apps/vibecoder-acme",
    "client_id": "Iv1.1",
    "client_secret": "client-secret-1",
    "webhook_secret": "webhook-secret-1",
    "pem": "private-key-1",
    "owner": {"login": "acme"},
}
URL = setup_url("", SECRET)


class Conversions:
    """GitHub's end of the manifest flow: a code works once."""

    def __init__(self, answer: object = MADE) -> None:
        self.answer = answer
        self.codes = ["good"]
        self.app = Starlette(routes=[Route("/app-manifests/{code}/conversions", self.convert, methods=["POST"])])

    async def convert(self, request: Request) -> Response:
        if request.path_params["code"] not in self.codes:
            return JSONResponse({"message": "Not Found"}, 404)
        self.codes.remove(request.path_params["code"])
        return JSONResponse(self.answer, 201)


def site_with(kept: list[Credentials], api_url: str = "http://127.0.0.1:9") -> Site:
    setup = SetupOptions(MANIFEST, save=kept.append, is_configured=lambda: bool(kept), api_url=api_url)
    return Site(WebOptions(public_url="https://bot.example", setup=setup))


async def begin(site: Site) -> tuple[str, dict[str, str]]:
    """Open the page; gives the state and the browser's cookie."""
    answer = await site.ask(URL)
    state = re.search(r"state=([^\"&]+)", answer.text)
    assert state
    return state[1], {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


async def test_the_form_carries_the_manifest_with_our_addresses_to_github() -> None:
    answer = await site_with([]).ask(URL)
    assert answer.status_code == 200
    found = re.search(r'name="manifest" value="([^"]+)"', answer.text)
    assert found
    assert json.loads(unescape(found[1])) == MANIFEST | {
        "url": "https://bot.example",
        "hook_attributes": {"url": "https://bot.example/webhook", "active": True},
        "redirect_url": "https://bot.example/setup/callback",
    }
    assert 'action="https://github.com/settings/apps/new?state=' in answer.text
    assert "form-action 'self' https://github.com;" in answer.headers["content-security-policy"]
    assert "SameSite=lax" in answer.headers["set-cookie"]


async def test_an_organization_makes_its_own_app() -> None:
    answer = await site_with([]).ask(f"{URL}&org=acme")
    assert 'action="https://github.com/organizations/acme/settings/apps/new?state=' in answer.text
    assert (await site_with([]).ask(f"{URL}&org=../acme")).status_code == 400


async def test_a_made_app_is_kept_once_and_never_shown() -> None:
    kept: list[Credentials] = []
    github = Conversions()
    async with serving(github.app) as api_url:
        site = site_with(kept, api_url)
        state, cookie = await begin(site)
        answer = await site.ask(f"/setup/callback?code=good&state={state}", cookie)
        assert answer.status_code == 200
        assert "https://github.com/apps/vibecoder-acme/installations/new" in answer.text
        assert not any(secret in answer.text for secret in ("client-secret-1", "webhook-secret-1", "private-key-1"))
        assert [made.pem for made in kept] == [SecretStr("private-key-1")]
        assert (await site.ask(f"/setup/callback?code=good&state={state}", cookie)).status_code == 404
    assert (await site.ask(URL)).status_code == 404
    assert (await site.ask("/setup", OPERATOR)).status_code == 404


async def test_the_set_up_is_closed_to_strangers() -> None:
    site = site_with([])
    for query in ("", "?key=", "?key=wrong"):
        assert (await site.ask(f"/setup{query}")).status_code == 401
    assert (await site.ask("/setup", OPERATOR)).status_code == 200


async def test_only_what_began_here_is_finished() -> None:
    kept: list[Credentials] = []
    github = Conversions()
    async with serving(github.app) as api_url:
        site = site_with(kept, api_url)
        state, cookie = await begin(site)
        tries: list[tuple[str, dict[str, str]]] = [
            (f"code=good&state={state}", {}),
            ("code=good&state=mine", {"Cookie": "vibecoder_setup=mine"}),
            ("code=good&state=", {"Cookie": "vibecoder_setup="}),
            (f"code=good&state={state}x", cookie),
            (f"code=../x&state={state}", cookie),
            (f"code=&state={state}", cookie),
        ]
        assert [(await site.ask(f"/setup/callback?{query}", sent)).status_code for query, sent in tries] == [400] * 6
        await site.clock.sleep(3601)
        assert (await site.ask(f"/setup/callback?code=good&state={state}", cookie)).status_code == 400
    assert (kept, github.codes) == ([], ["good"])


@pytest.mark.parametrize(("code", "answer"), [("used", MADE), ("good", {"id": 1}), ("good", [])])
async def test_when_github_says_no_nothing_is_kept(code: str, answer: object) -> None:
    kept: list[Credentials] = []
    async with serving(Conversions(answer).app) as api_url:
        site = site_with(kept, api_url)
        state, cookie = await begin(site)
        assert (await site.ask(f"/setup/callback?code={code}&state={state}", cookie)).status_code == 503
    assert kept == []


async def test_when_github_is_away_it_is_said_so() -> None:
    kept: list[Credentials] = []
    site = site_with(kept)
    state, cookie = await begin(site)
    answer = await site.ask(f"/setup/callback?code=good&state={state}", cookie)
    assert (answer.status_code, kept) == (503, [])
    assert "did not answer" in answer.json()["detail"]


def test_what_credentials_print_holds_no_secret() -> None:
    said = repr(Credentials.model_validate(MADE))
    assert not any(secret in said for secret in ("client-secret-1", "webhook-secret-1", "private-key-1"))
