"""REST: check runs, and the jobs of GitHub Actions with their logs, which lie on another host."""

import secrets
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from app.demo.github.api.commits import resolve
from app.demo.github.call import Call, Row
from app.demo.github.ci import CI, CheckRun, CheckSuite
from app.demo.github.responses import Refusal, not_found, page, reply

STAMP: Final = "2026-11-22T10:00:00.1234567Z "
"""What Actions puts before each line of a log."""


async def list_check_runs(call: Call) -> Response:
    """The newest run of each check of each suite; `filter=all` those before them too."""
    repo, sha, ci = call.repo, await resolve(call, call.part("ref")), call.hub.ci
    wants_all, name = call.query("filter", "latest") == "all", call.query("check_name")
    runs = [
        ci.check_shape(repo, suite, check)
        for suite in reversed(ci.suites(repo))
        if suite.sha == sha
        for check in (*suite.checks.values(), *(suite.earlier if wants_all else ()))
        if name in {"", check.name}
    ]
    shown, links = page(call.request, runs)
    return reply({"total_count": len(runs), "check_runs": list(shown)}, headers=links)


async def list_suites(call: Call) -> Response:
    repo, sha, ci = call.repo, await resolve(call, call.part("ref")), call.hub.ci
    head = await repo.git.commit(sha)
    about = {"repository": call.shapes.repo(repo)}
    suites = [{**ci.suite_shape(repo, suite, head), **about} for suite in ci.suites(repo) if suite.sha == sha]
    shown, links = page(call.request, suites)
    return reply({"total_count": len(suites), "check_suites": list(shown)}, headers=links)


def _job(call: Call) -> tuple[CheckSuite, CheckRun]:
    found = call.hub.ci.find(call.repo, call.number("id"))
    if found is None:
        raise not_found()
    return found


async def get_job(call: Call) -> Response:
    suite, check = _job(call)
    shown = call.hub.ci.check_shape(call.repo, suite, check)
    kept = ("id", "head_sha", "html_url", "status", "conclusion", "started_at", "completed_at", "name")
    api = call.shapes.repo_api(call.repo)
    return reply(
        {
            **{key: shown[key] for key in kept},
            "run_id": suite.run_id,
            "run_url": f"{api}/actions/runs/{suite.run_id}",
            "run_attempt": suite.attempt,
            "node_id": shown["node_id"],
            "url": f"{api}/actions/jobs/{check.id}",
            "created_at": shown["started_at"],
            "steps": [],
            "check_run_url": shown["url"],
            "labels": ["ubuntu-latest"],
            "runner_id": 1,
            "runner_name": "GitHub Actions 1",
            "runner_group_id": 0,
            "runner_group_name": "GitHub Actions",
            "workflow_name": "CI",
            "head_branch": suite.branch,
        }
    )


async def get_log(call: Call) -> Response:
    """Lead to where the log lies, by a link that needs no token."""
    _, check = _job(call)
    if not check.conclusion:
        raise not_found()
    signature = secrets.token_hex(8)
    return RedirectResponse(f"{call.hub.ci.logs_url}/{call.repo.full_name}/{check.id}?sig={signature}", 302)


async def rerun_failed(call: Call) -> Response:
    suites = [suite for suite in call.hub.ci.suites(call.repo) if suite.run_id == call.number("id")]
    if not suites:
        raise not_found()
    if not suites[0].is_over:
        raise Refusal(403, "This workflow is already running")
    if suites[0].conclusion in {"success", "neutral"}:
        raise Refusal(403, "This workflow run has no failed jobs")
    call.hub.ci.again(call.repo, suites[0])
    return reply({}, 201)


def storage(ci: CI) -> Starlette:
    """The host that keeps logs. Who shows it a token is refused, as by the real one."""

    async def serve(request: Request) -> Response:
        if "authorization" in request.headers:
            return PlainTextResponse("Server failed to authenticate the request.", 403)
        log = ci.log(f"{request.path_params['owner']}/{request.path_params['name']}", request.path_params["id"])
        if log is None:
            return PlainTextResponse("The specified blob does not exist.", 404)
        return PlainTextResponse("\ufeff" + "".join(f"{STAMP}{line}\r\n" for line in log.splitlines()))

    return Starlette(routes=[Route("/{owner}/{name}/{id:int}", serve)])


_REPO: Final = "/repos/{owner}/{name}"

ROWS: Final[tuple[Row, ...]] = (
    ("GET", f"{_REPO}/commits/{{ref:path}}/check-runs", list_check_runs, "checks:read"),
    ("GET", f"{_REPO}/commits/{{ref:path}}/check-suites", list_suites, "checks:read"),
    ("GET", f"{_REPO}/actions/jobs/{{id}}", get_job, "actions:read"),
    ("GET", f"{_REPO}/actions/jobs/{{id}}/logs", get_log, "actions:read"),
    ("POST", f"{_REPO}/actions/runs/{{id}}/rerun-failed-jobs", rerun_failed, "actions:write"),
)
