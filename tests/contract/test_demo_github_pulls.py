"""The App's own adapter on pull requests of the embedded GitHub: threads, merges, reviewers, thumbs, files."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.retry import Retry
from app.core.errors import GitHubError, MissingPermission
from app.core.policy.changes import Change
from app.core.ports.github import GitHub
from app.core.run.job import Person
from app.core.run.pull_requests import IssueText, MergeResult, PullRequest
from app.demo.github.server import DemoGitHub
from tests.adapters.github_world import leaping_sight
from tests.contract import demo_github
from tests.contract.demo_github import REPO

github = demo_github.github

BRANCH = "vibecode/1-fix"
MARK = "<!-- m -->"


@pytest.fixture
async def port(github: DemoGitHub) -> AsyncIterator[GitHub]:
    key, retry = SecretStr(github.private_key_pem), Retry(first_wait_s=0.0, visibility=leaping_sight)
    app = GithubkitApp(str(github.world.app_id), key, server_url=github.url, timeout_s=5, retry=retry)
    async with app.open(github.world.repos[REPO].installation_id, REPO) as port:
        yield port


@pytest.fixture
async def number(port: GitHub) -> int:
    """The bot's open pull request, which changes `greet.py`."""
    head = await port.head("main") or ""
    await port.create_branch(BRANCH, head)
    await port.commit(BRANCH, head, "Fix", [Change("greet.py", "100644", b"print('hello')\n", "100644")])
    return (await port.put_pull_request(branch=BRANCH, base="main", title="Fix", body="Why.", is_draft=False)).number


async def test_our_pull_request_is_told_from_a_persons_and_a_forks(
    github: DemoGitHub, port: GitHub, number: int
) -> None:
    fork = await github.pulls.fork(REPO, by="eve")
    await github.push(fork, BRANCH, {"greet.py": "print('hey')\n"}, message="Hey", by="eve")
    theirs = await port.pulls.pull((await github.pulls.open(REPO, f"eve:{BRANCH}", title="Hey", by="eve")).number)

    assert await port.pulls.pull(number) == PullRequest(
        number=number,
        title="Fix",
        body="Why.",
        url=f"{github.url}/{REPO}/pull/{number}",
        head=BRANCH,
        head_sha=await port.head(BRANCH) or "",
        base="main",
        author=Person("vibecoder[bot]", github.user("vibecoder[bot]").id, is_bot=True),
        is_ours=True,
        is_mergeable=True,
    )
    assert theirs is not None
    assert (theirs.is_fork, theirs.is_ours, theirs.head) == (True, False, BRANCH)
    assert await port.pulls.pull(99) is None
    found = await port.pull_request(BRANCH)
    assert found is not None
    assert found.number == number, "a fork's branch of the same name is another"


async def test_a_thread_is_answered_once_wherever_in_it_somebody_spoke(
    github: DemoGitHub, port: GitHub, number: int
) -> None:
    first = await github.pulls.remark(REPO, number, "greet.py", 1, "Why?", by="mona")
    other = await github.pulls.remark(REPO, number, "greet.py", 1, "And this?", by="mona")
    second = await github.pulls.reply(REPO, number, first, f"Tell me. {MARK}", by="mona")

    await port.pulls.react_to_review_comment("eyes", second.id)
    await port.pulls.put_reply(number, second.id, f"At it. {MARK}", marker=MARK)
    await port.pulls.put_reply(number, first.id, f"Done. {MARK}", marker=MARK)
    await port.pulls.put_reply(number, other.id, f"No. {MARK}", marker=MARK)

    assert [[comment.body for comment in thread] for thread in github.pulls.threads(REPO, number)] == [
        ["Why?", f"Tell me. {MARK}", f"Done. {MARK}"],
        ["And this?", f"No. {MARK}"],
    ]
    assert [reaction.content for reaction in second.reactions] == ["eyes"]


@pytest.mark.parametrize("was_carried_out", [False, True])
async def test_an_answer_in_a_thread_is_not_lost_and_not_given_twice(
    github: DemoGitHub, port: GitHub, number: int, was_carried_out: bool
) -> None:
    first = await github.pulls.remark(REPO, number, "greet.py", 1, "Why?", by="mona")
    github.fails("POST", "/replies$", status=0, before=not was_carried_out)

    await port.pulls.put_reply(number, first.id, f"Done. {MARK}", marker=MARK)

    assert [len(thread) for thread in github.pulls.threads(REPO, number)] == [2]


async def test_base_is_merged_or_was_already_or_cannot_be(github: DemoGitHub, port: GitHub, number: int) -> None:
    await github.push(REPO, "main", {"new.txt": "new\n"}, message="Meanwhile", by="mona")
    assert await port.pulls.merge(BRANCH, "main") is MergeResult.MERGED
    assert await port.pulls.merge(BRANCH, "main") is MergeResult.NOTHING
    assert (await github.log(REPO, BRANCH))[0].author.name == "vibecoder[bot]"

    await github.push(REPO, "main", {"greet.py": "print('hi')\n"}, message="Otherwise", by="mona")
    assert await port.pulls.merge(BRANCH, "main") is MergeResult.CONFLICT
    pull = await port.pulls.pull(number)
    assert pull is not None
    assert pull.is_mergeable is False


