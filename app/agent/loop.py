"""The agent's loop: ask the model, carry out what it calls, answer, until it hands in what was asked for.

    before_turn ─▶ model.reply ─▶ after_turn ─▶ carry out each call ─▶ answer and results join the conversation
         ▲                                                                                      │
         └──────────────────────────── no ending accepted ◀─────────────────────────────────────┤
                                                                     `plan` or `finish` accepted ▼

An answer and the results of all its calls are added together, in one assignment: whatever exception leaves the loop,
the conversation is one that every vendor takes. The exceptions are the control flow: `LimitReached`, `Stopped`,
`LeaseLost` come from the watcher, `ModelError` and `SandboxError` from outside.

One conversation per task (the plan, each step, each repair), not one for the run: it stays bounded and cheap without
ever being compressed, and a step can be repeated elsewhere from the plan and the work tree alone. One that grows too
long all the same is begun anew, with the task and the model's last words.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol

from app.agent.call import E, Misread, Shell, Work, read, specs
from app.agent.tools import Outcome, Workbench
from app.core.conversation import Answer, Conversation, Instructions, Message, Reply, Said, ToolCall, ToolResult
from app.core.errors import LimitReached, ModelError
from app.core.ports import Model, Sandbox
from app.core.run import Kind
from app.text.prompt import BEGUN_ANEW, CUT, TURNS_LEFT, USE_A_TOOL, Brief, instructions

MAX_TURNS: Final = 60
WARN_AT_TURNS_LEFT: Final = 5
MAX_IDLE_TURNS: Final = 3
REPEATS_BEFORE_NUDGE: Final = 3
MAX_CALLS_PER_TURN: Final = 20
MAX_CONVERSATION_CHARS: Final = 400_000
"""Some 100,000 tokens."""
LAST_WORDS: Final = 3


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


@dataclass(slots=True)
class Session:
    """What the agent works with. One task after another may be given to it, each in a conversation of its own.

    `conversation` only grows while a task is at work. Given at construction, it is gone on with by the first task: the
    sandbox must then be the one it speaks of. `max_turns` holds for each task.
    """

    model: Model
    sandbox: Sandbox
    watcher: Watcher
    brief: Brief | None = None
    model_name: str = ""
    cache_key: str = ""
    conversation: Conversation = ()
    max_turns: int = MAX_TURNS
    _is_resumed: bool = field(init=False)

    def __post_init__(self) -> None:
        self._is_resumed = bool(self.conversation)

    async def carry_out(self, task: str, work: Sequence[type[Work]], ending: type[E]) -> E:
        """Give the model a task, tools to work with and the one that ends it; return the call that ended it.

        Raises:
            LimitReached: `max_turns` turns were not enough.
            ModelError: the model is away, or does not use its tools.
        """
        begun: Conversation = self.conversation if self._is_resumed else (Instructions(instructions()),)
        self._is_resumed = False
        self.conversation = (*begun, Said(task))
        return await _Task(self, task, work, ending).carry_out()


@dataclass(slots=True)
class _Task(Generic[E]):
    session: Session
    task: str
    work: Sequence[type[Work]]
    ending: type[E]
    workbench: Workbench = field(init=False)
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    idle_turns: int = 0
    was_refused: bool = False
    faults_told: str = ""

    def __post_init__(self) -> None:
        self.workbench = Workbench(self.session.sandbox)

    async def carry_out(self) -> E:
        for turns_left in range(self.session.max_turns, 0, -1):
            reply = await self._ask(turns_left)
            ending = await self._answer(reply)
            if ending is not None:
                return ending
        most = self.session.max_turns
        raise LimitReached("turns", f"{most} turns were not enough for this. `/vibecode retry` tries it again.")

    async def _ask(self, turns_left: int) -> Reply:
        session = self.session
        words = list(await session.watcher.before_turn())
        if turns_left == WARN_AT_TURNS_LEFT:
            words.append(TURNS_LEFT.format(turns_left, self.ending.tool))
        if sum(map(_chars, session.conversation)) > MAX_CONVERSATION_CHARS:
            await self._begin_anew()
        if words:
            self._add(Said("\n\n".join(words)))
        tools = specs((*self.work, self.ending))
        reply = await session.model.reply(
            session.conversation, tools, model=session.model_name, cache_key=session.cache_key
        )
        await session.watcher.after_turn(reply)
        return reply

    async def _begin_anew(self) -> None:
        said = [message.text for message in self.session.conversation if isinstance(message, Answer) and message.text]
        anew = BEGUN_ANEW.format("\n\n".join(said[-LAST_WORDS:]) or "(nothing)")
        self.session.conversation = (Instructions(instructions()), Said(f"{self.task}{anew}"))
        await self.session.watcher.show(Kind.NOTE, "The conversation grew too long and was begun anew.")

    async def _answer(self, reply: Reply) -> E | None:
        """Carry out the calls in their order, an ending after all others, and add everything to the conversation."""
        answer = reply.answer
        if answer.text.strip():
            await self.session.watcher.show(Kind.MODEL, answer.text.strip())
        if not answer.tool_calls:
            self._remind(reply)
            return None
        self.idle_turns = 0
        outcomes: dict[int, Outcome] = {}
        endings: dict[int, E] = {}
        for index, written in enumerate(answer.tool_calls):
            call = self._read(written, index, is_cut=reply.cut)
            if isinstance(call, Outcome):
                outcomes[index] = call
            elif isinstance(call, Work):
                outcomes[index] = await self._carry_out(call)
            else:
                endings[index] = call
        ending = await self._end(endings, outcomes)
        results = [
            ToolResult(written.id, self._nudged(written, outcomes[index]))
            for index, written in enumerate(answer.tool_calls)
        ]
        self._add(answer, *results)
        return ending

    def _read(self, written: ToolCall, index: int, *, is_cut: bool) -> Work | E | Outcome:
        if index >= MAX_CALLS_PER_TURN:
            return Outcome(f"Not carried out: at most {MAX_CALLS_PER_TURN} calls in one turn.", is_failure=True)
        try:
            return read(written, self.work, self.ending)
        except Misread as error:
            return Outcome(f"{error} {CUT}" if is_cut else str(error), is_failure=True)

    async def _carry_out(self, call: Work) -> Outcome:
        await self.session.watcher.show(Kind.TOOL, call.headline)
        outcome = await self.workbench.carry_out(call)
        if outcome.is_failure and isinstance(call, Shell):
            await self.session.watcher.show(Kind.TOOL, f"↳ {outcome.text.splitlines()[0]}")
        return outcome

    async def _end(self, endings: dict[int, E], outcomes: dict[int, Outcome]) -> E | None:
        """Accept the last ending call, or refuse it; every one gets its outcome."""
        if not endings:
            return None
        refusal = await self._refusal(has_failures=any(outcome.is_failure for outcome in outcomes.values()))
        outcomes |= {index: Outcome(refusal or "Accepted.", is_failure=bool(refusal)) for index in endings}
        return None if refusal else endings[max(endings)]

    async def _refusal(self, *, has_failures: bool) -> str:
        """Why the work cannot end here. Said once: the model may insist."""
        faults = await self.workbench.faults()
        if has_failures and not self.was_refused:
            self.was_refused = True
            return "Not yet: another call of this turn failed. Look at it, then call this alone."
        if faults and faults != self.faults_told:
            self.faults_told = faults
            return f"Not yet: there are syntax faults that were not there before. Mend them, or insist.\n{faults}"
        if faults:
            first = " ".join(faults.splitlines()[:2])
            await self.session.watcher.show(Kind.NOTE, f"Finished in spite of syntax faults: {first}")
        return ""

    def _remind(self, reply: Reply) -> None:
        """Nothing was called. The answer stays, and the model is told to go on."""
        self.idle_turns += 1
        if self.idle_turns > MAX_IDLE_TURNS:
            raise ModelError("The model speaks but does not use its tools. Another model may do better.")
        self._add(reply.answer, Said(CUT if reply.cut else USE_A_TOOL.format(self.ending.tool)))

    def _nudged(self, written: ToolCall, outcome: Outcome) -> str:
        """The result, and a word when the same call fails in the same way again and again."""
        if not outcome.is_failure:
            return outcome.text
        key = (written.name, written.arguments, outcome.text)
        self.failures[key] += 1
        if self.failures[key] < REPEATS_BEFORE_NUDGE:
            return outcome.text
        return f"{outcome.text}\n[This is failure {self.failures[key]} of the same call. Try something else.]"

    def _add(self, *messages: Answer | Said | ToolResult) -> None:
        self.session.conversation = (*self.session.conversation, *messages)


def _chars(message: Message) -> int:
    if isinstance(message, Answer):
        return len(message.raw) or len(message.text) + sum(len(call.arguments) for call in message.tool_calls)
    return len(message.text)
