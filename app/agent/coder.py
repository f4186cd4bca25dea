"""Carries out a step of the plan, or fixes what verification found. The change is what is in the work tree after."""

from typing import Final

from app.agent.loop import Session
from app.agent.tool_calls import Edit, Finish, Read, Search, Shell, WorkCall, Write, answered
from app.core.run.plan import Answered, Plan
from app.text.prompt import ask_for_repair, ask_for_step

WORK: Final[tuple[type[WorkCall], ...]] = (Shell, Read, Search, Edit, Write)


async def carry_out_step(session: Session, plan: Plan, index: int) -> tuple[str, tuple[Answered, ...]]:
    """Have the model do step `index`, from 0, and return its summary and what it answers to remarks that came while it
    worked. Repeatable: it begins from what is there.

    Its conversation is kept as `step 0` and so on.

    Raises:
        LimitReached, Stopped, LeaseLost, ModelError, SandboxError: the step may be half done in the work tree.
    """
    task = ask_for_step(session.brief, plan, index)
    done = await session.carry_out(f"step {index}", task, WORK, Finish)
    return done.summary, answered(done.answers)


async def repair(session: Session, evidence: str, number: int = 0) -> str:
    """Have the model mend what failed and return its summary. `evidence` is the end of a log; its last part counts.

    Its conversation is kept as `repair 0` and so on.

    Raises:
        LimitReached, Stopped, LeaseLost, ModelError, SandboxError: the work tree may be half mended.
    """
    task = ask_for_repair(session.brief, evidence)
    return (await session.carry_out(f"repair {number}", task, WORK, Finish)).summary
