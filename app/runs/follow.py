"""Following up on the bot's own pull request: what people said about it, on the same branch, in the same pull request.

Every comment and review comes as a job of its own, and each job says what it wants. The first that a worker takes hears
those that wait behind it: all that comes within `Options.gather_s` of one another before it plans, and what comes later
with each turn of the model. A job that was heard is completed; its run says in which one it is carried out.

    job ─▶ run ─▶ adopt the branch ─▶ gather ─▶ plan ─▶ steps (listening) ─▶ … ─▶ answer in each review thread
    job ─────────────────────────────────┘                    │
    job ──────────────────────────────────────────────────────┘
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from app.core.authorization import Action
from app.core.errors import GitHubError, UserError
from app.core.escape import code
from app.core.job import Heard, Job, Mode, Source, Verb
from app.core.plan import Answered
from app.core.pull import Pull
from app.core.run import SETTLE_S, Conclusion, Run, Stage, Status
from app.core.sanitize import clean, plain
from app.runs.waiting import take_up
from app.runs.who import may
from app.runs.work import Work
from app.text.comment import marker_of
from app.text.prompt import tell_remark
from app.text.pull_request import render_reply

log = logging.getLogger(__name__)

MAX_HEARD: Final = 50
MAX_CHARS: Final = 16_000
GATHER_AT_MOST_S: Final = 120.0
_ISSUE_OF: Final = re.compile(r"vibecode/(\d+)-")


async def find_pull(work: Work) -> Pull:
    """The pull request that is followed up.

    Raises:
        UserError: it is none of ours, or nothing can be pushed to it any more.
    """
    number = work.run.job.number or 0
    pull = await _read_pull(work, number)
    if pull is None:
        raise UserError(f"#{number} is no pull request any more.")
    if pull.is_fork or not pull.is_ours:
        what = "comes from a fork, where I cannot push" if pull.is_fork else "was not opened by me"
        raise UserError(f"This pull request {what}; I follow up on my own only. On an issue, `/vibecode` starts a run.")
    if not pull.is_open:
        state = "merged" if pull.is_merged else "closed"
        reopen = "" if pull.is_merged else " Reopen it and say that again."
        raise UserError(
            f"This pull request is {state}.{reopen} Open an issue for what is left, and say `/vibecode` there."
        )
    if work.run.job.command.base not in {None, pull.base}:
        raise UserError(
            f"This pull request goes to {code(pull.base)}: change that on GitHub, and say it without `--base`."
        )
    return pull


async def _read_pull(work: Work, number: int) -> Pull | None:
    """The pull request. What GitHub told us of a moment ago may not be visible yet."""
    clock, until = work.ports.clock, work.run.job.created_at + timedelta(seconds=SETTLE_S)
    while (pull := await work.github.pulls.pull(number)) is None and clock.now() < until:
        await clock.sleep(1.0)
    return pull


async def adopt(work: Work, pull: Pull) -> None:
    """Go on on the pull request's branch, on top of whatever is there now; with what its issue asked for, if known."""
    job = work.run.job
    before = await find_before(work, pull.head)
    work.origin = next((run.job for run in before if not run.job.is_pull_request), None)
    plan = next((run.plan for run in before if run.plan), None)
    work.pull_before = (pull.title, plan.summary if plan else pull.body)
    if work.run.began_at:
        return
    matched = _ISSUE_OF.match(pull.head)
    await work.progress.change(
        base_ref=pull.base,
        branch=pull.head,
        began_at=pull.head_sha,
        issue=work.origin.number if work.origin else int(matched[1]) if matched else None,
        heard=(_heard(job),) if job.command.instruction and job.source is not Source.CHECKS else (),
    )


async def find_before(work: Work, branch: str) -> tuple[Run, ...]:
    """The runs of work on this branch before this one that the store still knows of, newest first."""
    runs = work.ports.store.runs_of(work.run.job.repo, branch=branch)
    return tuple([run async for run in runs if run.id != work.run.id])


def is_follow_up(job: Job) -> bool:
    """Does this job ask for something new on a pull request?"""
    return job.is_pull_request and job.command.verb in {Verb.START, Verb.PLAN} and job.mode is not Mode.FIX_CI


async def gather(work: Work) -> None:
    """Wait until nobody has said more for a while, then hear it all.

    Raises:
        UserError: there is nothing in it to be done.
    """
    clock, options = work.ports.clock, work.options
    until = clock.now().timestamp() + GATHER_AT_MOST_S
    newest = work.run.job.created_at
    while True:
        newest = max([newest, *(job.created_at for job in await _take_in(work))])
        wait_s = newest.timestamp() + options.gather_s - clock.now().timestamp()
        if wait_s <= 0 or clock.now().timestamp() > until:
            break
        await clock.sleep(min(wait_s, options.gather_s))
    if not work.run.heard:
        raise UserError("Changes are wanted here, and nothing says which. Say it in the review or on a line.")


