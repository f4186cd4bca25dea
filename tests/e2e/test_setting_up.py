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
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from app import wiring
from app.adapters.redis import keys
from app.adapters.redis.connection import open_redis, read_script
from app.commands.doctor.examination import document, run_checks
from app.demo.github.server import DemoGitHub
from app.demo.loopback import free_port
from app.demo.model.scripted import ScriptedModel, say, tool
from app.settings import load
from tests.adapters.github_world import private_key
from tests.bot import OPERATOR, SECRET, Bot, deployed, environment
from tests.e2e.test_command_line import VIBECODER, isolation, vibecoder

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
        async with asyncio.timeout(45):
            while not (match := pattern.search(self.said)):
                line = await self.process.stdout.readline()
                assert line, self.said
                self.said += line.decode()
        return match[0]

    async def ends(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(45):
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

    assert "vibecoder was created" in done.text
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
        assert (forged.status_code, "This set-up was not started here" in forged.text) == (400, True)
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
        assert (refused.status_code, "GitHub rejected the code (404)" in refused.text) == (503, True)
        again = await browser.open(str(refused.url))
        assert (again.status_code, "has expired" in again.text) == (400, True)
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
    assert (code, "by GITHUB_APP_ID. To create another, unset that first." in said) == (2, True)


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


# ------------------------------------------------------------------------------------------------------- the doctor

READY = tool("report", word="ready")


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    """A deployment whose worker is not up yet: it would mend some of what is broken here."""
    async with deployed(tmp_path, is_worker_up=False) as bot:
        yield bot


@dataclass
class Visit:
    """What the doctor says of a deployment."""

    document: dict[str, Any]

    @property
    def findings(self) -> dict[str, Any]:
        return {finding["check"]: finding for finding in self.document["checks"]}

    @property
    def states(self) -> dict[str, str]:
        return {name: finding["state"] for name, finding in self.findings.items()}

    @property
    def not_well(self) -> dict[str, str]:
        """The checks that failed or were left out."""
        return {name: state for name, state in self.states.items() if state in {"failed", "skipped"}}

    def trouble(self, check: str) -> tuple[str, str]:
        """The one trouble of a check, and its fix."""
        (trouble,) = self.findings[check]["troubles"]
        return trouble["what"], trouble["fix"]


def surroundings(bot: Bot, folder: Path, **environ: str) -> dict[str, str]:
    """The deployment's own environment, with a model's name that has a price."""
    same = {"PORT": str(bot.settings.port), "MODEL": "gpt-5"}
    return environment(bot.github, bot.model.url, folder) | same | environ


async def visit(bot: Bot, folder: Path, **environ: str) -> Visit:
    """Have the doctor look at a deployment, in `environ` as well as its own."""
    given = surroundings(bot, folder, **environ)
    findings = await run_checks(load(given), lambda _: None)
    said = json.dumps(document(findings))
    secrets = [SECRET, OPERATOR, given["OPENAI_API_KEY"], *bot.github.private_key_pem.splitlines()[1:-1]]
    assert [secret for secret in secrets if secret in said] == []
    return Visit(json.loads(said))


async def test_a_deployment_that_works_is_told_so(bot: Bot, tmp_path: Path) -> None:
    await bot.start_worker()
    bot.model.says(READY)
    code, out, err = await vibecoder("doctor", "--json", folder=tmp_path, **surroundings(bot, tmp_path))

    assert (code, err) == (0, ""), out
    found = Visit(json.loads(out))
    assert (found.document["ok"], found.not_well) == (True, {})
    assert list(found.findings) == [
        "settings",
        "Redis",
        "workers",
        "the App's key",
        "installations",
        "permissions and events",
        "webhook",
        "a signed delivery",
        "GitHub's deliveries",
        "sandbox",
        "parsers",
        "model",
    ]
    assert "acme (1 repository)" in found.findings["installations"]["found"]
    assert "embedded" in found.findings["Redis"]["found"]


async def test_nothing_that_it_made_is_left(bot: Bot, tmp_path: Path) -> None:
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    assert found.not_well == {}
    assert bot.github.world.tokens == {}
    assert list((bot.settings.data_dir / "sandboxes").glob("local-*")) == []
    async with open_redis(bot.records.redis_url) as redis:
        assert await redis.keys("*doctor*") == []


async def test_it_reads_well_on_a_terminal(bot: Bot, tmp_path: Path) -> None:
    given = environment(bot.github, bot.model.url, tmp_path) | {"PORT": str(bot.settings.port), "API_TOKEN": "guess"}
    bot.model.says(say("I am ready."))
    code, out, _ = await vibecoder("doctor", folder=tmp_path, **given)

    assert code == 1
    assert "✓ Redis — " in out
    assert "! settings — App 1, model scripted" in out
    assert "    API_TOKEN is short enough to be guessed.\n    → Generate a new one" in out
    assert "✗ model — " in out
    assert "It does not work yet: " in out


async def test_a_model_that_calls_no_tool_is_no_use(bot: Bot, tmp_path: Path) -> None:
    bot.model.says(say("I am ready."))
    found = await visit(bot, tmp_path)
    assert found.not_well == {"model": "failed"}
    what, fix = found.trouble("model")
    assert "answered in words and called no tool: 'I am ready.'" in what
    assert "tool calling" in fix


async def test_a_model_whose_price_is_not_known_is_a_warning(bot: Bot, tmp_path: Path) -> None:
    bot.model.says(READY)
    found = await visit(bot, tmp_path, MODEL="nobody-knows-me")
    assert (found.document["ok"], found.states["model"]) == (True, "warning")
    what, fix = found.trouble("model")
    assert "The price of nobody-knows-me is unknown" in what
    assert "MAX_TOKENS" in fix


async def test_a_redis_that_keeps_nothing_is_told_of(bot: Bot, tmp_path: Path) -> None:
    async with open_redis(bot.records.redis_url) as redis:
        await redis.config_set("appendonly", "no")
        await redis.config_set("maxmemory-policy", "allkeys-lru")
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    assert found.not_well == {"Redis": "failed"}
    faults = [trouble["what"] for trouble in found.findings["Redis"]["troubles"]]
    assert ["appendonly yes" in fault or "noeviction" in fault for fault in faults] == [True, True]


async def test_workers_with_a_full_disk_are_told_of(bot: Bot, tmp_path: Path) -> None:
    async with open_redis(bot.records.redis_url) as redis:
        for name, why, states in (
            ("host:1", "The worker's disk is full: 3 MiB are free, 512 are needed.", "failed"),
            ("host:2", "", "warning"),
        ):
            await redis.register_script(read_script("report"))([keys.WORKERS], [name, why, keys.WORKER_S])
            bot.model.says(READY)
            found = await visit(bot, tmp_path)
            assert found.states["workers"] == states
            what, fix = found.trouble("workers")
            assert what == "host:1 takes no runs. The worker's disk is full: 3 MiB are free, 512 are needed."
            assert "Free space" in fix


async def test_a_redis_that_is_away_is_told_of(bot: Bot, tmp_path: Path) -> None:
    bot.model.says(READY)
    found = await visit(bot, tmp_path, REDIS_URL="redis://:a-password-of-redis@127.0.0.1:9")
    assert found.not_well == {"Redis": "failed", "workers": "skipped"}
    what, fix = found.trouble("Redis")
    assert "Redis is away" in what
    assert "REDIS_URL" in fix
    assert "a-password-of-redis" not in json.dumps(found.document)


async def test_another_app_s_id_and_another_app_s_key_are_told_apart(bot: Bot, tmp_path: Path) -> None:
    bot.model.says(READY, READY)
    found = await visit(bot, tmp_path, GITHUB_APP_ID="2")
    after = ("installations", "permissions and events", "webhook", "GitHub's deliveries")
    assert found.not_well == {"the App's key": "failed"} | dict.fromkeys(after, "skipped")
    assert "There is no App 2" in found.trouble("the App's key")[0]

    found = await visit(bot, tmp_path, GITHUB_PRIVATE_KEY=private_key().get_secret_value())
    assert found.trouble("the App's key")[0] == "The key is not one of App 1's."


async def test_a_clock_that_is_wrong_is_told_of(bot: Bot, tmp_path: Path) -> None:
    bot.github.skew(3600)
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    assert re.fullmatch(r"This machine's clock is 3\d\d\d s behind GitHub's\.", found.trouble("the App's key")[0])


async def test_an_app_that_is_installed_nowhere_is_told_where_to_go(bot: Bot, tmp_path: Path) -> None:
    await bot.github.uninstall("acme")
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    assert found.not_well == {"installations": "failed"}
    assert found.trouble("installations")[1].endswith("/github-apps/vibecoder/installations/new")


async def test_a_suspended_installation_is_named(bot: Bot, tmp_path: Path) -> None:
    await bot.github.suspend("acme")
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    what, fix = found.trouble("installations")
    assert what == "The installation on acme is suspended."
    assert "/settings/installations/" in fix


async def test_optional_permissions_are_asked_for_where_something_uses_them(bot: Bot, tmp_path: Path) -> None:
    bot.model.says(READY)
    fine = await visit(bot, tmp_path)
    assert fine.states["permissions and events"] == "ok"

    await bot.file("pull_request: {reviewers: [ada, acme/core]}\n")
    bot.model.says(READY)
    lacking = await visit(bot, tmp_path, WORKFLOWS_PERMISSION="true")
    whats = [trouble["what"] for trouble in lacking.findings["permissions and events"]["troubles"]]
    assert whats == [
        "WORKFLOWS_PERMISSION is set, and the App lacks the permission workflows: write.",
        "acme/greeter asks teams for reviews (pull_request.reviewers of .github/vibecode.yml), and the App lacks the "
        "permission members: read.",
    ]
    assert lacking.states["permissions and events"] == "warning"

    bot.github.permit("acme", members="read", workflows="write")
    bot.model.says(READY)
    granted = await visit(bot, tmp_path, WORKFLOWS_PERMISSION="true")
    assert granted.states["permissions and events"] == "ok"
    bot.model.says(READY)
    unused = await visit(bot, tmp_path)
    (trouble,) = unused.findings["permissions and events"]["troubles"]
    assert trouble["what"] == "The App has more than it uses: workflows: write."


async def test_an_allow_list_of_addresses_that_this_machine_is_not_on_is_named(bot: Bot, tmp_path: Path) -> None:
    words = (
        "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow "
        "list enabled, and your IP address is not permitted to access this resource."
    )
    bot.github.fails("POST", "/access_tokens$", status=403, json={"message": words}, times=9)
    bot.model.says(READY)
    (trouble,) = (await visit(bot, tmp_path)).findings["installations"]["troubles"]
    assert words in trouble["what"]
    assert trouble["fix"] == "Add the address that this machine is seen under to the IP allow list of acme."


async def test_each_permission_and_event_that_is_missing_is_named(bot: Bot, tmp_path: Path) -> None:
    world = bot.github.world
    del world.permissions["checks"]
    world.permissions |= {"contents": "read", "administration": "write"}
    world.events.remove("issues")
    bot.model.says(READY)
    found = await visit(bot, tmp_path)

    assert found.not_well == {"permissions and events": "failed"}
    troubles = found.findings["permissions and events"]["troubles"]
    assert [trouble["what"] for trouble in troubles] == [
        "The App lacks the permission contents: write (it has read).",
        "The App lacks the permission checks: read.",
        "The App is not told of the event issues.",
        "The App has more than it uses: administration: write.",
    ]
    assert troubles[0]["fix"].endswith("/settings/apps/vibecoder/permissions")


async def test_what_an_installation_has_not_accepted_is_its_owner_s_to_accept(bot: Bot, tmp_path: Path) -> None:
    (installation,) = bot.github.world.installations.values()
    del installation.permissions["actions"]
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    what, fix = found.trouble("permissions and events")
    assert what == "The installation on acme lacks the permission actions: write."
    assert fix.startswith("Its owner accepts what the App asks for: ")


async def test_a_webhook_that_leads_elsewhere_is_told_of(bot: Bot, tmp_path: Path) -> None:
    bot.github.webhook_url = "https://old.example/webhook"
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    assert found.not_well == {"webhook": "failed"}
    assert found.trouble("webhook")[0].startswith("GitHub delivers to https://old.example/webhook, and")


async def test_nobody_at_the_public_address_is_told_of(bot: Bot, tmp_path: Path) -> None:
    bot.model.says(READY)
    found = await visit(bot, tmp_path, PUBLIC_URL="http://127.0.0.1:9")
    assert found.not_well == {"webhook": "failed", "a signed delivery": "failed"}
    what, fix = found.trouble("a signed delivery")
    assert "http://127.0.0.1:9/webhook cannot be reached" in what
    assert "vibecoder serve" in fix


async def test_a_secret_that_web_does_not_have_is_told_of(bot: Bot, tmp_path: Path) -> None:
    bot.model.says(READY)
    found = await visit(bot, tmp_path, GITHUB_WEBHOOK_SECRET="another-unguessable-secret")
    assert found.not_well == {"a signed delivery": "failed"}
    assert "has another webhook's secret" in found.trouble("a signed delivery")[0]


async def test_github_signing_with_another_secret_is_seen_in_its_log(bot: Bot, tmp_path: Path) -> None:
    bot.github.sign_with("what GitHub was told once")
    await bot.issue()
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    assert found.not_well == {"GitHub's deliveries": "failed"}
    assert "1 failed with 401. The webhook's secret on GitHub is not" in found.trouble("GitHub's deliveries")[0]


async def test_deliveries_that_were_lost_and_are_over_are_a_warning(bot: Bot, tmp_path: Path) -> None:
    bot.github.loses()
    await bot.issue()
    await bot.issue()
    bot.model.says(READY)
    found = await visit(bot, tmp_path)
    assert (found.document["ok"], found.states["GitHub's deliveries"]) == (True, "warning")


async def test_it_looks_at_a_deployment_that_does_not_run_yet(tmp_path: Path, github: DemoGitHub) -> None:
    async with ScriptedModel() as model:
        model.says(READY)
        given = environment(github, model.url, tmp_path) | {"MODEL": "gpt-5"}
        await github.repo("acme/greeter", files={"README.md": "# Greeter\n"})
        github.webhook_url = f"http://127.0.0.1:{given['PORT']}/webhook"
        code, out, _ = await vibecoder("doctor", folder=tmp_path, **given)
    assert code == 0, out
    assert "nobody listens until you say `vibecoder serve`" in out


async def test_without_anything_set_it_leads_to_set_up(tmp_path: Path) -> None:
    code, out, err = await vibecoder("doctor", folder=tmp_path, DATA_DIR=str(tmp_path / "data"), **isolation())
    assert (code, err) == (1, "")
    assert "There is no GitHub App yet.\n    → vibecoder setup" in out
    assert "model — skipped: there is no model" in out


async def test_settings_that_cannot_be_read_end_it_with_2(tmp_path: Path) -> None:
    code, out, _ = await vibecoder("doctor", folder=tmp_path, PORT="many", SANDBOX="mine")
    assert code == 2
    assert "✗ settings\n" in out
    assert "PORT: 'many' is not a number" in out
    assert "SANDBOX: 'mine' is not one of" in out


async def test_without_isolation_the_reason_and_the_fix_are_told(bot: Bot, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    given = surroundings(bot, tmp_path, SANDBOX="local", PATH=str(tmp_path / "bin"))
    bot.model.says(READY)
    _, out, _ = await vibecoder("doctor", "--json", folder=tmp_path, **given)
    found = Visit(json.loads(out))
    assert found.not_well == {"sandbox": "failed"}
    what, fix = found.trouble("sandbox")
    assert "bubblewrap is not installed. Install it: apt-get install bubblewrap" in what
    assert "E2B_API_KEY" in fix


async def test_keys_that_the_sandbox_would_show_are_told_of(bot: Bot, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / ".env").write_text("OPENAI_API_KEY=s3cret\n")
    bot.model.says(READY)
    found = await visit(bot, tmp_path, SANDBOX="local", PATH=f"{tmp_path}/tools:/usr/bin:/bin")
    assert found.not_well == {"sandbox": "failed"}
    what, _ = found.trouble("sandbox")
    tools = tmp_path / "tools"
    assert what == (
        f"{tools}/.env would be shown to the agent, as {tools} is. Move it elsewhere, or take {tools} off PATH."
    )


async def test_a_machine_without_a_filter_of_system_calls_is_told_of(
    bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wiring.why_not_isolated():
        pytest.skip("needs bubblewrap")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    bot.model.says(READY)
    found = await visit(bot, tmp_path, SANDBOX="local")
    assert found.states["sandbox"] == "warning"
    assert "not filtered on this machine" in found.trouble("sandbox")[0]
