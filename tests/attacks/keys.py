"""Getting at the operator's keys and tokens, or at more than they were made for."""

# ruff: noqa: ASYNC221, ASYNC240, TRY301 -- in a world of its own an attack may block

import asyncio
import io
import logging
import os
import re
import stat
import subprocess
from dataclasses import asdict
from html import unescape
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import httpx
from pydantic import SecretStr

from app import logs
from app.core.errors import GitHubError, UserError, VibecoderError
from app.core.safety.redact import Redactor
from app.demo.loopback import free_port
from app.settings import load
from tests.attacks.attack import attack
from tests.attacks.scene import Scene
from tests.bot import OPERATOR, REPO, SECRET, SETTLE_S, environment
from tests.e2e.test_command_line import VIBECODER
from tests.e2e.turns import MEND, shell
from tests.faults.program import Program


@attack("keys", LOG_LEVEL="debug")
async def chatty_log(scene: Scene) -> None:
    """A whole run, a refusal and a failure at the log's chattiest: no key or token may be in it, raw or encoded."""
    scene.model.says(*MEND)
    await scene.labelled(await scene.bot.issue())
    await scene.bot.comment(await scene.bot.issue(), "/vibecode", by="outsider")
    await scene.deliver(b"{}", headers={"X-Hub-Signature-256": "sha256=" + "0" * 64})
    log = scene.log.getvalue()
    scene.assert_in(log, "run ended", "bad signature")
    scene.assert_not_in(log, *scene.secrets(), "Bearer ", "Basic ", "BEGIN RSA")


@attack("keys")
async def keys_in_pieces(scene: Scene) -> None:
    """Secrets with quotes, backslashes and umlauts in them, logged in the middle of other things."""
    odd = SecretStr('pa"ss\\wörd\twith "quotes"')
    stream = io.StringIO()
    logs.configure("debug", Redactor([odd]).redact, stream)
    try:
        value = odd.get_secret_value()
        logging.getLogger("attack").info("asked with %s", value, extra={"headers": {"a": value}, "list": [value]})
        try:
            raise ValueError(value)
        except ValueError:
            logging.getLogger("attack").exception("it failed")
    finally:
        logs.configure("debug", Redactor(scene.bot.settings.secrets).redact, scene.log)
    said = stream.getvalue()
    scene.assert_in(said, "[redacted]", "it failed")
    for form in ("wörd", "w\\u00f6rd", 'with \\"quotes', 'with "quotes'):
        assert form not in said, f"The log says it: {said[:200]}"


@attack("keys")
async def command_lines(scene: Scene) -> None:
    """Reads every command line on the host while git fetches with its token."""
    hang = scene.github.fails("GET", r"/info/refs", hangs=True)
    issue = await scene.bot.issue()
    await scene.bot.label(issue)
    async with asyncio.timeout(SETTLE_S):
        while hang.times:  # noqa: ASYNC110 -- nobody tells that git has begun
            await asyncio.sleep(0.02)
    lines = _command_lines()
    assert any("git-remote-http" in line for line in lines), "There is no git at work."
    tokens = [token.value for token in scene.github.world.tokens.values()]
    assert tokens
    for line in lines:
        for secret in [*scene.secrets(), *tokens]:
            assert secret not in line, f"A secret is on a command line: {line[:80]}"
        scene.assert_not_in(line, "Authorization: Basic")
    await scene.bot.comment(issue, "/vibecode stop")
    await scene.bot.work()
    scene.assert_told("Stopped by maintainer")


def _command_lines() -> list[str]:
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines


@attack("keys")
async def what_is_kept(scene: Scene) -> None:
    """Reads all that is kept: Redis, caches, packs, locks, what a run left."""
    scene.model.says(*MEND)
    await scene.labelled(await scene.bot.issue())
    redis = await scene.redis()
    scene.assert_in(redis, "greeter")
    scene.assert_not_in(redis, *scene.secrets())
    data = scene.bot.settings.data_dir
    for secret in scene.secrets():
        found = subprocess.run(["grep", "-rlaF", "-e", secret, str(data)], capture_output=True, text=True, check=False)
        assert found.stdout == "", f"A secret is kept in {found.stdout}"


