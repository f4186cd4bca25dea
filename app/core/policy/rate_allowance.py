"""How much of an installation's rate limit the sweep may use: work on that installation comes first.

GitHub gives an installation 5,000 requests an hour at least, and counts none that it answers with 304.
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#primary-rate-limit-for-github-app-installations
"""

from dataclasses import dataclass
from typing import Final

SHARE: Final = 0.25
"""Of the hour's requests. A run takes about 60, so the rest is for 60 runs an hour at the smallest limit there is."""
RESERVE: Final = 0.5
"""What must be left of the hour's requests: where work has used the other half, the sweep waits for the next hour."""


@dataclass(slots=True)
class Allowance:
    """What the sweep has used of this hour, as GitHub's headers tell. `resets_at` is in seconds since 1970, by GitHub's
    clock; 0 where it has told of no limit, as an Enterprise Server may."""

    used: int = 0
    resets_at: int = 0
    limit: int = 0
    remaining: int = 0

    def note(self, *, limit: int, remaining: int, resets_at: int, is_free: bool) -> None:
        """Count an answered request; `is_free` where GitHub does not count it."""
        if resets_at != self.resets_at:
            self.used = 0
        self.used += not is_free
        self.limit, self.remaining, self.resets_at = limit, remaining, resets_at

    def wait_s(self, now: float) -> float:
        """How long to wait before the next request; 0 when it may be sent. `now` is GitHub's clock."""
        is_used_up = self.used >= self.limit * SHARE or self.remaining < self.limit * RESERVE
        return max(self.resets_at - now, 0.0) if self.limit and is_used_up else 0.0
