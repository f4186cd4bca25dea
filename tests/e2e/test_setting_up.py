"""Setting the App up, as an operator does it: `vibecoder setup`, a click on GitHub, `vibecoder doctor`."""

import asyncio
import json
import os
import re
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from app.demo.github import DemoGitHub
from app.demo.loopback import free_port
from app.settings import load
from tests.bot import SECRET
from tests.e2e.test_command_line import VIBECODER, vibecoder

DOOR = re.compile(r"http://127\.0\.0\.1:\d+/setup\?key=[0-9a-f]{64}\S*")


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[DemoGitHub]:
    async with DemoGitHub(tmp_path / "github", webhook_secret=SECRET) as github:
        yield github


@dataclass
class Terminal:
    """A program at work in a terminal, its input closed; `said` is all that it printed so far."""

    process: asyncio.subprocess.Process
    said: str = ""
    _found: list[str] = field(default_factory=list)

    async def shows(self, pattern: re.Pattern[str]) -> str:
        """Read on until something of that shape is on the screen."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while not (match := pattern.search(self.said)):
                line = await self.process.stdout.readline()
                assert line, self.said
                self.said += line.decode()
        return match[0]

    async def ends(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            self.said += (await self.process.stdout.read()).decode()
            return await self.process.wait()


@asynccontextmanager
async def terminal(*argv: str, folder: Path, **environ: str) -> AsyncIterator[Terminal]:
    given = {"PATH": os.environ["PATH"], "PORT": str(free_port()), "DATA_DIR": str(folder / "data")}
    process = await asyncio.create_subprocess_exec(
        VIBECODER, *argv, cwd=folder, env={**given, **environ}, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield Terminal(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Browser:
    """Follows links and presses the one button of a page, as a person does."""

    client: httpx.AsyncClient
    page: httpx.Response | None = None

    async def open(self, url: str) -> httpx.Response:
        self.page = await self.client.get(url)
        return self.page

    async def press(self) -> httpx.Response:
        """Send the page's first form."""
        assert self.page is not None
        form = re.search(r'<form method="post" action="([^"]+)">(.*?)</form>', self.page.text, re.DOTALL)
        assert form, self.page.text
        fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form[2])
        url = urljoin(str(self.page.url), unescape(form[1]))
        self.page = await self.client.post(url, data={name: unescape(value) for name, value in fields})
        return self.page


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    headers = {"Accept": "text/html"}
    async with httpx.AsyncClient(follow_redirects=True, headers=headers, trust_env=False) as client:
        yield Browser(client)


def keys_in(folder: Path) -> dict[str, str]:
    kept: dict[str, str] = json.loads((folder / "data" / "app.json").read_text())
    return kept


async def test_one_click_makes_the_app_and_its_keys_are_kept_and_never_shown(
    tmp_path: Path, github: DemoGitHub, browser: Browser
) -> None:
    async with terminal("setup", "--no-browser", "--github-url", github.url, folder=tmp_path) as screen:
        await browser.open(await screen.shows(DOOR))
        asked = await browser.press()
        assert "Create GitHub App vibecoder" in asked.text
        done = await browser.press()
        assert await screen.ends() == 0

    assert "vibecoder is made" in done.text
    assert f"{github.url}/github-apps/vibecoder/installations/new" in screen.said
    assert "vibecoder doctor" in screen.said
    kept = tmp_path / "data" / "app.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["app.json"]
    settings = load({"DATA_DIR": str(kept.parent)})
    assert (settings.app_lacks, settings.github_url) == ((), github.url)
    shown = screen.said + done.text
    assert not any(line in shown for line in github.private_key_pem.splitlines())
    assert SECRET not in shown


async def test_an_organization_owns_its_own_app(tmp_path: Path, github: DemoGitHub, browser: Browser) -> None:
    said = ["setup", "--no-browser", "--org", "acme", "--github-url", github.url]
    async with terminal(*said, folder=tmp_path) as screen:
        await browser.open(await screen.shows(DOOR))
        asked = await browser.press()
        assert asked.url.path == "/organizations/acme/settings/apps/new"
        await browser.press()
        assert await screen.ends() == 0
    assert github.world.app_owner.login == "acme"


