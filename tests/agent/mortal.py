"""Workers that die. A fuse counts every crossing to the outside and blows at one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.core.conversation import AssistantMessage, Conversation, Reply, ToolCall, ToolResult, ToolSpec
from app.core.ports.sandbox import ExecResult, Network, Sandbox
from app.core.run.run import Kind
from app.text.prompt import RESTARTED
from tests.agent.script import Audience, assert_sound


class Killed(Exception):
    """The worker is no more; the text says where it died."""


@dataclass
class Fuse:
    """Blows at the crossing of that number, from 1; 0 never."""

    blows_at: int = 0
    crossings: list[str] = field(default_factory=list)

    def cross(self, where: str) -> None:
        self.crossings.append(where)
        if len(self.crossings) == self.blows_at:
            raise Killed(where)


@dataclass
class Player:
    """A model that plays its turns by what the conversation holds, and makes lost calls again in front of the next."""

    turns: Sequence[Reply]
    fuse: Fuse = field(default_factory=Fuse)
    asked: int = 0

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
        self.fuse.cross("the question")
        self.asked += 1
        answers = [message for message in conversation if isinstance(message, AssistantMessage)]
        turn = self.turns[min(len(answers), len(self.turns) - 1)]
        wanted = {call.arguments: call for call in (*_lost(conversation, answers), *turn.answer.tool_calls)}
        calls = tuple(replace(call, id=f"call_{index}") for index, call in enumerate(wanted.values()))
        self.fuse.cross("the answer")
        return replace(turn, answer=replace(turn.answer, tool_calls=calls))


def _lost(conversation: Conversation, answers: Sequence[AssistantMessage]) -> list[ToolCall]:
    results = conversation[-len(answers[-1].tool_calls) :] if answers and answers[-1].tool_calls else ()
    return [
        call
        for call, result in zip(answers[-1].tool_calls if answers else (), results, strict=False)
        if isinstance(result, ToolResult) and result.text.startswith(RESTARTED)
    ]


@dataclass
class Witness(Audience):
    """A watcher whose store outlives it."""

    fuse: Fuse = field(default_factory=Fuse)
    store: dict[str, Conversation] = field(default_factory=dict)

    async def before_turn(self) -> Sequence[str]:
        self.fuse.cross("before_turn")
        return await super().before_turn()

    async def after_turn(self, reply: Reply) -> None:
        self.fuse.cross("after_turn")
        await super().after_turn(reply)

    async def show(self, kind: Kind, text: str) -> None:
        self.fuse.cross("show")
        await super().show(kind, text)

    async def keep(self, task: str, conversation: Conversation) -> None:
        self.fuse.cross("before keep")
        before = self.store.get(task, ())
        assert conversation[: len(before)] == before
        self.store[task] = conversation
        self.fuse.cross("after keep")


@dataclass
class Mortal:
    """A real sandbox, out of a worker's reach at some moment before or after a call took effect."""

    inner: Sandbox
    fuse: Fuse

    def __post_init__(self) -> None:
        self.id, self.work_tree = self.inner.id, self.inner.work_tree

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
        max_output_bytes: int = 32_768,
        leaves_daemons: bool = False,
    ) -> ExecResult:
        self.fuse.cross("before exec")
        result = await self.inner.exec(
            argv,
            cwd=cwd,
            env=env,
            timeout_s=timeout_s,
            max_output_bytes=max_output_bytes,
            leaves_daemons=leaves_daemons,
        )
        self.fuse.cross("after exec")
        return result

    async def read(self, path: str, *, max_bytes: int = 1_048_576) -> bytes:
        self.fuse.cross("before read")
        return await self.inner.read(path, max_bytes=max_bytes)

    async def write(self, path: str, data: bytes) -> None:
        self.fuse.cross("before write")
        await self.inner.write(path, data)
        self.fuse.cross("after write")

    async def upload(self, tar: Path, to: str) -> None:
        await self.inner.upload(tar, to)

    async def set_network(self, network: Network) -> None:
        await self.inner.set_network(network)

    async def keep_alive(self, seconds: float) -> None:
        await self.inner.keep_alive(seconds)

    async def close(self) -> None:
        await self.inner.close()
