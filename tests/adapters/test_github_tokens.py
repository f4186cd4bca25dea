"""Permissions that the App asks for only since its later versions, and that an installation may not have granted."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.core.errors import GitHubError
from app.core.ports.github import GitHub
from app.demo.github.server import DemoGitHub

REPO = "acme/greeter"
LOGGER = "app.adapters.github.client.tokens"


@asynccontextmanager
async def granted(root: Path, **permissions: str) -> AsyncIterator[tuple[DemoGitHub, GitHub]]:
    """A repository whose installation granted these, and the adapter on it; an empty level is none."""
    async with DemoGitHub(root, webhook_secret="s", app_id=7) as demo:
        repo = await demo.repo(REPO, files={"greet.py": "print('helo')\n"})
        held = demo.world.installations[repo.installation_id].permissions
        held.update(permissions)
        for name in [name for name, level in permissions.items() if not level]:
            del held[name]
        app = GithubkitApp("7", SecretStr(demo.private_key_pem), server_url=demo.url, timeout_s=10.0)
        async with app.open(repo.installation_id, REPO) as github:
            yield demo, github


def minted(demo: DemoGitHub) -> int:
    """How often a token was asked for."""
    return sum(request.path.endswith("/access_tokens") for request in demo.requests)


async def test_what_was_not_granted_yet_is_left_out_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, LOGGER):
        async with granted(tmp_path, checks="", actions="read") as (demo, github):
            issue = await demo.issue(REPO, title="Typo", author="ada")
            await github.react("eyes", number=issue.number)
            assert minted(demo) == 2
            demo.expire_tokens()
            assert await github.default_branch() == "main"
            assert minted(demo) == 3, "the second token is asked for without them at once"
            where = f"{demo.url}/settings/installations/{next(iter(demo.world.installations))}"

    told = [vars(record) for record in caplog.records if record.name == LOGGER]
    assert [(line["lacking"], line["accept_at"]) for line in told] == [("actions, checks", where)]


async def test_only_what_lacks_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, LOGGER):
        async with granted(tmp_path, actions="") as (demo, github):
            await github.default_branch()
            permissions = [token.permissions for token in demo.world.tokens.values() if token.installation]

    assert [(held["checks"], "actions" in held) for held in permissions] == [("read", False)]


async def test_without_an_older_permission_there_is_no_token(tmp_path: Path) -> None:
    async with granted(tmp_path, issues="read", checks="") as (_, github):
        with pytest.raises(GitHubError, match="lacks the permission `issues: write` on acme") as caught:
            await github.default_branch()
    assert caught.value.status == 403
