"""How a conversation goes on, and how it ends."""

import json

import pytest
from inline_snapshot import snapshot

from app.agent.loop import Session
from app.agent.tool_calls import Edit, Finish, Read, Search, Shell, WorkCall, Write
from app.core.conversation import AssistantMessage, Conversation, Instructions, Reply, ToolResult, UserMessage
from app.core.errors import LimitReached, ModelError, SandboxError, Stopped
from app.core.ports.sandbox import Sandbox
from app.core.run.run import Kind
from tests.agent.script import PARSERS, Audience, Script, assert_sound, calls, say, tool

WORK: tuple[type[WorkCall], ...] = (Shell, Read, Search, Edit, Write)
DONE = tool("finish", summary="Done.")


class Stage:
    """One session, and everybody on it."""

    def __init__(self, sandbox: Sandbox, *turns: Reply, max_turns: int = 60, conversation: Conversation = ()) -> None:
        self.model = Script(*turns)
        self.audience = Audience()
        self.session = Session(
            self.model,
            sandbox,
            self.audience,
            max_turns=max_turns,
            conversation=conversation,
            cache_key="run",
            parsers=PARSERS,
        )

    async def play(self, task: str = "Do it.") -> str:
        return (await self.session.carry_out("step 0", task, WORK, Finish)).summary

    @property
    def notes(self) -> list[str]:
        return [text for kind, text in self.audience.shown if kind is Kind.NOTE]


def shell(command: str) -> tuple[str, str]:
    return "shell", json.dumps({"command": command})


FINISH = ("finish", '{"summary": "Done."}')


async def test_work_ends_with_the_summary(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, tool("read", path="greet.py"), DONE)
    assert await stage.play() == "Done."
    assert [type(message) for message in stage.session.conversation] == [
        *(Instructions, UserMessage),
        *(AssistantMessage, ToolResult),
        *(AssistantMessage, ToolResult),
    ]
    assert stage.audience.turns == 2
    assert stage.model.tools == ("shell", "read", "search", "edit", "write", "finish")


async def test_calls_of_one_turn_are_carried_out_and_answered_in_order(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, calls(shell("echo a >x"), shell("cat x"), ("read", '{"path": "x"}')), DONE)
    await stage.play()
    assert [result.splitlines()[-1].strip() for result in stage.model.results][1:] == ["a", "1\ta"]


async def test_the_timeline_shows_words_calls_and_failures(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, calls(shell("exit 4"), ("read", '{"path": "greet.py"}'), text="I look."), DONE)
    await stage.play()
    shown = [(kind.value, text.split(",")[0]) for kind, text in stage.audience.shown]
    assert shown == snapshot(
        [("model", "I look."), ("tool", "$ exit 4"), ("tool", "↳ exit code 4"), ("tool", "read greet.py")]
    )


async def test_what_cannot_be_read_is_answered_and_nothing_else(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, calls(("reed", "{}"), ("read", "{")), DONE)
    assert await stage.play() == "Done."
    assert "There is no tool `reed`" in stage.model.results[0]
    assert "no valid JSON" in stage.model.results[1]


async def test_finish_is_heard_after_the_other_calls_of_its_turn(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, calls(FINISH, shell("echo late >late.txt")))
    assert await stage.play() == "Done."
    assert await sandbox.read("late.txt") == b"late\n"
    assert_sound(stage.session.conversation)


async def test_finish_is_refused_once_when_another_call_of_the_turn_failed(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, calls(shell("exit 1"), FINISH), calls(shell("exit 1"), FINISH))
    assert await stage.play() == "Done."
    assert len(stage.model.asked) == 2
    assert stage.model.results[1] == "Not yet: another call of this turn failed. Look at it, then call this alone."


async def test_finish_is_refused_once_for_new_syntax_faults(sandbox: Sandbox) -> None:
    broken = tool("edit", path="greet.py", old="(name):", new="(name:")
    stage = Stage(sandbox, broken, DONE, DONE)
    assert await stage.play() == "Done."
    assert stage.model.results[0].startswith("Not yet: there are syntax faults that were not there before.")
    assert stage.notes == snapshot(
        ["Finished in spite of syntax faults: greet.py: line 1, column 10: '(' was never closed"]
    )


async def test_mended_syntax_faults_are_not_mentioned(sandbox: Sandbox) -> None:
    broken = tool("edit", path="greet.py", old="(name):", new="(name:")
    mended = tool("edit", path="greet.py", old="(name:", new="(name):")
    stage = Stage(sandbox, broken, DONE, mended, DONE)
    assert await stage.play() == "Done."
    assert stage.notes == []


async def test_words_without_a_call_are_answered_three_times(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, *[say("I am done.")] * 3, DONE)
    assert await stage.play() == "Done."
    assert stage.model.told == snapshot(
        "Nobody reads this but the harness. Go on with a tool call; when you are done, call `finish`."
    )


