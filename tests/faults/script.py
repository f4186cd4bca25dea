"""What the model says, found by looking at the conversation: a task asked for again is answered again."""

import json
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from app.core.conversation import AssistantMessage, ToolResult, UserMessage
from app.demo.model.scripted import Seen, Turn
from app.text.prompt import RESTARTED
from tests.bot import GREETER
from tests.e2e.turns import TEST_IT, answer, finish, plan, shell, write

PLAN: Final = "plan"
FIRST: Final = "Say hello with two l"
SECOND: Final = "Say so in the README"
THIRD: Final = "Note what was said"
REPAIR: Final = "repair"
SUBJECTS: Final = [FIRST, SECOND]


class Script:
    """Two steps, one commit each, and a third that follows them up.

    `turns` may be changed by task; `slips` are said once, before the task goes on.
    """

    def __init__(self) -> None:
        self.turns: dict[str, list[Turn]] = {
            PLAN: [plan(FIRST, SECOND)],
            FIRST: [
                write("greet.py", GREETER["greet.py"].replace("helo", "hello")),
                write("tests/test_spelling.py", TEST_IT),
                finish("The greeting is spelled right, and a test holds it."),
            ],
            SECOND: [write("README.md", "# Greeter\n\nSays hello, with two l.\n"), finish("The README says so.")],
            THIRD: [write("NOTES.md", "Be polite.\n"), finish("It is noted.")],
            REPAIR: [finish("There was nothing to repair.")],
        }
        self.slips: dict[str, deque[Turn]] = {}
        self.asked: list[tuple[str, int]] = []
        self.tell: Callable[[str], None] = lambda _: None

    def sleeps(self, task: str, command: str = "sleep 6") -> None:
        """Let a task begin with a command that takes its time."""
        self.turns[task].insert(0, shell(command))

    def follows_up(self) -> None:
        """From now on it plans to note what was said, which settles every remark."""
        answers = [answer(number, step=1, words=f"Remark {number} is noted.") for number in (1, 2, 3)]
        self.turns[PLAN] = [plan(THIRD, answers=answers)]

    def answer(self, seen: Seen) -> Turn:
        task = _task(seen)
        turns = self.turns[task]
        taken = 0
        for message, result in pairwise(seen.conversation):
            if isinstance(message, AssistantMessage) and taken < len(turns) and _is_same(message, turns[taken]):
                is_unclear = isinstance(result, ToolResult) and RESTARTED in result.text
                taken += not is_unclear  # what may not have been done is done again
        self.asked.append((task, taken))
        self.tell(f"model: {task!r}, turn {taken + 1}")
        if slips := self.slips.get(task):
            return slips.popleft()
        return turns[min(taken, len(turns) - 1)]


def _task(seen: Seen) -> str:
    if PLAN in seen.tools:
        return PLAN
    said = next(message.text for message in seen.conversation if isinstance(message, UserMessage))
    return next((title for title in (*SUBJECTS, THIRD) if f": {title}" in said.rpartition("Carry out step")[2]), REPAIR)


def _is_same(answer: AssistantMessage, turn: Turn) -> bool:
    said = [(call.name, json.loads(call.arguments)) for call in answer.tool_calls if _is_json(call.arguments)]
    return said == [(call.name, json.loads(call.arguments)) for call in turn.calls]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