@attack("keys")
async def rights_on_disk(scene: Scene) -> None:
    """Another user of the host looks into the data folder."""
    scene.model.says(*MEND)
    await scene.labelled(await scene.bot.issue())
    data = scene.bot.settings.data_dir
    open_to_others = [
        path
        for folder in ("redis", "repos", "sandboxes")
        for path in [data / folder]
        if path.exists()
        and stat.S_IMODE(path.stat().st_mode) & 0o077
        and not all(stat.S_IMODE(each.stat().st_mode) & 0o077 == 0 for each in path.iterdir() if each.is_dir())
    ]
    assert open_to_others == [], f"Others may read {open_to_others}"


@attack("keys")
async def printed_settings(scene: Scene) -> None:
    """Prints settings, ports and errors, as a debugger or an error report would."""
    settings, ports = scene.bot.settings, scene.bot.ports
    secrets = scene.secrets()
    for printed in (
        repr(settings),
        str(settings),
        repr(asdict(settings)),
        repr(ports),
        repr(ports.github),
        repr(ports.model),
    ):
        for secret in secrets:
            assert secret not in printed, f"A secret is printed: {printed[:80]}"
    errors: list[VibecoderError] = [GitHubError("GitHub says no.", status=401)]
    for name, value in {
        "PORT": OPERATOR,
        "LOG_LEVEL": SECRET,
        "MAX_USD": "-1",
        "GITHUB_PRIVATE_KEY_FILE": "/nowhere",
    }.items():
        try:
            load({"GITHUB_WEBHOOK_SECRET": SECRET, "API_TOKEN": OPERATOR, name: value})
        except UserError as error:
            errors.append(error)
    assert len(errors) >= 4
    key = settings.github_private_key.get_secret_value()
    assert all(key not in str(error) for error in errors)


@attack("keys")
async def error_pages(scene: Scene) -> None:
    """Provokes every kind of error at every door."""
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    answers: list[httpx.Response] = []
    for path in (
        "/nowhere",
        "/jobs/x",
        "/api/jobs/a~b~c",
        "/api/jobs?status=x",
        "/api/jobs?cursor=%00",
        "/api/jobs?limit=-1",
    ):
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
            answers.append(await scene.client.request(method, path, headers=headers))
    for body in (b"", b"{", b"[]", b'{"repo": 1}', b"\xff", b'{"repo":"a/b","request":"\\ud800"}', b"9" * 70_000):
        answers.append(await scene.client.post("/api/jobs", headers=headers, content=body))
    for answer in answers:
        assert answer.status_code < 500, f"{answer.request.method} {answer.request.url}: {answer.status_code}"
        scene.assert_not_in(answer.text, *scene.secrets(), "Traceback", "/work/", "site-packages", str(scene.folder))
    scene.assert_not_in(scene.log.getvalue(), "Traceback")


@attack("keys")
async def metrics_and_health(scene: Scene) -> None:
    """Reads numbers about other people's runs without a token."""
    scene.model.says(*MEND)
    run = await scene.labelled(await scene.bot.issue())
    assert (await scene.client.get("/metrics")).status_code == 401
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        answer = await scene.client.get(path)
        assert answer.status_code == 200, path
        scene.assert_not_in(answer.text, REPO, run.id, *scene.secrets())
    for path in ("/", "/api/jobs", f"/jobs/{run.id}", f"/api/jobs/{run.id}"):
        answer = await scene.client.get(path)
        assert answer.status_code == 401, path
        scene.assert_not_in(answer.text, REPO, "greeting")


@attack("keys")
async def set_up_again(scene: Scene) -> None:
    """Takes over the deployment by making its App anew."""
    for path in ("/setup", "/setup?key=x", "/setup?org=evil", "/setup/callback?code=x&state=x"):
        for headers in ({}, {"Authorization": f"Bearer {OPERATOR}"}):
            answer = await scene.client.get(path, headers=headers)
            assert answer.status_code == 404, f"{path}: {answer.status_code}"


