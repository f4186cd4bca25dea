"""A GitHub of scripted answers for the adapter's tests: one repository, one installation, tokens `ghs_1`, `ghs_2`, …"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

import httpx
import respx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.read_lag import ReadVisibility
from app.adapters.github.client.retry import Retry
from app.adapters.github.client.tokens import WORK
from app.adapters.github.client.write_limits import WriteLimiter
from app.core.policy.rate_allowance import Allowance
from app.core.ports.github import GitHub, Reader

API = "https://api.github.com"
REPO = "acme/greeter"
PATH = f"/repos/{REPO}"
TOKENS = "/app/installations/42/access_tokens"
HEAD = "a" * 40
NEXT = "b" * 40
OTHER = "c" * 40


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def private_key() -> SecretStr:
    return SecretStr(key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def leaping_pace(_: int) -> WriteLimiter:
    """One that holds nothing back: an hour passes from each look at the clock to the next."""
    return WriteLimiter(monotonic=count(0, 3_600).__next__)


def leaping_sight(unsure_s: float) -> ReadVisibility:
    """One that never waits: five seconds pass from each look at the clock to the next."""
    return ReadVisibility(unsure_s, monotonic=count(0, 5).__next__, sleep=_no_sleep)


async def _no_sleep(_: float) -> None:
    return


@cache
def _app(app_id: str, server_url: str, pace: Callable[[int], WriteLimiter] | None) -> GithubkitApp:
    return GithubkitApp(
        app_id,
        private_key(),
        server_url=server_url,
        timeout_s=2.0,
        retry=Retry(first_wait_s=0.0, visibility=leaping_sight),
        pace=pace,
    )


def respx_world(api: str = API) -> respx.MockRouter:
    return respx.mock(base_url=api, assert_all_called=False)


@dataclass
class World:
    """`app` and `github` are the adapter; `router` answers it."""

    router: respx.MockRouter
    app: GithubkitApp
    github: GitHub
    minted: list[dict[str, Any]] = field(default_factory=list)

    def sent(self, method: str, path: str) -> list[Any]:
        """The bodies of all such requests, in order; None for those without one."""
        return [
            json.loads(call.request.content) if call.request.content else None
            for call in self.router.calls
            if call.request.method == method and call.request.url.raw_path.decode().partition("?")[0] == path
        ]


@asynccontextmanager
async def open_world(
    *,
    app_id: str = "7",
    api: str = API,
    server_url: str = "https://github.com",
    expires_at: str = "2999-01-01T00:00:00Z",
    pace: Callable[[int], WriteLimiter] | None = leaping_pace,
) -> AsyncIterator[World]:
    with respx_world(api) as router:
        app = _app(app_id, server_url, pace)
        async with app.open(42, REPO) as github:
            world = World(router, app, github)
            router.get("/app").respond(json={"id": 7, "slug": "vibecoder"})

            def mint(request: httpx.Request) -> httpx.Response:
                world.minted.append(json.loads(request.content))
                return httpx.Response(201, json={"token": f"ghs_{len(world.minted)}", "expires_at": expires_at})

            router.post(TOKENS).mock(side_effect=mint)
            router.delete("/installation/token").respond(204)
            router.get("/app/installations/42").respond(json={"id": 42, "permissions": WORK})
            yield world


def comment(number: int, body: str, *, app: int | None = 7, user: str = "vibecoder[bot]") -> dict[str, Any]:
    return {
        "id": number,
        "body": body,
        "user": {"login": user, "id": 1, "type": "Bot" if user.endswith("[bot]") else "User"},
        "performed_via_github_app": None if app is None else {"id": app, "slug": "vibecoder"},
    }


def pull(number: int, branch: str = "vibecode/12-typo", *, draft: bool = False) -> dict[str, Any]:
    url = f"https://github.com/{REPO}/pull/{number}"
    return {"number": number, "html_url": url, "draft": draft, "head": {"ref": branch, "sha": HEAD}}


def ref(sha: str) -> dict[str, Any]:
    return {"ref": "refs/heads/vibecode/12-typo", "object": {"type": "commit", "sha": sha}}


def git_commit(
    sha: str, *, parent: str = HEAD, message: str = "Fix the typo", author: str = "vibecoder[bot]"
) -> dict[str, Any]:
    return {
        "sha": sha,
        "author": {"name": author, "email": f"1+{author}@users.noreply.github.com", "date": "2026-11-22T10:00:00Z"},
        "html_url": f"https://github.com/{REPO}/commit/{sha}",
        "message": message,
        "tree": {"sha": "d" * 40},
        "parents": [{"sha": parent}],
        "verification": {"verified": True},
    }


def refused(status: int, message: str, *errors: dict[str, str], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"message": message, "errors": list(errors)}, headers=named)


async def names_of(reader: Reader) -> list[str]:
    """Every repository of an installation, page by page."""
    found: list[str] = []
    cursor = ""
    while (listing := await reader.repositories(cursor)) is not None:
        found += listing.items
        cursor = listing.cursor
        if not cursor:
            break
    return found


async def all_repositories(app: GithubkitApp) -> tuple[tuple[int, str], ...]:
    """Every repository of every installation, page by page."""
    found: list[tuple[int, str]] = []
    page = ""
    while True:
        installations = await app.installed(page)
        for installation_id in installations.items:
            async with app.read(installation_id, Allowance()) as reader:
                found += [(installation_id, name) for name in await names_of(reader)]
        page = installations.cursor
        if not page:
            return tuple(found)
