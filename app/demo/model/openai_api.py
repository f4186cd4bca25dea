"""The two OpenAI APIs as the scripted model reads them: only what our adapters have reason to send, and no key besides.

Both come down to the neutral conversation of `core.conversation`, to which the rules of `model_rules` apply.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from app.core.conversation import (
    AssistantMessage,
    Conversation,
    Instructions,
    Message,
    ToolCall,
    ToolResult,
    UserMessage,
)

_NAME = r"^[A-Za-z0-9_-]{1,64}$"


class BadRequest(Exception):
    """The request breaks the API's rules; the text says which, `param` where."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


# ------------------------------------------------------------------------------------------------------- Responses


class _Text(_Strict):
    type: Literal["output_text"]
    text: str
    annotations: list[JsonValue]


class _Refusal(_Strict):
    type: Literal["refusal"]
    refusal: str


class _UserItem(_Strict):
    type: Literal["message"] = "message"
    role: Literal["user"]
    content: str


class _AssistantItem(_Strict):
    type: Literal["message"] = "message"
    role: Literal["assistant"]
    content: str


class _MessageItem(_Strict):
    type: Literal["message"]
    id: str
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[_Text | _Refusal]


class _CallItem(_Strict):
    type: Literal["function_call"]
    call_id: str = Field(min_length=1, max_length=64)
    name: str = Field(pattern=_NAME)
    arguments: str
    id: str | None = Field(default=None, pattern="^fc_")


class _OutputItem(_Strict):
    type: Literal["function_call_output"]
    call_id: str
    output: str


class _ReasoningItem(_Strict):
    type: Literal["reasoning"]
    id: str = Field(pattern="^rs_")
    summary: list[JsonValue]
    encrypted_content: str


class FunctionTool(_Strict):
    type: Literal["function"]
    name: str = Field(pattern=_NAME)
    description: str = ""
    parameters: dict[str, JsonValue]
    strict: bool


class _Reasoning(_Strict):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


_Item: TypeAlias = _UserItem | _AssistantItem | _MessageItem | _CallItem | _OutputItem | _ReasoningItem


class ResponsesRequest(_Strict):
    model: str = Field(min_length=1)
    input: list[_Item] = Field(min_length=1)
    instructions: str | None = None
    tools: list[FunctionTool] = []
    include: list[Literal["reasoning.encrypted_content"]] = []
    max_output_tokens: int | None = Field(default=None, ge=16)
    prompt_cache_key: str | None = Field(default=None, max_length=64)
    reasoning: _Reasoning | None = None
    store: Literal[False]

    def conversation(self) -> Conversation:
        messages: list[Message] = [Instructions(self.instructions)] if self.instructions is not None else []
        for item in self.input:
            match item:
                case _UserItem():
                    messages.append(UserMessage(item.content))
                case _OutputItem():
                    messages.append(ToolResult(item.call_id, item.output))
                case _:
                    last = messages[-1] if messages else None
                    if isinstance(last, AssistantMessage):
                        messages[-1] = _joined(last, item)
                    else:
                        messages.append(_joined(AssistantMessage(), item))
        self._check_reasoning()
        return tuple(messages)

    def _check_reasoning(self) -> None:
        """A call made after reasoning must come back with that reasoning before it."""
        seen: set[str] = set()
        for index, item in enumerate(self.input):
            if isinstance(item, _ReasoningItem):
                mark = item.id.removeprefix("rs_")
                seen.add(mark)
                if item.encrypted_content != f"scripted-{mark}":
                    raise BadRequest(f"The encrypted content of item '{item.id}' could not be verified.")
                if isinstance(self.input[min(index + 1, len(self.input) - 1)], _ReasoningItem | _UserItem):
                    raise BadRequest(f"Item '{item.id}' of type 'reasoning' was provided without its following item.")
            elif isinstance(item, _CallItem) and item.id and item.id.startswith("fc_r"):
                turn = item.id.removeprefix("fc_").partition("_")[0]
                if turn not in seen:
                    raise BadRequest(f"Item '{item.id}' was provided without its reasoning item 'rs_{turn}'.")


def _joined(
    answer: AssistantMessage, item: _AssistantItem | _MessageItem | _CallItem | _ReasoningItem
) -> AssistantMessage:
    match item:
        case _AssistantItem():
            return AssistantMessage(answer.text + item.content, answer.tool_calls)
        case _MessageItem():
            words = "".join(part.text for part in item.content if isinstance(part, _Text))
            return AssistantMessage(answer.text + words, answer.tool_calls)
        case _CallItem():
            return AssistantMessage(
                answer.text, (*answer.tool_calls, ToolCall(item.call_id, item.name, item.arguments))
            )
        case _ReasoningItem():
            return answer


# ------------------------------------------------------------------------------------------------ Chat Completions


class _System(_Strict):
    role: Literal["system", "developer"]
    content: str


class _User(_Strict):
    role: Literal["user"]
    content: str


class _CallFunction(_Strict):
    name: str = Field(pattern=_NAME)
    arguments: str


class _Call(_Strict):
    id: str = Field(min_length=1)
    type: Literal["function"]
    function: _CallFunction


class _Assistant(_Strict):
    role: Literal["assistant"]
    content: str | None = None
    tool_calls: Annotated[list[_Call], Field(min_length=1)] | None = None


class _ToolMessage(_Strict):
    role: Literal["tool"]
    tool_call_id: str
    content: str


class FunctionSpec(_Strict):
    name: str = Field(pattern=_NAME)
    description: str = ""
    parameters: dict[str, JsonValue]
    strict: bool = False


class _ChatTool(_Strict):
    type: Literal["function"]
    function: FunctionSpec


class ChatRequest(_Strict):
    model: str = Field(min_length=1)
    messages: list[Annotated[_System | _User | _Assistant | _ToolMessage, Field(discriminator="role")]] = Field(
        min_length=1
    )
    tools: list[_ChatTool] | None = Field(default=None, min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    prompt_cache_key: str | None = Field(default=None, max_length=64)
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None

    def conversation(self) -> Conversation:
        return tuple(_neutral(message) for message in self.messages)


def _neutral(message: _System | _User | _Assistant | _ToolMessage) -> Message:
    match message:
        case _System():
            return Instructions(message.content)
        case _User():
            return UserMessage(message.content)
        case _ToolMessage():
            return ToolResult(message.tool_call_id, message.content)
        case _Assistant():
            calls = message.tool_calls or []
            if message.content is None and not calls:
                raise BadRequest("An assistant message needs content or tool_calls.", "messages")
            return AssistantMessage(
                message.content or "",
                tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in calls),
            )


# ------------------------------------------------------------------------------------------------------------ both


def read(request: type[ResponsesRequest | ChatRequest], body: bytes) -> ResponsesRequest | ChatRequest:
    """Parse a body. Raises `BadRequest` with the first fault and the place of it."""
    try:
        return request.model_validate_json(body)
    except ValidationError as error:
        # Of a union's many complaints, the one that got deepest is about the member that was meant.
        fault = max(error.errors(include_url=False), key=lambda fault: len(fault["loc"]))
        raise BadRequest(fault["msg"], ".".join(str(part) for part in fault["loc"])) from error
