"""A client of one OpenAI-compatible server: the SDK's, with our retries, and with its failures as `ModelError`.

The SDK's `responses.create` and `chat.completions.create` walk the whole conversation through their type transforms on
every call (155 ms at 400 messages); `post` with a ready body costs 1.3 ms, so that is what is used.
"""

import asyncio
import hashlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import count
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx2
from openai import APIError, AsyncOpenAI, DefaultAsyncHttpxClient, Timeout
from pydantic import SecretStr

from app.adapters.model import errors
from app.adapters.model.prices import price
from app.core.conversation import Reply, ToolSpec, Usage
from app.core.errors import ModelError

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 10.0
BYTES_PER_TOKEN = 4
MAX_CACHE_KEY_CHARS = 64

log = logging.getLogger(__name__)


class EncryptedContentRefused(Exception):
    """The model does not reason, and its server says so instead of leaving the reasoning out."""


class Client:
    """What both models share: one server, one key. To be closed, or entered with `async with`."""

    def __init__(
        self,
        api_key: SecretStr,
        *,
        model: str,
        base_url: str | None = None,
        timeout_s: float = 300,
        effort: str | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`model` serves turns that name none; `effort` is the vendor's word (`low`, `high`), None for its default."""
        self.model = model
        self.url = base_url or OPENAI_URL
        self.effort = effort
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._api_key = api_key
        self._client = AsyncOpenAI(
            api_key=api_key.get_secret_value().strip() or "none",
            base_url=self.url,
            timeout=Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(base_url=self.url, verify=_trusted()),
        )

    async def post(self, path: str, body: Mapping[str, object]) -> str:
        """Send a body and return the answer's text. What may pass is tried again, with a log line.

        Raises:
            EncryptedContentRefused: the body asks for encrypted reasoning and the model has none.
            ModelError: refused, or away after all tries.
        """
        # Half a surrogate pair can stand in a Python string, but not in UTF-8.
        content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
        for attempt in count(1):
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._client.post(
                        path, content=content, cast_to=str, options={"headers": {"Content-Type": "application/json"}}
                    )
            except (APIError, TimeoutError) as error:
                if "include" in body and isinstance(error, APIError) and errors.is_about_encrypted_content(error):
                    raise EncryptedContentRefused from error
                wait_s = errors.wait_s(error, attempt)
                if wait_s is None:
                    raise self._translate(error, str(body["model"])) from error
                log.warning("model is asked again: %s, attempt %d, in %.1f s", type(error).__name__, attempt, wait_s)
            await self._sleep(wait_s)
        raise AssertionError("the loop ends by returning or raising")

    def _translate(self, error: APIError | TimeoutError, model: str) -> ModelError:
        parts = urlsplit(self.url)
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
        sentence = errors.explain(error, model=model, url=url, timeout_s=self._timeout_s)
        key = self._api_key.get_secret_value()
        return ModelError(
            sentence.replace(key, "…") if key else sentence,
            is_passing=errors.is_passing(error),
            retry_after_s=errors.retry_after_s(error),
        )

    async def priced(self, reply: Reply, asked: str) -> Reply:
        """The reply with its price: by the name the server gave the model, or else by the one that was asked for."""
        for name in dict.fromkeys((reply.model, asked)):
            usd = await asyncio.to_thread(price, name, reply.usage, self.url) if name else None
            if usd is not None:
                return replace(reply, usd=usd)
        return reply

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._client.close()


async def answered(turn: Callable[[], Awaitable[Reply]]) -> Reply:
    """Take a turn, once more when the answer was empty. The empty one was paid for and stays in the usage.

    Raises:
        ModelError: both were empty.
    """
    first = await turn()
    if not _is_empty(first):
        return first
    if not first.cut:
        log.warning("model is asked again: an empty answer")
        second = await turn()
        if not _is_empty(second):
            return replace(second, usage=first.usage + second.usage)
    raise ModelError(
        f"The model `{first.model}` used up its {first.usage.output_tokens} output tokens before it said anything; "
        "lower the reasoning effort, or try again."
        if first.cut
        else f"The model `{first.model}` answered nothing, twice; try again, or use another model."
    )


@cache
def _trusted() -> ssl.SSLContext:
    """What the SDK would make for each client anew: to read the certificate authorities takes 30 ms."""
    return httpx2.create_ssl_context()


def _is_empty(reply: Reply) -> bool:
    return not reply.answer.text.strip() and not reply.answer.tool_calls


def is_openai(url: str) -> bool:
    """Whether OpenAI itself, or its models on Azure, answers there."""
    host = urlsplit(url).hostname or ""
    return host.endswith((".openai.com", ".openai.azure.com"))


def is_strict(tool: ToolSpec) -> bool:
    """Whether the tool's schema may be enforced: every object closed, every property required.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    return _is_strict_schema(tool.parameters)


def _is_strict_schema(schema: object) -> bool:
    if isinstance(schema, list | tuple):
        return all(_is_strict_schema(part) for part in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        required = schema.get("required", ())
        if schema.get("additionalProperties") is not False or set(required) != set(properties or ()):
            return False
        return all(_is_strict_schema(part) for part in (properties or {}).values())
    return all(_is_strict_schema(part) for part in schema.values())


def shorten(cache_key: str) -> str:
    """OpenAI refuses a longer key than 64 characters."""
    return cache_key if len(cache_key) <= MAX_CACHE_KEY_CHARS else hashlib.sha256(cache_key.encode()).hexdigest()


def estimate(said: int, heard: int) -> Usage:
    """The usage that a server does not tell, from the bytes that went and came: a budget must hold there too."""
    return Usage(said // BYTES_PER_TOKEN, 0, heard // BYTES_PER_TOKEN)