async def listen(work: Work) -> Sequence[str]:
    """Hear what came since; the words that tell the model at work."""
    if work.run.stage not in {Stage.PLAN, Stage.STEPS}:
        return []
    first = len(work.run.heard)
    await _take_in(work)
    return [tell_remark(number, heard) for number, heard in enumerate(work.run.heard[first:], start=first + 1)]


async def _take_in(work: Work) -> list[Job]:
    """Hear the jobs that wait in this thread and say only what is to be done, by people who may. They are completed.

    Whether a job was heard is on record in this run first, so that a worker which dies in between loses none.
    """
    job, taken = work.run.job, []
    if job.number is None:
        return []
    queued = work.ports.store.runs_of(job.repo, number=job.number, status=Status.QUEUED)
    waiting = [run async for run in queued if run.id != job.id and run.job.can_be_heard]
    for run in sorted(waiting, key=lambda run: run.job.created_at)[: MAX_HEARD - len(work.run.heard)]:
        if await may(work, run.job.sender, Action.STEER):
            held = await take_up(work.ports, work.options, run.id)
            if held is not None:
                await _hear(work, held)
                taken.append(run.job)
    return taken


async def _hear(work: Work, run: Run) -> None:
    """Take up what a waiting run asks for, and complete it. Its lease is held."""
    if all(heard.job_id != run.id for heard in work.run.heard):
        words = [_heard(run.job)] if run.job.command.instruction else []
        await work.progress.change(heard=(*work.run.heard, *words))
    await _react(work, run.job.source, run.job.comment_id, "eyes")
    now = work.ports.clock.now()
    done = replace(
        run,
        status=Status.COMPLETED,
        conclusion=Conclusion.NEUTRAL,
        message=f"Carried out in {work.run.id}",
        summary=f"This is taken up by the run that is at work here{_link(work)}.",
        started_at=now,
        ended_at=now,
        updated_at=now,
    )
    await work.ports.store.save(done)
    await work.ports.store.release(done)
    if done.comment_id is not None:  # its place in line was shown
        await work.draw(done)


def _link(work: Work) -> str:
    return f" ([{work.run.id}]({work.page_url}))" if work.page_url else ""


def _heard(job: Job) -> Heard:
    text = clean(job.command.instruction, max_chars=MAX_CHARS)
    place = job.place
    if place is not None:
        place = replace(place, path=plain(place.path), hunk=clean(place.hunk, max_chars=MAX_CHARS))
    return Heard(job.id, job.source, job.sender, text, job.comment_id, place)


async def note_answers(work: Work, answers: Sequence[Answered], *, step: int | None = None) -> None:
    """Keep what the model says becomes of the remarks; those of a step at work settle in that step."""
    heard = list(work.run.heard)
    for answer in answers:
        if 1 <= answer.remark <= len(heard):
            settles = step if step is not None and answer.step is not None else answer.step
            words = work.redactor.redact(answer.words)
            heard[answer.remark - 1] = replace(heard[answer.remark - 1], step=settles, words=words)
    await work.progress.change(heard=tuple(heard))


async def answer_threads(work: Work) -> None:
    """Tell each reviewer, in the thread of their comment, what became of it. Repeatable."""
    for heard in work.run.heard:
        if heard.source is Source.REMARK and heard.comment_id is not None and work.run.job.number is not None:
            marker = marker_of(heard.job_id)
            await work.progress.begin_creating()
            body = f"{marker}\n{work.redactor.redact_markdown(render_reply(work.run, heard))}"
            await _put_reply(work, work.run.job.number, heard.comment_id, body, marker)


async def react_to_heard(work: Work, content: str) -> None:
    for heard in work.run.heard:
        if heard.job_id != work.run.id:
            await _react(work, heard.source, heard.comment_id, content)


async def _put_reply(work: Work, number: int, comment_id: int, body: str, marker: str) -> None:
    try:
        await work.github.pulls.put_reply(number, comment_id, body, marker=marker)
    except GitHubError as error:
        if error.is_passing:
            raise
        log.warning("no answer in the thread", extra={"reason": str(error)})  # it was deleted, or is locked


async def _react(work: Work, source: Source, comment_id: int | None, content: str) -> None:
    if comment_id is None or work.run.job.number is None:
        return
    await work.react_to(content, work.run.job.number, source, comment_id)
