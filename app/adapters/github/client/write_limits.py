"""How fast we write: below GitHub's limits on creating content, which are 80 a minute and 500 an hour.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits

    write     60 a minute and 400 an hour, counting edits
    edit      three quarters of both: what is only redrawn must not hold up what is new
    urgent    a tenth more than both: that a run waits for these limits is said all the same

A write whose turn is near waits for it; one whose turn is far is refused, so that its run can be put off. All workers
count together in the store, in one round trip a write. While that is away each counts on its own, which is what it does
all along: a run cannot go far without the store.
"""

import asyncio
import logging
import time
from bisect import insort
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeAlias

from app.core.errors import GitHubError, StoreError

LIMITS: Final = ((60, 60.0), (400, 3_600.0))
"""How many writes in how many seconds."""

EDITS: Final = 0.75
URGENT: Final = 1.1
LONGEST_WAIT_S: Final = 10.0


Windows: TypeAlias = Sequence[tuple[int, float]]
"""(count, seconds): so many writes in so many seconds."""

log = logging.getLogger(__name__)


class SharedTurns(Protocol):
    """`Store.take_turn`."""

    async def __call__(self, scope: str, windows: Windows, *, longest_s: float) -> float: ...


class WriteLimiter:
    """The writes of one installation: in this process, and in all of them once they are shared."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        shared: Callable[[Windows], Awaitable[float]] | None = None,
    ) -> None:
        """`shared` takes a turn among all processes; without it this one counts alone."""
        self._monotonic = monotonic
        self._sleep = sleep
        self._turns: list[float] = []
        self._used_at = monotonic()
        self._take_turn = shared or self._take_own_turn

    @property
    def is_idle(self) -> bool:
        """Whether all that is remembered has lost its weight."""
        return self._used_at + LIMITS[-1][1] < self._monotonic()

    async def admit(self, *, is_edit: bool = False, is_urgent: bool = False) -> None:
        """Wait for a write's turn, ten seconds at most.

        Raises:
            GitHubError: with status 429, its turn is further away; `retry_after_s` says how far.
        """
        share = URGENT if is_urgent else EDITS if is_edit else 1.0
        windows = [(int(most * share), window_s) for most, window_s in LIMITS]
        try:
            wait_s = await self._take_turn(windows)
        except StoreError as error:
            log.warning("writes are counted by this worker alone", extra={"reason": str(error)})
            wait_s = await self._take_own_turn(windows)
        self._remember(wait_s)
        if wait_s > LONGEST_WAIT_S:
            words = f"Too much was written to GitHub in a short time; there is room for more in {wait_s:.0f} s."
            raise GitHubError(words, status=429, retry_after_s=wait_s)
        if wait_s > 0:
            await self._sleep(wait_s)

    async def _take_own_turn(self, windows: Windows) -> float:
        now = self._monotonic()
        starts = [self._turns[-count] + window_s for count, window_s in windows if len(self._turns) >= count]
        return max([now, *starts]) - now

    def _remember(self, wait_s: float) -> None:
        """Keep a turn that was taken, for when the store is away."""
        if wait_s <= LONGEST_WAIT_S:
            self._used_at = self._monotonic() + wait_s
            insort(self._turns, self._used_at)
            del self._turns[: -int(LIMITS[-1][0] * URGENT)]


def shared_write_limiter(turns: SharedTurns, installation_id: int) -> WriteLimiter:
    """The writes of one installation, counted over all processes."""
    return WriteLimiter(shared=partial(turns, f"writes {installation_id}", longest_s=LONGEST_WAIT_S))
