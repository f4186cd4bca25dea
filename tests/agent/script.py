"""The agent's surroundings in tests: a model that says what it is told to, and a watcher that remembers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from app.adapters.parsers import documents, syntax
from app.core.conversation import (
    AssistantMessage,
    Conversation,
    Instructions,
    Reply,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    UserMessage,
)
from app.core.parsed import SyntaxFault, YamlFile
from app.core.run.run import Kind


def tool(name: str, /, **arguments: object) -> Reply:
    """A turn of one call."""
    return calls((name, json.dumps(arguments)))


def calls(*written: tuple[str, str], text: str = "", cut: bool = False) -> Reply:
    """A turn of several calls, each a name and the arguments as the model writes them."""
    made = tuple(ToolCall("", name, arguments) for name, arguments in written)
    return Reply(AssistantMessage(text, made), Usage(100, 0, 10), cut=cut)


def say(text: str, *, cut: bool = False) -> Reply:
    """A turn of words only."""
    return Reply(AssistantMessage(text), Usage(100, 0, 10), cut=cut)


class Script:
    """The model. Refuses a conversation that a vendor would refuse."""

    def __init__(self, *turns: Reply) -> None:
        self._turns = list(turns)
        self.asked: list[Conversation] = []
        self.tools: tuple[str, ...] = ()

    async def reply(
        self,
        conversation: Conversation,
        tools: Sequence[ToolSpec],
        *,
        model: str = "",
        max_output_tokens: int = 16_384,
        cache_key: str = "",
    ) -> Reply:
        assert_sound(conversation)
        self.asked.append(conversation)
        self.tools = tuple(spec.name for spec in tools)
        turn = self._turns.pop(0)
        ids = [f"call_{len(self.asked)}_{index}" for index in range(len(turn.answer.tool_calls))]
        made = tuple(
            ToolCall(name, call.name, call.arguments) for name, call in zip(ids, turn.answer.tool_calls, strict=True)
        )
        return replace(turn, answer=replace(turn.answer, tool_calls=made))

    @property
    def results(self) -> list[str]:
        """What the calls of the last turn that was answered gave."""
        results: list[str] = []
        for message in reversed(self.asked[-1]):
            if isinstance(message, AssistantMessage):
                break
            if isinstance(message, ToolResult):
                results.insert(0, message.text)
        return results

    @property
    def told(self) -> str:
        """The last message, when it was words."""
        last = self.asked[-1][-1]
        return last.text if isinstance(last, UserMessage) else ""


class PlainParsers:
    """The parsers in this very process: what the tests write is known to be harmless."""

    async def syntax_faults(self, path: str, data: bytes) -> tuple[SyntaxFault, ...] | None:
        return syntax.check(path, data)

    async def load_yaml(self, data: bytes) -> YamlFile:
        return documents.load_yaml(data)

    async def load_json(self, data: bytes) -> JsonValue:
        return documents.load_json(data)

    async def matches(self, pattern: str, data: bytes) -> bool:
        return documents.matches(data, pattern)


PARSERS = PlainParsers()


def assert_sound(conversation: Conversation) -> None:
    """Instructions first and only there; each call answered once, right after its answer, in order."""
    assert isinstance(conversation[0], Instructions)
    assert not any(isinstance(message, Instructions) for message in conversation[1:])
    waiting: list[str] = []
    for message in conversation:
        if isinstance(message, ToolResult):
            assert message.call_id == waiting.pop(0)
        else:
            assert not waiting
        if isinstance(message, AssistantMessage):
            waiting = [call.id for call in message.tool_calls]
    assert not waiting


@dataclass
class Audience:
    """The watcher. `words` are handed over once; `error` is raised before the turn of that number, from 1."""

    words: list[str] = field(default_factory=list)
    raises_at: dict[int, Exception] = field(default_factory=dict)
    shown: list[tuple[Kind, str]] = field(default_factory=list)
    turns: int = 0
    kept: dict[str, Conversation] = field(default_factory=dict)

    async def before_turn(self) -> Sequence[str]:
        if error := self.raises_at.get(self.turns + 1):
            raise error
        words, self.words = self.words, []
        return words

    async def after_turn(self, reply: Reply) -> None:
        self.turns += 1

    async def show(self, kind: Kind, text: str) -> None:
        self.shown.append((kind, text))

    async def keep(self, task: str, conversation: Conversation) -> None:
        self.kept = {task: conversation}
