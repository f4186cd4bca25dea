"""Where GitHub's API is and how its paths are written; known to both processes, so nothing of githubkit here."""

import re
from typing import Final
from urllib.parse import quote

from app.core.errors import GitHubError

HEADERS: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
"""The version that github.com and every Enterprise Server still in support understand."""

USER_AGENT: Final = "vibecoder"

_REPO: Final = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)


def api_url(server_url: str) -> str:
    """The REST API's base, no slash at its end (https://docs.github.com/en/enterprise-server/rest/quickstart)."""
    return "https://api.github.com" if is_cloud(server_url) else f"{server_url.rstrip('/')}/api/v3"


def is_cloud(server_url: str) -> bool:
    """Whether it is github.com, which limits its callers; an Enterprise Server does not, unless told to."""
    return server_url.rstrip("/") == "https://github.com"


def is_repo(repo: str) -> bool:
    """Whether it reads `owner/name`, with nothing in it that would lead a path elsewhere."""
    return bool(_REPO.fullmatch(repo)) and not {".", ".."} & set(repo.split("/"))


def repo_path(repo: str) -> str:
    """`/repos/{owner}/{name}`.

    Raises:
        GitHubError: with status 404, as it is no repository's name.
    """
    if not is_repo(repo):
        raise GitHubError(f"{repo[:200]!r} is not a repository's name; say owner/name.", status=404)
    return f"/repos/{repo}"


def path_part(value: str) -> str:
    """One segment of a path: a branch's slashes are escaped too, as GitHub's own clients do."""
    return quote(value, safe="")
