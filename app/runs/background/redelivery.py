"""Asks GitHub again for deliveries that did not arrive: it never does so by itself.

GitHub's log is read page by page, newest first, down to where the last reading began; the place is kept, so that a long
log is read over many rounds and by whichever worker is there. What failed is remembered until an attempt at it arrives.

    answered 400, 401, 413 or 415    asked for at once, after 1, 6 and 24 hours: only a change of settings helps
    anything else                    asked for every five minutes, 40 times

https://docs.github.com/en/webhooks/using-webhooks/automatically-redelivering-failed-deliveries-for-a-github-app-webhook
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from app.core.errors import GitHubError
from app.core.inbound.delivery import DeliveryAttempt, LogPage
from app.core.inbound.events import HANDLED
from app.core.ports.bundle import Ports

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=5)
GITHUB_REMEMBERS: Final = timedelta(days=3)
OVERLAP: Final = timedelta(minutes=15)
"""How far a reading goes past where the last one began: an attempt may be logged late."""
PAGES_AT_ONCE: Final = 20
MAX_ASKED: Final = 20
"""In one round of ten seconds."""
MAX_PENDING: Final = 1_000
"""While so many wait to arrive, no more of the log is read."""
MAX_ATTEMPTS: Final = 40
REFUSED: Final = frozenset({400, 401, 413, 415})
REFUSED_WAITS: Final = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
_TOO_MANY: Final = 429
_NOTE: Final = "delivery log"
_ROUND_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Pending:
    """A delivery that did not arrive: its newest attempt, and when GitHub is asked for it next; None: given up."""

    attempt_id: int
    status_code: int
    delivered_at: datetime
    event: str = ""
    asked: int = 0
    next_at: datetime | None = None


@dataclass(slots=True)
class RedeliveryState:
    """How far the log was read. Everything up to `seen` is settled or in `pending`, by guid.

    While a reading goes on, `cursor` is its place, `top` is where it began, and `arrived` are redeliveries that it saw
    arrive.
    """

    seen: datetime | None = None
    read_at: datetime | None = None
    top: datetime | None = None
    cursor: str = ""
    pending: dict[str, Pending] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)

    def take(self, attempt: DeliveryAttempt, now: datetime) -> None:
        """Note an attempt. They come newest first."""
        guid, before = attempt.guid, self.pending.get(attempt.guid)
        if attempt.event not in HANDLED or guid in self.arrived:
            return
        if attempt.arrived:
            if attempt.is_redelivery:
                self.arrived.add(guid)
            if before is not None and before.attempt_id < attempt.id:
                del self.pending[guid]
        elif before is None:
            self.pending[guid] = Pending(attempt.id, attempt.status_code, attempt.delivered_at, attempt.event, 0, now)
        elif before.attempt_id < attempt.id:
            newest = (attempt.id, attempt.status_code, attempt.delivered_at)
            self.pending[guid] = Pending(*newest, before.event, before.asked, before.next_at)

    @property
    def waiting(self) -> int:
        return sum(each.next_at is not None for each in self.pending.values())

    def due(self, now: datetime) -> list[str]:
        """The guids to ask for now, oldest first, but a flood (429) after all that failed otherwise."""
        due = [guid for guid, each in self.pending.items() if each.next_at is not None and each.next_at <= now]
        return sorted(
            due, key=lambda guid: (self.pending[guid].status_code == _TOO_MANY, self.pending[guid].attempt_id)
        )

    def note_asked(self, guid: str, now: datetime) -> None:
        """Count a request for this delivery, and say when the next one is; the last one gives it up."""
        before = self.pending[guid]
        if before.status_code in REFUSED:
            wait = REFUSED_WAITS[before.asked] if before.asked < len(REFUSED_WAITS) else None
        else:
            wait = EVERY if before.asked + 1 < MAX_ATTEMPTS else None
        self.pending[guid] = replace(before, asked=before.asked + 1, next_at=now + wait if wait is not None else None)
        if wait is None:
            told = {"delivery_id": guid, "event": before.event, "status": before.status_code, "asked": before.asked + 1}
            log.error("delivery given up", extra=told)

    def forget(self, now: datetime) -> None:
        """Drop what was given up once no reading comes upon it again, and what GitHub does not remember."""
        until = (self.seen or now) - 2 * OVERLAP
        kept = {
            guid: each
            for guid, each in self.pending.items()
            if each.delivered_at > now - GITHUB_REMEMBERS and (each.next_at is not None or each.delivered_at > until)
        }
        self.pending = kept


_STATE: Final = TypeAdapter(RedeliveryState)


async def request_redeliveries(ports: Ports, *, is_due: bool = False) -> int:
    """Read on in the log when it is time or `is_due`, and ask for what is due; the number of deliveries asked for."""
    if not await ports.store.claim("ask again", ttl_s=_ROUND_S) and not is_due:
        return 0
    now = ports.clock.now()
    state = _decode(await ports.store.recall(_NOTE))
    try:
        if state.cursor or is_due or state.read_at is None or now - state.read_at >= EVERY:
            await _read(ports, state, now)
        return await _ask(ports, state, now)
    finally:
        state.forget(now)
        await ports.store.note(_NOTE, _STATE.dump_json(state).decode())


async def _read(ports: Ports, state: RedeliveryState, now: datetime) -> None:
    """Read the next pages, down to what was read before. The watermark moves once all of it was read."""
    floor = max(state.seen - OVERLAP, now - GITHUB_REMEMBERS) if state.seen else now - GITHUB_REMEMBERS
    for _ in range(PAGES_AT_ONCE):
        if state.waiting >= MAX_PENDING:
            await _settle(ports, state, now)
            return
        page = await _page(ports, state)
        for attempt in page.attempts:
            if attempt.delivered_at >= floor:
                state.take(attempt, now)
        if state.top is None and page.attempts:
            state.top = page.attempts[0].delivered_at
        state.cursor = page.cursor
        if not page.cursor or any(attempt.delivered_at < floor for attempt in page.attempts):
            state.seen, state.read_at = state.top or state.seen, now
            state.top, state.cursor, state.arrived = None, "", set()
            return


async def _settle(ports: Ports, state: RedeliveryState, now: datetime) -> None:
    """Look through the newest pages only for what became of those that wait."""
    cursor = ""
    for _ in range(PAGES_AT_ONCE):
        page = await ports.github.delivery_log(cursor)
        for attempt in page.attempts:
            if attempt.guid in state.pending:
                state.take(attempt, now)
        cursor = page.cursor
        if not cursor:
            return


async def _page(ports: Ports, state: RedeliveryState) -> LogPage:
    """The next page. Where GitHub knows the place no more, the reading begins anew."""
    try:
        return await ports.github.delivery_log(state.cursor)
    except GitHubError as error:
        if error.status not in {400, 404, 422} or not state.cursor:
            raise
        state.cursor = ""
        return await ports.github.delivery_log()


async def _ask(ports: Ports, state: RedeliveryState, now: datetime) -> int:
    due = state.due(now)[:MAX_ASKED]
    for guid in due:
        pending = state.pending[guid]
        try:
            await ports.github.redeliver(pending.attempt_id)
        except GitHubError as error:
            if error.is_passing or error.status not in {404, 422}:
                raise
            log.warning("delivery cannot be asked for", extra={"delivery_id": guid, "reason": str(error)})
            del state.pending[guid]
            continue
        log.info("delivery asked for again", extra={"delivery_id": guid, "event": pending.event})
        state.note_asked(guid, now)
    return len(due)


def _decode(text: str) -> RedeliveryState:
    try:
        return _STATE.validate_json(text) if text else RedeliveryState()
    except ValidationError as error:
        log.warning("the note on the delivery log cannot be read", extra={"reason": str(error)})
        return RedeliveryState()
