"""The run as it grows: each change is saved first (fenced by the lease), then shown in the comment.

The comment is redrawn from the run, at most every few seconds and always at the end. GitHub being away in between costs
a log line, not the run: the next redraw shows everything.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from app.core.conversation import Conversation, Reply
from app.core.errors import AccessRevoked, OutsideError, RepositoryGone, StoreError
from app.core.policy.budget import RAISED, Budget, check, wrap_up
from app.core.ports.clock import Clock
from app.core.ports.store import Store
from app.core.run.run import PERCENT, Cost, Kind, Run, Stage, StageRecord, Status
from app.core.safety.redact import Redactor

log = logging.getLogger(__name__)

PATIENCE_S: Final = 10.0
"""How long a write is repeated while the store does not answer: less than a lease lasts after a late renewal."""
AGAIN_S: Final = 0.5

Draw = Callable[[Run], Awaitable[int | None]]


class Progress:
    """Holds the run of one attempt; the agent's `Watcher`."""

    def __init__(self, run: Run, *, store: Store, clock: Clock, redactor: Redactor, draw: Draw, every_s: float) -> None:
        self.run = run
        self.budget: Budget | None = None
        self._store = store
        self._clock = clock
        self._redactor = redactor
        self._draw = draw
        self._every_s = every_s
        self._drawn_at: float | None = None
        self.listen: Callable[[], Awaitable[Sequence[str]]] | None = None
        self._words: list[str] = []
        self._was_warned = False
        self._gone: RepositoryGone | None = None
        self._dearest_usd = 0.0
        self._saving = asyncio.Lock()

    # ------------------------------------------------------------------------------------------------- the document

    async def save(self, **fields: Any) -> None:
        """Set fields of the run and save it. The work and what listens beside it may do so at once.

        Raises:
            LeaseLost: another worker holds the run; nothing was written.
        """
        async with self._saving:
            run = replace(self.run, **fields, updated_at=self._clock.now())
            await self._patiently(partial(self._store.save, run))
            self.run = run

    async def _patiently(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write, and again for a while when the store does not answer in time: every write here is repeatable, and a
        slow store is no reason to lose what has been done. The lease outlasts it."""
        until = self._clock.monotonic() + PATIENCE_S
        while True:
            try:
                return await write()
            except StoreError as error:
                if self._clock.monotonic() > until:
                    raise
                log.warning("written again", extra={"reason": str(error)})
            await self._clock.sleep(AGAIN_S)

    async def begin_creating(self) -> None:
        """Put on record that something is about to be created on GitHub. Whoever saves what came of it takes
        `unsure_since` back; who takes the run over before that looks for it until it would be visible."""
        await self.save(unsure_since=self._clock.now())

    async def change(self, **fields: Any) -> None:
        """Set fields of the run, save it, show it.

        Raises:
            LeaseLost: another worker holds the run; nothing was written or shown.
        """
        await self.save(**fields)
        await self.redraw()

    async def notice(self, text: str) -> None:
        """Something people must be told; said once, kept to the end."""
        await self.change(notices=self.run.with_notice(self._redactor.redact(text)).notices)

    @asynccontextmanager
    async def stage(self, stage: Stage, message: str) -> AsyncIterator[None]:
        """Walk one stage: it is on record, with its times, before it begins and after it ends."""
        now = self._clock.now()
        first, last = PERCENT[stage]
        begun = StageRecord(stage, Status.IN_PROGRESS, now)
        earlier = tuple(record for record in self.run.stages if record.stage is not stage)
        run = self.run.with_activity(now, Kind.STAGE, message)
        log.info("stage", extra={"stage": stage.value})
        await self.change(
            stages=(*earlier, begun),
            percent=first,
            message=message,
            activities=run.activities,
            status=Status.IN_PROGRESS,
        )
        yield
        record = self.run.stages[-1]
        ended = replace(record, status=Status.COMPLETED, ended_at=self._clock.now(), detail=self.run.message)
        await self.change(stages=(*self.run.stages[:-1], ended), percent=last)

    async def redraw(self, *, now: bool = False) -> None:
        """Show the run in its comment, unless that was done a moment ago."""
        moment = self._clock.monotonic()
        if not now and self._drawn_at is not None and moment - self._drawn_at < self._every_s:
            return
        self._drawn_at = moment
        is_first = self.run.comment_id is None
        if is_first:
            await self.begin_creating()
        try:
            comment_id = await self._draw(self.run)
        except OutsideError as error:
            if now:
                raise
            log.warning("comment not drawn", extra={"reason": str(error)})
            self._gone = error if isinstance(error, RepositoryGone) else self._gone
            return
        if is_first:
            await self.save(comment_id=comment_id, unsure_since=None)
        elif comment_id is not None and comment_id != self.run.comment_id:
            await self.save(comment_id=comment_id)

    # ------------------------------------------------------------------------------------------- the agent's watcher

    def tell(self, words: str) -> None:
        """Have the model told something at its next turn."""
        self._words.append(words)

    async def before_turn(self) -> Sequence[str]:
        """Hold the budget; hand over what the model must be told.

        Raises:
            LimitReached: the run's budget is used up.
        """
        words, self._words = self._words, []
        if self.listen is not None:
            words += await self.listen()
        if (budget := self._budget) is not None:
            check(budget, self.run.cost, self.elapsed_s, next_usd=self._dearest_usd)
            warning = wrap_up(budget, self.run.cost, self.elapsed_s)
            if warning and not self._was_warned:
                self._was_warned = True
                words.append(warning)
        return words

    async def after_turn(self, reply: Reply) -> None:
        """Count the turn and keep its cost before anything else happens; the next is taken to cost the most so far."""
        cost = self.run.cost
        self._dearest_usd = max(self._dearest_usd, reply.usd or 0.0)
        is_priced = cost.is_priced and reply.usd is not None
        await self.change(
            cost=Cost(cost.usage + reply.usage, cost.usd + (reply.usd or 0.0), cost.turns + 1, is_priced),
            model=reply.model or self.run.model,
            waits=0,
        )

    async def grant(self, usd: float, key: str) -> None:
        """Let the budget grow; a model that was told to bring things to an end is told that it need not."""
        await self.save(granted_usd=self.run.granted_usd + usd, grants=(*self.run.grants, key))
        if self._was_warned:
            self._was_warned = False
            self.tell(RAISED)

    @property
    def _budget(self) -> Budget | None:
        """The run's own budget and what people added to it."""
        budget = self.budget
        if budget is None or budget.usd is None:
            return budget
        return replace(budget, usd=budget.usd + self.run.granted_usd)

    async def keep(self, task: str, conversation: Conversation) -> None:
        """Keep the conversation, so that another worker can go on with it."""
        await self._patiently(partial(self._store.keep_conversation, self.run, task, conversation))

    async def show(self, kind: Kind, text: str) -> None:
        """Add a line to the timeline."""
        run = self.run.with_activity(self._clock.now(), kind, self._redactor.redact(text))
        await self.change(activities=run.activities)

    def check_time(self) -> None:
        """Hold the minutes while a turn or a command is in progress, too, and end the run whose comment has no place
        left.

        Raises:
            LimitReached: they are used up.
            AccessRevoked: there is no repository to work on any more.
        """
        if self._gone is not None and self.run.failure is None and self.run.conclusion is None:
            raise AccessRevoked(str(self._gone)) from self._gone
        if self.budget is not None and self.run.conclusion is None:
            check(replace(self.budget, usd=None, turns=1 << 30, tokens=1 << 60), self.run.cost, self.elapsed_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, over all its attempts, without those it waited for another system."""
        began: datetime | None = self.run.started_at
        return (self._clock.now() - began).total_seconds() - self.run.waited_s if began else 0.0
