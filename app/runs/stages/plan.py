"""The stage that makes the plan."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.agent import planner
from app.core.run.plan import Answered, Plan, Step
from app.core.run.run import Stage
from app.runs.context import RunContext
from app.runs.stages.brief import make_brief


async def record_answers(ctx: RunContext, answers: Sequence[Answered], *, step: int | None = None) -> None:
    """Keep what the model says becomes of the remarks; those of a step in progress settle in that step."""
    heard = list(ctx.run.heard)
    for answer in answers:
        if 1 <= answer.remark <= len(heard):
            settles = step if step is not None and answer.step is not None else answer.step
            words = ctx.redactor.redact(answer.words)
            heard[answer.remark - 1] = replace(heard[answer.remark - 1], step=settles, words=words)
    await ctx.progress.change(heard=tuple(heard))


async def plan(ctx: RunContext) -> None:
    async with ctx.progress.stage(Stage.PLAN, "Reading the code and planning"):
        ctx.brief = await make_brief(ctx)
        if ctx.run.plan is None:
            made = await planner.plan(await ctx.open_session("plan"), ctx.brief, ctx.run.previous)
            await record_answers(ctx, made.answers)
            await ctx.progress.change(plan=_redacted(made, ctx.redactor.redact))
        steps = len(ctx.run.plan.steps) if ctx.run.plan else 0
        await ctx.progress.change(message=counted(steps, "step"))


def _redacted(made: Plan, redact: Callable[[str], str]) -> Plan:
    steps = tuple(Step(redact(each.title), tuple(map(redact, each.files)), redact(each.check)) for each in made.steps)
    return Plan(redact(made.title), redact(made.summary), steps)


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
