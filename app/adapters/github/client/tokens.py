"""The App's two ways to authenticate: as itself, by a signed token, and as an installation, by a token GitHub mints.

githubkit's own `AppAuthStrategy` parses the key each time (34 ms), mints for each concurrent call, never again on 401.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from githubkit import GitHubCore
from githubkit.auth import BaseAuthStrategy
from pydantic import SecretStr

from app.adapters.github.client.address import repo_path
from app.adapters.github.client.api import Api
from app.adapters.github.client.errors import server_time
from app.adapters.github.client.responses import Anything, InstallationResponse, Token
from app.core.errors import GitHubError, MissingPermission, RepositoryGone, UserError
from app.core.safety.escape import code

log = logging.getLogger(__name__)

WORK: Final = {
    **{"contents": "write", "issues": "write", "pull_requests": "write"},
    **{"checks": "read", "statuses": "read", "actions": "write", "metadata": "read"},
}
_NEWER: Final = frozenset({"checks", "statuses", "actions"})
"""What an installation may lack whose owner has not yet accepted what the App asks for since."""
_LEVELS: Final = {"read": 1, "write": 2, "admin": 3}
WORKFLOWS: Final = {"workflows": "write"}
"""Beside `WORK` where the deployment has it: to bring changes to workflow files that people made."""
READ: Final = {"contents": "read"}
READ_ALL: Final = dict.fromkeys(("contents", "issues", "metadata", "pull_requests", "checks", "statuses"), "read")
SEE: Final = {"metadata": "read"}

_UNSEEN: Final = re.compile(r"does not exist or is not accessible")

_SPARE: Final = timedelta(minutes=2)
_MAX_SKEW_S: Final = 30.0


class AppAuth(BaseAuthStrategy, httpx.Auth):
    """The App itself, for `/app…`
    (https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app).

    Raises:
        UserError: the key is not an RSA key in PEM.
    """

    def __init__(self, app_id: str, private_key: SecretStr) -> None:
        self._app_id = app_id
        try:
            # Files of environment variables hold keys on one line, with \n written out.
            pem = private_key.get_secret_value().replace("\\n", "\n")
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise UserError(
                "The App's private key cannot be read; it is the .pem file from its settings page."
            ) from error
        if not isinstance(key, RSAPrivateKey):
            raise UserError("The App's private key is not an RSA key; GitHub issues no other kind.")
        self._key = key
        self._ahead_s = 0.0

    @property
    def ahead_s(self) -> float:
        """How far GitHub's clock is ahead of ours; 0 unless it refused what was signed by ours."""
        return self._ahead_s

    def get_auth_flow(self, github: GitHubCore[BaseAuthStrategy]) -> httpx.Auth:
        return self

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign; when that is refused and GitHub's clock shows another time than ours, sign by GitHub's."""
        self._sign(request)
        response = yield request
        ahead_s = server_time(response) - time.time()
        if response.status_code == 401 and abs(ahead_s - self._ahead_s) > _MAX_SKEW_S:
            self._ahead_s = ahead_s
            self._sign(request)
            yield request

    def _sign(self, request: httpx.Request) -> None:
        now = datetime.now(UTC) + timedelta(seconds=self._ahead_s)
        # A minute back, as clocks differ; GitHub allows ten in all.
        claims = {"iss": self._app_id, "iat": now - timedelta(minutes=1), "exp": now + timedelta(minutes=8)}
        request.headers["Authorization"] = f"Bearer {jwt.encode(claims, self._key, algorithm='RS256')}"


class Tokens:
    """Mints tokens of one installation for one repository, or for all it has when `repo` is empty.

    An `installation_id` of 0 is looked up first. Newer permissions that were not granted yet are left out from the
    first refusal on: what does not need them goes on.
    """

    def __init__(
        self, app: Api, installation_id: int, repo: str = "", *, optional: Mapping[str, str] | None = None
    ) -> None:
        """`optional` are permissions that are asked for beside `WORK`, and done without where they are not granted."""
        self._optional = optional or {}
        self._app = app
        self._installation_id = installation_id
        self._repo = repo
        self._name = repo.partition("/")[2]
        self._repo_id = 0
        self._lacking: frozenset[str] = frozenset()

    async def mint(self, permissions: Mapping[str, str]) -> Token:
        """Ask for a token that may this, and nothing more.

        Raises:
            GitHubError: never with 404 or 422, which callers would take for an answer about their own request.
        """
        try:
            await self.installation()
            return await self._ask(permissions)
        except GitHubError as error:
            if error.status not in {301, 302, 307, 308, 404, 422} or error.is_passing:
                raise
            if self._repo and (error.status != 422 or _UNSEEN.search(str(error))):
                if await self._find_renamed():
                    return await self.mint(permissions)
                words = f"The App is not installed on {self._repo}, or that is gone or has another name now. {error}"
                raise RepositoryGone(words) from error
            place = self._repo or f"installation {self._installation_id}"
            words = f"The App is not installed on {place}, or lacks a permission there. {error}"
            raise GitHubError(words, status=403) from error

    async def _find_renamed(self) -> bool:
        """Whether the repository was found under another name, by its number, for the first time."""
        if self._repo_id:
            return False
        try:
            self._repo_id = await self._app.find_id(f"{repo_path(self._repo)}/installation")
        except GitHubError as error:
            if error.is_passing:
                raise
        return self._repo_id > 0

    async def installation(self) -> int:
        """The installation's id, looked up when it was not given."""
        if not self._installation_id:
            path = f"{repo_path(self._repo)}/installation"
            self._installation_id = (await self._app.call("GET", path, InstallationResponse)).id
        return self._installation_id

    async def mint_for_work(self) -> Token:
        """A token for all that is done on the repository. Raises as `mint`."""
        return await self.mint({**WORK, **self._optional})

    def may_change_workflows(self) -> bool:
        """Whether tokens for work may write workflow files. Known once one was minted, which the first request does."""
        return "workflows" in self._optional.keys() - self._lacking

    async def of_account(self) -> "Tokens":
        """Tokens of the same installation for all repositories that it has."""
        return Tokens(self._app, await self.installation())

    async def _ask(self, permissions: Mapping[str, str]) -> Token:
        where: dict[str, object] = {"repositories": [self._name]} if self._name else {}
        if self._repo_id:
            where = {"repository_ids": [self._repo_id]}
        wanted = {name: level for name, level in permissions.items() if name not in self._lacking}
        path = f"/app/installations/{self._installation_id}"
        try:
            return await self._app.call("POST", f"{path}/access_tokens", Token, body={**where, "permissions": wanted})
        except GitHubError as error:
            if error.status != 422 or "not granted" not in str(error):
                raise
            found = await self._app.call("GET", path, InstallationResponse)
            lacking = frozenset(name for name in wanted if not _holds(found, name, wanted[name]))
            if not lacking:
                raise
            if needed := sorted(lacking - _NEWER - self._optional.keys()):
                raise _missing(found, {name: wanted[name] for name in needed}) from error
        self._lacking |= lacking
        told = {"installation": found.id, "lacking": ", ".join(sorted(lacking)), "accept_at": found.html_url}
        log.warning("permissions not granted", extra=told)
        return await self._ask(wanted)


