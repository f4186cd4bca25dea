"""Checks, their logs and re-runs: the adapter against the embedded GitHub and its small CI."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from app.adapters.github.app import GithubkitApp
from app.adapters.github.checks import MAX_LOG_CHARS
from app.core.errors import GitHubError
from app.core.ports.pull_requests import PullRequests
from app.core.run.pull_requests import STATUS_APP, Check
from app.demo.github.ci import Build, Outcome
from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO

github = demo_github.github

SAID = "\x1b[31mE   assert 1 == 2\x1b[0m\n##[error]Process completed with exit code 1."


@asynccontextmanager
async def opened(github: DemoGitHub) -> AsyncIterator[PullRequests]:
    app = GithubkitApp(str(github.world.app_id), SecretStr(github.private_key_pem), server_url=github.url, timeout_s=5)
    async with app.open(github.world.repos[REPO].installation_id, REPO) as port:
        yield port.pulls


@pytest.fixture
async def port(github: DemoGitHub) -> AsyncIterator[PullRequests]:
    async with opened(github) as port:
        yield port


def fails_at_first(build: Build) -> Outcome:
    return Outcome("failure", SAID) if build.attempt == 1 else Outcome("success", "All is well.")


async def failed(github: DemoGitHub, port: PullRequests) -> Check:
    await github.ci.judges(REPO, "tests", fails_at_first)
    (check,) = await port.checks(await github.head(REPO, "main") or "")
    return check


async def test_a_commit_without_checks_has_none(github: DemoGitHub, port: PullRequests) -> None:
    assert await port.checks(await github.head(REPO, "main") or "") == ()


async def test_a_failed_check_is_told_with_its_log(github: DemoGitHub, port: PullRequests) -> None:
    check = await failed(github, port)
    assert (check.name, check.app, check.is_failed) == ("tests", "github-actions", True)
    assert await port.check_log(check) == "E   assert 1 == 2\n##[error]Process completed with exit code 1.\n"


async def test_only_the_end_of_a_long_log_is_read(github: DemoGitHub, port: PullRequests) -> None:
    long = "\n".join(f"{number:07} {'x' * 100}" for number in range(30_000))
    await github.ci.judges(REPO, "tests", lambda _: Outcome("failure", f"{long}\nthe end"))
    (check,) = await port.checks(await github.head(REPO, "main") or "")
    log = await port.check_log(check)
    assert MAX_LOG_CHARS - 200 < len(log) <= MAX_LOG_CHARS, "whole lines"
    assert log.endswith("the end\n")


async def test_a_check_that_is_run_again_is_a_new_one(github: DemoGitHub, port: PullRequests) -> None:
    check = await failed(github, port)
    assert await port.rerun(check)
    while True:
        (again,) = await port.checks(await github.head(REPO, "main") or "")
        if again.conclusion:
            break
    assert again.id != check.id
    assert (again.name, again.conclusion) == ("tests", "success")


async def test_failed_jobs_of_one_workflow_are_run_again_together(github: DemoGitHub, port: PullRequests) -> None:
    await github.ci.judges(REPO, "style", fails_at_first)
    await github.ci.judges(REPO, "tests", fails_at_first)
    checks = [check for check in await port.checks(await github.head(REPO, "main") or "") if check.is_failed]
    github.fails("POST", "/rerun-failed-jobs", status=403, json={"message": "This workflow is already running"})
    assert await port.rerun(checks[0])


@pytest.mark.parametrize("status", [403, 404, 422])
async def test_what_cannot_be_run_again_is_said(github: DemoGitHub, port: PullRequests, status: int) -> None:
    check = await failed(github, port)
    message = "Unable to retry this workflow run because it was created over a month ago"
    github.fails("POST", "/rerun-failed-jobs", status=status, json={"message": message})
    assert not await port.rerun(check)


async def test_checks_of_other_apps_have_no_log_and_cannot_be_run_again(port: PullRequests) -> None:
    other = Check(5, "circle", "circleci-checks", "failure")
    assert await port.check_log(other) == ""
    assert not await port.rerun(other)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_log_that_github_has_thrown_away_is_empty(github: DemoGitHub, port: PullRequests, status: int) -> None:
    check = await failed(github, port)
    github.fails("GET", "/logs$", status=status, json={"message": "Gone"})
    assert await port.check_log(check) == ""


async def test_an_installation_that_has_not_granted_checks_still_works_but_for_them(github: DemoGitHub) -> None:
    await github.ci.judges(REPO, "tests", fails_at_first)
    installation = github.world.installations[github.world.repos[REPO].installation_id]
    for permission in ("checks", "actions"):
        del installation.permissions[permission]
    async with opened(github) as port:
        with pytest.raises(GitHubError, match="Resource not accessible by integration") as caught:
            await port.checks(await github.head(REPO, "main") or "")
    assert (caught.value.status, caught.value.is_passing) == (403, False)


async def test_the_end_of_a_suite_is_delivered_with_its_pull_request(github: DemoGitHub) -> None:
    await github.push(REPO, "mend", {"greet.py": "print('hello')\n"}, message="Mend", by="mona")
    await github.ci.judges(REPO, "tests", fails_at_first)
    async with demo_github.client(github, await demo_github.mint(github)) as api:
        pull = (await api.post("/pulls", json={"title": "Mend", "head": "mend", "base": "main"})).json()
    delivery = await github.ci.build(REPO, "mend")
    told = json.loads(delivery.payload)
    suite = told["check_suite"]
    assert (told["action"], suite["conclusion"], suite["app"]["slug"]) == ("completed", "failure", "github-actions")
    assert (suite["head_branch"], suite["head_sha"]) == ("mend", await github.head(REPO, "mend"))
    assert [each["number"] for each in suite["pull_requests"]] == [pull["number"]]


async def test_a_commit_status_is_a_check(github: DemoGitHub, port: PullRequests) -> None:
    head = await github.head(REPO, "main") or ""
    for state in ("pending", "error"):
        await github.statuses.report(REPO, "main", "ci/jenkins", state, "It broke", by="jenkins")
    await github.statuses.report(REPO, "main", "ci/other", "success", "", by="jenkins")
    broken, good = await port.checks(head)

    assert (broken.name, broken.app, broken.is_failed, broken.text) == ("ci/jenkins", STATUS_APP, True, "It broke")
    assert (good.conclusion, good.is_failed) == ("success", False)
    assert not await port.rerun(broken)
    assert await port.check_log(broken) == ""


async def test_where_statuses_may_not_be_read_checks_are(github: DemoGitHub) -> None:
    await github.ci.judges(REPO, "tests", fails_at_first)
    await github.statuses.report(REPO, "main", "ci/jenkins", "failure", "It broke", by="jenkins")
    installation = github.world.installations[github.world.repos[REPO].installation_id]
    del installation.permissions["statuses"]
    async with opened(github) as port:
        (check,) = await port.checks(await github.head(REPO, "main") or "")
    assert check.name == "tests"


@pytest.mark.parametrize("conclusion", ["startup_failure", "cancelled", "stale", "action_required"])
async def test_a_suite_that_did_not_run_to_its_end_is_told_apart(
    github: DemoGitHub, port: PullRequests, conclusion: str
) -> None:
    await github.ci.judges(REPO, "tests", lambda _: Outcome(conclusion))
    head = await github.head(REPO, "main") or ""
    (suite,) = await port.suites(head)
    assert (suite.app_name, suite.conclusion, suite.is_halted) == ("GitHub Actions", conclusion, True)
    assert not any(check.is_failed for check in await port.checks(head))
