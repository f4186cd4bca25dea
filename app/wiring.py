"""Settings to ports: the only place that knows which adapter stands behind which port.

Adapters are imported where they are opened, so that the web process never loads githubkit, openai or e2b.
"""

import logging
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from app.core.conversation import Usage
from app.core.errors import StoreError, UserError
from app.core.ports.bundle import Ports
from app.core.ports.clock import Clock
from app.core.ports.github import GitHubApp
from app.core.ports.model import Model
from app.core.ports.parsers import Parsers
from app.core.ports.queue import ConcurrencyLimits, Queue
from app.core.ports.repos import Repos
from app.core.ports.sandbox import SandboxProvider
from app.core.ports.store import Store
from app.core.run.links import setup_url
from app.core.safety.redact import Redactor
from app.manifest import load_manifest
from app.settings import APP_FILE, Settings, check_may_keep, keep_app

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from starlette.applications import Starlette

    from app.adapters.disk import DiskRoom
    from app.adapters.github.app import GithubkitApp
    from app.adapters.github.client.retry import Retry
    from app.adapters.github.client.write_limits import SharedTurns
    from app.adapters.parsers.confined import ConfinedParsers
    from app.adapters.redis.worker import QueueWorker
    from app.web.setup import SetupOptions


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Records:
    """What web and worker share: the queue and the store, over one Redis. `redis_url` is where it is."""

    queue: Queue
    store: Store
    redis_url: str


def deployment(settings: Settings) -> str:
    """A name for this deployment, so that two which share an account leave each other's sandboxes alone."""
    return f"vibecoder {urlsplit(settings.github_url).hostname} {settings.github_app_id}".strip()


def clock() -> Clock:
    from app.adapters.clock import SystemClock

    return SystemClock()


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[Records]:
    """Connect to `REDIS_URL`, or start the embedded Redis (or join the one that runs) in `DATA_DIR`."""
    from app.adapters.redis.connection import open_redis
    from app.adapters.redis.queue import ArqQueue
    from app.adapters.redis.store import RedisStore

    async with AsyncExitStack() as stack:
        url = settings.redis_url
        if not url:
            from app.adapters.redis.embedded import EmbeddedRedis

            url = (await stack.enter_async_context(EmbeddedRedis(settings.data_dir / "redis"))).url
        redis = await stack.enter_async_context(open_redis(url))
        await _warn_of_forgetting(redis)
        queue = ArqQueue(redis, keep_days=settings.keep_days, caps=_caps(settings))
        yield Records(queue, RedisStore(redis, keep_days=settings.keep_days), url)


def _caps(settings: Settings) -> ConcurrencyLimits:
    return ConcurrencyLimits(settings.runs_per_repo, settings.runs_per_installation, settings.max_sandboxes)


async def _warn_of_forgetting(redis: "Redis") -> None:
    """Say at start when this Redis would lose what it was given. One that is away is no reason not to start."""
    from app.adapters.redis.persistence import check_persistence

    try:
        for sentence in await check_persistence(redis):
            log.warning("%s", sentence)
    except StoreError as error:
        log.warning("Redis could not be asked whether it keeps what it is given: %s", error)


async def examine_redis(url: str) -> tuple[str, tuple[str, ...]]:
    """What answers there, once it took and gave back a word; and what is to be mended in how it is set up."""
    from app.adapters.redis.connection import open_redis
    from app.adapters.redis.persistence import check_persistence, try_out

    async with open_redis(url) as redis:
        return await try_out(redis), await check_persistence(redis)


@asynccontextmanager
async def open_web(
    settings: Settings, records: Records, *, is_closing: Callable[[], bool]
) -> AsyncIterator["Starlette"]:
    """The web process's application. Without a webhook secret there is no webhook yet, only the App's set-up."""
    from app.adapters.github.users import Accounts
    from app.web.app import WebOptions, create_app
    from app.web.auth import Access, digest_of

    link_secret = settings.page_secret
    setup = None
    if not settings.webhook_secrets:
        if settings.github_app_id:
            raise UserError(
                "GITHUB_WEBHOOK_SECRET is needed: it is in the settings of the App that GITHUB_APP_ID names."
            )
        link_secret = SecretStr(secrets.token_hex(32))
        setup = setup_options(settings)
        link = setup_url(settings.public_address, link_secret)
        sys.stderr.write(f"There is no GitHub App yet. Make it here, then start again:\n  {link}\n")
    async with aclosing(Accounts(settings.github_url)) as accounts:
        token = settings.api_token.get_secret_value()
        access = Access(
            clock(), link_secret, digest_of(settings.api_token) if token else "", accounts.role, accounts.head
        )
        yield create_app(
            queue=records.queue,
            store=records.store,
            clock=clock(),
            access=access,
            options=WebOptions(
                webhook_secrets=settings.webhook_secrets,
                label=settings.label,
                jobs_per_minute=settings.jobs_per_minute,
                public_url=settings.public_address,
                github_url=settings.github_url,
                redact=Redactor(settings.secrets).redact,
                is_closing=is_closing,
                setup=setup,
            ),
        )