@attack("keys")
async def set_up_before_the_operator(scene: Scene) -> None:
    """Is there first, before the operator has made the App: without the link on the operator's screen nothing opens."""
    environ = _process_environ(
        scene, GITHUB_WEBHOOK_SECRET="", GITHUB_PRIVATE_KEY="", GITHUB_APP_ID="", DATA_DIR=str(scene.folder / "new")
    )
    web = Program("web", scene.folder / "web.log", environ)
    await web.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environ['PORT']}", timeout=10) as client:
            assert (await client.get("/setup")).status_code == 401
            assert (await client.get("/setup?key=" + "0" * 64)).status_code == 401
            forged = await client.get("/setup/callback?code=abc&state=1.2", headers={"Cookie": "vibecoder_setup=1.2"})
            assert forged.status_code == 400
            assert (await client.post("/webhook", content=b"{}")).status_code == 404
            link = next(word for word in web.log.read_text().split() if "/setup?key=" in word)
            key = link.partition("key=")[2]
            assert (await client.get(f"/setup?key={key}")).status_code == 200
    finally:
        await web.kill()


@attack("keys")
async def set_up_twice(scene: Scene) -> None:
    """Uses the set-up link and what GitHub sent back a second time, in another browser, and at another deployment."""
    fresh = {"GITHUB_WEBHOOK_SECRET": "", "GITHUB_PRIVATE_KEY": "", "GITHUB_APP_ID": "", "API_TOKEN": ""}
    environs = [_process_environ(scene, **fresh, DATA_DIR=str(scene.folder / name)) for name in ("new", "other")]
    webs = [Program("web", scene.folder / f"web-{index}.log", environ) for index, environ in enumerate(environs)]
    await asyncio.gather(*[web.start() for web in webs])
    links = [next(word for word in web.log.read_text().split() if "/setup?key=" in word) for web in webs]
    try:
        async with httpx.AsyncClient(follow_redirects=False, timeout=10, trust_env=False) as client:
            back = await _made_at_github(client, links[0])
            thief = await httpx.AsyncClient(trust_env=False).get(back)
            assert thief.status_code == 400, "Another browser ends what this one began."
            elsewhere = back.replace(environs[0]["PORT"], environs[1]["PORT"])
            assert (await client.get(elsewhere)).status_code == 400, "It began at another deployment."
            wrong = re.sub(r"code=[^&]+", "code=wrong", back)
            assert (await client.get(wrong)).status_code >= 400
            assert (await client.get(back)).status_code == 400, "A state is good for a second try."
            begun = await _made_at_github(client, links[0])
            assert (await client.get(begun)).status_code == 200
            for used in (begun, back, links[0]):
                assert (await client.get(used)).status_code == 404, f"{used} is still open."
    finally:
        await asyncio.gather(*[web.kill() for web in webs])


async def _made_at_github(client: httpx.AsyncClient, link: str) -> str:
    """Open the set-up page and have GitHub make the App: where it sends the browser back to."""
    answer = await client.get(link)
    for _ in range(2):
        form = re.search(r'<form method="post" action="([^"]+)">(.*?)</form>', answer.text, re.DOTALL)
        assert form is not None, answer.text[:500]
        fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form[2]))
        url = urljoin(str(answer.url), unescape(form[1]))
        answer = await client.post(url, data={name: unescape(value) for name, value in fields.items()})
    return str(answer.headers["location"])


@attack("keys")
async def web_without_the_key(scene: Scene) -> None:
    """A web process that is taken over holds no private key, and cannot mint a token."""
    environ = _process_environ(scene, GITHUB_PRIVATE_KEY="", OPENAI_API_KEY="")
    web = Program("web", scene.folder / "web.log", environ)
    await web.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environ['PORT']}", timeout=10) as client:
            assert (await client.get("/readyz")).status_code == 200
        held = Path(f"/proc/{web.pid}/environ").read_bytes().decode(errors="replace")
    finally:
        await web.kill()
    key = scene.bot.settings.github_private_key.get_secret_value().splitlines()[1]
    scene.assert_not_in(held, key, "sk-scripted")


