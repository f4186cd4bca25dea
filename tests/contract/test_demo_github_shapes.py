"""The embedded GitHub's answers hold all that GitHub's own description of its API requires."""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
from githubkit import GitHub, Response, TokenAuthStrategy, webhooks
from githubkit.exception import GitHubException

from app.demo.github.ci import Outcome
from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO, app_jwt, commit_input, mint

github = demo_github.github
api = demo_github.api

Ask = Callable[[Any], Awaitable[Response[Any, Any]]]
OWNER, NAME = REPO.split("/")


async def _furnish(github: DemoGitHub) -> None:
    """Make an issue and a pull request, with a comment, a label and a reaction on it."""
    github.permit("acme", members="read")
    issue = await github.issue(REPO, title="A typo", body="It says helo.", author="mona")
    await github.label(REPO, issue.number, "vibecode", by="mona")
    await github.comment(REPO, issue.number, "Me too.", by="hubot")
    await github.push(REPO, "fix", {"greet.py": "print('hello')\n", "README.md": None}, message="Fix", by="mona")
    headers = {"Authorization": f"Bearer {await mint(github)}"}
    async with httpx.AsyncClient(base_url=f"{github.url}/api/v3/repos/{REPO}", headers=headers) as api:
        await api.post("/issues/1/reactions", json={"content": "eyes"})
        await api.post("/pulls", json={"title": "Fix", "head": "fix", "base": "main", "body": "Closes #1"})
        await api.post("/issues/2/comments", json={"body": "Working on it."})
    github.grant(REPO, "mona", "write")
    github.world.repos[REPO].teams.add("core")
    await github.pulls.review(REPO, 2, state="changes_requested", comments=[("greet.py", 1, "Why?")], by="hubot")
    await github.ci.judges(REPO, "tests", lambda build: Outcome("failure"))


async def _rest(github: DemoGitHub, token: str) -> AsyncIterator[Any]:
    kit = GitHub(TokenAuthStrategy(token), base_url=f"{github.url}/api/v3/", http_cache=False)
    async with kit:
        yield kit.rest


async def _faults(github: DemoGitHub, token: str, table: dict[str, Ask]) -> dict[str, str]:
    """What is missing from each answer, in the words of the one who reads it."""
    faults = {}
    async for rest in _rest(github, token):
        for name, ask in table.items():
            try:
                assert (await ask(rest)).parsed_data is not None
            except (ValueError, GitHubException) as error:
                faults[name] = str(error)
    return faults


AS_INSTALLATION: dict[str, Ask] = {
    "repository": lambda rest: rest.repos.async_get(OWNER, NAME),
    "permission": lambda rest: rest.repos.async_get_collaborator_permission_level(OWNER, NAME, "mona"),
    "issues": lambda rest: rest.issues.async_list_for_repo(OWNER, NAME, state="all"),
    "issue": lambda rest: rest.issues.async_get(OWNER, NAME, 1),
    "comments": lambda rest: rest.issues.async_list_comments(OWNER, NAME, 1),
    "new comment": lambda rest: rest.issues.async_create_comment(OWNER, NAME, 1, body="Hello"),
    "reaction": lambda rest: rest.reactions.async_create_for_issue(OWNER, NAME, 1, content="rocket"),
    "reactions": lambda rest: rest.reactions.async_list_for_issue(OWNER, NAME, 1),
    "labels": lambda rest: rest.issues.async_add_labels(OWNER, NAME, 1, data={"labels": ["bug"]}),
    "labelled issues": lambda rest: rest.issues.async_list_for_repo(OWNER, NAME, labels="bug"),
    "events": lambda rest: rest.issues.async_list_events(OWNER, NAME, 1),
    "repositories": lambda rest: rest.apps.async_list_repos_accessible_to_installation(),
    "ref": lambda rest: rest.git.async_get_ref(OWNER, NAME, "heads/main"),
    "matching refs": lambda rest: rest.git.async_list_matching_refs(OWNER, NAME, "heads/"),
    "blob": lambda rest: rest.git.async_create_blob(OWNER, NAME, content="x"),
    "branch": lambda rest: rest.repos.async_get_branch(OWNER, NAME, "main"),
    "commit": lambda rest: rest.repos.async_get_commit(OWNER, NAME, "fix"),
    "commits": lambda rest: rest.repos.async_list_commits(OWNER, NAME),
    "comparison": lambda rest: rest.repos.async_compare_commits(OWNER, NAME, "main...fix"),
    "content": lambda rest: rest.repos.async_get_content(OWNER, NAME, "greet.py"),
    "tree": lambda rest: rest.git.async_get_tree(OWNER, NAME, "main", recursive="1"),
    "pulls": lambda rest: rest.pulls.async_list(OWNER, NAME),
    "pull": lambda rest: rest.pulls.async_get(OWNER, NAME, 2),
    "edited pull": lambda rest: rest.pulls.async_update(OWNER, NAME, 2, title="Fix it"),
    "files": lambda rest: rest.pulls.async_list_files(OWNER, NAME, 2),
    "pull commits": lambda rest: rest.pulls.async_list_commits(OWNER, NAME, 2),
    "pull comments": lambda rest: rest.issues.async_list_comments(OWNER, NAME, 2),
    "reviews": lambda rest: rest.pulls.async_list_reviews(OWNER, NAME, 2),
    "review comments": lambda rest: rest.pulls.async_list_review_comments(OWNER, NAME, 2),
    "reviewers": lambda rest: rest.pulls.async_request_reviewers(
        OWNER, NAME, 2, reviewers=["mona"], team_reviewers=["core"]
    ),
    "check runs": lambda rest: rest.checks.async_list_for_ref(OWNER, NAME, "main"),
    "user": lambda rest: rest.users.async_get_by_username("mona"),
    "merge": lambda rest: rest.repos.async_merge(OWNER, NAME, base="main", head="fix"),
}


