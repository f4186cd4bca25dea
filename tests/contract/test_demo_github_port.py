"""The App's own adapter carries a job through against the embedded GitHub."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.users import Accounts
from app.core.errors import GitHubError, HeadMoved
from app.core.policy.authorization import Role
from app.core.policy.changes import Change
from app.core.ports.github import GitHub
from app.core.run.job import Person
from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO

github = demo_github.github

BRANCH = "vibecode/1-fix"


@pytest.fixture
async def port(github: DemoGitHub) -> AsyncIterator[GitHub]:
    app = GithubkitApp(str(github.world.app_id), SecretStr(github.private_key_pem), server_url=github.url, timeout_s=5)
    async with app.open(github.world.repos[REPO].installation_id, REPO) as port:
        yield port


async def test_a_job_is_carried_through(github: DemoGitHub, port: GitHub) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    await port.react("eyes", number=issue.number)
    comment_id = await port.put_comment(issue.number, "Working <!-- m -->", marker="<!-- m -->")
    head = await port.head(await port.default_branch())
    assert head is not None
    await port.create_branch(BRANCH, head)
    await port.create_branch(BRANCH, head)
    first = await port.commit(BRANCH, head, "Mend it\n\nBecause.", [Change("greet.py", "100644", b"hello\n", "100644")])
    second = await port.commit(
        BRANCH, first.sha, "Link", [Change("run", "100755", b"#!\n"), Change("l", "120000", b"run")]
    )
    third = await port.commit(BRANCH, second.sha, "Clean", [Change("README.md", "000000", old_mode="100644")])
    made = await port.put_pull_request(branch=BRANCH, base="main", title="Fix", body="Closes #1", is_draft=False)
    again = await port.put_pull_request(branch=BRANCH, base="main", title="Fix it", body="Closes #1", is_draft=False)
    await port.put_comment(issue.number, "Done <!-- m -->", marker="<!-- m -->", comment_id=comment_id)

    assert [commit.is_verified for commit in (first, second, third)] == [True] * 3
    assert (made.number, made.head_sha) == (again.number, third.sha)
    assert made.url == f"{github.url}/{REPO}/pull/2"
    assert [pull.title for pull in github.pull_requests(REPO)] == ["Fix it"]
    assert [comment.history for comment in github.comments(REPO, 1)] == [["Working <!-- m -->", "Done <!-- m -->"]]
    assert [commit.message for commit in await github.log(REPO, BRANCH)][:3] == ["Clean", "Link", "Mend it\n\nBecause."]
    assert await github.file(REPO, BRANCH, "README.md") is None


async def test_a_moved_head_is_told(github: DemoGitHub, port: GitHub) -> None:
    head = await port.head("main") or ""
    await github.push(REPO, "main", {"x": "x"}, message="Meanwhile", by="mona")

    for mode in ("100644", "100755"):
        with pytest.raises(HeadMoved):
            await port.commit("main", head, "Late", [Change("y", mode, b"y")])


async def test_a_comment_whose_answer_was_lost_is_not_written_twice(github: DemoGitHub, port: GitHub) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    github.fails("POST", r"/comments$", status=0, before=False)

    await port.put_comment(issue.number, "Once <!-- m -->", marker="<!-- m -->")

    assert len(github.comments(REPO, issue.number)) == 1


async def test_a_commit_whose_answer_was_lost_is_not_made_twice(github: DemoGitHub, port: GitHub) -> None:
    head = await port.head("main") or ""
    github.fails("POST", r"/graphql$", status=502, before=False)

    commit = await port.commit("main", head, "Once", [Change("x", "100644", b"x")])

    assert commit.sha == await github.head(REPO, "main")
    assert len(await github.log(REPO, "main")) == 2


async def test_an_ended_token_is_minted_anew(github: DemoGitHub, port: GitHub) -> None:
    await port.default_branch()
    github.expire_tokens()

    assert await port.default_branch() == "main"


async def test_roles_are_asked_of_the_account_not_of_the_name(github: DemoGitHub, port: GitHub) -> None:
    github.grant(REPO, "mona", "maintain")
    mona = github.user("mona")

    assert await port.permission(Person("mona", mona.id)) is Role.MAINTAIN
    assert await port.permission(Person("mona", mona.id + 1)) is Role.NONE
    assert await port.permission(Person("nobody", 5)) is Role.NONE


async def test_the_read_token_reads_and_nothing_else(github: DemoGitHub, port: GitHub, tmp_path: Path) -> None:
    token = await port.read_token()
    header = "Authorization: Basic " + demo_github.basic(token.get_secret_value())
    env = {
        "PATH": os.defpath,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": header,
    }
    target = tmp_path / "clone.git"

    process = await asyncio.create_subprocess_exec(
        "git", "clone", "-q", "--bare", f"{github.url}/{REPO}.git", target, env=env
    )
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    async with demo_github.client(github, token.get_secret_value()) as api:
        assert (await api.post("/issues/1/comments", json={"body": "x"})).status_code == 403


async def test_a_repository_without_the_app_is_a_plain_error(github: DemoGitHub) -> None:
    app = GithubkitApp(str(github.world.app_id), SecretStr(github.private_key_pem), server_url=github.url, timeout_s=5)
    async with app.open(github.world.repos[REPO].installation_id, "acme/unknown") as port:
        with pytest.raises(GitHubError):
            await port.default_branch()


async def test_a_users_token_tells_who_and_what_role(github: DemoGitHub) -> None:
    await github.repo("acme/secret", private=True)
    github.grant("acme/secret", "mona", "write")
    accounts = Accounts(github.url)
    try:
        known = await accounts.role(SecretStr(github.user_token("mona")), "acme/secret")
        stranger = await accounts.role(SecretStr(github.user_token("eve")), "acme/secret")
        nobody = await accounts.role(SecretStr("ghu_nobody"), "acme/secret")
    finally:
        await accounts.aclose()

    assert known == (Person("mona", github.user("mona").id), Role.WRITE)
    assert stranger == (Person("eve", github.user("eve").id), Role.NONE)
    assert nobody is None
