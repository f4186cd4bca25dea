"""Checks of this deployment itself: its settings, its Redis, its sandbox."""

import asyncio
import secrets
import stat
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from app import wiring
from app.commands.doctor.finding import Look, Skip, Trouble
from app.core.addresses import can_reach
from app.core.errors import StoreError, UserError
from app.core.ports.sandbox import Network
from app.settings import APP_FILE, Settings, check_may_keep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr

    from app.core.ports.sandbox import Sandbox

MIN_SECRET_CHARS: Final = 20
_SANDBOX_S: Final = 120.0
_FILTER_FIX: Final = "Use another machine, or E2B (SANDBOX=e2b), for code that you do not trust."
_DISK_FIX: Final = "Free space where DATA_DIR is; its repos/ may be deleted while no worker runs."
_REDIS_FIX: Final = (
    "Put it in its redis.conf or your provider's settings; without REDIS_URL, one set up well is embedded."
)


def settings_check(settings: Settings) -> Look:
    """What is missing or weak, as far as nobody else needs to be asked."""

    async def look() -> tuple[str, list[Trouble]]:
        check_may_keep(settings)
        troubles = [*_app(settings), *_model(settings), *_public_url(settings), *_secrets(settings)]
        app = f"App {settings.github_app_id}" if settings.github_app_id else "no App yet"
        return f"{app}, model {settings.model}, {settings.public_address}, data in {settings.data_dir}", troubles

    return look


def _app(settings: Settings) -> list[Trouble]:
    troubles = []
    if not settings.has_app:
        troubles.append(Trouble("There is no GitHub App yet.", "vibecoder setup"))
    elif settings.app_lacks:
        names = ", ".join(settings.app_lacks)
        fix = (
            "They are on the App's settings page on GitHub; `vibecoder setup` makes another App and keeps them itself."
        )
        troubles.append(Trouble(f"Of the App this is missing: {names}.", fix))
    path = settings.data_dir / APP_FILE
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        troubles.append(Trouble(f"Others on this machine may read {path}.", f"chmod 600 {path}", is_warning=True))
    return troubles


def _model(settings: Settings) -> list[Trouble]:
    if settings.openai_api_key.get_secret_value() or settings.openai_base_url:
        return []
    return [Trouble("There is no model.", "Set OPENAI_API_KEY, or OPENAI_BASE_URL for a server that takes no key.")]


def _public_url(settings: Settings) -> list[Trouble]:
    url = settings.public_address
    if not can_reach(settings.github_url, url) or not settings.public_url:
        what = f"GitHub cannot reach {url}, and the links in comments lead there."
        fix = "Set PUBLIC_URL to an address that leads here from outside: a reverse proxy's, or a tunnel's."
        return [Trouble(what, fix, is_warning=True)]
    if urlsplit(url).scheme != "https":
        return [
            Trouble(f"{url} is not encrypted.", "Put HTTPS before it and say https:// in PUBLIC_URL.", is_warning=True)
        ]
    return []


def _secrets(settings: Settings) -> list[Trouble]:
    given = {
        "GITHUB_WEBHOOK_SECRET": settings.github_webhook_secret,
        "GITHUB_WEBHOOK_SECRET_OLD": settings.github_webhook_secret_old,
        "API_TOKEN": settings.api_token,
        "LINK_SECRET": settings.link_secret,
    }
    fix = "Generate a new one, 32 characters or more: openssl rand -hex 32"
    return [
        Trouble(f"{name} is short enough to be guessed.", fix, is_warning=True)
        for name, value in given.items()
        if 0 < len(value.get_secret_value()) < MIN_SECRET_CHARS
    ]


def redis_check(settings: Settings) -> Look:
    """Whether it is there, takes and gives, and keeps what it took."""

    async def look() -> tuple[str, list[Trouble]]:
        async with wiring.open_records(settings) as records:
            name, faults = await wiring.examine_redis(records.redis_url)
        where = "" if settings.redis_url else ", embedded"
        return f"{name}{where}, written and read back", [Trouble(fault, _REDIS_FIX) for fault in faults]

    return look


