"""One-click making of the GitHub App (https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest).

    GET /setup ── form ──▶ GitHub: "Create GitHub App" ── ?code&state ──▶ GET /setup/callback ──▶ keys stored

Open to the operator and to the key that the program shows on its own screen; closed for good once there is an App.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, SecretStr, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.core.errors import GitHubError
from app.text.page import render_setup, render_setup_done
from app.web.access import Access
from app.web.guard import PAGE_POLICY

STATE_COOKIE: Final = "vibecoder_setup"
STATE_S: Final = 3600
EXCHANGE_S: Final = 15.0
_STATE: Final = "setup state"
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ORG: Final = re.compile(r"[A-Za-z0-9-]{0,39}")


class Credentials(BaseModel):
    """What GitHub tells once about the App it made."""

    id: int
    slug: str
    html_url: str
    client_id: str
    client_secret: SecretStr
    webhook_secret: SecretStr
    pem: SecretStr


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """`manifest` is `app.yml` as read, without addresses. `save` keeps the keys where only this account reads."""

    manifest: Mapping[str, object]
    save: Callable[[Credentials], None]
    is_configured: Callable[[], bool]
    api_url: str = "https://api.github.com"


@dataclass(frozen=True, slots=True)
class Setup:
    """The two endpoints."""

    access: Access
    options: SetupOptions
    public_url: str
    github_url: str

    def routes(self) -> list[Route]:
        return [
            Route("/setup", self.show, methods=["GET"]),
            Route("/setup/callback", self.finish, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        self._refuse_when_configured()
        if not self.access.may_set_up(request):
            raise HTTPException(401, "Open the set-up link that the program shows when it starts.")
        org = request.query_params.get("org", "")
        if not _ORG.fullmatch(org):
            raise HTTPException(400, "That is not the name of an organization.")
        state = self.access.ticket(_STATE, STATE_S)
        owner = f"organizations/{org}/settings" if org else "settings"
        html = render_setup(
            manifest_for(self.options.manifest, self.public_url),
            action=f"{self.github_url}/{owner}/apps/new?state={state}",
            key=request.query_params.get("key", ""),
            org=org,
        )
        # the browser follows redirects of a form only where `form-action` lets it
        policy = PAGE_POLICY.format(form_action=f"'self' {_origin(self.github_url)}")
        answer = HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})
        is_https = self.public_url.startswith("https:")
        # Lax: GitHub's redirect back must bring it along
        answer.set_cookie(STATE_COOKIE, state, max_age=STATE_S, httponly=True, samesite="lax", secure=is_https)
        return answer

    async def finish(self, request: Request) -> Response:
        self._refuse_when_configured()
        state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
        is_ours = self.access.honours(_STATE, state) and state == request.cookies.get(STATE_COOKIE, "")
        if not is_ours or not _CODE.fullmatch(code):
            raise HTTPException(400, "This did not begin here. Open the set-up link again.")
        made = await exchange(self.options.api_url, code)
        self._refuse_when_configured()
        self.options.save(made)
        answer = HTMLResponse(render_setup_done(slug=made.slug, install_url=f"{made.html_url}/installations/new"))
        answer.headers["Cache-Control"] = "no-store"
        answer.delete_cookie(STATE_COOKIE)
        return answer

    def _refuse_when_configured(self) -> None:
        if self.options.is_configured():
            raise HTTPException(404, "The App is set up already.")


def manifest_for(manifest: Mapping[str, object], public_url: str) -> dict[str, object]:
    """The manifest with this deployment's addresses in it."""
    url = public_url.rstrip("/")
    hook = {"url": f"{url}/webhook", "active": True}
    return {**manifest, "url": url, "hook_attributes": hook, "redirect_url": f"{url}/setup/callback"}


async def exchange(api_url: str, code: str) -> Credentials:
    """Trade the code of a made App for its keys. Not repeatable: a code works once.

    Raises:
        GitHubError: GitHub refused, failed or answered something else.
    """
    import httpx  # noqa: PLC0415  the web process needs no HTTP client for anything else

    try:
        async with asyncio.timeout(EXCHANGE_S), httpx.AsyncClient(timeout=EXCHANGE_S) as client:
            headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
            answer = await client.post(
                f"{api_url.rstrip('/')}/app-manifests/{quote(code)}/conversions", headers=headers
            )
    except (httpx.HTTPError, TimeoutError) as error:
        raise GitHubError("GitHub did not answer. Open the set-up link again.") from error
    if answer.status_code != 201:
        raise GitHubError("GitHub did not take the code. Open the set-up link again.", status=answer.status_code)
    try:
        return Credentials.model_validate_json(answer.content)
    except ValidationError as error:
        raise GitHubError(f"GitHub's answer is not understood: {error.error_count()} faults.") from None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