@attack("keys")
async def unreadable_keys(scene: Scene) -> None:
    """Keys that are damaged or in the wrong place: what is said of it must not show them."""
    key = "MIIEowIBAAKCAQEA-not-a-key-" + "Zz9" * 12
    folder = scene.folder / "keys"
    folder.mkdir()
    (folder / "key.pem").write_text(f"-----BEGIN RSA PRIVATE KEY-----\n{key}\n-----END RSA PRIVATE KEY-----\n")
    environ = _process_environ(scene, GITHUB_PRIVATE_KEY="", GITHUB_PRIVATE_KEY_FILE=str(folder / "key.pem"))
    worker = await asyncio.create_subprocess_exec(
        *(VIBECODER, "worker"), env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(90):
            said, _ = await worker.communicate()
    except TimeoutError:
        worker.kill()
        said, _ = await worker.communicate()
    scene.assert_not_in(said.decode(errors="replace"), key, key[-20:])
    assert said, "Nobody is told."


@attack("keys")
async def more_than_needed(scene: Scene) -> None:
    """Looks at what the minted tokens may: one repository each, reading where reading is enough."""
    await scene.github.repo("acme/vault", files={"a": "b"}, private=True)
    scene.model.says(*MEND)
    await scene.labelled(await scene.bot.issue())
    tokens = [token for token in scene.github.world.tokens.values() if token.installation is not None]
    assert tokens
    for token in tokens:
        is_harmless = set(token.permissions) == {"metadata"}  # which repositories there are
        assert is_harmless or token.repo_ids is not None, f"Good for every repository: {token.permissions}"
        assert is_harmless or len(token.repo_ids or ()) == 1, token.permissions
        assert not {"administration", "workflows", "secrets", "members"} & set(token.permissions), token.permissions
    fetches = [request for request in scene.github.requests if request.path.endswith("/info/refs")]
    assert {request.token for request in fetches} == {"installation"}
    assert any(token.permissions.get("contents") == "read" and "issues" not in token.permissions for token in tokens)


@attack("keys")
async def redirected_token(scene: Scene) -> None:
    """GitHub's git server sends git elsewhere, to be told the token there."""
    caught: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caught.append(await reader.read(65_536))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    location = {"location": f"http://127.0.0.1:{port}/acme/greeter.git/info/refs?service=git-upload-pack"}
    scene.github.fails("GET", r"/info/refs", status=302, headers=location, times=9)
    async with server:
        run = await scene.labelled(await scene.bot.issue())
    assert run.cost.turns == 0
    assert caught == [], "The token was carried to another server."
    assert scene.comments(), "Nobody was told."


@attack("keys")
async def link_secret(scene: Scene) -> None:
    """Makes links, sessions and signatures of one thing from those of another."""
    scene.persuade(shell("true"))
    run = await scene.labelled(await scene.bot.issue())
    page = (await scene.bot.api.get(f"/api/jobs/{run.id}")).json()["links"]["page"]
    key = page.partition("key=")[2]
    scene.assert_in(scene.comment(), key)
    for cookie in (f"vibecoder=9999999999.{key}", f"vibecoder={key}"):
        assert (await scene.client.get("/", headers={"Cookie": cookie})).status_code == 401
    assert (await scene.client.get("/", headers={"Authorization": f"Bearer {key}"})).status_code == 401
    forged = await scene.deliver(b'{"action":"created"}', headers={"X-Hub-Signature-256": f"sha256={key}"})
    scene.assert_refused(forged, 401, "bad signature")


_KEPT: Final = ("PATH", "HOME")


def _process_environ(scene: Scene, **environ: str) -> dict[str, str]:
    """The environment of a process of its own over the scene's Redis."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    own = {"PORT": str(free_port()), "REDIS_URL": scene.bot.records.redis_url}
    return kept | environment(scene.github, scene.model.url, scene.folder) | own | environ