async def test_a_model_that_only_talks_is_given_up(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, *[say("Well.")] * 4)
    with pytest.raises(ModelError, match="does not use its tools"):
        await stage.play()
    assert_sound(stage.session.conversation)


async def test_talking_now_and_then_is_fine(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, *[say("Hm."), say("Hm."), tool("read", path=".")] * 3, DONE)
    assert await stage.play() == "Done."


async def test_an_answer_that_was_cut_is_told_so(sandbox: Sandbox) -> None:
    cut = calls(("write", '{"path": "a", "content": "aaa'), cut=True)
    stage = Stage(sandbox, say("I will", cut=True), cut, DONE)
    await stage.play()
    assert stage.model.asked[1][-1] == UserMessage("Your answer ended at the output limit. Go on, in smaller pieces.")
    assert stage.model.results[0].endswith("Your answer ended at the output limit. Go on, in smaller pieces.")


async def test_the_same_failing_call_is_remarked_upon(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, *[tool("edit", path="greet.py", old="nope nope", new="x")] * 3, DONE)
    await stage.play()
    said = [message.text for message in stage.session.conversation if isinstance(message, ToolResult)]
    assert ["[This is failure" in text for text in said] == [False, False, True, False]
    assert said[2].endswith("[This is failure 3 of the same call. Try something else.]")


async def test_too_many_calls_in_one_turn_are_not_carried_out(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, calls(*[("read", '{"path": "."}')] * 20, shell("touch no")), DONE)
    await stage.play()
    assert stage.model.results[20] == "Not carried out: at most 20 calls in one turn."
    with pytest.raises(FileNotFoundError):
        await sandbox.read("no")


async def test_turns_are_limited_and_the_end_is_announced(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, *[tool("read", path="greet.py")] * 8, max_turns=8)
    with pytest.raises(LimitReached, match="8 turns were not enough") as caught:
        await stage.play()
    assert caught.value.kind == "turns"
    announced = [message for message in stage.session.conversation if isinstance(message, UserMessage)][1:]
    assert announced == [
        UserMessage("5 turns are left for this. Bring it into a state that works, then call `finish`.")
    ]
    assert_sound(stage.session.conversation)


async def test_the_watchers_words_reach_the_model(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, DONE)
    stage.audience.words = ["Wrap up.", "maintainer says: hurry"]
    await stage.play()
    assert stage.model.told == "Wrap up.\n\nmaintainer says: hurry"


async def test_a_stop_leaves_a_conversation_that_can_be_gone_on_with(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, tool("read", path="greet.py"))
    stage.audience.raises_at[2] = Stopped("maintainer")
    with pytest.raises(Stopped):
        await stage.play()

    later = Stage(sandbox, DONE, conversation=stage.session.conversation)
    assert await later.play() == "Done."
    assert later.model.asked == [stage.session.conversation]
    assert_sound(later.session.conversation)


async def test_a_machine_that_dies_in_the_middle_of_a_turn_leaves_the_answer(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, tool("read", path="greet.py"), calls(shell("true"), shell("true")))
    await sandbox.close()
    with pytest.raises(SandboxError):
        await stage.play()
    assert isinstance(stage.session.conversation[-1], AssistantMessage)
    assert stage.audience.kept == {"step 0": stage.session.conversation}


async def test_each_task_has_a_conversation_of_its_own(sandbox: Sandbox) -> None:
    stage = Stage(sandbox, DONE, DONE)
    await stage.play("First.")
    await stage.play("Second.")
    assert stage.model.asked[1][1:] == (UserMessage("Second."),)


async def test_a_conversation_that_grew_too_long_is_begun_anew(sandbox: Sandbox) -> None:
    await sandbox.write("long.txt", b"a line of some length\n" * 5_000)
    long = json.dumps({"path": "long.txt"})
    turns = calls(*[("read", long)] * 20, text="The bug is in line 7.")
    stage = Stage(sandbox, turns, turns, DONE)
    assert await stage.play() == "Done."
    assert len(stage.model.asked[2]) == 2
    said = stage.model.asked[2][1]
    assert isinstance(said, UserMessage)
    assert said.text.startswith("Do it.")
    assert said.text.endswith("What you said last:\n\nThe bug is in line 7.\n\nThe bug is in line 7.")
    assert stage.notes == ["The conversation grew too long and was begun anew."]


async def test_the_vendors_own_items_count_towards_the_length(sandbox: Sandbox) -> None:
    thought = Reply(AssistantMessage("Hm.", tool("read", path=".").answer.tool_calls, raw="x" * 400_001))
    stage = Stage(sandbox, thought, DONE)
    await stage.play()
    assert len(stage.model.asked[1]) == 2