def workers_check(settings: Settings) -> Look:
    """Which workers are running, and whether they and this machine have room on their disks."""

    async def look() -> tuple[str, list[Trouble]]:
        try:
            async with wiring.open_records(settings) as records:
                workers = await records.queue.workers()
        except (StoreError, UserError) as error:
            raise Skip("Redis cannot be asked") from error
        full = [worker for worker in workers if worker.no_room]
        is_warning = len(full) < len(workers)
        troubles = [Trouble(f"{each.name} takes no runs. {each.no_room}", _DISK_FIX, is_warning) for each in full]
        if not workers and (no_room := wiring.disk_room(settings).why_none_to_begin()):
            troubles = [Trouble(f"A worker on this machine would take no runs. {no_room}", _DISK_FIX)]
        return f"{len(workers)} running", troubles

    return look


def sandbox_check(settings: Settings) -> Look:
    """A machine is made, a command runs in it with nothing of ours in reach, and it is gone afterwards."""

    async def look() -> tuple[str, list[Trouble]]:
        sandboxes = wiring.open_sandboxes(settings)
        began = time.monotonic()
        machine = await sandboxes.create(
            key=f"doctor-{secrets.token_hex(8)}",
            metadata={"deployment": wiring.deployment(settings)},
            timeout_s=_SANDBOX_S,
        )
        try:
            troubles = await _try_out(machine, settings)
        finally:
            await machine.close()
        if any(info.id == machine.id for info in await sandboxes.list()):
            troubles.append(Trouble(f"The sandbox {machine.id} could not be ended.", "End it by hand; it costs."))
        if _kind(settings) == "bubblewrap" and (lack := await asyncio.to_thread(wiring.why_unfiltered)):
            troubles.append(Trouble(lack, _FILTER_FIX, is_warning=True))
        return f"{_kind(settings)}: made, used and ended in {time.monotonic() - began:.1f} s", troubles

    return look


def parsers_check() -> Look:
    """The process that reads hostile text starts and answers, and how it is confined."""

    async def look() -> tuple[str, list[Trouble]]:
        async with wiring.open_parsers() as parsers:
            await parsers.load_json(b"{}")
            if parsers.is_filtered:
                return "read text without environment, files or network, under a seccomp filter", []
        what = "Parsers run with limits and without secrets, but without a seccomp filter."
        fix = "Use Linux on x86_64 or arm64, and a container runtime that allows seccomp."
        return "read text without environment and files", [Trouble(what, fix, is_warning=True)]

    return look


def _kind(settings: Settings) -> str:
    if settings.sandbox == "auto":
        return "E2B" if settings.e2b_api_key.get_secret_value() else "bubblewrap"
    return {"e2b": "E2B", "local": "bubblewrap", "unisolated": "no isolation"}[settings.sandbox]


async def _try_out(machine: "Sandbox", settings: Settings) -> list[Trouble]:
    word = secrets.token_hex(8)
    ran = await machine.exec(["echo", word], timeout_s=20)
    if ran.exit_code != 0 or word not in ran.output:
        return [Trouble(f"`echo` ended with {ran.exit_code}: {ran.output[:200]}", "Look at the sandbox's own logs.")]
    env = (await machine.exec(["env"], timeout_s=20)).output
    troubles = [
        Trouble(f"The sandbox's environment holds a secret of this program: {name}.", "This is a bug; report it.")
        for name in _leaked(env, settings.secrets)
    ]
    if settings.sandbox == "unisolated":
        fix = "Set SANDBOX to local (with bubblewrap installed) or to e2b."
        return [*troubles, Trouble("The agent's commands run as you, WITHOUT any isolation.", fix, is_warning=True)]
    await machine.set_network(Network())
    async with _listener() as port:
        # where a sandbox is elsewhere there is no loopback of ours, so the world is tried too
        for host, number in (("127.0.0.1", port), ("1.1.1.1", 443)):
            tried = await machine.exec(
                ["timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{number}"], timeout_s=20
            )
            if tried.exit_code == 0:
                what = f"A command reached {host}:{number} while the network was off."
                troubles.append(
                    Trouble(what, "Do not use this sandbox: SANDBOX=local or e2b. If it is one, report it.")
                )
    return troubles


def _leaked(env: str, known: "tuple[SecretStr, ...]") -> list[str]:
    values = [(number, value.get_secret_value()) for number, value in enumerate(known, start=1)]
    return [f"number {number}" for number, value in values if len(value) >= 8 and value in env]


@asynccontextmanager
async def _listener() -> "AsyncIterator[int]":
    """A port of this machine's loopback that takes every connection."""

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])
