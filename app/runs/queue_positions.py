"""Those that wait see their place: the comment of a run that was not begun says at which position it is, and why.

The comment is the one that the run goes on with, and the run has the last word in it:

    here    save "drawing" ──▶ is it begun? no ──▶ draw ──▶ save the comment's id
    a run   acquire (it is begun) ──▶ is it "drawing"? wait ──▶ draw in that comment

so that either the run is seen to have begun, or the run sees that its place is being drawn. What the run in progress in
the thread is about to hear (`runs/follow_up/review_comments.py`) needs no comment, and has none.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from app.core.errors import OutsideError, StoreError
from app.core.ports.bundle import Ports
from app.core.ports.queue import Waiting, WaitReason
from app.core.ports.store import QueueNotice, Store
from app.core.run.run import SETTLE_S, Run, Stage, Status
from app.core.safety.redact import Redactor
from app.runs.context import Options, update_comment
from app.runs.intake.authorization import may_start
from app.runs.lease import LEASE_S
from app.text.comment import render_queue_position

log = logging.getLogger(__name__)

EVERY_S: Final = 2.0
DRAW_S: Final = 5.0
"""How long one drawing may take; a run that begins meanwhile waits for it."""
MAX_DRAWN: Final = 10
"""In one round."""
_HEARING: Final = {None, Stage.SANDBOX, Stage.CLONE, Stage.BRANCH, Stage.PLAN, Stage.STEPS}
"""Stages of a run that will yet hear what is said, or does."""


async def show_positions_forever(ports: Ports, options: Options) -> None:
    """Show now and every few seconds who waits where, until cancelled. An outage costs one round."""
    shown: dict[str, str] = {}
    while True:
        try:
            shown = await show_positions(ports, options, shown)
        except StoreError as error:
            log.warning("places not shown", extra={"reason": str(error)})
        await ports.clock.sleep(EVERY_S)


async def show_positions(ports: Ports, options: Options, shown: Mapping[str, str]) -> dict[str, str]:
    """Draw the comments of those whose place is not the one that was `shown`; what is shown now, by job."""
    least_s = options.intervals.queue_place_s
    waiting = [each for each in await ports.queue.waiting() if not each.has_begun and each.waited_s >= least_s]
    now = {each.job_id: shown[each.job_id] for each in waiting if each.job_id in shown}
    moved = [each for each in waiting if now.get(each.job_id) != _place(each)]
    changed = [each for each in moved if not await _is_about_to_be_heard(ports.store, each)]
    for each in changed[:MAX_DRAWN]:
        try:
            if await _show(ports, options, each):
                now[each.job_id] = _place(each)
        except (OutsideError, TimeoutError) as error:
            log.warning("place not shown", extra={"job_id": each.job_id, "reason": str(error)})
    return now


async def _is_about_to_be_heard(store: Store, waiting: Waiting) -> bool:
    """Is it a request that the run ahead of it in its thread takes up with the next turn of the model?"""
    run = await store.load(waiting.job_id) if waiting.reason is WaitReason.THREAD else None
    if run is None or not run.job.can_join_run:
        return False
    for status in (Status.IN_PROGRESS, Status.QUEUED):
        async for ahead in store.runs_of(run.job.repo, number=run.job.number, status=status):
            if ahead.attempt and ahead.stage in _HEARING:
                return True
    return False


async def acquire_run(ports: Ports, options: Options, job_id: str) -> Run | None:
    """Take a run's lease, and its comment if its place was shown; None when it is held, completed or unknown."""
    run = await ports.store.acquire(job_id, worker=options.worker, ttl_s=LEASE_S)
    if run is None or run.attempt > 1 or run.comment_id is not None:
        return run
    notice = await _find_notice(ports, job_id)
    if notice is None:
        return run
    return replace(run, comment_id=notice.comment_id, unsure_since=ports.clock.now() if notice.is_unclear else None)


async def _find_notice(ports: Ports, job_id: str) -> QueueNotice | None:
    """The comment that showed the run's position, once it is drawn. One whose drawer died is found by its marker."""
    until = ports.clock.monotonic() + DRAW_S
    while (notice := await ports.store.queue_notice(job_id)) and notice.is_drawing and ports.clock.monotonic() < until:
        await ports.clock.sleep(0.05)
    return notice


async def _show(ports: Ports, options: Options, waiting: Waiting) -> bool:
    """Draw a run's place, unless it was begun, another worker is at it, or its sender is nobody here; is it settled?"""
    job_id, store = waiting.job_id, ports.store
    before = await store.queue_notice(job_id)
    if before is not None and before.shown == _place(waiting):
        return True
    if not await store.claim(f"queue notice {job_id}", ttl_s=DRAW_S):
        return False
    after = before if before is not None and before.comment_id else QueueNotice()
    await store.set_queue_notice(job_id, QueueNotice(is_drawing=True))
    try:
        run = await store.load(job_id)
        if run is None or run.attempt or run.job.number is None or run.job.sender.is_bot:
            return True
        comment_id = await _draw(ports, options, run, waiting, before)
        after = QueueNotice(comment_id, _place(waiting))
        return True
    finally:
        with suppress(StoreError):
            await store.set_queue_notice(job_id, after)


async def _draw(ports: Ports, options: Options, run: Run, waiting: Waiting, before: QueueNotice | None) -> int | None:
    unsure_s = SETTLE_S if before is not None and before.is_unclear else 0.0
    async with (
        asyncio.timeout(DRAW_S + unsure_s),
        ports.github.open(run.job.installation_id, run.job.repo, unsure_s=unsure_s) as github,
    ):
        role = await github.permission(run.job.sender)
        if not await may_start(ports, run.job.repo, run.job.sender, role):
            return None
        shown = replace(
            run, message=render_queue_position(waiting, run.job), comment_id=before.comment_id if before else None
        )
        return await update_comment(github, options, Redactor(ports.secrets), shown)


def _place(waiting: Waiting) -> str:
    return f"{waiting.reason} {waiting.position} {waiting.at_work}"
