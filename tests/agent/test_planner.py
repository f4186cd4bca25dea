"""From a brief to a plan."""

import json

import pytest

from app.agent.loop import Session
from app.agent.planner import plan
from app.agent.survey import Brief
from app.core.conversation import UserMessage
from app.core.errors import LimitReached
from app.core.ports.sandbox import Sandbox
from app.core.run.plan import Plan, Step
from tests.agent.script import PARSERS, Audience, Script, calls, tool

BRIEF = Brief(repo="acme/greeter", request="It says `helo`.", author="maintainer", sender="maintainer")
STEP = {"title": "Spell hello with two l", "files": ["greet.py"], "check": "pytest -q"}


async def test_the_model_reads_and_hands_in_a_plan(sandbox: Sandbox) -> None:
    model = Script(
        tool("search", pattern="helo"),
        tool("plan", title="Greet correctly", summary="It said helo.", steps=[STEP]),
    )
    made = await plan(Session(model, sandbox, Audience(), parsers=PARSERS), BRIEF)
    assert made == Plan(
        "Greet correctly", "It said helo.", (Step("Spell hello with two l", ("greet.py",), "pytest -q"),)
    )
    task = model.asked[0][1]
    assert isinstance(task, UserMessage)
    assert "It says `helo`." in task.text
    assert "# Greeter" in task.text


async def test_a_plan_may_have_no_steps(sandbox: Sandbox) -> None:
    model = Script(tool("plan", title="Nothing", summary="It says hello already.", steps=[]))
    assert await plan(Session(model, sandbox, Audience(), parsers=PARSERS), BRIEF) == Plan(
        "Nothing", "It says hello already.", ()
    )


async def test_nothing_can_be_changed_while_planning(sandbox: Sandbox) -> None:
    write = ("write", json.dumps({"path": "greet.py", "content": ""}))
    model = Script(
        calls(write, ("shell", '{"command": "rm greet.py"}')), tool("plan", title="t", summary="s", steps=[])
    )
    await plan(Session(model, sandbox, Audience(), parsers=PARSERS), BRIEF)
    assert model.tools == ("read", "search", "plan")
    assert all("There is no tool" in result for result in model.results)
    assert b"helo" in await sandbox.read("greet.py")


async def test_a_plan_that_cannot_be_read_is_asked_for_again(sandbox: Sandbox) -> None:
    model = Script(
        tool("plan", title="", summary="s", steps=[STEP]), tool("plan", title="t", summary="s", steps=[STEP])
    )
    assert (await plan(Session(model, sandbox, Audience(), parsers=PARSERS), BRIEF)).title == "t"
    assert "`title`: must have 1 to 120 characters" in model.results[0]


async def test_a_plan_that_never_comes_is_not_waited_for(sandbox: Sandbox) -> None:
    model = Script(*[tool("read", path=".")] * 2)
    with pytest.raises(LimitReached):
        await plan(Session(model, sandbox, Audience(), max_turns=2, parsers=PARSERS), BRIEF)
