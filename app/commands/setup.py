"""`vibecoder setup`: the page that makes the GitHub App, on this machine, until GitHub has given its keys."""

import asyncio
import secrets
import webbrowser
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import SecretStr
from rich.console import Console

from app import wiring
from app.commands.web import listen, serve_app
from app.core.addresses import can_reach, is_loopback
from app.core.errors import UserError
from app.core.run.links import setup_url
from app.settings import APP_FILE, Settings
from app.web.app import WebOptions, create_setup_app
from app.web.auth import Access
from app.web.setup import Credentials, is_org

WAIT_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for. `also` are variables to keep beside the App's keys.

    `is_public`: the page is opened at PUBLIC_URL, as the program is where people reach it already.
    """

    org: str = ""
    also: Mapping[str, str] = field(default_factory=dict)
    has_browser: bool = True
    is_public: bool = False


async def set_up(settings: Settings, wish: Wish, console: Console) -> None:
    """Serve the page until an App is made and its keys are kept; say where, and what comes next.

    Raises:
        UserError: there is an App already, the keys could not be kept, or nobody came back from GitHub in an hour.
    """
    refuse_a_second_app(settings)
    if wish.org and not is_org(wish.org):
        raise UserError(f"{wish.org!r} is not the name of an organization.")
    made: asyncio.Future[Credentials] = asyncio.get_running_loop().create_future()
    options = wiring.setup_options(settings, wish.also)

    def save(credentials: Credentials) -> None:
        options.save(credentials)
        made.set_result(credentials)

    with closing(listen(settings.host, settings.port)) as listener:
        own_url = settings.public_address if wish.is_public else _own_url(settings.host, listener.getsockname()[1])
        access = Access(wiring.clock(), SecretStr(secrets.token_hex(32)))
        setup = replace(options, save=save, own_url=own_url, needs_restart=False)
        web = WebOptions(public_url=settings.public_address, github_url=settings.github_url, setup=setup)
        async with serve_app(create_setup_app(access, wiring.clock(), web), listener, settings):
            link = setup_url(own_url, access.link_secret) + (f"&org={wish.org}" if wish.org else "")
            _invite(settings, link, console)
            if wish.has_browser:
                await asyncio.to_thread(_open_browser, link)
            try:
                credentials = await asyncio.wait_for(made, WAIT_S)
            except TimeoutError as error:
                raise UserError(
                    "Set-up was not completed on GitHub within an hour. Nothing was saved; start over."
                ) from error
    _tell_what_is_next(settings, credentials, console)


def refuse_a_second_app(settings: Settings) -> None:
    """Raises `UserError` when there is an App already; it says what to remove for another one."""
    path = settings.data_dir / APP_FILE
    if path.exists():
        raise UserError(f"An App is already set up; its keys are in {path}. To create another, delete that file first.")
    if settings.has_app:
        names = sorted({"GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET"} - set(settings.app_lacks))
        raise UserError(f"An App is already set up by {' and '.join(names)}. To create another, unset that first.")


def _own_url(host: str, port: int) -> str:
    """Where a browser on this machine finds the page."""
    host = "127.0.0.1" if host in {"0.0.0.0", "::", "localhost"} else host  # noqa: S104 -- compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _open_browser(link: str) -> None:
    try:
        webbrowser.open(link)
    except (webbrowser.Error, OSError):
        return  # The link is on the screen.


def _invite(settings: Settings, link: str, console: Console) -> None:
    console.print("Create the GitHub App here (the link works once):")
    console.print(f"  {link}", highlight=False, markup=False, soft_wrap=True)
    if is_loopback(link):
        port = link.split("/")[2].rpartition(":")[2]
        console.print(f"  (From another machine: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE)", style="dim")
    hook = f"{settings.public_address}/webhook"
    if can_reach(settings.github_url, hook):
        console.print(f"GitHub will deliver to {hook}", highlight=False, soft_wrap=True)
        return
    console.print(
        f"GitHub cannot reach {hook}: the App is created with its webhook off.\n"
        "To have it on from the start, press Ctrl-C and pass --public-url https://YOUR-HOST; a tunnel to "
        f"port {settings.port} will do (cloudflared, ngrok, tailscale funnel).",
        style="yellow",
        highlight=False,
        soft_wrap=True,
    )


def _tell_what_is_next(settings: Settings, made: Credentials, console: Console) -> None:
    path = settings.data_dir / APP_FILE
    console.print(f"\n✓ {made.slug} was created. Its keys are in {path}, for this account alone.", style="green")
    hook = f"{settings.public_address}/webhook"
    steps = [
        f"Install it on the repositories that it may work on:\n     {made.install_url}",
        "vibecoder doctor    # checks everything",
        "vibecoder serve     # in the same folder, or with the same DATA_DIR",
    ]
    if not can_reach(settings.github_url, hook):
        words = "Give this machine a public address, set PUBLIC_URL to it, and in the App's settings on GitHub"
        steps.insert(1, f"{words}\n     write PUBLIC_URL/webhook as the webhook's URL and tick Active.")
    for number, step in enumerate(steps, start=1):
        console.print(f"  {number}. {step}", highlight=False, markup=False, soft_wrap=True)
