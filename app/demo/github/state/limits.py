"""GitHub's limits on callers: so many requests an hour, so many points and so much new content a minute.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api

An Enterprise Server has them only when its operator says so, and so has this one.
"""

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from app.demo.github.responses import Refusal

_CONTENT: Final = re.compile(r"/(comments|replies|issues|pulls|reviews|requested_reviewers|merges|graphql)$")
_SECONDARY: Final = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach out to "
    "GitHub Support for help, please include the request ID."
)
_TOO_MUCH: Final = (
    "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. Please retry "
    "your request again later."
)


@dataclass(slots=True)
class Rates:
    """What one caller may; a read costs a point, anything else five. Tests have shorter minutes."""

    requests_per_hour: int = 5_000
    points_per_minute: int = 900
    content_per_minute: int = 80
    content_per_hour: int = 500
    minute_s: float = 60.0
    secondary_status: int = 403


@dataclass(slots=True)
class _Spent:
    """What one caller has used. The hour begins with its first request."""

    hour_began: float
    requests: int = 0
    points: deque[tuple[float, int]] = field(default_factory=deque)
    content: deque[float] = field(default_factory=deque)


class Limits:
    """Counts for each caller. Off until `rates` are set."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rates: Rates | None = None
        self.refused = 0
        self._blocked: dict[str, float] = {}
        self._clock = clock
        self._spent: dict[str, _Spent] = {}

    def block(self, caller: str, seconds: float) -> None:
        """Refuse all that this caller asks for so long, as GitHub does with one that it finds too busy."""
        self._blocked[caller] = self._clock() + seconds

    def take(self, caller: str, method: str, path: str) -> None:
        """Count a request.

        Raises:
            Refusal: it is one too many: 403 or 429, with how long to wait.
        """
        if (left_s := self._blocked.get(caller, 0.0) - self._clock()) > 0:
            self.refused += 1
            raise _wait(self.rates or Rates(), _SECONDARY, left_s)
        if self.rates is None:
            return
        try:
            self._take(self.rates, caller, method, path)
        except Refusal:
            self.refused += 1
            raise

    def _take(self, rates: Rates, caller: str, method: str, path: str) -> None:
        now, spent = self._clock(), self._of(caller)
        if spent.requests >= rates.requests_per_hour:
            words = f"API rate limit exceeded for {caller}. If you reach out to GitHub Support for help, please include"
            raise Refusal(403, f"{words} the request ID.", headers=self.headers(caller))
        is_read, is_content = method in {"GET", "HEAD"}, method == "POST" and _CONTENT.search(path) is not None
        for window_s, most in ((rates.minute_s, rates.content_per_minute), (3_600.0, rates.content_per_hour)):
            recent = [at for at in spent.content if at > now - window_s]
            if is_content and len(recent) >= most:
                raise _wait(rates, _TOO_MUCH, recent[-most] + window_s - now)
        while spent.points and spent.points[0][0] <= now - rates.minute_s:
            spent.points.popleft()
        points = 1 if is_read else 5
        if sum(each for _, each in spent.points) + points > rates.points_per_minute:
            raise _wait(rates, _SECONDARY, spent.points[0][0] + rates.minute_s - now)
        spent.points.append((now, points))
        spent.requests += 1
        if is_content:
            spent.content.append(now)

    def give_back(self, caller: str) -> None:
        """An answer of 304 costs nothing of the hour's requests."""
        if self.rates is not None:
            self._of(caller).requests -= 1

    def headers(self, caller: str) -> dict[str, str]:
        """What every answer says of the hour's requests."""
        if self.rates is None:
            return {}
        spent, most = self._of(caller), self.rates.requests_per_hour
        return {
            "x-ratelimit-limit": str(most),
            "x-ratelimit-remaining": str(max(most - spent.requests, 0)),
            "x-ratelimit-used": str(spent.requests),
            "x-ratelimit-reset": str(int(time.time() + spent.hour_began + 3_600 - self._clock())),
            "x-ratelimit-resource": "core",
        }

    def _of(self, caller: str) -> _Spent:
        spent = self._spent.setdefault(caller, _Spent(self._clock()))
        if self._clock() - spent.hour_began >= 3_600:
            spent.hour_began, spent.requests = self._clock(), 0
        return spent


def _wait(rates: Rates, words: str, wait_s: float) -> Refusal:
    headers = {"retry-after": str(max(int(wait_s + 0.999), 1))}
    return Refusal(rates.secondary_status, words, headers=headers)
