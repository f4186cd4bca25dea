"""The adapter where GitHub is strict: limits, deleted accounts, texts that are null, lists behind opaque links."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core.errors import GitHubError
from app.demo.github.state.label_events import put_label, take_label
from app.demo.github.state.limits import Rates
from tests.adapters.test_github_demo import REPO, Scene, scene

MARK = "<!-- mark -->"


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as at:
        await at.demo.issue(REPO, title="A typo", author="ada")
        yield at


@pytest.mark.parametrize("status", [403, 429])
async def test_a_short_limit_is_waited_for_and_nothing_is_written_twice(at: Scene, status: int) -> None:
    at.demo.world.limits.rates = Rates(content_per_minute=1, minute_s=1.0, secondary_status=status)
    for text in ("one", "two"):
        await at.github.put_comment(1, f"{text} <!-- {text} -->", marker=f"<!-- {text} -->")
    assert [comment.body[:3] for comment in at.demo.comments(REPO, 1)] == ["one", "two"]
    assert at.demo.world.limits.refused > 0


async def test_a_longer_limit_is_told_with_its_time(at: Scene) -> None:
    at.demo.world.limits.rates = Rates(content_per_minute=1)
    await at.github.put_comment(1, "one", marker="one")
    with pytest.raises(GitHubError, match="secondary rate limit") as refused:
        await at.github.put_comment(1, "two", marker="two")
    assert refused.value.is_passing
    assert 50 < (refused.value.retry_after_s or 0) <= 60


async def test_an_hours_requests_that_ran_out_are_told_with_their_time(at: Scene) -> None:
    at.demo.world.limits.rates = Rates(requests_per_hour=2)
    assert [await at.github.head("main") for _ in range(2)] == [at.main] * 2
    with pytest.raises(GitHubError, match="rate limit") as refused:
        await at.github.head("main")
    assert 3_500 < (refused.value.retry_after_s or 0) <= 3_601


async def test_a_blocked_repository_is_told_in_githubs_words(at: Scene) -> None:
    at.demo.world.repos[REPO].is_blocked = True
    with pytest.raises(GitHubError, match=r"451.*Repository access blocked") as refused:
        await at.github.default_branch()
    assert not refused.value.is_passing


async def test_a_repository_without_issues_has_none_that_are_labelled(at: Scene) -> None:
    at.demo.world.repos[REPO].has_issues = False
    assert await at.github.labelled("vibecode") == ()


async def test_the_last_labelling_is_found_behind_many_events(at: Scene) -> None:
    world, repo = at.demo.world, at.demo.world.repos[REPO]
    label, issue = world.label(repo, "vibecode"), repo.issues[1]
    for _ in range(60):
        put_label(world, issue, label, world.user("bob"))
        take_label(world, issue, label, world.user("bob"))
    put_label(world, issue, label, world.user("ada"))
    (found,) = await at.github.labelled("vibecode")
    assert (found.labelled_by.login, found.body) == ("ada", "")


async def test_what_a_deleted_account_did_has_nobody_to_ask(at: Scene) -> None:
    comment, _ = await at.demo.comment(REPO, 1, f"> {MARK}", by="bob")
    made = await at.github.put_comment(1, MARK, marker=MARK)
    at.demo.thumb(REPO, comment.id, by="bob")
    await at.demo.label(REPO, 1, "vibecode", by="bob")
    at.demo.user("bob").is_deleted = True
    at.demo.user("ada").is_deleted = True

    assert await at.github.labelled("vibecode") == ()
    assert await at.github.remarks(1) == ()
    assert await at.github.pulls.thumbs_ups(comment.id) == ()
    assert await at.github.put_comment(1, MARK, marker=MARK) == made
    issue = await at.github.pulls.issue(1)
    assert issue is not None
    assert (issue.author, issue.body) == (None, "")
