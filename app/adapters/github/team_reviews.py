"""Asking teams for a review: the one request that needs a token which is not limited to a repository.

A team belongs to the organization, so GitHub shows it to a token with `members: read` on the whole installation only;
to any other it answers 422, `Could not resolve to a node with the global id of …`. The token is minted for the one
request, may do nothing but this, and is given back at once.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from app.adapters.github.client.address import repo_path
from app.adapters.github.client.api import Api, ApiConnection
from app.adapters.github.client.responses import Anything
from app.adapters.github.client.tokens import InstallationAuth, Tokens, give_back
from app.adapters.github.client.write_limits import WriteLimiter
from app.core.errors import GitHubError
from app.core.safety.escape import code

TEAMS: Final = {"members": "read", "metadata": "read", "pull_requests": "write"}


class Teams:
    """The teams of the account that one repository belongs to."""

    def __init__(self, connection: ApiConnection, tokens: Tokens, repo: str, pace: WriteLimiter | None) -> None:
        """`tokens` are the repository's."""
        self._connection = connection
        self._tokens = tokens
        self._repo = repo
        self._pace = pace

    async def request_reviews(self, number: int, teams: Sequence[str]) -> None:
        """Ask these teams (`owner/team`). Repeatable.

        Raises:
            PermissionMissing: the App may not see them.
            GitHubError: 422, one of them may not review here.
        """
        owner = self._repo.partition("/")[0]
        foreign = [team for team in teams if team.partition("/")[0].casefold() != owner.casefold()]
        if foreign:
            raise GitHubError(f"{code(foreign[0])} is not a team of {code(owner)}.", status=422)
        path = f"{repo_path(self._repo)}/pulls/{number}/requested_reviewers"
        body = {"team_reviewers": [team.partition("/")[2] for team in teams]}
        async with self._open() as api:
            await api.call("POST", path, Anything, body=body)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Api]:
        auth = InstallationAuth(await self._tokens.of_account(), TEAMS)
        async with self._connection.open(auth, self._pace, self._repo) as api:
            yield api
            await give_back(api)
