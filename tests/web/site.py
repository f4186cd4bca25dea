"""The web process over stores in memory, as a test asks it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import GitHubError, StoreError
from app.core.policy.authorization import Role
from app.core.ports.store import Page
from app.core.run.job import Person
from app.core.run.links import key_of
from app.core.run.run import Run, Status
from app.web.app import WebOptions, create_app
from app.web.auth import Access, digest_of
from tests.web.sample import T0

SECRET = SecretStr("a secret for links")
TOKEN = "the-operator's-token"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


class HandClock:
    """`ports.Clock` that stands still until it is told."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.passed_s += seconds


class Shelf(MemoryStore):
    """A store that can be taken away, or freeze."""

    is_away = False
    is_frozen = False

    async def load(self, job_id: str) -> Run | None:
        self._ask()
        return await super().load(job_id)

    async def list(self, *, repo: str = "", status: Status | None = None, cursor: str = "", limit: int = 50) -> Page:
        self._ask()
        return await super().list(repo=repo, status=status, cursor=cursor, limit=limit)

    async def ping(self) -> None:
        self._ask()
        if self.is_frozen:
            await asyncio.Event().wait()

    def _ask(self) -> None:
        if self.is_away:
            raise StoreError("Redis does not answer.")


class GitHubUsers:
    """What GitHub would say of a user token; `asked` counts how often it was asked."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self.roles = roles
        self.asked = 0

    async def role(self, token: SecretStr, repo: str) -> tuple[Person, Role] | None:
        self.asked += 1
        login = token.get_secret_value()
        if login not in self.roles:
            return None
        person = Person(login, 1 + list(self.roles).index(login))
        return person, self.roles[login] if repo == "acme/greeter" else Role.NONE

    async def head(self, token: SecretStr, repo: str, branch: str) -> str | None:
        if token.get_secret_value() == "reader":
            raise GitHubError("Resource not accessible by personal access token", status=403)
        return "5f" * 20 if branch == "feature/x" else None


class Site:
    """`ask` sends a request as nobody; pass `OPERATOR`, `bearer(…)` or a key to be somebody."""

    def __init__(self, options: WebOptions | None = None) -> None:
        self.store = Shelf()
        self.queue = MemoryQueue(self.store)
        self.clock = HandClock()
        self.users = GitHubUsers({"ada": Role.READ, "reader": Role.READ, "writer": Role.WRITE, "stranger": Role.NONE})
        self.access = Access(self.clock, SECRET, digest_of(SecretStr(TOKEN)), self.users.role, self.users.head)
        self.app: ASGIApp = create_app(
            queue=self.queue, store=self.store, clock=self.clock, access=self.access, options=options or WebOptions()
        )

    async def has(self, *runs: Run) -> None:
        for run in runs:
            await self.queue.put(run)

    async def begins(self, run: Run) -> Run:
        """Store a run as its first worker holds it."""
        await self.queue.put(replace(run, attempt=0))
        held = await self.store.acquire(run.id, worker="test", ttl_s=600)
        assert held is not None
        return held

    async def ask(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", **body: object
    ) -> httpx.Response:
        async with client_of(self.app) as client:
            return await client.request(method, path, headers=dict(headers or {}), **body)  # type: ignore[arg-type]

    async def read(self, path: str, method: str = "GET", **body: object) -> httpx.Response:
        """Ask as the operator."""
        return await self.ask(path, OPERATOR, method=method, **body)


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bot")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def key(run: Run) -> str:
    return f"?key={key_of(SECRET, run.id)}"


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The app behind a real server; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=5))
        serving = asyncio.create_task(server.serve(sockets=[door]))
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
