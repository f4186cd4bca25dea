"""One-click making of the GitHub App
(https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest).

    GET /setup ── form ──▶ GitHub: "Create GitHub App" ── ?code&state ──▶ GET /setup/callback ──▶ keys stored

Open to the operator and to the key that the program shows on its own screen; closed for good once there is an App.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, SecretStr, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.core.addresses import can_reach
from app.core.errors import GitHubError, UserError
from app.text.page import render_setup, render_setup_done
from app.web.auth import Access
from app.web.limits import PAGE_POLICY

STATE_COOKIE: Final = "vibecoder_setup"
STATE_S: Final = 3600
EXCHANGE_S: Final = 15.0
_STATE: Final = "setup state"
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ORG: Final = re.compile(r"[A-Za-z0-9-]{1,39}")


class Credentials(BaseModel):
    """What GitHub tells once about the App it made."""

    id: int
    slug: str
    html_url: str
    client_id: str
    client_secret: SecretStr
    webhook_secret: SecretStr
    pem: SecretStr

    @property
    def variables(self) -> dict[str, str]:
        """The settings they are, by variable."""
        return {
            "GITHUB_APP_ID": str(self.id),
            "GITHUB_PRIVATE_KEY": self.pem.get_secret_value(),
            "GITHUB_WEBHOOK_SECRET": self.webhook_secret.get_secret_value(),
        }

    @property
    def install_url(self) -> str:
        return f"{self.html_url}/installations/new"


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """`manifest` is `app.yml` as read. `save` keeps the keys where only this account reads, or raises `UserError`.

    `own_url` is where the browser finds this page when that is not the public address; `needs_restart`: the program
    that serves it takes the keys up at its next start.
    """

    manifest: Mapping[str, object]
    save: Callable[[Credentials], None]
    is_configured: Callable[[], bool]
    api_url: str = "https://api.github.com"
    own_url: str = ""
    needs_restart: bool = True


@dataclass(frozen=True, slots=True)
class Setup:
    """The two endpoints."""

    access: Access
    options: SetupOptions
    public_url: str
    github_url: str
    _used: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def own_url(self) -> str:
        return self.options.own_url or self.public_url

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
        if org and not is_org(org):
            raise HTTPException(400, "That is not the name of an organization.")
        nonce = secrets.token_hex(16)
        state = f"{nonce}.{self.access.ticket(f'{_STATE} {nonce}', STATE_S)}"
        owner = f"organizations/{org}/settings" if org else "settings"
        is_told = can_reach(self.github_url, self.public_url)
        html = render_setup(
            manifest_for(self.options.manifest, self.public_url, self.own_url, is_told=is_told),
            action=f"{self.github_url}/{owner}/apps/new?state={state}",
            key=request.query_params.get("key", ""),
            org=org,
            unreachable="" if is_told else f"{self.public_url}/webhook",
        )
        # the browser follows redirects of a form only where `form-action` lets it
        policy = PAGE_POLICY.format(form_action=f"'self' {_origin(self.github_url)}")
        answer = HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})
        is_https = self.own_url.startswith("https:")
        # Lax: GitHub's redirect back must bring it along
        answer.set_cookie(STATE_COOKIE, state, max_age=STATE_S, httponly=True, samesite="lax", secure=is_https)
        return answer

    async def finish(self, request: Request) -> Response:
        self._refuse_when_configured()
        state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
        nonce, _, ticket = state.partition(".")
        is_ours = self.access.accepts_ticket(f"{_STATE} {nonce}", ticket) and state == request.cookies.get(
            STATE_COOKIE, ""
        )
        if not is_ours or state in self._used or not _CODE.fullmatch(code):
            raise HTTPException(400, "This set-up was not started here or has expired. Open the set-up link again.")
        self._used.add(state)
        made = await exchange(self.options.api_url, code)
        self._refuse_when_configured()
        try:
            self.options.save(made)
        except UserError as error:
            raise HTTPException(
                500, f"{error} {made.slug} could not be saved: delete it at {made.html_url}, then start over."
            ) from error
        html = render_setup_done(slug=made.slug, install_url=made.install_url, needs_restart=self.options.needs_restart)
        answer = HTMLResponse(html)
        answer.headers["Cache-Control"] = "no-store"
        answer.delete_cookie(STATE_COOKIE)
        return answer

    def _refuse_when_configured(self) -> None:
        if self.options.is_configured():
            raise HTTPException(404, "The App is already set up.")


def is_org(name: str) -> bool:
    """Whether it can be an organization's name, and nothing in it leads a path elsewhere."""
    return bool(_ORG.fullmatch(name))


def manifest_for(
    manifest: Mapping[str, object], public_url: str, own_url: str, *, is_told: bool = True
) -> dict[str, object]:
    """The manifest with this deployment's addresses in it.

    GitHub refuses a webhook that it cannot reach, and makes no webhook's secret without one: where it is not to be told
    (`is_told` False), it keeps the manifest's own address, switched off.
    """
    hook = {"url": f"{public_url}/webhook", "active": True}
    if not is_told:
        hook = {**cast(Mapping[str, object], manifest["hook_attributes"]), "active": False}
    home = public_url if is_told else manifest["url"]
    return {**manifest, "url": home, "hook_attributes": hook, "redirect_url": f"{own_url}/setup/callback"}


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
        words = f"GitHub rejected the code ({answer.status_code}): a code works once, within an hour."
        raise GitHubError(f"{words} Open the set-up link again.", status=answer.status_code)
    try:
        return Credentials.model_validate_json(answer.content)
    except ValidationError as error:
        raise GitHubError(f"GitHub's response could not be parsed: {error.error_count()} errors.") from None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
