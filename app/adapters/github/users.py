"""Who a GitHub user token belongs to and what that person may, for the status API.

The web process asks this, so no githubkit (25 MiB), and httpx (10 MiB) only from the first question on.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from pydantic import BaseModel, SecretStr

from app.adapters.github.client.address import HEADERS, USER_AGENT, api_url, is_repo, path_part, repo_path
from app.adapters.github.client.errors import read_error
from app.adapters.github.client.responses import AccountResponse, Ref, RepositoryResponse
from app.adapters.tls import tls_context
from app.core.errors import GitHubError
from app.core.policy.authorization import Role
from app.core.run.job import Person

if TYPE_CHECKING:
    import httpx

A = TypeVar("A", bound=BaseModel)
Standing: TypeAlias = tuple[Person, Role] | None

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,1000}")


class Accounts:
    """Asks GitHub in the user's own name, each time: a right that was taken away is gone at once."""

    def __init__(self, server_url: str = "https://github.com", timeout_s: float = 10.0) -> None:
        self._base_url = api_url(server_url)
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def role(self, token: SecretStr, repo: str) -> Standing:
        """The token's owner and their role on the repository; None when the token is no person's or not valid.

        Raises:
            GitHubError: GitHub is away, or its rate limit for this token is used up.
        """
        secret = token.get_secret_value()
        if not _TOKEN.fullmatch(secret):
            return None
        async with self._asking("GitHub did not say in time whose token this is.") as client:
            account = await _see(client, "/user", AccountResponse, secret)
            if account is None:
                return None
            repository = await _see(client, repo_path(repo), RepositoryResponse, secret) if is_repo(repo) else None
        return Person(account.login, account.id), Role.NONE if repository is None else repository.role

    async def head(self, token: SecretStr, repo: str, branch: str) -> str | None:
        """The sha at a branch's head, None when there is no such branch.

        Raises:
            GitHubError: GitHub is away; 401 or 403 when this token may not read the repository's contents.
        """
        path = f"{repo_path(repo)}/git/ref/heads/{path_part(branch)}"
        async with self._asking("GitHub did not say in time where this branch stands.") as client:
            try:
                return (await _read(client, path, Ref, token.get_secret_value())).object.sha
            except GitHubError as error:
                if error.status != 404:
                    raise
                return None

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    @asynccontextmanager
    async def _asking(self, when_late: str) -> AsyncIterator["httpx.AsyncClient"]:
        """The client, for some requests in a row.

        Raises:
            GitHubError: with these words, when GitHub is late or away.
        """
        import httpx  # noqa: PLC0415

        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self._base_url,
                headers={**HEADERS, "User-Agent": USER_AGENT},
                timeout=self._timeout_s,
                verify=tls_context(),
                follow_redirects=True,
            )
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                yield self._client
        except (TimeoutError, httpx.HTTPError) as error:
            raise GitHubError(when_late) from error


async def _see(client: "httpx.AsyncClient", path: str, answer: type[A], secret: str) -> A | None:
    """The answer, None when this token may not see it."""
    try:
        return await _read(client, path, answer, secret)
    except GitHubError as error:
        if error.status in {401, 403, 404} and error.retry_after_s is None:
            return None
        raise


async def _read(client: "httpx.AsyncClient", path: str, answer: type[A], secret: str) -> A:
    response = await client.get(path, headers={"Authorization": f"Bearer {secret}"})
    if not response.is_success:
        raise read_error(f"GET {path}", response)
    try:
        return answer.model_validate_json(response.content)
    except ValueError as error:
        raise GitHubError(f"GitHub's answer to GET {path} cannot be read.") from error
