"""What is said between the agent and the model, in no vendor's words.

A conversation is a tuple of messages that only ever grows at its end, which keeps the vendors' prompt caches warm.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, TypeAlias

from pydantic import TypeAdapter

from app.core.errors import StoreError


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it. `parameters` is a JSON Schema of type `object`, closed to other keys."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call the model asked for. `arguments` is the JSON text as the model wrote it: unparsed, maybe invalid."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one turn. `cached_tokens` are the part of `input_tokens` that the vendor had cached."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
        )

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Instructions:
    """The system message. At most one, and first."""

    text: str


@dataclass(frozen=True, slots=True)
class UserMessage:
    """Something told to the model: the request, a step to do, a note from the harness."""

    text: str


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """The model's turn: words, tool calls, or both.

    `raw` is the vendor's own output items as JSON text (encrypted reasoning among them), sent back as they came by
    the adapter that wrote them and read by nobody else; empty when the vendor has none.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    raw: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call gave. Every `ToolCall` of an `Answer` is followed by exactly one of these."""

    call_id: str
    text: str


Message: TypeAlias = Instructions | UserMessage | AssistantMessage | ToolResult
Conversation: TypeAlias = tuple[Message, ...]

_KINDS: Final[dict[str, type[Message]]] = {
    "instructions": Instructions,
    "said": UserMessage,
    "answer": AssistantMessage,
    "tool_result": ToolResult,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_READERS: Final[dict[str, TypeAdapter[Message]]] = {name: TypeAdapter(kind) for name, kind in _KINDS.items()}


def encode_message(message: Message) -> bytes:
    """The message as JSON in ASCII, `kind` beside its fields; the same message gives the same bytes.

    Half a surrogate pair, which models write at times, survives: hence neither UTF-8 nor pydantic's JSON.
    """
    return json.dumps({"kind": _NAMES[type(message)], **asdict(message)}).encode()


def decode_message(document: bytes | str) -> Message:
    """Read what `encode_message` wrote.

    Raises:
        StoreError: it is no message of a kind this program knows.
    """
    try:
        message = json.loads(document)
        return _READERS[message["kind"]].validate_python(message)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError("A stored message cannot be read.") from error


@dataclass(frozen=True, slots=True)
class Reply:
    """One turn as the model port returns it. `usd` is None when the model's price is not known."""

    answer: AssistantMessage
    usage: Usage = field(default_factory=Usage)
    usd: float | None = None
    model: str = ""
    cut: bool = False
    """True when the answer ended at the output limit rather than where the model meant to end."""
