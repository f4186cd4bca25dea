"""Holds what one client sends within its allowance, and counts it."""

from typing import TYPE_CHECKING, Final

from app.adapters.github.client.errors import server_time
from app.core.errors import GitHubError
from app.core.policy.rate_allowance import Allowance

if TYPE_CHECKING:
    import httpx

_HEADERS: Final = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


class Meter:
    """The requests of one client."""

    def __init__(self, allowance: Allowance) -> None:
        self.sent = 0
        self._allowance = allowance
        self._now = 0.0

    def check(self) -> None:
        """Ask before each request.

        Raises:
            GitHubError: with status 429 and the wait, where the allowance is used up.
        """
        if self.sent and (wait_s := self._allowance.wait_s(self._now)):
            words = f"The sweep has used its share of the rate limit; it goes on in {wait_s:.0f} s."
            raise GitHubError(words, status=429, retry_after_s=wait_s)
        self.sent += 1

    def count(self, response: "httpx.Response") -> None:
        """Read the limit from an answer. One without these headers has none."""
        told = [response.headers.get(name, "") for name in _HEADERS]
        self._now = server_time(response)
        if all(value.isdecimal() for value in told):
            limit, remaining, resets_at = map(int, told)
            is_free = response.status_code == 304
            self._allowance.note(limit=limit, remaining=remaining, resets_at=resets_at, is_free=is_free)
