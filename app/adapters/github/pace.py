"""How fast we write: below GitHub's limits on creating content, which are 80 a minute and 500 an hour.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits

    write     60 a minute and 400 an hour, counting edits
    edit      three quarters of both: what is only redrawn must not hold up what is new

A write whose turn is near waits for it; one whose turn is far is refused, so that its run can be put off.
"""

import asyncio
import time
from bisect import insort
from collections.abc import Awaitable, Callable
from typing import Final

from app.core.errors import GitHubError

LIMITS: Final = ((60, 60.0), (400, 3_600.0))
"""How many writes in how many seconds."""

EDITS: Final = 0.75
LONGEST_WAIT_S: Final = 10.0


class Pace:
    """The writes of one installation, in this process."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._turns: list[float] = []
        self._used_at = monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether all that is remembered has lost its weight."""
        return self._used_at + LIMITS[-1][1] < self._monotonic()

    async def admit(self, *, is_edit: bool = False) -> None:
        """Wait for a write's turn, ten seconds at most.

        Raises:
            GitHubError: with status 429, its turn is further away; `retry_after_s` says how far.
        """
        now = turn = self._monotonic()
        for most, window_s in LIMITS:
            count = int(most * EDITS) if is_edit else most
            if len(self._turns) >= count:
                turn = max(turn, self._turns[-count] + window_s)
        wait_s = turn - now
        if wait_s > LONGEST_WAIT_S:
            words = f"Too much was written to GitHub in a short time; there is room for more in {wait_s:.0f} s."
            raise GitHubError(words, status=429, retry_after_s=wait_s)
        self._used_at = turn
        insort(self._turns, turn)
        del self._turns[: -LIMITS[-1][0]]
        if wait_s > 0:
            await self._sleep(wait_s)
