"""The stage that carries out the plan: each step ends as one commit on the branch."""

import logging
from typing import Final

from app.agent import coder
from app.core.errors import UserError
from app.core.run.plan import Step
from app.core.run.run import Kind, Stage
from app.core.safety.escape import code
from app.runs.context import RunContext
from app.runs.stages import work_tree
from app.runs.stages.brief import read_conventions
from app.runs.stages.plan import counted, record_answers
from app.runs.stages.publish import ConcurrentPush, SecretsFound, Unpublishable, publish

log = logging.getLogger(__name__)


MAX_CONCURRENT_PUSHES: Final = 3
"""How often a step is begun because others pushed changes to the same files."""


MAX_FIXES: Final = 2
"""How often in a step the agent may change what the gate refuses, or take a secret out."""


SECRETS_FOUND: Final = (
    "Not published yet: {}. Secrets are never published. Remove it and finish this step again: read it from the "
    "environment or from a file that git ignores, or write a value that is plainly a sample (`example`, `changeme`). "
    "If it stays, the whole file is left out."
)


UNPUBLISHABLE: Final = (
    "Not published: {} Nothing of this step can be committed like this. Change that and finish the step again: remove "
    "what was only built or downloaded, and keep the change small."
)


CONCURRENT_PUSH: Final = (
    "Someone pushed changes to {} while you were working. Your changes for this step were discarded and theirs are "
    "in the work tree: redo the step on top of them."
)


async def carry_out_steps(ctx: RunContext) -> None:
    """Each step that is not done yet: the agent works, the gate looks, the commit reaches the branch."""
    async with ctx.progress.stage(Stage.STEPS, "Working"):
        made = ctx.plan
        for index, step in enumerate(made.steps):
            if index < ctx.run.steps_done:
                continue
            percent = 40 + 40 * index // len(made.steps)
            message = f"Step {index + 1} of {len(made.steps)}: {step.title}"
            await ctx.progress.change(message=message, percent=percent)
            summary = await _carry_out_step(ctx, index, step)
            done = ctx.run.with_step_done(index, ctx.redactor.redact(summary))
            await ctx.progress.change(steps_done=done.steps_done, step_summaries=done.step_summaries)
        made_here = sum(commit.step is not None for commit in ctx.run.commits)
        await ctx.progress.change(message=counted(made_here, "commit"))


async def _carry_out_step(ctx: RunContext, index: int, step: Step) -> str:
    """One step to its commit, and its summary. Begun anew when somebody pushed changes to the same files, and to change
    what the gate refuses."""
    session = await ctx.open_session(f"step {index}", await read_conventions(ctx, step.files))
    overtaken_times = fixes = 0
    while overtaken_times < MAX_CONCURRENT_PUSHES:
        summary, answers = await coder.carry_out_step(session, ctx.plan, index)
        try:
            await publish(ctx, step.title, summary, step=index, may_fix=fixes < MAX_FIXES)
        except Unpublishable as found:
            fixes += 1
            await ctx.progress.show(Kind.NOTE, f"Not published yet: {found}")
            words = SECRETS_FOUND if isinstance(found, SecretsFound) else UNPUBLISHABLE
            ctx.progress.tell(words.format(ctx.redactor.redact(str(found))))
            continue
        except ConcurrentPush as overtaken:
            overtaken_times += 1
            await work_tree.reset_to(ctx.sandbox, ctx.run.published_tree)
            ctx.progress.tell(CONCURRENT_PUSH.format(overtaken))
            continue
        await record_answers(ctx, answers, step=index)
        return summary
    raise UserError(f"{code(ctx.run.branch)} keeps changing during the run. `/vibecode retry` resumes it.")
