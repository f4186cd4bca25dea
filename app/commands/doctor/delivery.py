"""The check of the way in: a ping, signed as GitHub signs, to PUBLIC_URL. It asks for nothing and leaves nothing."""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import httpx

from app import wiring
from app.commands.doctor.finding import Look, Skip, Trouble
from app.commands.web import serve_web
from app.core.errors import VibecoderError
from app.settings import Settings

ANSWER_S: Final = 10.0
"""As long as GitHub waits."""
_BODY: Final = json.dumps({"zen": "Look before you leap.", "hook_id": 0}).encode()
_PONG: Final = b'{"pong":true}'
_NOBODY: Final = {502, 503, 504}


def delivery_check(settings: Settings) -> Look:
    """Deliver. Where nobody listens yet, this program does so itself while it asks."""

    async def look() -> tuple[str, list[Trouble]]:
        if not settings.webhook_secrets:
            raise Skip("there is no webhook's secret")
        url = f"{settings.public_address}/webhook"
        troubles = await _deliver(settings, url)
        if not troubles:
            return f"{url} answered a signed ping", []
        async with _web(settings) as is_ours:
            if is_ours and not await _deliver(settings, url):
                return f"{url} leads here; nobody listens until you say `vibecoder serve`", []
        return "", troubles

    return look


@asynccontextmanager
async def _web(settings: Settings) -> AsyncIterator[bool]:
    """Our own web process, for as long as the block lasts; False when it cannot be: somebody listens there already."""
    async with AsyncExitStack() as stack:
        is_ours = True
        try:
            records = await stack.enter_async_context(wiring.open_records(settings))
            await stack.enter_async_context(serve_web(settings, records))
        except VibecoderError:
            is_ours = False
        yield is_ours


async def _deliver(settings: Settings, url: str) -> list[Trouble]:
    """What is wrong with the answer to a ping; empty when it is ours."""
    signature = hmac.new(settings.webhook_secrets[0].get_secret_value().encode(), _BODY, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "vibecoder-doctor",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-GitHub-Event": "ping",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    try:
        async with asyncio.timeout(ANSWER_S), httpx.AsyncClient(timeout=ANSWER_S) as client:
            answer = await client.post(url, content=_BODY, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        why = str(error) or "no answer in time"
        fix = "Start `vibecoder serve`, and let PUBLIC_URL lead to HOST:PORT (DNS, firewall, reverse proxy, tunnel)."
        return [Trouble(f"{url} cannot be reached: {why}.", fix)]
    return _judge(answer, url)


def _judge(answer: httpx.Response, url: str) -> list[Trouble]:
    status, kind = answer.status_code, answer.headers.get("content-type", "").partition(";")[0]
    is_ours = kind in {"application/json", "application/problem+json"}
    if status == 200 and is_ours and answer.content == _PONG:
        return []
    if answer.is_redirect:
        fix = "Set PUBLIC_URL to where it leads, or deliver there without it: GitHub follows no redirect."
        return [Trouble(f"{url} redirects to {answer.headers.get('location', 'nowhere')[:200]}.", fix)]
    if status == 401 and is_ours:
        fix = "Start every process with the same GITHUB_WEBHOOK_SECRET, and restart web after it changes."
        return [Trouble(f"What answers at {url} has another webhook's secret.", fix)]
    if status == 404 and kind == "application/problem+json":
        fix = "Restart it with the App's settings."
        return [Trouble(f"What answers at {url} is vibecoder, but without an App.", fix)]
    if status in _NOBODY:
        fix = "Start `vibecoder serve`, and look where the proxy sends /webhook: it should be HOST:PORT."
        return [Trouble(f"A proxy answers at {url}, and finds nobody behind it ({status}).", fix)]
    fix = "Let PUBLIC_URL lead to this program without a page for signing in, a warning or a challenge before /webhook."
    return [Trouble(f"{url} answers {status} with {kind or 'nothing'}, and that is not vibecoder.", fix)]
