"""The App on GitHub or on an Enterprise Server, by way of githubkit."""

import logging
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from app.adapters.github.client.address import api_url, is_cloud, repo_path
from app.adapters.github.client.api import PER_PAGE, Api, ApiConnection
from app.adapters.github.client.idempotency import or_none
from app.adapters.github.client.meter import Meter
from app.adapters.github.client.responses import (
    Anything,
    Attempt,
    Attempts,
    Content,
    Contents,
    HookConfig,
    Installations,
    Registered,
    Repositories,
)
from app.adapters.github.client.retry import Retry
from app.adapters.github.client.tokens import READ, READ_ALL, SEE, AppAuth, InstallationAuth, Tokens, give_back
from app.adapters.github.client.write_limits import WriteLimiter
from app.adapters.github.reader import GithubkitReader, read_cursor
from app.adapters.github.repository import GithubkitRepository, Reach
from app.adapters.github.team_reviews import Teams
from app.adapters.tls import tls_context
from app.core.inbound.delivery import DeliveryAttempt, LogPage
from app.core.policy.rate_allowance import Allowance
from app.core.ports.github import GitHub, Listing, Reader
from app.core.ports.registration import AppInfo, HookInfo, InstallationInfo

_DELIVERIES: Final = "/app/hook/deliveries"

log = logging.getLogger(__name__)


