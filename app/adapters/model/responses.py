"""The Responses API: https://platform.openai.com/docs/api-reference/responses.

Nothing is stored at the vendor's: every turn sends the whole conversation, the encrypted reasoning included.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, assert_never

from pydantic import BaseModel, JsonValue, SecretStr, ValidationError

from app.adapters.model.client import Client, EncryptedContentRefused, answered, estimate, is_strict, shorten
from app.core.conversation import (
    AssistantMessage,
    Conversation,
    Instructions,
    Message,
    Reply,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from app.core.conversation import Usage as Tokens
from app.core.errors import ModelError

_SENT_BACK: Final = {
    "message": ("id", "type", "role", "status", "content", "phase"),
    "function_call": ("id", "type", "call_id", "name", "arguments", "namespace", "caller"),
    "reasoning": ("id", "type", "summary", "encrypted_content", "content"),
}
"""What the input schema takes of each output item. `status` is required of a message and at times refused of others."""

_PASSING: Final = {"server_error", "rate_limit_exceeded"}
"""Why a response failed, of the reasons that `ResponseError` knows, when it was not for what was asked."""

Item = dict[str, JsonValue]


class _ResponseTokenDetails(BaseModel):
    cached_tokens: int | None = None


class _ResponseUsage(BaseModel):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _ResponseTokenDetails | None = None


class _Reason(BaseModel):
    reason: str | None = None
    code: str | None = None
    message: str | None = None


class _Response(BaseModel):
    output: list[Item]
    status: str | None = None
    model: str | None = None
    usage: _ResponseUsage | None = None
    incomplete_details: _Reason | None = None
    error: _Reason | None = None


class ResponsesModel(Client):
    """`Model` over `POST /responses`."""

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
        super().__init__(api_key, model=model, base_url=base_url, timeout_s=timeout_s, effort=effort, sleep=sleep)
        self._without_reasoning: set[str] = set()

    async def reply(
        self,
        conversation: Conversation,
        tools: Sequence[ToolSpec],
        *,
        model: str = "",
        max_output_tokens: int = 16_384,
        cache_key: str = "",
    ) -> Reply:
        model = model or self.model
        body = body_of(conversation, tools, model, max_output_tokens)
        if cache_key:
            body["prompt_cache_key"] = shorten(cache_key)
        if self.effort:
            body["reasoning"] = {"effort": self.effort}
        return await self.priced(await answered(partial(self._turn, body, model)), model)

    async def _turn(self, body: dict[str, object], model: str) -> Reply:
        if model not in self._without_reasoning:
            try:
                text = await self.post("/responses", {**body, "include": ["reasoning.encrypted_content"]})
            except EncryptedContentRefused:
                self._without_reasoning.add(model)
            else:
                return parse(text, body)
        return parse(await self.post("/responses", body), body)


def body_of(
    conversation: Conversation, tools: Sequence[ToolSpec], model: str, max_output_tokens: int
) -> dict[str, object]:
    """The request's body, as `ResponseCreateParams` has it."""
    body: dict[str, object] = {
        "model": model,
        "input": [item for message in conversation for item in _items(message)],
        "max_output_tokens": max_output_tokens,
        "store": False,
    }
    if conversation and isinstance(conversation[0], Instructions):
        body["instructions"] = conversation[0].text
    if tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                "strict": is_strict(tool),
            }
            for tool in tools
        ]
    return body


def _items(message: Message) -> list[Item]:
    match message:
        case Instructions():
            return []
        case UserMessage(text):
            return [{"type": "message", "role": "user", "content": text}]
        case AssistantMessage() if message.raw:
            items: list[Item] = json.loads(message.raw)
            return items
        case AssistantMessage(text, calls):
            said: list[Item] = [{"type": "message", "role": "assistant", "content": text}] if text else []
            return said + [
                {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
                for call in calls
            ]
        case ToolResult(call_id, text):
            return [{"type": "function_call_output", "call_id": call_id, "output": text}]
        case _:
            assert_never(message)


def parse(text: str, body: Mapping[str, object]) -> Reply:
    """Read the answer to `body`.

    Raises:
        ModelError: it is none, the vendor failed on the way, or the model declined.
    """
    try:
        response = _Response.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(
            f"The model's server answered what is no response ({text[:80]!r}); does it speak the Responses API?"
        ) from error
    reason = (response.incomplete_details and response.incomplete_details.reason) or ""
    said, calls = _words_and_calls(response.output)
    if response.status in {"failed", "cancelled"} or (reason == "content_filter" and not calls):
        why = (response.error and response.error.message) or reason or response.status
        is_passing = response.error is not None and response.error.code in _PASSING
        raise ModelError(f"The model's server gave up on the answer: {why}. Try again.", is_passing=is_passing)
    return Reply(
        answer=AssistantMessage(
            "\n".join(said), tuple(calls), json.dumps(_sent_back(response.output), ensure_ascii=False)
        ),
        usage=_tokens(response.usage) or estimate(len(json.dumps(body)), len(text)),
        model=response.model or str(body["model"]),
        cut=response.status == "incomplete",
    )


def _words_and_calls(output: list[Item]) -> tuple[list[str], list[ToolCall]]:
    said: list[str] = []
    calls: list[ToolCall] = []
    for item in output:
        match item:
            case {"type": "message", "content": [*parts]}:
                said += [_words(part) for part in parts]
            case {"type": "function_call", "call_id": str(call_id), "name": str(name), "arguments": str(arguments)}:
                calls.append(ToolCall(call_id, name, arguments))
    return [text for text in said if text], calls


def _words(part: JsonValue) -> str:
    match part:
        case {"type": "output_text", "text": str(text)}:
            return text
        case {"type": "refusal", "refusal": str(refusal)}:
            raise ModelError(f"The model declined: {' '.join(refusal.split())[:300]}")
    return ""


def _sent_back(output: list[Item]) -> list[Item]:
    """The items as the input schema takes them. Reasoning that only the vendor's store could look up is left out,
    and so is reasoning that nothing follows (the answer was cut): both are refused as input."""
    kept: list[Item] = []
    for item in output:
        keys = _SENT_BACK.get(str(item.get("type")), tuple(item))
        clean: Item = {key: item[key] for key in keys if item.get(key) is not None}
        match clean:
            case {"type": "message", "content": [*parts]}:
                clean = {"id": f"msg_{len(kept)}", "status": "completed", **clean}
                clean["content"] = [_part(part) for part in parts if isinstance(part, dict)]
            case {"type": "reasoning"} if not clean.get("encrypted_content") and not clean.get("content"):
                continue
        kept.append(clean)
    while kept and kept[-1].get("type") == "reasoning":
        kept.pop()
    return kept


def _part(part: Item) -> Item:
    if part.get("type") != "output_text":
        return part
    return {"type": "output_text", "text": part.get("text"), "annotations": part.get("annotations") or []}


def _tokens(usage: _ResponseUsage | None) -> Tokens | None:
    if usage is None or usage.input_tokens is None:
        return None
    cached = (usage.input_tokens_details and usage.input_tokens_details.cached_tokens) or 0
    return Tokens(usage.input_tokens, min(cached, usage.input_tokens), usage.output_tokens or 0)
