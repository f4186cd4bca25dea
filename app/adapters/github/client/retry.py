"""Which requests to GitHub are sent again, and after how long.

    refused for a limit, wait is short    any request: it was not carried out
    never connected                       any request: it was not sent
    5xx, time-out, connection lost        only what may be repeated

Everything else, and the last failure, goes to the caller.
"""

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import httpx
from githubkit.exception import GitHubException, RequestError, RequestFailed
from githubkit.typing import RetryOption

from app.adapters.github.client.errors import limit_wait_s
from app.adapters.github.client.read_lag import ReadVisibility

log = logging.getLogger(__name__)

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SAFE_POSTS: Final = re.compile(
    r"/(reactions|labels|requested_reviewers|access_tokens|attempts|git/refs|git/blobs|git/trees)$"
)
"""GitHub keeps one reaction, label, reviewer or ref of a name; blobs and trees are named by their content; a spare
token expires; a delivery may come twice anyway."""


class Retry:
    """githubkit's `auto_retry`: at most `repeats` times, waiting twice as long each time. `visibility` makes what
    decides how often something is looked for, from the seconds for which it may not be visible yet."""

    def __init__(
        self,
        *,
        repeats: int = 3,
        first_wait_s: float = 0.5,
        longest_wait_s: float = 10.0,
        visibility: Callable[[float], ReadVisibility] = ReadVisibility,
    ) -> None:
        self.visibility = visibility
        self._repeats = repeats
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s

    def __call__(self, error: GitHubException, count: int) -> RetryOption:
        wait_s = self._wait_s(error, count)
        if wait_s is None or wait_s > self._longest_wait_s or count >= self._repeats:
            return RetryOption(do_retry=False)
        log.warning("GitHub: sending again in %.1f s after %r", wait_s, error)
        # githubkit takes a wait of nothing for "not said" and sleeps a minute.
        return RetryOption(do_retry=True, retry_after=timedelta(seconds=max(wait_s, 0.001)))

    def _wait_s(self, error: GitHubException, count: int) -> float | None:
        backoff_s = self._first_wait_s * 2.0**count
        match error:
            case RequestFailed() if error.response.status_code < 500:
                return limit_wait_s(error.response.raw_response)
            case RequestFailed() if is_repeatable(error.request):
                named = limit_wait_s(error.response.raw_response)
                return backoff_s if named is None else named
            case RequestError(exc=httpx.TransportError() as cause):
                return backoff_s if isinstance(cause, _NEVER_SENT) or is_repeatable(cause.request) else None
            case _:
                return None


def is_repeatable(request: httpx.Request) -> bool:
    """Whether a second request like this one does no harm when the first was carried out after all."""
    return request.method != "POST" or bool(_SAFE_POSTS.search(request.url.path))