async def test_the_app_is_told_and_asks_for_what_the_manifest_says(
    tmp_path: Path, github: DemoGitHub, browser: Browser
) -> None:
    github.world.permissions, github.world.events = {}, []
    environ = {"GITHUB_URL": github.url, "PUBLIC_URL": "https://bot.example/"}
    async with terminal("setup", "--no-browser", folder=tmp_path, **environ) as screen:
        await browser.open(await screen.shows(DOOR))
        await browser.press()
        await browser.press()
        assert await screen.ends() == 0
    assert github.webhook_url == "https://bot.example/webhook"
    assert github.world.permissions["contents"] == "write"
    assert "issue_comment" in github.world.events
    assert "GITHUB_URL" not in keys_in(tmp_path), "what the environment says is not kept beside it"


async def test_where_github_cannot_deliver_the_app_is_made_with_its_webhook_off(
    tmp_path: Path, browser: Browser
) -> None:
    async with terminal("setup", "--no-browser", folder=tmp_path) as screen:
        page = await browser.open(await screen.shows(DOOR))
        await screen.shows(re.compile("--public-url"))
    assert "GitHub cannot reach" in page.text
    manifest = re.search(r'name="manifest" value="([^"]+)"', page.text)
    assert manifest
    hook = json.loads(unescape(manifest[1]))["hook_attributes"]
    assert hook == {"url": "https://vibecoder.example.com/webhook", "active": False}
    assert 'action="https://github.com/settings/apps/new?state=' in page.text


async def test_another_browser_cannot_finish_what_this_one_began(
    tmp_path: Path, github: DemoGitHub, browser: Browser
) -> None:
    async with terminal("setup", "--no-browser", "--github-url", github.url, folder=tmp_path) as screen:
        door = await screen.shows(DOOR)
        await browser.open(door)
        base = door.partition("/setup")[0]
        forged = await browser.open(f"{base}/setup/callback?code=mine&state=mine")
        assert (forged.status_code, "This did not begin here" in forged.text) == (400, True)
        stranger = await browser.open(f"{base}/setup?key=guessed")
        assert stranger.status_code == 401
        await browser.open(door)
        await browser.press()
        assert (await browser.press()).status_code == 200
        assert await screen.ends() == 0


async def test_what_github_refuses_is_said_and_can_be_begun_anew(
    tmp_path: Path, github: DemoGitHub, browser: Browser
) -> None:
    github.fails("POST", "/app-manifests/", status=404)
    async with terminal("setup", "--no-browser", "--github-url", github.url, folder=tmp_path) as screen:
        door = await screen.shows(DOOR)
        await browser.open(door)
        await browser.press()
        refused = await browser.press()
        assert (refused.status_code, "GitHub did not take the code (404)" in refused.text) == (503, True)
        again = await browser.open(str(refused.url))
        assert (again.status_code, "has ended already" in again.text) == (400, True)
        assert not (tmp_path / "data" / "app.json").exists()
        await browser.open(door)
        await browser.press()
        assert (await browser.press()).status_code == 200
        assert await screen.ends() == 0


async def test_there_is_no_second_app(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "app.json").write_text('{"GITHUB_APP_ID": "1"}')
    code, _, said = await vibecoder("setup", folder=tmp_path, DATA_DIR=str(tmp_path / "data"))
    assert (code, "delete that file first" in said) == (2, True)
    code, _, said = await vibecoder("setup", folder=tmp_path, GITHUB_APP_ID="1", DATA_DIR=str(tmp_path / "new"))
    assert (code, "by GITHUB_APP_ID. To make another, unset that first." in said) == (2, True)


async def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    async with terminal("setup", "--no-browser", folder=tmp_path) as screen:
        await screen.shows(DOOR)
        screen.process.send_signal(signal.SIGINT)
        assert await screen.ends() == 130
    assert list((tmp_path / "data").iterdir()) == []


async def test_serving_without_an_app_makes_it_first_and_then_serves(
    tmp_path: Path, github: DemoGitHub, browser: Browser
) -> None:
    environ = {"GITHUB_URL": github.url, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    async with terminal("serve", folder=tmp_path, **environ) as screen:
        await browser.open(await screen.shows(DOOR))
        await browser.press()
        await browser.press()
        await screen.shows(re.compile("vibecoder listens on"))
        assert (await github.ping()).status_code == 200
        screen.process.send_signal(signal.SIGTERM)
        assert await screen.ends() == 0
