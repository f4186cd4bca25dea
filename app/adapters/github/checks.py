"""The checks on a commit, their logs, and running them again. Only GitHub Actions keeps logs for us and runs again.

https://docs.github.com/en/rest/checks/runs, https://docs.github.com/en/rest/actions/workflow-jobs
"""

import re
from typing import Final

from app.adapters.github.address import repo_path
from app.adapters.github.answers import Anything, CheckRun, CheckRuns, WorkflowJob
from app.adapters.github.api import PER_PAGE, Api
from app.core.errors import GitHubError
from app.core.escape import last_lines
from app.core.pull import Check

MAX_TEXT_CHARS: Final = 4_000
MAX_LOG_CHARS: Final = 200_000
_MAX_LOG_BYTES: Final = 1_048_576
_ACTIONS: Final = "github-actions"
_STAMP: Final = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*Z ?", re.MULTILINE)
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
"""What colours a terminal: ECMA-48's control sequences and operating system commands."""
_ALREADY: Final = "already running"


class GithubkitChecks:
    """The part of the port `Pulls` that is about checks."""

    def __init__(self, api: Api, repo: str) -> None:
        self._api = api
        self._path = repo_path(repo)

    async def checks(self, sha: str) -> tuple[Check, ...]:
        path = f"{self._path}/commits/{sha}/check-runs"
        params: dict[str, str | int] = {"filter": "latest", "per_page": PER_PAGE}
        return tuple(_check(run) for run in (await self._api.call("GET", path, CheckRuns, params=params)).check_runs)

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
    return Check(run.id, run.name, app, conclusion, run.html_url or "", text[:MAX_TEXT_CHARS])


def _plain(raw: bytes) -> str:
    """Text as a person reads it in a terminal, without the moments that Actions puts before each line."""
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return _ESCAPES.sub("", _STAMP.sub("", text))
