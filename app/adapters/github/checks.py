"""The checks on a commit, their logs, and running them again. Only GitHub Actions keeps logs for us and runs again.

https://docs.github.com/en/rest/checks/runs, https://docs.github.com/en/rest/commits/statuses,
https://docs.github.com/en/rest/actions/workflow-jobs
"""

import logging
import re
from typing import Final

from app.adapters.github.client.address import repo_path
from app.adapters.github.client.api import PER_PAGE, Api
from app.adapters.github.client.responses import (
    Anything,
    CheckRun,
    CheckRuns,
    CheckSuites,
    CombinedStatus,
    StatusResponse,
    WorkflowJob,
)
from app.core.errors import GitHubError, RepositoryGone
from app.core.run.pull_requests import FAILED_STATES, STATUS_APP, Check, CheckSuiteState
from app.core.safety.escape import last_lines
from app.core.safety.terminal import plain

log = logging.getLogger(__name__)

MAX_TEXT_CHARS: Final = 4_000
MAX_LOG_CHARS: Final = 200_000
_MAX_LOG_BYTES: Final = 1_048_576
_ACTIONS: Final = "github-actions"
_STAMP: Final = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*Z ?", re.MULTILINE)
_ALREADY: Final = "already running"


class GithubkitChecks:
    """The part of the port `Pulls` that is about checks."""

    def __init__(self, api: Api, repo: str) -> None:
        self._api = api
        self._path = repo_path(repo)

    async def checks(self, sha: str) -> tuple[Check, ...]:
        path = f"{self._path}/commits/{sha}/check-runs"
        params: dict[str, str | int] = {"filter": "latest", "per_page": PER_PAGE}
        runs = (await self._api.call("GET", path, CheckRuns, params=params)).check_runs
        return (*map(_check, runs), *await self._statuses(sha))

    async def suites(self, sha: str) -> tuple[CheckSuiteState, ...]:
        path = f"{self._path}/commits/{sha}/check-suites"
        found = await self._api.call("GET", path, CheckSuites, params={"per_page": PER_PAGE})
        return tuple(
            CheckSuiteState(
                (each.app.name or each.app.slug or "") if each.app is not None else "",
                (each.conclusion or "") if each.status == "completed" else "",
            )
            for each in found.check_suites
        )

    async def _statuses(self, sha: str) -> tuple[Check, ...]:
        """None where the installation's owner has not accepted yet that the App reads statuses."""
        path = f"{self._path}/commits/{sha}/status"
        try:
            found = await self._api.call("GET", path, CombinedStatus, params={"per_page": PER_PAGE})
        except GitHubError as error:
            if error.status != 403 or error.is_passing or isinstance(error, RepositoryGone):
                raise
            log.info("commit statuses not read", extra={"reason": str(error)})
            return ()
        return tuple(map(_status, found.statuses))

    async def check_log(self, check: Check) -> str:
        if check.app != _ACTIONS:
            return ""
        # The id of a check run that Actions made is its job's.
        path = f"{self._path}/actions/jobs/{check.id}/logs"
        try:
            raw = await self._api.read_elsewhere(path, last_bytes=_MAX_LOG_BYTES)
        except GitHubError as error:
            if error.status not in {404, 410}:
                raise
            return ""
        return last_lines(_plain(raw), MAX_LOG_CHARS)

    async def rerun(self, check: Check) -> bool:
        if check.app != _ACTIONS:
            return False
        try:
            job = await self._api.call("GET", f"{self._path}/actions/jobs/{check.id}", WorkflowJob)
            # Not this job alone: while it runs, no other failed job of the same workflow could be run again.
            path = f"{self._path}/actions/runs/{job.run_id}/rerun-failed-jobs"
            await self._api.call("POST", path, Anything, body={})
        except GitHubError as error:
            if error.status not in {403, 404, 422} or error.is_passing:
                raise
            return _ALREADY in str(error)
        return True


def _check(run: CheckRun) -> Check:
    output = run.output
    said = [output.title, output.summary, output.text] if output is not None else []
    text = _plain("\n\n".join(part for part in said if part).encode())
    app = (run.app.slug or "") if run.app is not None else ""
    conclusion = (run.conclusion or "") if run.status == "completed" else ""
    return Check(run.id, run.name, app, conclusion, run.html_url or "", text[:MAX_TEXT_CHARS], run.completed_at)


def _status(status: StatusResponse) -> Check:
    conclusion = "failure" if status.state in FAILED_STATES else "success" if status.state == "success" else ""
    text = _plain((status.description or "").encode())[:MAX_TEXT_CHARS]
    url = status.target_url or ""
    return Check(status.id, status.context, STATUS_APP, conclusion, url, text, status.updated_at)


def _plain(raw: bytes) -> str:
    """Text as a person reads it in a terminal, without the moments that Actions puts before each line."""
    return plain(_STAMP.sub("", raw.decode("utf-8", "replace")))
