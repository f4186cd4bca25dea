"""Whose words may name a file that instructs agents or editors, so that it is not held back."""

from collections.abc import Sequence

from app.core.policy.protected_paths import list_held
from app.core.run.job import Job, Source
from app.core.safety.sanitize import clean
from app.runs.context import RunContext
from app.runs.intake.authorization import may_request

MAX_CHARS = 32_768


async def read_request(ctx: RunContext, paths: Sequence[str]) -> str:
    """What people who may start runs asked for, as far as it counts for these paths.

    That is the command and what was said to the run since, all by people whose role was looked up, and the issue's
    text where a person approved the plan that was made of it. Otherwise the issue's text counts only when its author
    may start runs, which is looked up only when it makes a difference. What is said elsewhere in the thread, a pull
    request's own text and the model's words never count.
    """
    jobs = [job for job in (ctx.run.job, ctx.origin) if job is not None and job.source is not Source.CHECKS]
    said = [job.command.instruction for job in jobs] + [heard.text for heard in ctx.run.heard]
    for job in jobs:
        text = _issue_of(job)
        if not text:
            continue
        if await _counts(ctx, job, paths, text, "\n".join(said)):
            said.append(text)
    return clean("\n".join(said), max_chars=4 * MAX_CHARS)


async def _counts(ctx: RunContext, job: Job, paths: Sequence[str], text: str, said: str) -> bool:
    """Are the issue's words those of somebody who may start runs, or were they approved?"""
    author = job.author or job.sender
    if author == job.sender or (ctx.run.approval and job is ctx.run.job):
        return True
    without, with_it = (list_held(paths, (), words) for words in (said, f"{said}\n{text}"))
    return without != with_it and await may_request(ctx, author)


def _issue_of(job: Job) -> str:
    """The issue's text; nothing for a pull request, whose text is the bot's own."""
    return "" if job.is_pull_request else clean(f"{job.title}\n{job.body}", max_chars=MAX_CHARS)