def _missing(installation: InstallationResponse, permissions: Mapping[str, str]) -> MissingPermission:
    account = installation.account.login if installation.account else f"installation {installation.id}"
    words = ", ".join(f"{name}: {level}" for name, level in permissions.items())
    accept = f" at {installation.html_url}" if installation.html_url else ""
    return MissingPermission(
        f"The App lacks the permission {code(words)} on {account}. The App's owner adds it on the App's settings page "
        f"(Permissions & events), then an owner of {account} accepts it{accept}."
    )


def _holds(installation: InstallationResponse, permission: str, level: str) -> bool:
    return _LEVELS.get(installation.permissions.get(permission, ""), 0) >= _LEVELS[level]


class InstallationAuth(BaseAuthStrategy, httpx.Auth):
    """The installation: its token is minted when needed, by one caller at a time, and once more when it is refused."""

    def __init__(self, tokens: Tokens, permissions: Mapping[str, str] | None = None) -> None:
        """Without `permissions`, those for work."""
        self._tokens = tokens
        self._permissions = permissions
        self._lock = asyncio.Lock()
        self._token: Token | None = None

    def get_auth_flow(self, github: GitHubCore[BaseAuthStrategy]) -> httpx.Auth:
        return self

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._good()
        request.headers["Authorization"] = f"Bearer {token.token.get_secret_value()}"
        response = yield request
        if response.status_code == 401:
            token = await self._good(refused=token)
            request.headers["Authorization"] = f"Bearer {token.token.get_secret_value()}"
            yield request

    async def _good(self, refused: Token | None = None) -> Token:
        async with self._lock:
            token = self._token
            if token is None or token is refused or token.expires_at - _SPARE < datetime.now(UTC):
                mint = (
                    self._tokens.mint_for_work() if self._permissions is None else self._tokens.mint(self._permissions)
                )
                token = self._token = await mint
            return token


async def give_back(api: Api) -> None:
    """End the token that this client uses."""
    try:
        await api.call("DELETE", "/installation/token", Anything)
    except GitHubError as error:
        log.warning("token not given back, it ends within an hour", extra={"reason": str(error)})
