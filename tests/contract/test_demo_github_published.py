"""What the product asks the embedded GitHub, and what that answers, is as GitHub's published description says."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp

from app.adapters.github.app import GithubkitApp
from app.adapters.github.users import Accounts
from app.core.policy.changes import Change
from app.core.ports.github import GitHub
from app.core.run.job import Person
from app.core.run.pull_requests import Check
from app.demo.github.ci import Outcome
from app.demo.github.server import DemoGitHub
from app.demo.github.state.world import EVENTS
from tests.adapters.github_world import all_repositories
from tests.contract.demo_github import REPO, SECRET
from tests.published import payload_faults
from tests.published.recorder import Recorder
from tests.published.reduced import Reduced

Ask: TypeAlias = Callable[[DemoGitHub], Awaitable[None]]

BRANCH = "vibecode/1-typo"
FIX = [Change("greet.py", "100644", b"print('hello')\n", "100644"), Change("old.txt", "000000", old_mode="100644")]
ODD = [
    Change("run.sh", "100755", b"#!/bin/sh\n"),
    Change("logo.png", "100755", b"\x89\x00"),
    Change("gone.txt", "000000", old_mode="100644"),
]


@asynccontextmanager
async def recorded(
    root: Path, inner: Callable[[ASGIApp], ASGIApp] = lambda app: app
) -> AsyncIterator[tuple[DemoGitHub, Recorder]]:
    """A GitHub with a repository, and all that goes through its API; `inner` changes its answers before."""
    recorders: list[Recorder] = []

    def record(app: ASGIApp) -> Recorder:
        recorders.append(Recorder(inner(app)))
        return recorders[-1]

    async with DemoGitHub(root, webhook_secret=SECRET, middleware=record) as github:
        await github.repo(REPO, files={"greet.py": "print('helo')\n", "old.txt": "old\n", "gone.txt": "gone\n"})
        github.grant(REPO, "mona", "maintain")
        github.world.repos[REPO].teams.add("core")
        yield github, recorders[0]


def the_app(github: DemoGitHub) -> GithubkitApp:
    return GithubkitApp(str(github.world.app_id), SecretStr(github.private_key_pem), server_url=github.url)


async def work(demo: DemoGitHub, github: GitHub) -> None:
    """Everything that a run does, once."""
    issue = await demo.issue(REPO, title="A typo", body="It says helo.", author="mona")
    await demo.label(REPO, issue.number, "vibecode", by="mona")
    told, _ = await demo.comment(REPO, issue.number, "Me too.", by="hubot")
    await github.permission(Person("mona", demo.user("mona").id))
    await github.permission(Person("nobody", 5))
    await github.react("eyes", number=issue.number)
    await github.react("+1", number=issue.number, comment_id=told.id)
    comment = await github.put_comment(issue.number, "Working <!-- m -->", marker="<!-- m -->")
    await github.put_comment(issue.number, "Done <!-- m -->", marker="<!-- m -->", comment_id=comment)
    await github.remarks(issue.number)
    await github.labelled("vibecode")
    await github.read_token()
    head = await github.head(await github.default_branch()) or ""
    await github.head("absent")
    await github.create_branch(BRANCH, head)
    await github.create_branch(BRANCH, head)
    first = await github.commit(BRANCH, head, "Fix\n\nIt said helo.", FIX)
    await github.commit(BRANCH, first.sha, "Add", ODD)
    await github.commits("main", BRANCH)
    wanted = {"branch": BRANCH, "base": "main", "title": "Fix"}
    opened = await github.put_pull_request(**wanted, body="one", is_draft=True)
    await github.put_pull_request(**wanted, body="two", is_draft=False)
    await github.issue_pull_request(issue.number)
    await follow_up(demo, github, opened.number, told.id)


async def follow_up(demo: DemoGitHub, github: GitHub, number: int, comment_id: int) -> None:
    pulls = github.pulls
    await pulls.pull(number)
    await pulls.pull(999)
    await pulls.issue(1)
    await pulls.issue(number)
    await pulls.add_labels(number, ["bot"])
    await pulls.request_reviews(number, ["mona"])
    await pulls.thumbs_ups(comment_id)
    await pulls.read_file("greet.py")
    await pulls.read_file("absent/a b.md")
    await demo.pulls.review(REPO, number, state="changes_requested", comments=[("greet.py", 1, "Why?")], by="mona")
    remark = demo.pulls.threads(REPO, number)[0][0].id
    await pulls.put_reply(number, remark, "Gone. <!-- r -->", marker="<!-- r -->")
    await pulls.put_reply(number, remark, "Done. <!-- r -->", marker="<!-- r -->")
    await pulls.react_to_review_comment("eyes", remark)
    await demo.ci.judges(REPO, "tests", lambda _: Outcome("failure", log="boom\n"))
    await demo.ci.build(REPO, BRANCH)
    await demo.statuses.report(REPO, BRANCH, "ci/jenkins", "failure", "It broke", by="jenkins")
    head = await github.head(BRANCH) or ""
    await pulls.suites(head)
    await demo.comment(REPO, 1, "/vibecode help", by="mona")
    await github.recent(datetime.now(UTC) - timedelta(hours=1))
    for check in await pulls.checks(head):
        await pulls.check_log(check)
        await pulls.rerun(check)
    await pulls.rerun(Check(5, "gone", "github-actions", "failure"))
    await demo.push(REPO, "main", {"new.txt": "new\n"}, message="Meanwhile", by="mona")
    await pulls.merge(BRANCH, "main")
    await pulls.merge(BRANCH, "main")


async def ask_as_app(demo: DemoGitHub) -> None:
    app = the_app(demo)
    demo.webhook_url = f"{demo.url}/nobody/listens"
    await demo.ping()
    await all_repositories(app)
    await app.about()
    await app.hook()
    await app.try_token((await app.installations())[0].id)
    for attempt in await app.deliveries(datetime.now(UTC) - timedelta(hours=1)):
        await app.redeliver(attempt.id)
    async with app.open(0, REPO) as github:
        await github.head("main")


async def ask_as_person(demo: DemoGitHub) -> None:
    accounts = Accounts(demo.url)
    token = SecretStr(demo.user_token("mona"))
    await accounts.role(token, REPO)
    await accounts.role(token, "acme/absent")
    await accounts.head(token, REPO, "main")
    await accounts.aclose()


async def test_all_that_a_run_asks_and_hears_is_as_published(tmp_path: Path) -> None:
    async with recorded(tmp_path) as (demo, recorder):
        async with the_app(demo).open(demo.world.repos[REPO].installation_id, REPO) as github:
            await work(demo, github)
        assert len({each.operation for each in recorder.exchanges}) > 35
        assert recorder.faults() == []


@pytest.mark.parametrize("ask", [ask_as_app, ask_as_person])
async def test_all_that_the_app_and_the_api_ask_and_hear_is_as_published(tmp_path: Path, ask: Ask) -> None:
    async with recorded(tmp_path) as (demo, recorder):
        await ask(demo)
        assert recorder.exchanges
        assert recorder.faults() == []


NEEDED = frozenset({"user", "account", "repo", "actor", "conclusion", "in_reply_to_id", "pull_request"})
"""What says something by being absent or null: that an account is gone, or that a comment is no reply."""


@pytest.mark.parametrize("has_nulls", [False, True])
async def test_the_least_that_is_published_is_enough(tmp_path: Path, has_nulls: bool) -> None:
    least = partial(Reduced, has_nulls=has_nulls, kept=NEEDED)
    async with recorded(tmp_path, least) as (demo, recorder):
        async with the_app(demo).open(demo.world.repos[REPO].installation_id, REPO) as github:
            await work(demo, github)
        await ask_as_person(demo)
        await ask_as_app(demo)
        bot = [each.history for each in demo.comments(REPO, 1) if each.author == "vibecoder[bot]"]
        assert bot == [["Working <!-- m -->", "Done <!-- m -->"]]
        assert [pull.title for pull in demo.pull_requests(REPO)] == ["Fix"]
        assert [len(thread) for thread in demo.pulls.threads(REPO, 2)] == [2]
        assert recorder.faults() == []


async def test_every_delivery_is_as_published(tmp_path: Path) -> None:
    async with recorded(tmp_path) as (demo, _):
        demo.webhook_url = f"{demo.url}/nobody/listens"
        async with the_app(demo).open(demo.world.repos[REPO].installation_id, REPO) as github:
            await work(demo, github)
        await demo.upkeep.edit(REPO, 1, title="Two typos", by="mona")
        await demo.upkeep.close(REPO, 1, by="mona")
        await demo.pulls.merge(REPO, 2, by="mona")
        await demo.custody.rename(REPO, "welcomer")
        await demo.ping()
        told = {each.event for each in demo.deliveries}
        found = [fault for each in demo.deliveries for fault in payload_faults(each.event, json.loads(each.payload))]
        assert told >= {*EVENTS, "ping"}
        assert sorted(set(found)) == []
