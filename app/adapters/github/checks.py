"""The checks of a commit."""

from app.adapters.github.address import repo_path
from app.adapters.github.api import Api
from app.core.errors import GitHubError
from app.core.pull import Check


class GithubkitChecks:
    """The part of the port `Pulls` that is about checks."""

    def __init__(self, api: Api, repo: str) -> None:
        self._api = api
        self._path = repo_path(repo)

    async def checks(self, sha: str) -> tuple[Check, ...]:
        raise GitHubError("Checks cannot be read yet.", status=501)

    async def check_log(self, check: Check) -> str:
        raise GitHubError("Logs of checks cannot be read yet.", status=501)

    async def rerun(self, check: Check) -> bool:
        raise GitHubError("Checks cannot be run again yet.", status=501)
