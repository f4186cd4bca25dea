"""What was said in a run's thread: which comments belong to what the run was approved for, and which came later."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from app.core.inbound.commands import parse as parse_command
from app.core.run.job import Job, Person, Remark, Verb
from app.core.safety.sanitize import clean
from app.runs.context import RunContext
from app.runs.intake.authorization import may_request

MAX_COMMENTS: Final = 20
COMMENT_CHARS: Final = 4_000
MAX_LATE_AUTHORS: Final = 10
"""Of how many authors of later comments it is asked whether they may; those of all others count as strangers'."""


async def read_comments(ctx: RunContext) -> tuple[tuple[str, str, str], ...]:
    """Author, association and text of the comments that the model is told of, oldest first.

    They are those that stood there, as they stand now, when the text was approved. A run that goes on from another
    is told as well what was said until it was asked for by people who could have asked for it themselves; a plan is
    carried out without that.
    """
    run = ctx.run
    if run.job.number is None:
        return ()
    before, until = _whole(run.text_at), _whole(run.job.moment)
    said = [each for each in await list_comments(ctx, run.job) if _written(each) < max(before, until)]
    if run.job.command.verb is Verb.APPROVE or before >= until:
        heard = [each for each in said if _written(each) < before]
    else:
        late = await find_strangers(ctx, [each.author for each in said if _written(each) >= before])
        heard = [each for each in said if _written(each) < before or each.author not in late]
    return tuple(
        (each.author.login, each.association.lower(), clean(each.body, max_chars=COMMENT_CHARS))
        for each in heard[-MAX_COMMENTS:]
    )


async def list_comments(ctx: RunContext, job: Job) -> list[Remark]:
    """All comments in the job's thread by those whom the repository's file has read, but commands; oldest first."""
    if job.number is None:
        return []
    return [
        each
        for each in await ctx.github.remarks(job.number)
        if (each.is_by_member or ctx.config.comments == "everyone") and parse_command(each.body) is None
    ]


async def find_strangers(ctx: RunContext, people: Sequence[Person]) -> frozenset[Person]:
    """Those among them who could not have started this run."""
    distinct = list(dict.fromkeys(people))
    allowed = [person for person in distinct[:MAX_LATE_AUTHORS] if await may_request(ctx, person)]
    return frozenset(distinct) - frozenset(allowed)


def is_since(remark: Remark, moment: datetime) -> bool:
    """Was it written or edited after that moment? GitHub's moments are whole seconds: that very second counts."""
    return _written(remark) >= _whole(moment)


def _written(remark: Remark) -> datetime:
    return max(remark.created_at, remark.updated_at)


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