def setup_options(settings: Settings, also: Mapping[str, str] | None = None) -> "SetupOptions":
    """How the set-up page makes the App, from `app.yml`. `also` are variables to keep beside its keys.

    Raises:
        UserError: the keys could not be kept.
    """
    from app.adapters.github.client.address import api_url
    from app.web.setup import SetupOptions

    check_may_keep(settings)
    return SetupOptions(
        manifest=load_manifest(),
        save=lambda made: keep_app(settings, {**made.variables, **(also or {})}),
        is_configured=(settings.data_dir / APP_FILE).exists,
        api_url=api_url(settings.github_url),
    )


def disk_room(settings: Settings) -> "DiskRoom":
    """Whether this worker's disk has room for runs."""
    from app.adapters.disk import DiskRoom

    with suppress(OSError):  # what is wrong is told whenever somebody looks
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    return DiskRoom(settings.data_dir.resolve(), settings.min_free_disk_mb)


def open_worker(settings: Settings, records: Records, carry_out: Callable[[str], Awaitable[None]]) -> "QueueWorker":
    """The queue's other end: it awaits `carry_out(job_id)` for each job. Signals are the caller's."""
    from app.adapters.redis.worker import open_queue_worker

    worker = open_queue_worker(
        records.redis_url,
        carry_out,
        max_jobs=settings.worker_runs,
        job_timeout_s=settings.job_timeout_minutes * 60,
        drain_s=round(settings.drain_seconds),
        handle_signals=False,
    )
    worker.caps = _caps(settings)
    worker.why_no_room = disk_room(settings).why_none_to_begin
    return worker


@asynccontextmanager
async def open_ports(settings: Settings, records: Records, retry: "Retry | None" = None) -> AsyncIterator[Ports]:
    """Everything a worker needs. `retry` decides what is asked of GitHub again, and when."""
    from app.adapters.git.repos import GitRepos

    async with AsyncExitStack() as stack:
        server = settings.github_url.rstrip("/")
        github = github_app(settings, turns=records.store.take_turn, retry=retry)
        model = await stack.enter_async_context(open_model(settings))
        parsers = await stack.enter_async_context(open_parsers())
        repos = GitRepos(settings.data_dir / "repos", url=lambda repo: f"{server}/{repo}.git")
        yield assemble(settings, records, github=github, model=model, repos=repos, parsers=parsers)


def assemble(
    settings: Settings, records: Records, *, github: GitHubApp, model: Model, repos: Repos, parsers: Parsers
) -> Ports:
    """Put the ports together with the deployment's sandbox and secrets."""
    return Ports(
        clock=clock(),
        github=github,
        sandboxes=open_sandboxes(settings),
        model=model,
        queue=records.queue,
        store=records.store,
        repos=repos,
        parsers=parsers,
        secrets=settings.secrets,
    )


def github_app(settings: Settings, turns: "SharedTurns | None" = None, retry: "Retry | None" = None) -> "GithubkitApp":
    """The App; `turns` count its writes over all workers.

    Raises:
        UserError: its id or key is missing, or the key cannot be read.
    """
    from app.adapters.github.app import GithubkitApp
    from app.adapters.github.client.address import is_cloud
    from app.adapters.github.client.tokens import WORKFLOWS
    from app.adapters.github.client.write_limits import shared_write_limiter

    if not settings.github_app_id or not settings.github_private_key.get_secret_value():
        raise UserError(
            "GITHUB_APP_ID and GITHUB_PRIVATE_KEY (or GITHUB_PRIVATE_KEY_FILE) are needed by the worker. "
            "Is there no GitHub App yet? `vibecoder setup` makes it."
        )
    pace = partial(shared_write_limiter, turns) if turns is not None and is_cloud(settings.github_url) else None
    app = GithubkitApp(
        settings.github_app_id, settings.github_private_key, server_url=settings.github_url, pace=pace, retry=retry
    )
    if settings.workflows_permission:
        app.optional = WORKFLOWS
    return app