class GithubkitApp:
    """Implements `GitHubApp` and `Registration`.

    `timeout_s` bounds each wait for GitHub; a call with its repeats ends within six of them.

    `pace` makes the limiter of an installation's writes; by default there is one where GitHub has limits.

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
        pace: Callable[[int], WriteLimiter] | None = None,
    ) -> None:
        self.optional: Mapping[str, str] = {}
        """Permissions that are used, beside those that all work takes, where an installation has granted them."""
        self._app_id = app_id
        self._server_url = server_url.rstrip("/")
        self._auth = AppAuth(app_id, private_key)
        self._connection = ApiConnection(api_url(server_url), timeout_s, retry or Retry(), tls_context())
        self._new_pace = pace or ((lambda _: WriteLimiter()) if is_cloud(server_url) else None)
        self._paces: dict[int, WriteLimiter] = {}

    @asynccontextmanager
    async def open(self, installation_id: int, repo: str, *, unsure_s: float = 0.0) -> AsyncIterator[GitHub]:
        """Open one repository. No request is sent until the first call."""
        pace = self._pace(installation_id)
        async with self._connection.open(self._auth) as app:
            tokens = Tokens(app, installation_id, repo, optional=self.optional)
            async with self._connection.open(InstallationAuth(tokens), pace, repo) as api:
                visibility = self._connection.retry.visibility(unsure_s)
                reach = Reach(api, app, tokens, Teams(self._connection, tokens, repo, pace))
                yield GithubkitRepository(repo, app_id=self._app_id, reach=reach, visibility=visibility)

    @asynccontextmanager
    async def read(self, installation_id: int, allowance: Allowance) -> AsyncIterator[Reader]:
        """Open all that an installation has, for reading. See the port."""
        meter = Meter(allowance)
        async with self._connection.open(self._auth) as app:
            tokens = Tokens(app, installation_id)
            async with self._connection.open(InstallationAuth(tokens, READ_ALL), meter=meter) as api:
                yield GithubkitReader(api, meter, partial(self._readable, api, app, tokens))
                if meter.sent:
                    await give_back(api)

    def _readable(self, api: Api, app: Api, tokens: Tokens, repo: str) -> GitHub:
        reach = Reach(api.of(repo), app, tokens, Teams(self._connection, tokens, repo, None))
        visibility = self._connection.retry.visibility(0.0)
        return GithubkitRepository(repo, app_id=self._app_id, reach=reach, visibility=visibility)

    async def installed(self, cursor: str = "") -> Listing[int]:
        """A page of installations. See the port."""
        async with self._connection.open(self._auth) as app:
            page, following = await app.page("/app/installations", Installations, read_cursor(cursor))
        active = tuple(each.id for each in page.root if each.suspended_at is None)
        return Listing(active, urlencode(following))

    async def delivery_log(self, cursor: str = "") -> LogPage:
        """A page of the log. See the port."""
        async with self._connection.open(self._auth) as app:
            page, following = await app.page(_DELIVERIES, Attempts, {"cursor": cursor} if cursor else None)
        return LogPage(tuple(map(_attempt, page.root)), str(following.get("cursor", "")))

    async def deliveries(self, since: datetime) -> tuple[DeliveryAttempt, ...]:
        """The log, page by page. See the port."""
        found: list[DeliveryAttempt] = []
        async with self._connection.open(self._auth) as app:
            async for page in app.pages(_DELIVERIES, Attempts):
                found += [_attempt(line) for line in page.root if line.delivered_at >= since]
                if any(line.delivered_at < since for line in page.root):
                    break
        return tuple(found)

    async def about(self) -> AppInfo:
        """Itself. See `Registration`."""
        async with self._connection.open(self._auth) as app:
            found = await app.call("GET", "/app", Registered)
        owner = found.owner
        path = f"/organizations/{owner.login}" if owner is not None and owner.type == "Organization" else ""
        settings_url = f"{self._server_url}{path}/settings/apps/{found.slug}"
        slug = found.slug or ""
        return AppInfo(slug, found.html_url, settings_url, found.permissions, found.events, self._auth.ahead_s)

    async def installations(self) -> tuple[InstallationInfo, ...]:
        """See `Registration`."""
        async with self._connection.open(self._auth) as app:
            found = [each async for page in app.pages("/app/installations", Installations) for each in page.root]
        return tuple(
            InstallationInfo(
                each.id,
                each.account.login if each.account else str(each.id),
                each.html_url,
                each.suspended_at is not None,
                each.permissions,
                each.events,
            )
            for each in found
        )

    async def try_token(self, installation_id: int) -> int:
        """See `Registration`."""
        async with (
            self._connection.open(self._auth) as app,
            self._connection.open(InstallationAuth(Tokens(app, installation_id), SEE)) as api,
        ):
            count = (await api.call("GET", "/installation/repositories", Repositories)).total_count
            await api.call("DELETE", "/installation/token", Anything)
        return count

    async def files(self, installation_id: int, path: str, *, most: int) -> Mapping[str, bytes]:
        """See `Registration`."""
        found: dict[str, bytes] = {}
        async with (
            self._connection.open(self._auth) as app,
            self._connection.open(InstallationAuth(Tokens(app, installation_id), {**SEE, **READ})) as api,
        ):
            pages = api.pages("/installation/repositories", Repositories, max_pages=-(-most // PER_PAGE))
            names = [repo.full_name async for page in pages for repo in page.repositories]
            for name in names[:most]:
                data = await or_none(api.call("GET", f"{repo_path(name)}/contents/{quote(path)}", Contents))
                if data is not None and isinstance(data.root, Content) and data.root.encoding == "base64":
                    found[name] = b64decode(data.root.content)
            await api.call("DELETE", "/installation/token", Anything)
        return found

    async def hook(self) -> HookInfo:
        """See `Registration`."""
        async with self._connection.open(self._auth) as app:
            found = await app.call("GET", "/app/hook/config", HookConfig)
        return HookInfo(found.url, found.content_type, str(found.insecure_ssl) == "0")

    async def redeliver(self, attempt_id: int) -> None:
        """Ask for it. See the port."""
        async with self._connection.open(self._auth) as app:
            await app.call("POST", f"{_DELIVERIES}/{attempt_id}/attempts", Anything)

    def _pace(self, installation_id: int) -> WriteLimiter | None:
        """The installation's limiter. Those that would hold nothing back are forgotten first."""
        if self._new_pace is None:
            return None
        self._paces = {key: pace for key, pace in self._paces.items() if not pace.is_idle}
        if installation_id not in self._paces:
            self._paces[installation_id] = self._new_pace(installation_id)
        return self._paces[installation_id]


def _attempt(line: Attempt) -> DeliveryAttempt:
    action = line.action or ""
    return DeliveryAttempt(
        line.id, line.guid, line.event, action, line.delivered_at, line.status_code, is_redelivery=line.redelivery
    )