async def test_every_answer_to_an_installation_is_whole(github: DemoGitHub) -> None:
    await _furnish(github)

    assert await _faults(github, await mint(github), AS_INSTALLATION) == {}


AS_APP: dict[str, Ask] = {
    "app": lambda rest: rest.apps.async_get_authenticated(),
    "installations": lambda rest: rest.apps.async_list_installations(),
    "repository's installation": lambda rest: rest.apps.async_get_repo_installation(OWNER, NAME),
    "deliveries": lambda rest: rest.apps.async_list_webhook_deliveries(),
}


async def test_every_answer_to_the_app_is_whole(github: DemoGitHub) -> None:
    github.webhook_url = f"{github.url}/nobody/listens"
    await github.ping()

    assert await _faults(github, app_jwt(github), AS_APP) == {}


async def test_a_thread_on_a_line_is_whole(github: DemoGitHub) -> None:
    await _furnish(github)
    comment = github.pulls.threads(REPO, 2)[0][0].id

    async for rest in _rest(github, await mint(github)):
        pulls = rest.pulls
        reply = (await pulls.async_create_reply_for_review_comment(OWNER, NAME, 2, comment, body="Gone.")).parsed_data
        edited = (await pulls.async_update_review_comment(OWNER, NAME, reply.id, body="Done.")).parsed_data
        shown = (await pulls.async_get_review_comment(OWNER, NAME, comment)).parsed_data
        reactions = rest.reactions
        made = await reactions.async_create_for_pull_request_review_comment(OWNER, NAME, comment, content="eyes")
        assert (edited.in_reply_to_id, edited.body, shown.line) == (comment, "Done.", 1)
        assert made.parsed_data.content == "eyes"


async def test_a_merged_pull_request_is_whole(github: DemoGitHub) -> None:
    await _furnish(github)
    await github.pulls.merge(REPO, 2, by="mona")

    async for rest in _rest(github, await mint(github)):
        pull = (await rest.pulls.async_get(OWNER, NAME, 2)).parsed_data
        assert (pull.merged, pull.state, pull.merged_by.login) == (True, "closed", "mona")


async def test_what_is_delivered_of_a_review_is_whole(github: DemoGitHub) -> None:
    github.webhook_url = f"{github.url}/nobody/listens"
    await _furnish(github)
    told = [each for each in github.deliveries if each.event.startswith("pull_request_review")]

    assert [type(webhooks.parse(each.event, each.payload)).__name__ for each in told] == [
        "WebhookPullRequestReviewSubmitted",
        "WebhookPullRequestReviewCommentCreated",
    ]


async def test_a_commit_of_git_is_whole(github: DemoGitHub) -> None:
    head = await github.head(REPO, "main")
    assert head is not None

    async for rest in _rest(github, await mint(github)):
        tree = (await rest.git.async_get_commit(OWNER, NAME, head)).parsed_data.tree.sha
        made = await rest.git.async_create_commit(OWNER, NAME, message="Again", tree=tree, parents=[head])
        assert made.parsed_data.verification.verified


async def test_a_commit_by_the_app_is_verified_and_its_own(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    head = await github.head(REPO, "main") or ""
    changes = {"additions": [{"path": "new.txt", "contents": b64encode(b"new\n").decode()}]}
    mutation = "mutation($in: CreateCommitOnBranchInput!) {createCommitOnBranch(input: $in) {commit {oid}}}"
    body = {"query": mutation, "variables": {"in": commit_input("main", head, changes)}}

    answer = await api.post(f"{github.url}/api/graphql", json=body)
    commit = (await api.get(f"/commits/{answer.json()['data']['createCommitOnBranch']['commit']['oid']}")).json()

    bot = github.user("vibecoder[bot]")
    assert commit["commit"]["verification"]["verified"] is True
    assert commit["author"]["login"] == "vibecoder[bot]"
    assert commit["commit"]["author"]["email"] == f"{bot.id}+vibecoder[bot]@users.noreply.github.com"
    assert commit["commit"]["committer"]["email"] == "noreply@github.com"