def open_model(settings: Settings) -> AbstractAsyncContextManager[Model]:
    """The deployment's model. Raises `UserError` when it has no key and no server."""
    from app.adapters.model.chat import ChatModel
    from app.adapters.model.responses import ResponsesModel

    base_url = settings.openai_base_url or None
    if not settings.openai_api_key.get_secret_value() and base_url is None:
        raise UserError("OPENAI_API_KEY is needed, or OPENAI_BASE_URL for a server that takes none.")
    api = settings.model_api
    if api == "auto":
        api = "responses" if base_url is None or urlsplit(base_url).hostname == "api.openai.com" else "chat"
    kind = ResponsesModel if api == "responses" else ChatModel
    effort = settings.model_effort or None
    return kind(settings.openai_api_key, model=settings.model, base_url=base_url, effort=effort)


@asynccontextmanager
async def open_parsers() -> AsyncIterator["ConfinedParsers"]:
    """The parsers, in a process without secrets that is started when it is first needed."""
    from app.adapters.parsers.confined import ConfinedParsers

    async with aclosing(ConfinedParsers()) as parsers:
        yield parsers


def open_sandboxes(settings: Settings) -> SandboxProvider:
    """The deployment's sandboxes: E2B, or bubblewrap on this machine.

    Raises:
        UserError: sandboxes on this machine would show the deployment's keys or data.
    """
    kind = settings.sandbox
    if kind == "auto":
        kind = "e2b" if settings.e2b_api_key.get_secret_value() else "local"
    if kind == "e2b":
        from app.adapters.sandbox.e2b.sandboxes import E2BSandboxes

        return E2BSandboxes(
            settings.e2b_api_key,
            template=settings.e2b_template,
            api_url=settings.e2b_api_url or None,
            sandbox_url=settings.e2b_sandbox_url or None,
            domain=settings.e2b_domain or None,
            owner=deployment(settings),
        )
    from app.adapters.sandbox.local.exposure import exposed
    from app.adapters.sandbox.local.sandboxes import LocalSandboxes
    from app.adapters.sandbox.local.toolchains import host_toolchains

    tools = host_toolchains(settings.path, Path.home())
    if kind == "local" and (refusal := exposed(tools, _protected(settings), Path.home())):
        raise UserError(refusal)
    return LocalSandboxes(
        (settings.data_dir / "sandboxes").resolve(),
        isolation=kind != "unisolated",
        tools=tools,
        share_network=settings.sandbox_share_network,
    )


def _protected(settings: Settings) -> dict[Path, str]:
    """The paths that hold the deployment's keys and data, each with how to keep it out of sandboxes."""
    data = settings.data_dir
    found = {data: "Set DATA_DIR to a folder elsewhere, such as /var/lib/vibecoder"}
    found[data / "redis" / "socket"] = "Set DATA_DIR to a shorter path"
    redis = urlsplit(settings.redis_url)
    if redis.scheme == "unix":
        found[Path(unquote(redis.path))] = "Let Redis listen elsewhere, such as in /run"
    found |= dict.fromkeys(settings.secret_files, "Move it, such as to /run/secrets")
    files = (path for folder in (Path(), Path(__file__).parents[1]) for path in folder.absolute().glob(".env*"))
    return found | dict.fromkeys(files, "Move it, such as to /etc/vibecoder.env")


def price_of(model: str, usage: Usage) -> float | None:
    """What these tokens cost in dollars at OpenAI; None when the price is not known. Blocks for half a second."""
    from app.adapters.model.client import OPENAI_URL
    from app.adapters.model.prices import price

    return price(model, usage, OPENAI_URL)


def why_not_isolated() -> str:
    """Why this machine cannot isolate commands, and the fix; empty when it can."""
    from app.adapters.sandbox.local.sandboxes import LocalSandboxes

    return LocalSandboxes.probe()


def why_unfiltered() -> str:
    """What is missing when local sandboxes' system calls are not filtered on this machine; empty when they are."""
    from app.adapters.sandbox.local.sandboxes import LocalSandboxes

    return LocalSandboxes.why_unfiltered()


@asynccontextmanager
async def open_local(settings: Settings, repository: Path) -> AsyncIterator[tuple[Ports, Records]]:
    """Everything for one run on a local repository: no GitHub, no Redis, nothing kept.

    Raises:
        UserError: it is no git repository, or no model is set.
    """
    from app.adapters.git.repos import GitRepos
    from app.adapters.git.worktree import LocalRepository
    from app.adapters.memory import MemoryQueue, MemoryStore

    store = MemoryStore()
    records = Records(MemoryQueue(store), store, "")
    local = LocalRepository(repository)
    repos = GitRepos(settings.data_dir / "repos", url=lambda _: str(local.source))
    async with open_model(settings) as model, open_parsers() as parsers:
        yield assemble(settings, records, github=local, model=model, repos=repos, parsers=parsers), records
