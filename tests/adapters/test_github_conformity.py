"""Every request is the one that githubkit's typed client, generated from GitHub's OpenAPI description, would send."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import unquote

import githubkit
import httpx
import pytest

from app.adapters.github.app import GithubkitApp
from app.core.policy.changes import Change
from app.core.ports.github import GitHub
from app.core.run.job import Person
from app.core.run.pull_requests import Check
from tests.adapters.github_world import HEAD, NEXT, World, all_repositories, comment, git_commit, open_world, pull, ref

Sent: TypeAlias = tuple[str, str, dict[str, str], Any]
BRANCH = "vibecode/12-typo"
BOT = {"login": "vibecoder[bot]", "id": 1, "type": "Bot"}
OWN = {"owner": "acme", "repo": "greeter"}
WORK = {
    **{"contents": "write", "issues": "write", "pull_requests": "write"},
    **{"checks": "read", "statuses": "read", "actions": "write", "metadata": "read"},
}
LINK = Change("latest", "120000", b"v2")
LOGO = Change("logo.png", "100755", b"\x89\x00")
GONE = Change("gone.txt", "000000", old_mode="100644")
TREE = [
    {"path": "latest", "mode": "120000", "type": "blob", "content": "v2"},
    {"path": "logo.png", "mode": "100755", "type": "blob", "sha": "e" * 40},
    {"path": "gone.txt", "mode": "100644", "type": "blob", "sha": None},
]


@asynccontextmanager
async def recorded() -> AsyncIterator[tuple[World, Any, list[Sent]]]:
    """The adapter, the typed client, and all that either sends from now on but requests for tokens."""
    sent: list[Sent] = []

    def record(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        sent.append((request.method, unquote(request.url.path), dict(request.url.params), body))
        return answer(request)

    async with open_world() as world:
        world.router.route().mock(side_effect=record)
        typed = githubkit.GitHub("token", http_cache=False, auto_retry=False, timeout=2.0)
        async with typed:
            yield world, typed.rest, sent


def answer(request: httpx.Request) -> httpx.Response:
    """The least that the adapter reads, for any request."""
    path, is_get = unquote(request.url.path), request.method == "GET"
    answers: list[tuple[str, Any]] = [
        ("/permission", {"permission": "read", "user": None}),
        ("/issues/12/comments", [comment(9, "MARK", app=None)] if is_get else comment(9, "")),
        ("/issues/comments/9", comment(9, "")),
        ("/pulls", [pull(3)] if is_get else pull(3)),
        ("/pulls/comments/51", {"id": 51, "in_reply_to_id": 50}),
        ("/pulls/comments/52", {"id": 52}),
        ("/pulls/3/comments", [{"id": 52, "in_reply_to_id": 50, "body": "MARK", "user": BOT}]),
        ("/replies", {"id": 53}),
        ("/labels", [{"name": "bug"}]),
        ("/comments/9/reactions", [] if is_get else {}),
        ("/issues/12", {"number": 12, "title": "t"}),
        ("/contents/docs/a b.md", {"type": "file", "encoding": "base64", "content": ""}),
        ("/pulls/3", pull(3)),
        (f"/heads/{BRANCH}", ref(HEAD)),
        ("/git/refs", ref(HEAD)),
        (f"/git/commits/{HEAD}", git_commit(HEAD)),
        ("/git/commits", git_commit(NEXT)),
        ("/git/trees", {"sha": "f" * 40}),
        (f"/rules/branches/{BRANCH}", [{"type": "creation", "ruleset_id": 7}, {"type": "required_signatures"}]),
        ("/git/blobs", {"sha": "e" * 40}),
        ("/check-runs", {"check_runs": []}),
        ("/check-suites", {"check_suites": []}),
        ("/actions/jobs/5", {"run_id": 4}),
        ("/app", {"id": 7, "slug": "vibecoder"}),
        ("/app/installations", [{"id": 42}]),
        ("/installation/repositories", {"repositories": []}),
        ("/app/hook/deliveries", []),
        (f"/compare/main...{BRANCH}", {"commits": []}),
        ("/issues", [{"number": 12, "title": "t"}]),
        ("/issues/12/events", []),
    ]
    return httpx.Response(200, json=next((body for end, body in answers if path.endswith(end)), {}))


Ours: TypeAlias = Callable[[GitHub], Awaitable[object]]
Typed: TypeAlias = Callable[[Any], list[Awaitable[object]]]


def put_pull(branch: str) -> Ours:
    return lambda ours: ours.put_pull_request(branch=branch, base="main", title="t", body="b", is_draft=True)


CHECK = Check(5, "tests", "github-actions", "failure")

CASES: dict[str, tuple[Ours, Typed]] = {
    "checks": (
        lambda ours: ours.pulls.checks(HEAD),
        lambda rest: [
            rest.checks.async_list_for_ref(**OWN, ref=HEAD, filter_="latest", per_page=100),
            rest.repos.async_get_combined_status_for_ref(**OWN, ref=HEAD, per_page=100),
        ],
    ),
    "check suites": (
        lambda ours: ours.pulls.suites(HEAD),
        lambda rest: [rest.checks.async_list_suites_for_ref(**OWN, ref=HEAD, per_page=100)],
    ),
    "log of a check": (
        lambda ours: ours.pulls.check_log(CHECK),
        lambda rest: [rest.actions.async_download_job_logs_for_workflow_run(**OWN, job_id=5)],
    ),
    "check again": (
        lambda ours: ours.pulls.rerun(CHECK),
        lambda rest: [
            rest.actions.async_get_job_for_workflow_run(**OWN, job_id=5),
            rest.actions.async_re_run_workflow_failed_jobs(**OWN, run_id=4),
        ],
    ),
    "permission": (
        lambda ours: ours.permission(Person("ada[bot]", 5)),
        lambda rest: [rest.repos.async_get_collaborator_permission_level(**OWN, username="ada[bot]")],
    ),
    "reaction to an issue": (
        lambda ours: ours.react("eyes", number=12),
        lambda rest: [rest.reactions.async_create_for_issue(**OWN, issue_number=12, content="eyes")],
    ),
    "reaction to a comment": (
        lambda ours: ours.react("+1", number=12, comment_id=9),
        lambda rest: [rest.reactions.async_create_for_issue_comment(**OWN, comment_id=9, content="+1")],
    ),
    "new comment": (
        lambda ours: ours.put_comment(12, "hi", marker="absent"),
        lambda rest: [
            rest.issues.async_list_comments(**OWN, issue_number=12, per_page=100, page=1),
            rest.issues.async_create_comment(**OWN, issue_number=12, body="hi"),
        ],
    ),
    "comment found again": (
        lambda ours: ours.put_comment(12, "hi", marker="MARK"),
        lambda rest: [
            rest.issues.async_list_comments(**OWN, issue_number=12, per_page=100, page=1),
            rest.apps.async_get_authenticated(),
            rest.issues.async_update_comment(**OWN, comment_id=9, body="hi"),
        ],
    ),
    "default branch": (
        lambda ours: ours.default_branch(),
        lambda rest: [rest.repos.async_get(**OWN)],
    ),
    "head": (
        lambda ours: ours.head(BRANCH),
        lambda rest: [rest.git.async_get_ref(**OWN, ref=f"heads/{BRANCH}")],
    ),
    "new branch": (
        lambda ours: ours.create_branch(BRANCH, HEAD),
        lambda rest: [rest.git.async_create_ref(**OWN, ref=f"refs/heads/{BRANCH}", sha=HEAD)],
    ),
    "deleted branch": (
        lambda ours: ours.delete_branch(BRANCH, HEAD),
        lambda rest: [
            rest.git.async_get_ref(**OWN, ref=f"heads/{BRANCH}"),
            rest.git.async_delete_ref(**OWN, ref=f"heads/{BRANCH}"),
        ],
    ),
    "rules": (
        lambda ours: ours.rules(BRANCH, HEAD),
        lambda rest: [
            rest.repos.async_get_branch_rules(**OWN, branch=BRANCH, per_page=100),
            rest.git.async_get_commit(**OWN, commit_sha=HEAD),
            rest.git.async_create_commit(**OWN, message="Try a signature", tree="d" * 40, parents=[HEAD]),
            rest.repos.async_get_repo_ruleset(**OWN, ruleset_id=7),
        ],
    ),
    "commit of objects": (
        lambda ours: ours.commit(BRANCH, HEAD, "Fix", [LINK, LOGO, GONE]),
        lambda rest: [
            rest.git.async_get_ref(**OWN, ref=f"heads/{BRANCH}"),
            rest.git.async_get_commit(**OWN, commit_sha=HEAD),
            rest.git.async_create_blob(**OWN, content="iQA=", encoding="base64"),
            rest.git.async_create_tree(**OWN, tree=TREE, base_tree="d" * 40),
            rest.git.async_create_commit(**OWN, message="Fix", tree="f" * 40, parents=[HEAD]),
            rest.git.async_update_ref(**OWN, ref=f"heads/{BRANCH}", sha=NEXT, force=False),
        ],
    ),
    "commits": (
        lambda ours: ours.commits("main", BRANCH),
        lambda rest: [rest.repos.async_compare_commits(**OWN, basehead=f"main...{BRANCH}")],
    ),
    "labelled issues": (
        lambda ours: ours.labelled("vibecode"),
        lambda rest: [
            rest.issues.async_list_for_repo(**OWN, state="open", labels="vibecode", per_page=100),
            rest.repos.async_get(**OWN),
            rest.issues.async_list_events(**OWN, issue_number=12, per_page=100),
        ],
    ),
    "new pull request": (
        put_pull("new"),
        lambda rest: [
            rest.pulls.async_list(**OWN, state="open", head="acme:new"),
            rest.pulls.async_create(**OWN, title="t", head="new", base="main", body="b", draft=True),
        ],
    ),
    "open pull request": (
        put_pull(BRANCH),
        lambda rest: [
            rest.pulls.async_list(**OWN, state="open", head=f"acme:{BRANCH}"),
            rest.pulls.async_update(**OWN, pull_number=3, title="t", body="b"),
        ],
    ),
    "pull request by its number": (
        lambda ours: ours.pulls.pull(3),
        lambda rest: [rest.pulls.async_get(**OWN, pull_number=3)],
    ),
    "new reply": (
        lambda ours: ours.pulls.put_reply(3, 51, "hi", marker="absent"),
        lambda rest: [
            rest.pulls.async_get_review_comment(**OWN, comment_id=51),
            rest.pulls.async_list_review_comments(**OWN, pull_number=3, per_page=100),
            rest.pulls.async_create_reply_for_review_comment(**OWN, pull_number=3, comment_id=50, body="hi"),
        ],
    ),
    "reply found again": (
        lambda ours: ours.pulls.put_reply(3, 51, "hi", marker="MARK"),
        lambda rest: [
            rest.pulls.async_get_review_comment(**OWN, comment_id=51),
            rest.pulls.async_list_review_comments(**OWN, pull_number=3, per_page=100),
            rest.apps.async_get_authenticated(),
            rest.pulls.async_update_review_comment(**OWN, comment_id=52, body="hi"),
        ],
    ),
    "reaction to a review comment": (
        lambda ours: ours.pulls.react_to_review_comment("eyes", 51),
        lambda rest: [
            rest.reactions.async_create_for_pull_request_review_comment(**OWN, comment_id=51, content="eyes")
        ],
    ),
    "labels": (
        lambda ours: ours.pulls.add_labels(3, ["bug", "bot"]),
        lambda rest: [rest.issues.async_add_labels(**OWN, issue_number=3, labels=["bug", "bot"])],
    ),
    "reviewers": (
        lambda ours: ours.pulls.request_reviews(3, ["ada", "acme/core"]),
        lambda rest: [
            rest.pulls.async_request_reviewers(**OWN, pull_number=3, reviewers=["ada"]),
            rest.pulls.async_request_reviewers(**OWN, pull_number=3, team_reviewers=["core"]),
            rest.apps.async_revoke_installation_access_token(),
        ],
    ),
    "merge": (
        lambda ours: ours.pulls.merge(BRANCH, "main"),
        lambda rest: [rest.repos.async_merge(**OWN, base=BRANCH, head="main")],
    ),
    "thumbs": (
        lambda ours: ours.pulls.thumbs_ups(9),
        lambda rest: [rest.reactions.async_list_for_issue_comment(**OWN, comment_id=9, content="+1", per_page=100)],
    ),
    "issue": (
        lambda ours: ours.pulls.issue(12),
        lambda rest: [rest.issues.async_get(**OWN, issue_number=12)],
    ),
    "file": (
        lambda ours: ours.pulls.read_file("docs/a b.md"),
        lambda rest: [rest.repos.async_get_content(**OWN, path="docs/a b.md")],
    ),
}


APP_CASES: dict[str, tuple[Callable[[GithubkitApp], Awaitable[object]], Typed]] = {
    "repositories": (
        all_repositories,
        lambda rest: [
            rest.apps.async_list_installations(per_page=100),
            rest.apps.async_list_repos_accessible_to_installation(per_page=100),
            rest.apps.async_revoke_installation_access_token(),
        ],
    ),
    "deliveries": (
        lambda ours: ours.deliveries(datetime(2026, 1, 1, tzinfo=UTC)),
        lambda rest: [rest.apps.async_list_webhook_deliveries(per_page=100)],
    ),
    "redelivery": (
        lambda ours: ours.redeliver(5),
        lambda rest: [rest.apps.async_redeliver_webhook_delivery(5)],
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_request_is_the_one_that_github_describes(case: str) -> None:
    ours, typed = CASES[case]
    async with recorded() as (world, rest, sent):
        await ours(world.github)
        await check(typed(rest), sent)


@pytest.mark.parametrize("case", APP_CASES)
async def test_a_request_of_the_app_is_the_one_that_github_describes(case: str) -> None:
    ours, typed = APP_CASES[case]
    async with recorded() as (world, rest, sent):
        await ours(world.app)
        await check(typed(rest), sent)


async def check(calls: list[Awaitable[object]], sent: list[Sent]) -> None:
    """Whether what was sent until now is what these calls send."""
    written = sent.copy()
    sent.clear()
    for call in calls:
        await call
    assert len(written) == len(sent)
    for (method, path, query, body), (known_method, known_path, known_query, known_body) in zip(
        written, sent, strict=True
    ):
        assert (method, path, body) == (known_method, known_path, known_body)
        assert query.items() <= known_query.items()


async def test_tokens_are_asked_for_as_github_describes() -> None:
    async with recorded() as (world, rest, _):
        await world.github.default_branch()
        await world.github.read_token()
        for permissions in (WORK, {"contents": "read"}):
            await rest.apps.async_create_installation_access_token(
                42, repositories=["greeter"], permissions=permissions
            )
        assert world.minted[:2] == world.minted[2:]
