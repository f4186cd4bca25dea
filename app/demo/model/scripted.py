"""A model that says what a script tells it to, behind both OpenAI APIs on a free port of this machine.

    async with ScriptedModel() as model:
        model.says(tool("shell", command="pytest -q"), say("Done."))
        ...                      # whoever speaks to model.url gets these turns, in this order

What it is asked it checks strictly (`model_api`, `model_rules`) and keeps in `requests`. When the script has ended it
answers 500, so that a test which asks for more than it foresaw fails loudly; what went wrong is kept in `complaints`.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.core.conversation import AssistantMessage, Conversation, Instructions, ToolCall, ToolResult, Usage
from app.demo.loopback import serving
from app.demo.model.openai_api import BadRequest, ChatRequest, ResponsesRequest, read
from app.demo.model.rules import check_sequence, tools_of

MAX_KEPT = 500
CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model answers. A call's `id` is given by the server; `cut` ends the answer at the output limit."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    cut: bool = False


def say(text: str) -> Turn:
    """A turn of words only."""
    return Turn(text)


def tool(name: str, /, **arguments: object) -> Turn:
    """A turn of one tool call."""
    return Turn(calls=(ToolCall("", name, json.dumps(arguments)),))


def turn(*turns: Turn, text: str = "") -> Turn:
    """One turn made of several: `turn(tool(…), tool(…), text="…")`."""
    return Turn(text or "".join(part.text for part in turns), tuple(call for part in turns for call in part.calls))


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, in no vendor's words. `api` is `responses` or `chat`; `body` is the JSON as it came."""

    api: str
    model: str
    conversation: Conversation
    tools: tuple[str, ...]
    body: Mapping[str, object] = field(repr=False)

    @property
    def instructions(self) -> str:
        """The system message, empty when there is none."""
        first = self.conversation[0]
        return first.text if isinstance(first, Instructions) else ""

    @property
    def results(self) -> tuple[str, ...]:
        """What the tool calls of the last turn gave, in order; empty before the first."""
        last = [index for index, message in enumerate(self.conversation) if isinstance(message, AssistantMessage)]
        after = self.conversation[last[-1] :] if last else ()
        return tuple(message.text for message in after if isinstance(message, ToolResult))


