"""Ports that note how long each call took, in front of the real ones."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, cast

from app.core.ports.bundle import Ports
from app.core.ports.github import GitHub, GitHubApp
from app.core.ports.model import Model
from app.core.ports.repos import Repos
from app.core.ports.sandbox import Sandbox, SandboxProvider
from app.core.ports.store import Store

Times = defaultdict[str, list[float]]
"""Seconds of each call, by `port.method`."""


class _Timed:
    """Stands for any port."""

    def __init__(self, inner: Any, port: str, times: Times) -> None:
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


class _Sandboxes(_Timed):
    """The provider; its machines are timed too."""

    async def create(self, *, key: str, metadata: Mapping[str, str], timeout_s: float) -> Sandbox:
        made = await self._inner.create(key=key, metadata=metadata, timeout_s=timeout_s)
        return cast(Sandbox, _Timed(made, "sandbox", self._times))

    async def reconnect(self, sandbox_id: str) -> Sandbox:
        return cast(Sandbox, _Timed(await self._inner.reconnect(sandbox_id), "sandbox", self._times))


class _App(_Timed):
    """The App; the repositories that it opens are timed."""

    @asynccontextmanager
    async def open(self, installation_id: int, repo: str) -> AsyncIterator[GitHub]:
        async with self._inner.open(installation_id, repo) as github:
            yield cast(GitHub, _Timed(github, "github", self._times))


def timed(ports: Ports, times: Times) -> Ports:
    """The same ports, and every call to sandbox, GitHub, model, store and repositories noted."""
    return replace(
        ports,
        github=cast(GitHubApp, _App(ports.github, "github", times)),
        sandboxes=cast(SandboxProvider, _Sandboxes(ports.sandboxes, "sandboxes", times)),
        model=cast(Model, _Timed(ports.model, "model", times)),
        store=cast(Store, _Timed(ports.store, "store", times)),
        repos=cast(Repos, _Timed(ports.repos, "repos", times)),
    )
