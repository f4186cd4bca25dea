"""From a plan to a change."""

from app.agent.coder import carry_out_step, repair
from app.agent.loop import Session
from app.agent.survey import Brief
from app.core.conversation import UserMessage
from app.core.ports.sandbox import Sandbox
from app.core.run.plan import Plan, Step
from tests.agent.conftest import GREET
from tests.agent.script import PARSERS, Audience, Script, tool

BRIEF = Brief(repo="acme/greeter", request="It says `helo`.", author="maintainer", sender="maintainer")
PLAN = Plan(
    "Greet correctly", "It said helo.", (Step("Spell hello"), Step("Test it", ("tests/test_greet.py",), "pytest"))
)


async def test_a_step_changes_the_work_tree_and_returns_its_summary(sandbox: Sandbox) -> None:
    model = Script(
        tool("edit", path="greet.py", old="helo", new="hello"), tool("finish", summary="Spelled it with two l.")
    )
    session = Session(model, sandbox, Audience(), BRIEF, parsers=PARSERS)
    assert await carry_out_step(session, PLAN, 0) == ("Spelled it with two l.", ())
    assert await sandbox.read("greet.py") == GREET.replace("helo", "hello").encode()


async def test_each_step_begins_with_the_request_and_the_plan_alone(sandbox: Sandbox) -> None:
    model = Script(tool("finish", summary="One."), tool("finish", summary="Two."))
    session = Session(model, sandbox, Audience(), BRIEF, parsers=PARSERS)
    await carry_out_step(session, PLAN, 0)
    await carry_out_step(session, PLAN, 1)
    assert len(model.asked[1]) == 2
    task = model.asked[1][1]
    assert isinstance(task, UserMessage)
    assert "It says `helo`." in task.text
    assert "1. Spell hello (done: it is in the work tree)" in task.text
    assert "Carry out step 2: Test it" in task.text


async def test_steps_share_the_beginning_of_their_conversations(sandbox: Sandbox) -> None:
    model = Script(tool("finish", summary="One."), tool("finish", summary="Two."))
    session = Session(model, sandbox, Audience(), BRIEF, parsers=PARSERS)
    await carry_out_step(session, PLAN, 0)
    await repair(session, "1 failed")
    first, second = model.asked
    assert first[0] == second[0]
    assert isinstance(first[1], UserMessage)
    assert isinstance(second[1], UserMessage)
    shared = first[1].text.index("<plan ")
    assert first[1].text[:shared] == second[1].text[:shared]


async def test_a_repair_sees_the_evidence(sandbox: Sandbox) -> None:
    model = Script(tool("finish", summary="Mended."))
    assert (
        await repair(Session(model, sandbox, Audience(), BRIEF, parsers=PARSERS), "E  assert 'helo' == 'hello'")
        == "Mended."
    )
    assert isinstance(model.asked[0][1], UserMessage)
    assert "E  assert 'helo' == 'hello'" in model.asked[0][1].text
