"""The embedded GitHub and the hands on it, for the suites that talk to it."""

import base64
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest

from app.adapters.tls import tls_context
from app.demo.github.server import DemoGitHub

REPO = "acme/greeter"
SECRET = "a webhook's secret"


def app_jwt(github: DemoGitHub, **claims: object) -> str:
    """The App's own token; `claims` replace the right ones."""
    now = datetime.now(UTC)
    right = {"iss": str(github.world.app_id), "iat": now - timedelta(seconds=30), "exp": now + timedelta(minutes=9)}
    return jwt.encode({**right, **claims}, github.private_key_pem, algorithm="RS256")


async def mint(github: DemoGitHub, **narrowed: object) -> str:
    """An installation token for the installation of `REPO`."""
    installation = github.world.repos[REPO].installation_id
    async with client(github, app_jwt(github), path="") as app:
        answer = await app.post(f"/app/installations/{installation}/access_tokens", json=narrowed or None)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def client(github: DemoGitHub, token: str, *, path: str = f"/repos/{REPO}") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=f"{github.url}/api/v3{path}", headers=headers, verify=tls_context())


def basic(token: str, name: str = "x-access-token") -> str:
    """The credentials of HTTP's Basic scheme."""
    return base64.b64encode(f"{name}:{token}".encode()).decode()


def commit_input(branch: str, head: str, changes: Mapping[str, object], headline: str = "Change") -> dict[str, object]:
    return {
        "branch": {"repositoryNameWithOwner": REPO, "branchName": branch},
        "expectedHeadOid": head,
        "message": {"headline": headline},
        "fileChanges": changes,
    }


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[DemoGitHub]:
    """A GitHub with one repository, `REPO`, and no webhook URL."""
    async with DemoGitHub(tmp_path / "github", webhook_secret=SECRET) as github:
        await github.repo(REPO, files={"README.md": "# Greeter\n", "greet.py": "print('helo')\n"})
        yield github


@pytest.fixture
async def api(github: DemoGitHub) -> AsyncIterator[httpx.AsyncClient]:
    """The repository's REST API, with a token that may all that the App may."""
    async with client(github, await mint(github)) as api:
        yield api
