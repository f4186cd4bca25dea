"""A GitHub whose reads lag behind its writes: what was made is not made twice, and is found."""

from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.read_lag import ReadVisibility
from app.adapters.github.client.retry import Retry
from app.core.errors import GitHubError
from app.core.policy.changes import Change
from app.core.ports.github import GitHub
from app.core.run.run import SETTLE_S
from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO

github = demo_github.github
MARK = "<!-- vibecoder:1 -->"
FILE = Change("x", "100644", b"x")
SCRIPT = Change("x.sh", "100755", b"x")


@pytest.fixture
def app(github: DemoGitHub) -> GithubkitApp:
    """Both share a clock, which goes on only while the adapter sleeps."""
    moment = 1_000.0

    async def sleep(seconds: float) -> None:
        nonlocal moment
        moment += seconds

    def monotonic() -> float:
        return moment

    github.world.clock = monotonic
    retry = Retry(
        first_wait_s=0.0, visibility=lambda unsure_s: ReadVisibility(unsure_s, monotonic=monotonic, sleep=sleep)
    )
    key = SecretStr(github.private_key_pem)
    return GithubkitApp(str(github.world.app_id), key, server_url=github.url, timeout_s=5, retry=retry)


def installation(github: DemoGitHub) -> int:
    return github.world.repos[REPO].installation_id


def lose(github: DemoGitHub, method: str, path: str) -> None:
    """The next such request is carried out, and its answer lost."""
    github.fails(method, path, status=502, before=False)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lag_s", [2.0, 10.0])
async def test_what_was_made_without_an_answer_is_found(
    github: DemoGitHub, app: GithubkitApp, lag_s: float, seed: int
) -> None:
    main = await github.head(REPO, "main") or ""
    issue = await github.issue(REPO, title="A typo", author="mona")
    github.lags(lag_s, seed=seed)
    async with app.open(installation(github), REPO) as port:
        lose(github, "POST", r"/issues/\d+/comments$")
        comment_id = await port.put_comment(issue.number, f"Hi {MARK}", marker=MARK)
        lose(github, "POST", r"/git/refs$")
        await port.create_branch("fix", main)
        lose(github, "POST", r"/api/graphql$")
        first = await port.commit("fix", main, "Fix it", [FILE])
        lose(github, "PATCH", r"/git/refs/")
        second = await port.commit("fix", first.sha, "Fix more", [SCRIPT])
        lose(github, "POST", r"/pulls$")
        made = await port.put_pull_request(branch="fix", base="main", title="Fix", body="", is_draft=False)

    assert [each.id for each in github.comments(REPO, issue.number)] == [comment_id]
    assert [each.sha for each in await github.log(REPO, "main..fix")] == [second.sha, first.sha]
    assert [each.number for each in github.pull_requests(REPO)] == [made.number]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [FILE, SCRIPT])
async def test_commits_follow_one_another_faster_than_reads(
    github: DemoGitHub, app: GithubkitApp, change: Change, seed: int
) -> None:
    main = await github.head(REPO, "main") or ""
    github.lags(5.0, seed=seed)
    async with app.open(installation(github), REPO) as port:
        await port.create_branch("fix", main)
        first = await port.commit("fix", main, "One", [change])
        second = await port.commit("fix", first.sha, "Two", [Change("y", change.mode, b"y")])
    assert [each.sha for each in await github.log(REPO, "main..fix")] == [second.sha, first.sha]


async def test_who_takes_over_looks_until_it_is_visible(github: DemoGitHub, app: GithubkitApp) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")

    async def comment(port: GitHub) -> object:
        return await port.put_comment(issue.number, f"Hi {MARK}", marker=MARK)

    async def pull(port: GitHub) -> object:
        return await port.put_pull_request(branch="fix", base="main", title="Fix", body="", is_draft=False)

    async def head(port: GitHub) -> object:
        return await port.head("fix", unlike=first)

    first = await github.push(REPO, "fix", {"x": "y"}, message="Fix", by="mona")
    puts: list[Callable[[GitHub], Awaitable[object]]] = [comment, pull]
    for put in puts:
        async with app.open(installation(github), REPO) as port:
            made = await put(port)
        github.lags(10.0)
        async with app.open(installation(github), REPO, unsure_s=SETTLE_S) as port:
            assert await put(port) == made
        github.lags(0)
    pushed = await github.push(REPO, "fix", {"x": "z"}, message="Fix", by="mona")
    github.lags(10.0)
    async with app.open(installation(github), REPO, unsure_s=SETTLE_S) as port:
        assert await head(port) == pushed


async def test_in_the_ordinary_course_nothing_is_looked_for_twice(github: DemoGitHub, app: GithubkitApp) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    async with app.open(installation(github), REPO) as port:
        await port.put_comment(issue.number, f"Hi {MARK}", marker=MARK)
        assert await port.head("none", unlike="x") is None
    asked = [request for request in github.requests if request.method == "GET"]
    assert len([request for request in asked if request.path.endswith("/comments")]) == 1


async def test_a_push_by_somebody_else_is_told_at_once(github: DemoGitHub, app: GithubkitApp) -> None:
    main = await github.head(REPO, "main") or ""
    await github.push(REPO, "fix", {"x": "y"}, message="Fix", by="mona")
    async with app.open(installation(github), REPO) as port:
        for change in (FILE, SCRIPT):
            with pytest.raises(GitHubError, match="no longer at"):
                await port.commit("fix", main, "Fix", [change])
    looks = [request for request in github.requests if "/git/ref/" in request.path]
    assert len(looks) <= 4


async def test_a_doubt_about_a_branch_holds_up_nothing_else(github: DemoGitHub, app: GithubkitApp) -> None:
    main = await github.head(REPO, "main") or ""
    issue = await github.issue(REPO, title="A typo", author="mona")
    await github.push(REPO, "fix", {"x": "y"}, message="Fix", by="mona")
    async with app.open(installation(github), REPO) as port:
        with pytest.raises(GitHubError, match="no longer at"):
            await port.commit("fix", main, "Fix", [FILE])
        looked_from = len(github.requests)
        await port.put_comment(issue.number, f"Hi {MARK}", marker=MARK)
        await port.put_pull_request(branch="fix", base="main", title="Fix", body="", is_draft=False)
    looks = [request.path for request in github.requests[looked_from:] if request.method == "GET"]
    assert len([path for path in looks if path.endswith("/pulls")]) == 1
    assert len([path for path in looks if path.endswith("/comments")]) == 1
