"""Workers die at every point of a task, and others go on with what was kept."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.adapters.sandbox.local.sandboxes import LocalSandboxes
from app.agent.coder import carry_out_step, repair
from app.agent.loop import Session
from app.agent.planner import plan
from app.agent.tool_calls import Edit, Finish, Read, Search, Shell, WorkCall, Write
from app.core.conversation import AssistantMessage, Conversation, Instructions, Reply, ToolCall, ToolResult, UserMessage
from app.core.errors import LimitReached, ModelError
from app.core.ports.sandbox import Sandbox
from app.core.run.plan import Plan, Step
from app.text.prompt import LOOK_FIRST, RESTARTED, Brief
from tests.agent.conftest import SET_UP
from tests.agent.mortal import Fuse, Killed, Mortal, Player, Witness
from tests.agent.script import PARSERS, Audience, Script, calls, say, tool

WORK: tuple[type[WorkCall], ...] = (Shell, Read, Search, Edit, Write)
FINISH = ("finish", '{"summary": "Done."}')
DONE = calls(FINISH)
BEGUN: Conversation = (Instructions("Work."), UserMessage("Do it."))


def shell(command: str) -> tuple[str, str]:
    return "shell", json.dumps({"command": command})


def write(path: str, content: str) -> tuple[str, str]:
    return "write", json.dumps({"path": path, "content": content})


def answer(*written: tuple[str, str]) -> AssistantMessage:
    return AssistantMessage("", tuple(ToolCall(f"call_{index}", *call) for index, call in enumerate(written)))


TURNS = (
    say("I will look."),
    calls(("read", '{"path": "greet.py"}'), shell("echo one >one.txt")),
    calls(write("greet.py", "def greet(name:\n")),
    DONE,
    calls(shell("exit 4"), FINISH),
    calls(write("greet.py", "def greet(name): ...\n"), text="I mend it."),
    calls(shell("echo two >two.txt"), FINISH),
)
"""Words alone, looking, changing, an ending refused for faults and for a failure, one accepted beside a change."""


@dataclass
class Story:
    """One task, carried out by one worker after another."""

    sandbox: Sandbox
    asked: int = 0
    store: dict[str, Conversation] = field(default_factory=dict)
    died: list[str] = field(default_factory=list)
    crossings: int = 0

    async def live(self, blows_at: int = 0) -> str:
        """One worker's life: the summary when it ended the task, empty when it died."""
        fuse = Fuse(blows_at)
        model = Player(TURNS, fuse)
        session = Session(
            model,
            Mortal(self.sandbox, fuse),
            Witness(fuse=fuse, store=self.store),
            conversation=self.store.get("step 0", ()),
            parsers=PARSERS,
        )
        try:
            return (await session.carry_out("step 0", "Do it.", WORK, Finish)).summary
        except Killed as death:
            self.died.append(str(death))
            return ""
        finally:
            self.asked += model.asked
            self.crossings = len(fuse.crossings)

    async def outcome(self) -> str:
        """What is in the work tree, which is then put back."""
        shown = await self.sandbox.exec(["sh", "-c", "git status -s; cat greet.py *.txt; git checkout -q .; rm *.txt"])
        return shown.output

    @property
    def turns_lost(self) -> int:
        """Turns that must be paid again: answered and not kept, or an ending beside a change that nobody knows of."""
        conversation = self.store.get("step 0", ())
        answers = [message for message in conversation if isinstance(message, AssistantMessage)]
        is_unsure = len(answers) == len(TURNS) and answers[-1] is conversation[-1]
        return self.asked - len(answers) + is_unsure


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Without isolation, five times as fast; nothing but `echo` and git runs in it."""
    made = await LocalSandboxes(tmp_path / "machines", isolation=False).create(key="a", metadata={}, timeout_s=300)
    assert (await made.exec(["sh", "-c", SET_UP])).exit_code == 0
    yield made
    await made.close()


@pytest.mark.parametrize("quarter", range(4))
async def test_a_task_ends_the_same_wherever_its_worker_dies(bare: Sandbox, quarter: int) -> None:
    """No turn that was answered and kept is asked for again."""
    whole = Story(bare)
    assert await whole.live() == "Done."
    assert whole.asked == len(TURNS)
    outcome = await whole.outcome()
    assert outcome.endswith("def greet(name): ...\none\ntwo\n")

    deaths: set[str] = set()
    for blows_at in range(1 + quarter, whole.crossings + 1, 4):
        story = Story(bare)
        assert await story.live(blows_at) == ""
        where, lost = story.died[0], story.turns_lost
        assert lost <= (where in {"the answer", "before keep"} or len(story.store["step 0"]) > 15), where
        assert await story.live() == "Done.", where
        assert (where, story.asked) == (where, len(TURNS) + lost)
        assert (where, await story.outcome()) == (where, outcome)
        deaths.add(where)
    assert len(deaths) >= 6


@pytest.mark.parametrize("crossings", [9, 14, 19])
async def test_workers_that_die_one_after_the_other_end_it_too(bare: Sandbox, crossings: int) -> None:
    """Each lives a little longer than the one before: one that dies within a turn each time gets nowhere."""
    story = Story(bare)
    while not (summary := await story.live(crossings + 3 * len(story.died))):
        assert len(story.died) < 20
    assert summary == "Done."
    assert (await story.outcome()).endswith("def greet(name): ...\none\ntwo\n")
    assert len(TURNS) <= story.asked <= len(TURNS) + len(story.died)
    assert len(story.died) >= 3


class Stage:
    """A worker that goes on with a conversation."""

    def __init__(self, sandbox: Sandbox, *turns: Reply, conversation: Conversation, max_turns: int = 60) -> None:
        self.model = Script(*turns)
        self.audience = Audience()
        self.session = Session(
            self.model, sandbox, self.audience, conversation=conversation, max_turns=max_turns, parsers=PARSERS
        )

    async def play(self) -> str:
        return (await self.session.carry_out("step 0", "Do it.", WORK, Finish)).summary


async def test_every_change_of_the_conversation_is_kept(sandbox: Sandbox) -> None:
    class Clerk(Audience):
        kept_at: list[list[type]] = []  # noqa: RUF012 - one clerk

        async def keep(self, task: str, conversation: Conversation) -> None:
            assert task == "step 0"
            self.kept_at.append([type(message) for message in conversation[1:]])

    clerk = Clerk(words=["Hurry."])
    session = Session(Script(say("Hm."), calls(("read", '{"path": "."}'), FINISH)), sandbox, clerk, parsers=PARSERS)
    await session.carry_out("step 0", "Do it.", WORK, Finish)
    grown = [UserMessage, UserMessage, AssistantMessage, UserMessage, AssistantMessage, ToolResult, ToolResult]
    assert clerk.kept_at == [grown[:length] for length in (1, 2, 3, 4, 5, 7)]


async def test_what_may_have_changed_something_is_not_repeated_and_looking_is(sandbox: Sandbox) -> None:
    under_way = answer(shell("echo again >>x"), write("x", "y"), ("read", '{"path": "greet.py"}'), ("reed", "{}"))
    stage = Stage(sandbox, DONE, conversation=(*BEGUN, under_way))
    assert await stage.play() == "Done."
    assert stage.model.asked[0][:2] == BEGUN
    unknown, too, seen, misread = stage.model.results
    assert unknown == too == RESTARTED
    assert seen.startswith("greet.py, lines 1-2 of 2")
    assert misread.startswith("There is no tool `reed` here.")
    with pytest.raises(FileNotFoundError):
        await sandbox.read("x")


async def test_an_ending_that_was_under_way_is_taken_without_another_turn(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, conversation=(*BEGUN, answer(FINISH)))
    assert await stage.play() == "Done."
    assert stage.model.asked == []


async def test_an_ending_that_was_accepted_is_taken_even_when_the_machine_is_gone(sandbox: Sandbox) -> None:
    first = Stage(sandbox, calls(shell("true"), FINISH, ("read", '{"path": "."}')), conversation=BEGUN)
    await first.play()
    await sandbox.close()
    later = Stage(sandbox, conversation=first.session.conversation)
    assert await later.play() == "Done."
    assert later.model.asked == []
    assert later.session.conversation == first.session.conversation


async def test_an_ending_beside_a_change_that_nobody_knows_of_is_refused(sandbox: Sandbox) -> None:
    told = (answer(shell("exit 1"), FINISH), ToolResult("call_0", "exit code 1"), ToolResult("call_1", LOOK_FIRST))
    stage = Stage(sandbox, DONE, conversation=(*BEGUN, *told, answer(write("x", "y"), FINISH)))
    assert await stage.play() == "Done."
    assert stage.model.results == [RESTARTED, LOOK_FIRST]


async def test_syntax_faults_of_an_earlier_worker_are_found(sandbox: Sandbox) -> None:
    first = Stage(sandbox, tool("edit", path="greet.py", old="(name):", new="(name:"), conversation=BEGUN)
    with pytest.raises(IndexError):
        await first.play()
    later = Stage(sandbox, DONE, DONE, conversation=first.audience.kept["step 0"])
    await later.play()
    assert later.model.results[0].startswith("Not yet: there are syntax faults that were not there before.")


async def test_turns_of_an_earlier_worker_count(sandbox: Sandbox) -> None:
    taken = [message for _ in range(6) for message in (answer(("read", "{}")), ToolResult("call_0", "no"))]
    look = tool("read", path="greet.py")
    stage = Stage(sandbox, look, look, conversation=(*BEGUN, *taken), max_turns=8)
    with pytest.raises(LimitReached, match="8 turns were not enough"):
        await stage.play()
    assert len(stage.model.asked) == 2

    stage = Stage(sandbox, conversation=stage.session.conversation, max_turns=8)
    with pytest.raises(LimitReached):
        await stage.play()


async def test_the_last_turns_are_announced_once(sandbox: Sandbox) -> None:
    first = Stage(sandbox, conversation=BEGUN, max_turns=5)
    with pytest.raises(IndexError):
        await first.play()
    later = Stage(sandbox, DONE, conversation=first.audience.kept["step 0"], max_turns=5)
    await later.play()
    announced = "5 turns are left for this. Bring it into a state that works, then call `finish`."
    assert [message for message in later.model.asked[0] if message == UserMessage(announced)] == [
        UserMessage(announced)
    ]


async def test_a_model_that_only_talks_is_given_up_over_all_workers(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, *[say("Well.")] * 2, conversation=BEGUN)
    with pytest.raises(IndexError):
        await stage.play()
    stage = Stage(sandbox, *[say("Well.")] * 2, conversation=stage.session.conversation)
    with pytest.raises(ModelError, match="does not use its tools"):
        await stage.play()

    stage = Stage(sandbox, conversation=stage.session.conversation)
    with pytest.raises(ModelError, match="does not use its tools"):
        await stage.play()


async def test_words_without_a_call_are_answered_by_the_next_worker(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, DONE, conversation=(*BEGUN, AssistantMessage("I am done.")))
    assert await stage.play() == "Done."
    assert stage.model.told.startswith("Nobody reads this but the harness.")


async def test_only_the_first_task_goes_on_with_what_was_kept(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, DONE, conversation=(*BEGUN, answer(FINISH)))
    await stage.play()
    await stage.play()
    assert stage.model.asked[0][1:] == (UserMessage("Do it."),)


async def test_each_task_is_kept_under_its_name(sandbox: Sandbox) -> None:
    made = Plan("Greet", "It said helo.", (Step("Spell"), Step("Test")))
    propose = tool("plan", title="t", summary="s", steps=[])
    audience = Audience()
    session = Session(Script(propose, DONE, DONE, DONE), sandbox, audience, Brief(repo="acme/greeter"), parsers=PARSERS)
    names: list[str] = []
    for work in (
        plan(session, Brief(repo="acme/greeter")),
        carry_out_step(session, made, 1),
        repair(session, "1 failed"),
        repair(session, "1 failed", 1),
    ):
        await work
        names += audience.kept
    assert names == ["plan", "step 1", "repair 0", "repair 1"]


async def test_a_plan_that_was_handed_in_is_taken(sandbox: Sandbox) -> None:
    audience = Audience()
    await plan(
        Session(Script(tool("plan", title="t", summary="s", steps=[])), sandbox, audience, parsers=PARSERS),
        Brief(repo="acme/greeter"),
    )
    later = Session(Script(), sandbox, Audience(), conversation=audience.kept["plan"], parsers=PARSERS)
    assert await plan(later, Brief(repo="acme/greeter")) == Plan("t", "s", ())
