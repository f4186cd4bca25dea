"""The agent's loop: ask the model, carry out what it calls, answer, until it hands in what was asked for.

    before_turn ─▶ model.reply ─▶ keep ─▶ after_turn ─▶ carry out each call ─▶ results join the conversation ─▶ keep
         ▲                                                                                               │
         └────────────────────────────────────── no ending accepted ◀────────────────────────────────────┤
                                                                              `plan` or `finish` accepted ▼

The exceptions are the control flow: `LimitReached`, `Stopped`, `LeaseLost` come from the watcher, `ModelError` and
`SandboxError` from outside. Whatever leaves the loop, the watcher has kept the conversation as it stands, and another
worker goes on with it. All that decides anything is in there, and it ends in one of four ways:

    a user message, or results  ─▶ the next turn
    an answer without results   ─▶ its calls: looking is repeated, an ending is heard, and of what may have changed
                                   something the model is told that nobody knows
    an answer without calls     ─▶ the reminder to make one
    an ending that was accepted ─▶ the end, without another turn

One conversation per task (the plan, each step, each repair), not one for the run: it stays bounded and cheap without
ever being compressed, and a step can be repeated elsewhere from the plan and the work tree alone. One that grows too
long all the same is started over, with the task and the model's last message.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, Generic, Protocol

from app.agent.tool_calls import E, InvalidToolCall, Read, Search, Shell, WorkCall, read, specs
from app.agent.tools import Outcome, Workbench
from app.core.conversation import (
    AssistantMessage,
    Conversation,
    Instructions,
    Message,
    Reply,
    ToolCall,
    ToolResult,
    UserMessage,
)
from app.core.errors import LimitReached, ModelError
from app.core.ports.model import Model
from app.core.ports.parsers import Parsers
from app.core.ports.sandbox import Sandbox
from app.core.run.run import Kind
from app.text.prompt import (
    ACCEPTED,
    CUT,
    FIX_FIRST,
    LOOK_FIRST,
    RESTARTED,
    STARTED_OVER,
    TURNS_LEFT,
    USE_A_TOOL,
    Brief,
    instructions,
)

MAX_TURNS: Final = 60
WARN_AT_TURNS_LEFT: Final = 5
MAX_IDLE_TURNS: Final = 3
REPEATS_BEFORE_NUDGE: Final = 3
MAX_CALLS_PER_TURN: Final = 20
MAX_CONVERSATION_CHARS: Final = 400_000
"""Some 100,000 tokens."""
LAST_WORDS: Final = 3
_UNKNOWN: Final = Outcome(RESTARTED, is_failure=True)
"""What a change gave that was under way when its worker stopped."""


class Watcher(Protocol):
    """Looks over the agent's shoulder: holds the budget, counts, shows."""

    async def before_turn(self) -> Sequence[str]:
        """Words to give the model now.

        Raises:
            LimitReached, Stopped, LeaseLost: the agent's work ends here.
        """

    async def after_turn(self, reply: Reply) -> None:
        """Count what the turn cost."""

    async def show(self, kind: Kind, text: str) -> None:
        """A line for the timeline."""

    async def keep(self, task: str, conversation: Conversation) -> None:
        """The conversation as it stands; kept so that another worker can go on with it."""


@dataclass(slots=True)
class Session:
    """What the agent works with. One task after another may be given to it, each in a conversation of its own.

    `conversation` given at construction is what was kept of the task that is carried out first, which is gone on with:
    no opening message, no turn paid again. The sandbox must be the one it speaks of. `max_turns` holds for each task,
    turns of earlier workers included (those before it was started over are forgotten).
    """

    model: Model
    sandbox: Sandbox
    watcher: Watcher
    brief: Brief | None = None
    parsers: Parsers = field(kw_only=True)
    model_name: str = ""
    cache_key: str = ""
    conversation: Conversation = ()
    max_turns: int = MAX_TURNS
    _is_resumed: bool = field(init=False)

    def __post_init__(self) -> None:
        self._is_resumed = bool(self.conversation)

    async def carry_out(self, name: str, task: str, work: Sequence[type[WorkCall]], ending: type[E]) -> E:
        """Give the model a task, tools to work with and the one that ends it; return the call that ended it.

        `name` is what the conversation is kept under: `plan`, `step 0`, `repair 0`.

        Raises:
            LimitReached: `max_turns` turns were not enough.
            ModelError: the model is away, or does not use its tools.
        """
        kept = self.conversation if self._is_resumed else ()
        self._is_resumed = False
        self.conversation = kept
        return await _Task(self, name, task, work, ending).carry_out()


