"""Makes the plan. The model can read and search, and nothing else, until it hands the plan in."""

from typing import Final

from app.agent.loop import Session
from app.agent.survey import Brief, survey
from app.agent.tool_calls import Propose, Read, Search, WorkCall, answered
from app.core.run.plan import Plan, Step
from app.text.prompt import ask_for_plan

WORK: Final[tuple[type[WorkCall], ...]] = (Read, Search)
_MAX_FILES: Final = 50
_MAX_CHECK_CHARS: Final = 500


async def plan(session: Session, brief: Brief, previous: Plan | None = None) -> Plan:
    """Have the model read the code and plan. A plan without steps means there is nothing to do: `summary` says why.

    `previous` is the plan that this one takes the place of. The conversation is kept as `plan`.

    Raises:
        LimitReached, Stopped, LeaseLost, ModelError, SandboxError: there is no plan.
    """
    task = ask_for_plan(brief, await survey(session.sandbox), previous)
    made = await session.carry_out("plan", task, WORK, Propose)
    steps = [Step(step.title, tuple(step.files[:_MAX_FILES]), step.check[:_MAX_CHECK_CHARS]) for step in made.steps]
    return Plan(made.title, made.summary, tuple(steps), answered(made.answers))
