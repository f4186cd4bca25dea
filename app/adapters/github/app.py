"""The App on GitHub or on an Enterprise Server, by way of githubkit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from pydantic import SecretStr

from app.adapters.github.address import api_url
from app.adapters.github.api import Connection
from app.adapters.github.repository import GithubkitRepository
from app.adapters.github.retry import Retry
from app.adapters.github.tokens import AppAuth, InstallationAuth, Tokens
from app.core.ports import GitHub


class GithubkitApp:
    """Implements `GitHubApp`. `timeout_s` bounds each wait for GitHub; a call with its repeats ends within six of them.

    Raises:
        UserError: the private key is not an RSA key in PEM.
    """

    def __init__(
        self,
        app_id: str,
        private_key: SecretStr,
        *,
        server_url: str = "https://github.com",
        timeout_s: float = 15.0,
        retry: Retry | None = None,
    ) -> None:
        self._app_id = app_id
        self._auth = AppAuth(app_id, private_key)
        self._connection = Connection(api_url(server_url), timeout_s, retry or Retry(), httpx.create_ssl_context())

    @asynccontextmanager
    async def open(self, installation_id: int, repo: str) -> AsyncIterator[GitHub]:
        """Open one repository. No request is sent until the first call, and nothing is kept after the last."""
        async with self._connection.open(self._auth) as app:
            tokens = Tokens(app, installation_id, repo)
            async with self._connection.open(InstallationAuth(tokens)) as api:
                yield GithubkitRepository(repo, app_id=self._app_id, api=api, app=app, tokens=tokens)
