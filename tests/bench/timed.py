"""Ports that note how long each call took, in front of the real ones."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, cast

from app.core.delivery import DeliveryAttempt
from app.core.machine import SandboxInfo
from app.core.ports import GitHub, GitHubApp, Model, Ports, Repos, Sandbox, SandboxProvider
from app.core.records import Store

Times = defaultdict[str, list[float]]
"""Seconds of each call, by `port.method`."""


class _Timed:
    """Stands for any port."""

    def __init__(self, inner: object, port: str, times: Times) -> None:
        self._inner = inner
        self._port = port
        self._times = times

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not iscoroutinefunction(found):
            return found

        async def call(*args: object, **kwargs: object) -> object:
            began = perf_counter()
            try:
                return await found(*args, **kwargs)
            finally:
                self._times[f"{self._port}.{name}"].append(perf_counter() - began)

        return call


@dataclass(frozen=True, slots=True)
class _Sandboxes:
    inner: SandboxProvider
    times: Times

    async def create(self, *, key: str, metadata: Mapping[str, str], timeout_s: float) -> Sandbox:
        made = await self.inner.create(key=key, metadata=metadata, timeout_s=timeout_s)
        return cast(Sandbox, _Timed(made, "sandbox", self.times))

    async def reconnect(self, sandbox_id: str) -> Sandbox:
        return cast(Sandbox, _Timed(await self.inner.reconnect(sandbox_id), "sandbox", self.times))

    async def list(self) -> tuple[SandboxInfo, ...]:
        return await self.inner.list()

    async def kill(self, sandbox_id: str) -> bool:
        return await self.inner.kill(sandbox_id)


@dataclass(frozen=True, slots=True)
class _App:
    inner: GitHubApp
    times: Times

    @asynccontextmanager
    async def open(self, installation_id: int, repo: str) -> AsyncIterator[GitHub]:
        async with self.inner.open(installation_id, repo) as github:
            yield cast(GitHub, _Timed(github, "github", self.times))

    async def repositories(self) -> tuple[tuple[int, str], ...]:
        return await self.inner.repositories()

    async def deliveries(self, since: datetime) -> tuple[DeliveryAttempt, ...]:
        return await self.inner.deliveries(since)

    async def redeliver(self, attempt_id: int) -> None:
        await self.inner.redeliver(attempt_id)


def timed(ports: Ports, times: Times) -> Ports:
    """The same ports, and every call to sandbox, GitHub, model, store and repositories noted."""
    return replace(
        ports,
        github=_App(ports.github, times),
        sandboxes=_Sandboxes(ports.sandboxes, times),
        model=cast(Model, _Timed(ports.model, "model", times)),
        store=cast(Store, _Timed(ports.store, "store", times)),
        repos=cast(Repos, _Timed(ports.repos, "repos", times)),
    )