class ScriptedModel:
    """The server. `name` is the model's, and the only one it knows; "" knows all. `key` None takes any key."""

    def __init__(self, *, name: str = "", key: str | None = None, port: int = 0) -> None:
        self.url = ""
        self.requests: list[Seen] = []
        self.complaints: deque[str] = deque(maxlen=MAX_KEPT)
        self._name = name
        self._key = key
        self._port = port
        self._turns: deque[Turn] = deque()
        self._faults: deque[Callable[[], Response]] = deque()
        self._answer: Callable[[Seen], Turn] | None = None
        self._hangs = 0
        self._asked = 0
        self._closing = asyncio.Event()
        self._stack = AsyncExitStack()

    def forget(self) -> None:
        """Drop the turns that nobody asked for."""
        self._turns.clear()

    def says(self, *turns: Turn) -> None:
        """Add to the script."""
        self._turns.extend(turns)

    def answers(self, function: Callable[[Seen], Turn]) -> None:
        """Let a function answer whenever the script has nothing left."""
        self._answer = function

    def fails(
        self,
        status: int = 500,
        *,
        times: int = 1,
        code: str = "",
        message: str = "The scripted model fails.",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next requests with an error, before the script goes on."""
        error = {"message": message, "type": code or "server_error", "param": None, "code": code or None}
        self._faults.extend([lambda: JSONResponse({"error": error}, status, headers=headers)] * times)

    def drops(self, times: int = 1) -> None:
        """Close the connection in the middle of the next answers."""
        self._faults.extend([lambda: Response(b'{"id"', headers={"content-length": "999"})] * times)

    def garbles(self, text: str = "<html>No model here</html>", times: int = 1) -> None:
        """Answer the next requests with a text that is none of the API's, and status 200."""
        self._faults.extend([lambda: Response(text, media_type="text/html")] * times)

    def hangs(self, times: int = 1) -> None:
        """Leave the next requests without an answer until the server closes."""
        self._hangs += times

    async def __aenter__(self) -> Self:
        routes = [
            Route("/v1/responses", self._responses, methods=["POST"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/models", self._models),
        ]
        self.url = await self._stack.enter_async_context(serving(Starlette(routes=routes), self._port)) + "/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._stack.aclose()

    async def _models(self, request: Request) -> Response:
        known = {"id": self._name or "scripted", "object": "model", "created": 0, "owned_by": "vibecoder"}
        return JSONResponse({"object": "list", "data": [known]})

    async def _responses(self, request: Request) -> Response:
        return await self._serve(request, "responses")

    async def _chat(self, request: Request) -> Response:
        return await self._serve(request, "chat")

    async def _serve(self, request: Request, api: str) -> Response:
        if self._hangs > 0:
            self._hangs -= 1
            await self._closing.wait()
        if self._faults:
            return self._faults.popleft()()
        try:
            seen, parsed = await self._see(request, api)
        except BadRequest as error:
            return self._refuse(400, str(error), param=error.param)
        except PermissionError:
            return self._refuse(401, "Incorrect API key provided.", code="invalid_api_key")
        if self._name and seen.model != self._name:
            return self._refuse(404, f"The model '{seen.model}' does not exist.", code="model_not_found")
        self.requests = [*self.requests[-MAX_KEPT + 1 :], seen]
        self._asked += 1
        if self._turns:
            said = self._turns.popleft()
        elif self._answer is not None:
            said = self._answer(seen)
        else:
            return self._refuse(500, f"The script has ended, and turn {self._asked} was asked for.")
        return JSONResponse(_render(said, seen, parsed, self._asked))

    async def _see(self, request: Request, api: str) -> tuple[Seen, ResponsesRequest | ChatRequest]:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key or (self._key is not None and key != self._key):
            raise PermissionError
        if request.headers.get("content-type") != "application/json":
            raise BadRequest("The content type must be application/json.")
        body = await request.body()
        parsed = read(ResponsesRequest if api == "responses" else ChatRequest, body)
        conversation = parsed.conversation()
        check_sequence(conversation)
        return Seen(api, parsed.model, conversation, tools_of(parsed), json.loads(body)), parsed

    def _refuse(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> Response:
        self.complaints.append(message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        # A script that has ended does not begin again: asking once more would only take time.
        return JSONResponse(
            {"error": {"message": message, "type": kind, "param": param, "code": code}},
            status,
            headers={"x-should-retry": "false"},
        )


def _render(said: Turn, seen: Seen, request: ResponsesRequest | ChatRequest, number: int) -> dict[str, object]:
    calls = tuple(replace(call, id=f"call_{number}_{index}") for index, call in enumerate(said.calls))
    said = replace(said, calls=calls)
    usage = _usage(said, seen)
    if isinstance(request, ResponsesRequest):
        return _response(said, seen, usage, number, reasons=bool(request.include))
    return _completion(said, seen, usage, number)


def _usage(said: Turn, seen: Seen) -> Usage:
    """Plausible numbers: four characters a token, and all before the last turn's answer as cached."""
    total = len(json.dumps(seen.body)) // CHARS_PER_TOKEN
    new = sum(len(text) for text in seen.results) // CHARS_PER_TOKEN
    output = (len(said.text) + sum(len(call.name + call.arguments) for call in said.calls)) // CHARS_PER_TOKEN + 1
    has_history = any(isinstance(message, AssistantMessage) for message in seen.conversation)
    return Usage(total, max(0, total - new) // 128 * 128 if has_history else 0, output)


def _response(said: Turn, seen: Seen, usage: Usage, number: int, *, reasons: bool) -> dict[str, object]:
    status = "incomplete" if said.cut else "completed"
    mark = f"r{number}" if reasons else str(number)
    output: list[dict[str, object]] = []
    if reasons:
        output.append({"type": "reasoning", "id": f"rs_{mark}", "summary": [], "encrypted_content": f"scripted-{mark}"})
    if said.text:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        output.append(
            {"type": "message", "id": f"msg_{mark}", "role": "assistant", "status": status, "content": [part]}
        )
    for index, call in enumerate(said.calls):
        ids = {"type": "function_call", "id": f"fc_{mark}_{index}", "call_id": call.id, "status": status}
        output.append({**ids, "name": call.name, "arguments": call.arguments})
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "status": status,
        "model": seen.model,
        "output": output,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if said.cut else None,
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.total_tokens,
        },
    }


def _completion(said: Turn, seen: Seen, usage: Usage, number: int) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": said.text or None, "refusal": None}
    if said.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in said.calls
        ]
    reason = "length" if said.cut else "tool_calls" if said.calls else "stop"
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": seen.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        },
    }
