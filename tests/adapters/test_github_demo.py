"""The adapter on the embedded GitHub: over loopback, on real git."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.retry import Retry
from app.adapters.github.users import Accounts
from app.core.errors import GitHubError, HeadMoved
from app.core.policy.authorization import Role
from app.core.policy.changes import Change
from app.core.ports.github import GitHub
from app.core.run.job import Person
from app.demo.github.server import DemoGitHub
from tests.adapters.github_world import leaping_sight

REPO = "acme/greeter"
FIX = [Change("greet.py", "100644", b"print('hello')\n", old_mode="100644")]


@dataclass
class Scene:
    demo: DemoGitHub
    github: GitHub
    main: str
    """The head of the default branch."""


@asynccontextmanager
async def scene(root: Path) -> AsyncIterator[Scene]:
    async with DemoGitHub(root, webhook_secret="s", app_id=7) as demo:
        repo = await demo.repo(REPO, files={"greet.py": "print('helo')\n", "old.txt": "old\n"})
        key = SecretStr(demo.private_key_pem)
        app = GithubkitApp(
            "7", key, server_url=demo.url, timeout_s=10.0, retry=Retry(first_wait_s=0.0, visibility=leaping_sight)
        )
        async with app.open(repo.installation_id, REPO) as github:
            main = await github.head("main")
            assert main is not None
            yield Scene(demo, github, main)


async def test_a_fix_becomes_a_pull_request(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        issue = await at.demo.issue(REPO, title="Typo", author="ada")
        await at.github.react("eyes", number=issue.number)
        await at.github.react("eyes", number=issue.number)
        assert await at.github.default_branch() == "main"
        await at.github.create_branch("vibecode/1-typo", at.main)
        await at.github.create_branch("vibecode/1-typo", at.main)
        commit = await at.github.commit("vibecode/1-typo", at.main, "Fix the typo\n\nIt said helo.", FIX)
        assert await at.github.head("vibecode/1-typo") == commit.sha
        assert commit.is_verified
        assert commit.url

        assert await at.github.pull_request("vibecode/1-typo") is None
        wanted = {"branch": "vibecode/1-typo", "base": "main", "title": "Fix the typo"}
        opened = await at.github.put_pull_request(**wanted, body="one", is_draft=False)
        again = await at.github.put_pull_request(**wanted, body="two", is_draft=False)
        assert opened == again == await at.github.pull_request("vibecode/1-typo")
        assert opened.head_sha == commit.sha
        assert "+print('hello')" in await at.demo.diff(REPO, at.main, commit.sha)


async def test_modes_links_and_bytes_arrive_as_they_are(tmp_path: Path) -> None:
    changes = [
        Change("run.sh", "100755", b"#!/bin/sh\n"),
        Change("link", "120000", b"greet.py"),
        Change("logo.bin", "100644", b"\x89\x00\xff"),
        Change("old.txt", "000000", old_mode="100644"),
    ]
    async with scene(tmp_path) as at:
        await at.github.create_branch("fix", at.main)
        commit = await at.github.commit("fix", at.main, "Add", changes)
        assert commit.is_verified
        assert await at.demo.file(REPO, "fix", "logo.bin") == b"\x89\x00\xff"
        assert await at.demo.file(REPO, "fix", "old.txt") is None
        diff = await at.demo.diff(REPO, at.main, commit.sha)
        assert "new file mode 100755" in diff
        assert "new file mode 120000" in diff

        kept = [Change("run.sh", "100755", b"#!/bin/sh\ntrue\n", old_mode="100755")]
        second = await at.github.commit("fix", commit.sha, "Change", kept)
        assert "mode" not in await at.demo.diff(REPO, commit.sha, second.sha)


@pytest.mark.parametrize("change", [FIX[0], Change("run.sh", "100755", b"x")])
async def test_a_moved_head_is_told_and_left_alone(tmp_path: Path, change: Change) -> None:
    async with scene(tmp_path) as at:
        pushed = await at.demo.push(REPO, "main", {"a": "b"}, message="Push", by="ada")
        with pytest.raises(HeadMoved):
            await at.github.commit("main", at.main, "Fix", [change])
        assert await at.github.head("main") == pushed


async def test_one_comment_is_made_and_found_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        issue = await at.demo.issue(REPO, title="Typo", author="ada")
        await at.demo.comment(REPO, issue.number, "> <!-- mark --> quoted", by="mallory")
        made = await at.github.put_comment(issue.number, "one <!-- mark -->", marker="<!-- mark -->")
        found = await at.github.put_comment(issue.number, "two <!-- mark -->", marker="<!-- mark -->")
        gone = await at.github.put_comment(issue.number, "3 <!-- mark -->", marker="<!-- mark -->", comment_id=10**6)
        assert made == found == gone


async def test_roles_are_the_ones_given(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        for role in Role:
            login = f"person-{role}"
            at.demo.grant(REPO, login, role.value)
            person = Person(login, at.demo.user(login).id)
            assert await at.github.permission(person) is role
            assert await at.github.permission(Person(login, person.id + 1)) is Role.NONE


async def test_an_expired_token_is_minted_anew(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        at.demo.expire_tokens()
        assert await at.github.head("main") == at.main


async def test_the_read_token_reads_and_no_more(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        secret = (await at.github.read_token()).get_secret_value()
        token = at.demo.world.tokens[secret]
        assert {name for name, level in token.permissions.items() if level != "read"} == set()


@pytest.mark.parametrize("was_carried_out", [False, True])
async def test_a_lost_answer_makes_nothing_twice(tmp_path: Path, was_carried_out: bool) -> None:
    async with scene(tmp_path) as at:
        issue = await at.demo.issue(REPO, title="Typo", author="ada")
        await at.github.create_branch("fix", at.main)
        for path in ("/comments$", "/graphql$", "/pulls$"):
            at.demo.fails("POST", path, status=0, before=not was_carried_out)

        made = await at.github.put_comment(issue.number, "hi <!-- m -->", marker="<!-- m -->")
        commit = await at.github.commit("fix", at.main, "Fix", FIX)
        opened = await at.github.put_pull_request(branch="fix", base="main", title="Fix", body="", is_draft=False)

        assert [comment.id for comment in at.demo.comments(REPO, issue.number)] == [made]
        assert [made.sha for made in await at.demo.log(REPO, f"{at.main}..fix")] == [commit.sha]
        assert commit.is_verified
        assert [pull.number for pull in at.demo.pull_requests(REPO)] == [opened.number]


async def test_a_users_token_gives_the_users_role(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        at.demo.grant(REPO, "ada", "maintain")
        accounts = Accounts(at.demo.url)
        try:
            known = await accounts.role(SecretStr(at.demo.user_token("ada")), REPO)
            assert known == (Person("ada", at.demo.user("ada").id), Role.MAINTAIN)
            assert await accounts.role(SecretStr("ghu_forged"), REPO) is None
        finally:
            await accounts.aclose()


async def test_an_unknown_repository_cannot_be_opened(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        app = GithubkitApp("7", SecretStr(at.demo.private_key_pem), server_url=at.demo.url)
        async with app.open(1, "acme/other") as github:
            with pytest.raises(GitHubError, match="not installed on acme/other"):
                await github.head("main")
