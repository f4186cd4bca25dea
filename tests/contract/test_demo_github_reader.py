"""Reading all that an installation has: page by page, what changed only, within a share of its limit."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.retry import Retry
from app.core.errors import GitHubError
from app.core.policy.rate_allowance import SHARE, Allowance
from app.demo.github.server import DemoGitHub
from app.demo.github.state.limits import Rates
from app.demo.github.state.records import Repo
from tests.adapters.github_world import names_of
from tests.contract import demo_github
from tests.contract.demo_github import REPO

github = demo_github.github


@pytest.fixture
def app(github: DemoGitHub) -> GithubkitApp:
    key = SecretStr(github.private_key_pem)
    retry = Retry(first_wait_s=0.0, longest_wait_s=0.5)
    return GithubkitApp(str(github.world.app_id), key, server_url=github.url, timeout_s=5, retry=retry)


def installation(github: DemoGitHub) -> int:
    return github.world.repos[REPO].installation_id


def add_repos(github: DemoGitHub, count: int) -> None:
    """Repositories that share the first one's objects."""
    world, first = github.world, github.world.repos[REPO]
    for index in range(count):
        repo = Repo(world.next_id(), first.owner, f"more-{index}", first.git, first.installation_id)
        world.repos[repo.full_name.lower()] = repo


async def test_every_page_is_found_by_its_link(github: DemoGitHub, app: GithubkitApp) -> None:
    add_repos(github, 250)
    async with app.read(installation(github), Allowance()) as reader:
        assert len(set(await names_of(reader))) == 251


async def test_one_token_that_can_write_nothing_reads_it_all(github: DemoGitHub, app: GithubkitApp) -> None:
    async with app.read(installation(github), Allowance()) as reader:
        await reader.repositories()
        await reader.repository(REPO).recent(datetime.now(UTC) - timedelta(days=1))
        (token,) = github.world.tokens.values()
        assert set(token.permissions.values()) == {"read"}
    assert not github.world.tokens


async def test_what_did_not_change_is_told_for_nothing(github: DemoGitHub, app: GithubkitApp) -> None:
    github.world.limits.rates = Rates()
    allowance, since = Allowance(), datetime.now(UTC) - timedelta(days=1)
    issue = await github.issue(REPO, title="A typo", author="mona")
    async with app.read(installation(github), allowance) as reader:
        listing = await reader.repositories()
        assert listing is not None
        known = await reader.repository(REPO).recent(since)
        assert known is not None
        used = allowance.used
        assert await reader.repositories(etag=listing.etag) is None
        assert await reader.repository(REPO).recent(since, known.etag) is None
        assert (allowance.used, reader.sent) == (used, used + 2)

        await github.comment(REPO, issue.number, "/vibecode help", by="mona")
        again = await reader.repository(REPO).recent(since, known.etag)
        assert again is not None
        assert len(again.events) == 1


async def test_nothing_is_sent_beyond_the_share(github: DemoGitHub, app: GithubkitApp) -> None:
    github.world.limits.rates = Rates(requests_per_hour=40)
    allowance = Allowance()
    async with app.read(installation(github), allowance) as reader:
        for _ in range(int(40 * SHARE)):
            await reader.repositories()
        with pytest.raises(GitHubError) as caught:
            await reader.repositories()
    assert caught.value.status == 429
    assert 3_500 < (caught.value.retry_after_s or 0) <= 3_600
    assert allowance.used == 40 * SHARE
    assert github.world.limits.refused == 0


async def test_one_installation_may_be_told_to_wait(github: DemoGitHub, app: GithubkitApp) -> None:
    other = await github.repo("ada/own")
    github.world.limits.block(f"installation ID {installation(github)}", 60)
    async with app.read(installation(github), Allowance()) as reader:
        with pytest.raises(GitHubError) as caught:
            await reader.repositories()
    assert caught.value.retry_after_s == 60
    async with app.read(other.installation_id, Allowance()) as reader:
        assert await names_of(reader) == ["ada/own"]


async def test_a_repository_without_issues_and_a_deleted_author_tell_nothing(
    github: DemoGitHub, app: GithubkitApp
) -> None:
    since = datetime.now(UTC) - timedelta(days=1)
    issue = await github.issue(REPO, title="A typo", author="mona")
    await github.comment(REPO, issue.number, "/vibecode help", by="mona")
    async with app.read(installation(github), Allowance()) as reader:
        github.user("mona").is_deleted = True
        found = await reader.repository(REPO).recent(since)
        assert found is not None
        assert found.events == ()
        github.world.repos[REPO].has_issues = False
        assert await reader.repository(REPO).recent(since) is None