async def test_a_merge_that_a_person_made_is_seen(github: DemoGitHub, port: GitHub, number: int) -> None:
    github.grant(REPO, "mona", "write")
    await github.pulls.merge(REPO, number, by="mona")

    pull = await port.pulls.pull(number)

    assert pull is not None
    assert (pull.is_open, pull.is_merged) == (False, True)


async def test_labels_that_the_repository_has_not_are_made(github: DemoGitHub, port: GitHub, number: int) -> None:
    for _ in range(2):
        await port.pulls.add_labels(number, ["bot", "bug"])

    assert [label.name for label in github.pull_requests(REPO)[0].labels] == ["bot", "bug"]


async def test_reviewers_are_asked_all_or_none(github: DemoGitHub, port: GitHub, number: int) -> None:
    github.grant(REPO, "ada", "read")
    github.world.repos[REPO].teams.add("core")

    with pytest.raises(GitHubError, match="not a collaborator") as caught:
        await port.pulls.request_reviews(number, ["ada", "stranger"])
    assert caught.value.status == 422
    assert github.pull_requests(REPO)[0].reviewers == []
    github.permit("acme", members="read")
    for _ in range(2):
        await port.pulls.request_reviews(number, ["ada", "acme/core"])

    pull = github.pull_requests(REPO)[0]
    assert ([user.login for user in pull.reviewers], pull.teams) == (["ada"], ["core"])


async def test_a_team_is_seen_with_members_read_and_a_token_of_the_whole_account_only(
    github: DemoGitHub, port: GitHub, number: int
) -> None:
    github.world.repos[REPO].teams.add("core")
    with pytest.raises(MissingPermission, match="lacks the permission `members: read` on acme"):
        await port.pulls.request_reviews(number, ["acme/core"])
    assert github.pull_requests(REPO)[0].teams == []

    github.permit("acme", members="read")
    before = set(github.world.tokens)
    await port.pulls.request_reviews(number, ["acme/core"])
    assert github.pull_requests(REPO)[0].teams == ["core"]
    left = [token for value, token in github.world.tokens.items() if value not in before and token.repo_ids is None]
    assert left == [], "the token for all repositories lives no longer than the request"


async def test_an_answer_reaches_the_thread_or_the_pull_request_where_replies_are_refused(
    github: DemoGitHub, port: GitHub, number: int
) -> None:
    first = await github.pulls.remark(REPO, number, "greet.py", 1, "Why?", by="mona")
    github.fails("POST", "/replies$", status=403, json={"message": "Resource not accessible by integration"}, times=9)
    for words in ("At it.", "Done."):
        await port.pulls.put_reply(number, first.id, f"{words} {MARK}", marker=MARK)
    (thread,) = github.pulls.threads(REPO, number)
    assert [comment.body for comment in thread] == ["Why?", f"Done. {MARK}"]

    other = await github.pulls.remark(REPO, number, "greet.py", 1, "And this?", by="mona")
    github.fails("POST", r"/pulls/\d+/comments$", status=403, json={"message": "No"}, times=9)
    for words in ("At it.", "No."):
        await port.pulls.put_reply(number, other.id, f"{MARK}\n{words}", marker=MARK)
    (comment,) = github.comments(REPO, number)
    assert comment.body.startswith(f"<!-- answer to {other.id} -->\nNo.\n\n[The comment that this answers]")


async def test_commits_reach_a_server_without_graphql(github: DemoGitHub, port: GitHub) -> None:
    github.world.has_graphql = False
    head = await port.head("main") or ""
    await port.create_branch(BRANCH, head)
    made = await port.commit(BRANCH, head, "Fix", [Change("greet.py", "100644", b"print('hello')\n", "100644")])
    assert made.is_verified
    assert await port.head(BRANCH) == made.sha
    assert await github.file(REPO, BRANCH, "greet.py") == b"print('hello')\n"


async def test_thumbs_tell_who_and_no_other_reaction_counts(github: DemoGitHub, port: GitHub) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    comment_id = await port.put_comment(issue.number, "A plan", marker="A plan")
    await port.react("+1", number=issue.number, comment_id=comment_id)
    await port.react("rocket", number=issue.number, comment_id=comment_id)
    github.thumb(REPO, comment_id, by="mona")

    thumbs_ups = await port.pulls.thumbs_ups(comment_id)

    assert [(thumb.person.login, thumb.is_bot) for thumb in thumbs_ups] == [("vibecoder[bot]", True), ("mona", False)]
    assert await port.pulls.thumbs_ups(10**6) == ()


async def test_an_issue_and_a_file_are_read_as_they_are_now(github: DemoGitHub, port: GitHub) -> None:
    issue = await github.issue(REPO, title="A typo", body="It says helo.", author="mona")
    issue.body = "It says hallo."
    await github.push(REPO, "main", {"docs/what is.md": b"\xff\x00\n"}, message="Tell", by="mona")

    mona = Person("mona", github.user("mona").id)
    assert await port.pulls.issue(issue.number) == IssueText("A typo", "It says hallo.", is_open=True, author=mona)
    assert await port.pulls.issue(99) is None
    assert await port.pulls.read_file("docs/what is.md") == b"\xff\x00\n"
    assert await port.pulls.read_file("docs") is None
    assert await port.pulls.read_file("nothing.md") is None
