"""What was missed is found again: deliveries that were lost, labels nobody was told of, commits already made."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.retry import Retry
from app.core.errors import GitHubError
from app.core.inbound.triggers import job_of_missed_label
from app.core.policy.changes import Change
from app.core.run.job import Person
from app.demo.github.server import DemoGitHub
from tests.adapters.github_world import all_repositories
from tests.contract import demo_github
from tests.contract.demo_github import REPO
from tests.contract.test_demo_github_webhooks import Receiver
from tests.contract.test_demo_github_webhooks import receiver as receiver_fixture

github = demo_github.github
api = demo_github.api
receiver = receiver_fixture


@pytest.fixture
def app(github: DemoGitHub) -> GithubkitApp:
    key = SecretStr(github.private_key_pem)
    return GithubkitApp(
        str(github.world.app_id), key, server_url=github.url, timeout_s=5, retry=Retry(first_wait_s=0.0)
    )


def installation(github: DemoGitHub) -> int:
    return github.world.repos[REPO].installation_id


def some_time_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


async def test_what_was_lost_is_in_the_log_and_comes_when_asked_for(
    github: DemoGitHub, receiver: Receiver, app: GithubkitApp
) -> None:
    github.loses(2)
    lost = [await github.issue(REPO, title=title, author="mona") for title in ("One", "Two", "Three")]
    assert len(receiver.bodies) == 1

    failed = [attempt for attempt in await app.deliveries(some_time_ago()) if not attempt.arrived]
    assert [(attempt.event, attempt.action, attempt.status_code) for attempt in failed] == [
        ("issues", "opened", 502)
    ] * 2
    for attempt in reversed(failed):
        await app.redeliver(attempt.id)
    told = await receiver.until(3)

    assert sorted(payload["issue"]["number"] for _, payload in told) == [issue.number for issue in lost]
    arrived = {headers["x-github-delivery"] for headers in receiver.headers}
    assert arrived == {delivery.guid for delivery in github.deliveries}
    assert [delivery.redelivery for delivery in github.deliveries] == [False, False, False, True, True]


async def test_what_cannot_be_delivered_again_is_logged_as_a_new_attempt(
    github: DemoGitHub, receiver: Receiver, app: GithubkitApp
) -> None:
    github.loses()
    first = await github.ping()
    github.loses()
    assert await github.redeliver(first) == [502]

    again, original = await app.deliveries(some_time_ago())
    assert again.id > original.id
    assert again.guid == original.guid == first.guid
    assert receiver.bodies == []


async def test_a_delivery_on_its_way_is_not_in_the_log(
    github: DemoGitHub, receiver: Receiver, app: GithubkitApp
) -> None:
    async with asyncio.TaskGroup() as group, receiver.came:
        on_its_way = group.create_task(github.ping())
        while not github.deliveries:  # noqa: ASYNC110 - it rings no bell
            await asyncio.sleep(0)
        assert await app.deliveries(some_time_ago()) == ()
        receiver.came.release()
        await on_its_way
        await receiver.came.acquire()
    assert [attempt.status_code for attempt in await app.deliveries(some_time_ago())] == [202]


async def test_the_log_has_pages(github: DemoGitHub, receiver: Receiver, app: GithubkitApp) -> None:
    github.loses(230)
    for _ in range(230):
        await github.ping()
    found = await app.deliveries(some_time_ago())
    assert [attempt.id for attempt in found] == sorted((one.id for one in github.deliveries), reverse=True)
    assert await app.deliveries(datetime.now(UTC) + timedelta(minutes=1)) == ()


async def test_a_label_nobody_was_told_of_gives_the_job_that_its_delivery_would_have_given(
    github: DemoGitHub, receiver: Receiver, app: GithubkitApp
) -> None:
    issue = await github.issue(REPO, title="A typo", body="helo", author="ada")
    await github.issue(REPO, title="Another", author="ada")
    await github.label(REPO, issue.number, "vibecode", by="eve")
    github.loses()
    await github.label(REPO, issue.number, "vibecode", by="mona")
    moment = github.world.repos[REPO].issues[issue.number].updated_at

    async with app.open(installation(github), REPO) as port:
        (found,) = await port.labelled("Vibecode")

    assert found.labelled_by == Person("mona", github.user("mona").id)
    assert found.author == Person("ada", github.user("ada").id)
    assert (found.number, found.title, found.body, found.is_private) == (issue.number, "A typo", "helo", False)
    job = job_of_missed_label(found, repo=REPO, installation_id=1, now=datetime.now(UTC))
    assert job.id.endswith(f"{moment:%Y%m%dT%H%M%SZ}")


async def test_a_label_that_was_taken_off_and_a_closed_issue_are_nothing_to_catch_up_with(
    github: DemoGitHub, api: httpx.AsyncClient, app: GithubkitApp
) -> None:
    taken, closed = [await github.issue(REPO, title=title, author="ada") for title in ("Taken", "Closed")]
    for issue in (taken, closed):
        await github.label(REPO, issue.number, "vibecode", by="mona")
    await api.delete(f"/issues/{taken.number}/labels/vibecode")
    closed.put_state("closed")

    async with app.open(installation(github), REPO) as port:
        assert await port.labelled("vibecode") == ()
    events = (await api.get(f"/issues/{taken.number}/events")).json()
    assert [(event["event"], event["actor"]["login"]) for event in events] == [
        ("labeled", "mona"),
        ("unlabeled", "vibecoder[bot]"),
    ]


async def test_all_repositories_of_the_app_are_named(github: DemoGitHub, app: GithubkitApp) -> None:
    await github.repo("acme/other", private=True)
    await github.repo("ada/own")
    repos = github.world.repos
    everything = {(repos[name].installation_id, name) for name in (REPO, "acme/other", "ada/own")}
    assert set(await all_repositories(app)) == everything

    await github.suspend("ada")
    assert {name for _, name in await all_repositories(app)} == {REPO, "acme/other"}
    await github.suspend("ada", is_suspended=False)
    assert set(await all_repositories(app)) == everything
    await github.uninstall("acme")
    assert {name for _, name in await all_repositories(app)} == {"ada/own"}


async def test_where_the_app_is_suspended_it_may_nothing_and_is_told_of_nothing(
    github: DemoGitHub, receiver: Receiver, app: GithubkitApp
) -> None:
    async with app.open(installation(github), REPO) as port:
        await port.default_branch()
        await github.suspend("acme")
        with pytest.raises(GitHubError, match="suspended") as caught:
            await port.head("main")
        assert (caught.value.status, caught.value.is_passing) == (403, False)
    issue = await github.issue(REPO, title="Unheard", author="mona")
    delivery = await github.label(REPO, issue.number, "vibecode", by="mona")

    assert delivery.status_code == 0
    assert [(event, payload["action"]) for event, payload in await receiver.until(1)] == [("installation", "suspend")]


async def test_where_the_app_is_removed_its_tokens_end(
    github: DemoGitHub, receiver: Receiver, app: GithubkitApp
) -> None:
    async with app.open(installation(github), REPO) as port:
        await port.default_branch()
        await github.uninstall("acme")
        with pytest.raises(GitHubError, match="not installed") as caught:
            await port.head("main")
        assert not caught.value.is_passing
    assert [(event, payload["action"]) for event, payload in await receiver.until(1)] == [("installation", "deleted")]


@pytest.mark.parametrize("change", [Change("x", "100644", b"x"), Change("x", "100755", b"x")])
async def test_a_commit_of_an_earlier_attempt_is_found(github: DemoGitHub, app: GithubkitApp, change: Change) -> None:
    main = await github.head(REPO, "main") or ""
    async with app.open(installation(github), REPO) as port:
        await port.create_branch("fix", main)
        made = await port.commit("fix", main, "Fix it\n\nBecause.", [change])
    async with app.open(installation(github), REPO) as port:
        assert await port.commit("fix", main, "Fix it\n\nBecause.", [change]) == made
        second = await port.commit("fix", made.sha, "More", [Change("y", "100644", b"y")])
        found = await port.commits("main", "fix")

    assert [(one.sha, one.subject, one.is_verified, one.url) for one in found] == [
        (made.sha, "Fix it", True, made.url),
        (second.sha, "More", True, second.url),
    ]


async def test_a_persons_commit_with_our_words_is_not_ours(github: DemoGitHub, app: GithubkitApp) -> None:
    main = await github.head(REPO, "main") or ""
    await github.push(REPO, "fix", {"x": "y"}, message="Fix it", by="mona")
    async with app.open(installation(github), REPO) as port:
        with pytest.raises(GitHubError, match="no longer at"):
            await port.commit("fix", main, "Fix it", [Change("x", "100644", b"x")])


@pytest.mark.parametrize("seconds", [-7_200, 900, 86_400])
async def test_a_clock_that_goes_wrong_does_no_harm(github: DemoGitHub, app: GithubkitApp, seconds: int) -> None:
    async with app.open(installation(github), REPO) as port:
        await port.default_branch()
        github.skew(seconds)
        assert await port.default_branch() == "main"
        assert await app.deliveries(some_time_ago()) == ()
        github.skew(0)
        assert await app.deliveries(some_time_ago()) == ()
