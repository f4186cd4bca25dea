"""`vibecoder web` as an operator starts it, and what it does with the keys it is given."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.demo.loopback import free_port
from tests.payloads import SECRET, headers, payload, signature
from tests.web.wire import connect, request

VIBECODER = Path(sys.executable).with_name("vibecoder")
KEY = "-----BEGIN PRIVATE KEY-----\nMIIs3cret\n-----END PRIVATE KEY-----"
TOKEN = "an-unguessable-operator-token"
NEXT = "the secret that GitHub gets next"


@asynccontextmanager
async def web(folder: Path, **environ: str) -> AsyncIterator[tuple[int, Path]]:
    """The program, ready; gives its port and its log."""
    port, log = free_port(), folder / "log"
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "PORT": str(port)} | environ
    with log.open("wb") as file:
        program = await asyncio.create_subprocess_exec(VIBECODER, "web", env=environ, stdout=file, stderr=file)
    try:
        async with asyncio.timeout(20):
            while "web is ready" not in log.read_text():
                assert program.returncode is None, log.read_text()
                await asyncio.sleep(0.02)
        yield port, log
    finally:
        program.send_signal(signal.SIGTERM)
        await program.wait()


async def deliver(port: int, event: str, secret: str) -> int:
    body = payload(f"{event}.labeled")
    signed = headers(event, body) | {"X-Hub-Signature-256": signature(body, secret)}
    async with connect(port) as wire:
        lines = [f"{name}: {value}" for name, value in signed.items()]
        await wire.send(request("/webhook", *lines, method="POST", body=body))
        return await wire.status()


async def test_web_takes_both_secrets_and_tells_none(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    keys = {"GITHUB_WEBHOOK_SECRET": NEXT, "GITHUB_WEBHOOK_SECRET_OLD": SECRET, "GITHUB_PRIVATE_KEY": KEY}
    async with web(tmp_path, **keys, API_TOKEN_FILE=str(token), LOG_LEVEL="debug") as (port, log):
        assert [await deliver(port, "issues", secret) for secret in (NEXT, SECRET, "a third")] == [202, 200, 401]
        async with connect(port) as wire:
            assert await wire.ask("/metrics", f"Authorization: Bearer {TOKEN}") == 200
            assert await wire.ask("/metrics", "Authorization: Bearer guessed") == 401
            assert await wire.ask("/setup") == 404
    said = log.read_text()
    assert "Web was given GITHUB_PRIVATE_KEY, which only workers need." in said
    assert [secret for secret in (NEXT, SECRET, "MIIs3cret", TOKEN) if secret in said] == []


async def test_without_a_webhook_secret_there_is_set_up_and_no_webhook(tmp_path: Path) -> None:
    async with web(tmp_path, GITHUB_WEBHOOK_SECRET="") as (port, _):
        assert await deliver(port, "issues", "") == 404
        async with connect(port) as wire:
            assert await wire.ask("/setup") == 401


async def test_a_blank_secret_does_not_start(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "PORT": str(free_port())}
    program = await asyncio.create_subprocess_exec(
        VIBECODER, "web", env=environ | {"GITHUB_WEBHOOK_SECRET": "  "}, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        _, said = await program.communicate()
    assert program.returncode == 2
    assert b"The webhook secret is empty." in said
    assert b"Traceback" not in said
