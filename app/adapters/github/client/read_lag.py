"""How far one repository's reads can be trusted: they may lag behind what was written.

In the ordinary course one look is enough. Only after a request that may have been carried out without our knowing, here
or in an earlier attempt, is a look that finds nothing repeated, until what was made would be visible.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.core.run.run import SETTLE_S

T = TypeVar("T")

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 3.0

log = logging.getLogger(__name__)


class ReadVisibility:
    """How far the reads of one repository, or of one thing in it, can be trusted."""

    def __init__(
        self,
        unsure_s: float = 0.0,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """For `unsure_s` from now, what an earlier attempt made may not be visible yet."""
        self._monotonic = monotonic
        self._sleep = sleep
        self._unsure_until = monotonic() + unsure_s if unsure_s > 0 else -math.inf
        self._parts: dict[tuple[str | int, ...], ReadVisibility] = {}

    def of(self, *thing: str | int) -> "ReadVisibility":
        """The same for one thing (`"branch", name`): a doubt about it is none about any other."""
        if thing not in self._parts:
            part = self._parts[thing] = ReadVisibility(monotonic=self._monotonic, sleep=self._sleep)
            part._unsure_until = self._unsure_until
        return self._parts[thing]

    def doubt(self) -> None:
        """From now on something may be there that reads do not show yet."""
        self._unsure_until = self._monotonic() + SETTLE_S

    async def find(self, look: Callable[[], Awaitable[T | None]]) -> T | None:
        """What is there, None when there is nothing and nothing can be on its way."""
        wait_s = FIRST_WAIT_S
        while True:
            is_last = self._monotonic() >= self._unsure_until
            if (found := await look()) is not None or is_last:
                return found
            log.info("GitHub: looking again in %.1f s", wait_s)
            await self._sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
