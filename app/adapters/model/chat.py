"""Chat Completions, as OpenAI defines them and Ollama, vLLM, OpenRouter and LiteLLM speak them, each in its own accent.

https://platform.openai.com/docs/api-reference/chat
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import assert_never

from pydantic import BaseModel, JsonValue, ValidationError

from app.adapters.model.client import Client, answered, estimate, is_openai, is_strict, shorten
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


class _Function(BaseModel):
    name: str = ""
    arguments: JsonValue = ""


class _ChatToolCall(BaseModel):
    id: str | None = None
    function: _Function


class _Message(BaseModel):
    content: str | list[dict[str, JsonValue]] | None = None
    refusal: str | None = None
    tool_calls: list[_ChatToolCall] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _ChatTokenDetails(BaseModel):
    cached_tokens: int | None = None


class _ChatUsage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _ChatTokenDetails | None = None


class _Completion(BaseModel):
    choices: list[_Choice]
    model: str | None = None
    usage: _ChatUsage | None = None


class ChatModel(Client):
    """`Model` over `POST /chat/completions`."""

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
        for_openai = is_openai(self.url)
        body = body_of(conversation, tools, model, for_openai=for_openai)
        body["max_completion_tokens" if for_openai else "max_tokens"] = max_output_tokens
        if for_openai and cache_key:
            body["prompt_cache_key"] = shorten(cache_key)
        if self.effort:
            body["reasoning_effort"] = self.effort
        return await self.priced(await answered(partial(self._turn, body, len(conversation))), model)

    async def _turn(self, body: Mapping[str, object], position: int) -> Reply:
        return parse(await self.post("/chat/completions", body), body, position)


def body_of(
    conversation: Conversation, tools: Sequence[ToolSpec], model: str, *, for_openai: bool
) -> dict[str, object]:
    """The request's body without its limit, as `CompletionCreateParams` has it."""
    body: dict[str, object] = {"model": model, "messages": [_message(message) for message in conversation]}
    if tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                    **({"strict": True} if for_openai and is_strict(tool) else {}),
                },
            }
            for tool in tools
        ]
    return body


def _message(message: Message) -> dict[str, object]:
    match message:
        case Instructions(text):
            return {"role": "system", "content": text}
        case UserMessage(text):
            return {"role": "user", "content": text}
        case AssistantMessage(text, ()):
            return {"role": "assistant", "content": text}
        case AssistantMessage(text, calls):
            return {"role": "assistant", "content": text or None, "tool_calls": [_call(call) for call in calls]}
        case ToolResult(call_id, text):
            return {"role": "tool", "tool_call_id": call_id, "content": text}
        case _:
            assert_never(message)


def _call(call: ToolCall) -> dict[str, object]:
    """A call as it is sent back. Arguments that are no JSON object make some servers fail for good: they go empty."""
    try:
        is_object = isinstance(json.loads(call.arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    arguments = call.arguments if is_object else "{}"
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def parse(text: str, body: Mapping[str, object], position: int) -> Reply:
    """Read the answer to `body`. `position` makes ids for calls whose server gave them none.

    Raises:
        ModelError: it is none, or the model declined.
    """
    try:
        completion = _Completion.model_validate_json(text)
        choice = completion.choices[0]
    except (ValidationError, IndexError) as error:
        raise ModelError(
            f"The model's server answered what is no completion ({text[:80]!r}); does it speak Chat Completions?"
        ) from error
    message = choice.message
    if message.refusal:
        raise ModelError(f"The model declined: {' '.join(message.refusal.split())[:300]}")
    calls = _calls(message.tool_calls or [], position)
    if choice.finish_reason == "content_filter" and not calls:
        raise ModelError("The model's server held the answer back: content_filter. Put the request in other words.")
    return Reply(
        answer=AssistantMessage(_words(message.content), calls),
        usage=_tokens(completion.usage) or estimate(len(json.dumps(body)), len(text)),
        model=completion.model or str(body["model"]),
        cut=choice.finish_reason == "length",
    )


def _words(content: str | list[dict[str, JsonValue]] | None) -> str:
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if part.get("text"))
    return content or ""


def _calls(calls: list[_ChatToolCall], position: int) -> tuple[ToolCall, ...]:
    read: dict[str, ToolCall] = {}
    for index, call in enumerate(calls):
        key = call.id if call.id and call.id not in read else f"call_{position}_{index}"
        arguments = call.function.arguments
        read[key] = ToolCall(
            key, call.function.name, arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        )
    return tuple(read.values())


def _tokens(usage: _ChatUsage | None) -> Tokens | None:
    if usage is None or usage.prompt_tokens is None:
        return None
    cached = (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0
    return Tokens(usage.prompt_tokens, min(cached, usage.prompt_tokens), usage.completion_tokens or 0)