@dataclass(slots=True)
class _Task(Generic[E]):
    """One task in progress. What it must know of earlier turns it reads from the conversation, for another worker may
    have taken them; only the count of failures is this worker's own."""

    session: Session
    name: str
    task: str
    work: Sequence[type[WorkCall]]
    ending: type[E]
    workbench: Workbench = field(init=False)
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.workbench = Workbench(self.session.sandbox, self.session.parsers)

    async def carry_out(self) -> E:
        most = self.session.max_turns
        turns_left = most - len(self._answers)
        if not self.session.conversation:
            await self._open(self.task)
        ending = await self._go_on()
        while ending is None:
            if turns_left <= 0:
                raise LimitReached("turns", f"{most} turns were not enough for this. `/vibecode retry` tries it again.")
            reply = await self._ask(turns_left)
            ending = await self._answer(reply.answer, is_cut=reply.cut)
            turns_left -= 1
        return ending

    async def _open(self, task: str) -> None:
        self.session.conversation = ()
        await self._add(Instructions(instructions()), UserMessage(task))

    async def _go_on(self) -> E | None:
        """Go on where another worker stopped. The module's docstring has the ways that can be."""
        answers = self._answers
        if not answers:
            return None
        touched = [self._read(call, 0, is_cut=False) for answer in answers for call in answer.tool_calls]
        await self.workbench.take_up([call for call in touched if isinstance(call, WorkCall)])
        results = list(
            takewhile(lambda message: not isinstance(message, AssistantMessage), reversed(self.session.conversation))
        )
        if not results:
            return await self._answer(answers[-1], is_resumed=True)
        for written, result in zip(reversed(answers[-1].tool_calls), results, strict=False):
            call = self._read(written, 0, is_cut=False)
            if isinstance(call, self.ending) and result.text == ACCEPTED:
                return call
        return None

    @property
    def _answers(self) -> list[AssistantMessage]:
        return [message for message in self.session.conversation if isinstance(message, AssistantMessage)]

    async def _ask(self, turns_left: int) -> Reply:
        session = self.session
        words = list(await session.watcher.before_turn())
        ending_soon = TURNS_LEFT.format(turns_left, self.ending.tool)
        if turns_left == WARN_AT_TURNS_LEFT and not self._was_told(ending_soon):
            words.insert(0, ending_soon)
        if sum(map(_chars, session.conversation)) > MAX_CONVERSATION_CHARS:
            await self._begin_anew()
        if words:
            await self._add(UserMessage("\n\n".join(words)))
        tools = specs((*self.work, self.ending))
        reply = await session.model.reply(
            session.conversation, tools, model=session.model_name, cache_key=session.cache_key
        )
        await self._add(reply.answer)
        await session.watcher.after_turn(reply)
        if reply.answer.text.strip():
            await session.watcher.show(Kind.MODEL, reply.answer.text.strip())
        return reply

    async def _begin_anew(self) -> None:
        said = [answer.text for answer in self._answers if answer.text]
        anew = STARTED_OVER.format("\n\n".join(said[-LAST_WORDS:]) or "(nothing)")
        await self._open(f"{self.task}{anew}")
        await self.session.watcher.show(Kind.NOTE, "The conversation grew too long and was begun anew.")

    async def _answer(self, answer: AssistantMessage, *, is_cut: bool = False, is_resumed: bool = False) -> E | None:
        """Carry out the calls in their order, an ending after all others; all results join the conversation at once."""
        if not answer.tool_calls:
            await self._remind(is_cut=is_cut)
            return None
        outcomes: dict[int, Outcome] = {}
        endings: dict[int, E] = {}
        for index, written in enumerate(answer.tool_calls):
            call = self._read(written, index, is_cut=is_cut)
            if isinstance(call, Outcome):
                outcomes[index] = call
            elif isinstance(call, WorkCall):
                outcomes[index] = _UNKNOWN if is_resumed and _may_change(call) else await self._carry_out(call)
            else:
                endings[index] = call
        ending = await self._end(endings, outcomes)
        results = [
            ToolResult(written.id, self._nudged(written, outcomes[index]))
            for index, written in enumerate(answer.tool_calls)
        ]
        await self._add(*results)
        return ending

    def _read(self, written: ToolCall, index: int, *, is_cut: bool) -> WorkCall | E | Outcome:
        if index >= MAX_CALLS_PER_TURN:
            return Outcome(f"Not carried out: at most {MAX_CALLS_PER_TURN} calls in one turn.", is_failure=True)
        try:
            return read(written, self.work, self.ending)
        except InvalidToolCall as error:
            return Outcome(f"{error} {CUT}" if is_cut else str(error), is_failure=True)

    async def _carry_out(self, call: WorkCall) -> Outcome:
        await self.session.watcher.show(Kind.TOOL, call.headline)
        outcome = await self.workbench.carry_out(call)
        if outcome.is_failure and isinstance(call, Shell):
            await self.session.watcher.show(Kind.TOOL, f"↳ {outcome.text.splitlines()[0]}")
        return outcome

    async def _end(self, endings: dict[int, E], outcomes: dict[int, Outcome]) -> E | None:
        """Accept the last ending call, or refuse it; every one gets its outcome."""
        if not endings:
            return None
        refusal = await self._refusal(list(outcomes.values()))
        outcomes |= {index: Outcome(refusal or ACCEPTED, is_failure=bool(refusal)) for index in endings}
        return None if refusal else endings[max(endings)]

    async def _refusal(self, outcomes: Sequence[Outcome]) -> str:
        """Why the work cannot end here. Said once: the model may insist, but not on what nobody knows."""
        has_failures = any(outcome.is_failure for outcome in outcomes)
        if _UNKNOWN in outcomes or (has_failures and not self._was_told(LOOK_FIRST)):
            return LOOK_FIRST
        faults = await self.workbench.faults()
        if not faults:
            return ""
        if not self._was_told(FIX_FIRST.format(faults)):
            return FIX_FIRST.format(faults)
        first = " ".join(faults.splitlines()[:2])
        await self.session.watcher.show(Kind.NOTE, f"Finished in spite of syntax faults: {first}")
        return ""

    def _was_told(self, words: str) -> bool:
        return any(
            isinstance(message, UserMessage | ToolResult) and message.text.startswith(words)
            for message in self.session.conversation
        )

    async def _remind(self, *, is_cut: bool) -> None:
        """Nothing was called. The answer stays, and the model is told to go on."""
        idle = list(takewhile(lambda answer: not answer.tool_calls, reversed(self._answers)))
        if len(idle) > MAX_IDLE_TURNS:
            raise ModelError("The model speaks but does not use its tools. Another model may do better.")
        await self._add(UserMessage(CUT if is_cut else USE_A_TOOL.format(self.ending.tool)))

    def _nudged(self, written: ToolCall, outcome: Outcome) -> str:
        """The result, and a word when the same call fails in the same way again and again."""
        if not outcome.is_failure:
            return outcome.text
        key = (written.name, written.arguments, outcome.text)
        self.failures[key] += 1
        if self.failures[key] < REPEATS_BEFORE_NUDGE:
            return outcome.text
        return f"{outcome.text}\n[This is failure {self.failures[key]} of the same call. Try something else.]"

    async def _add(self, *messages: Message) -> None:
        """Let the conversation grow, and have it kept."""
        self.session.conversation = (*self.session.conversation, *messages)
        await self.session.watcher.keep(self.name, self.session.conversation)


def _may_change(call: WorkCall) -> bool:
    return not isinstance(call, Read | Search)


def _chars(message: Message) -> int:
    if isinstance(message, AssistantMessage):
        return len(message.raw) or len(message.text) + sum(len(call.arguments) for call in message.tool_calls)
    return len(message.text)
