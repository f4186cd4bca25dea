"""Answers of 400 and above: what GitHub said, and how long it asks to be left alone.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
"""

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from app.adapters.github.client.responses import ApiResponse
from app.core.errors import GitHubError, MissingPermission

if TYPE_CHECKING:
    import httpx

DEFAULT_WAIT_S: Final = 60.0
"""What GitHub asks for when a rate limit's answer names no time."""

_LIMIT: Final = re.compile(r"rate limit|abuse detection", re.IGNORECASE)
_WORKFLOW: Final = re.compile(r"create or update workflow\b.*without `?workflows`? permission", re.IGNORECASE)
_TOO_QUICK: Final = re.compile(r"submitted too quickly")
"""How the limit on creating content is told where there is no other (https://github.com/cli/cli/issues/4801)."""


class ErrorDetail(ApiResponse):
    message: str | None = None
    code: str | None = None
    field: str | None = None


class ErrorResponse(ApiResponse):
    """The body of an answer of 400 and above
    (https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api)."""

    message: str = ""
    errors: list[ErrorDetail | str] | str = ""

    @property
    def words(self) -> str:
        faults = [self.errors] if isinstance(self.errors, str) else self.errors
        details = [
            fault if isinstance(fault, str) else fault.message or f"{fault.field}: {fault.code}" for fault in faults
        ]
        return "; ".join(part for part in (self.message, *details) if part)


def workflows_missing(words: str) -> MissingPermission:
    """The error for what only `workflows: write` allows."""
    return MissingPermission(
        f"{words} Where files in `.github/workflows` differ, the App needs the optional permission `workflows: write`: "
        "the App's owner adds it on the App's settings page and sets `WORKFLOWS_PERMISSION`, and the account that "
        "installed the App accepts it."
    )


def read_error(what: str, response: "httpx.Response") -> GitHubError:
    """The error for an answer of 400 and above."""
    if response.status_code == 403 and is_workflow_told(_words(response)):
        return workflows_missing(f"GitHub answered 403: {_words(response)}.")
    status, wait_s = response.status_code, limit_wait_s(response)
    wait = "" if wait_s is None else f" It asks to wait {wait_s:.0f} s."
    words = f"GitHub answered {status} to {what}: {_words(response)}{wait}"
    return GitHubError(words, status=status, retry_after_s=wait_s)


def limit_wait_s(response: "httpx.Response") -> float | None:
    """How long an answer of 400 and above asks to be left alone, None when it does not."""
    status, headers = response.status_code, response.headers
    if status >= 500:
        return float(headers["retry-after"]) if headers.get("retry-after", "").isdecimal() else None
    if status not in {403, 422, 429}:
        return None
    is_limit = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or status == 429
    if (is_limit and status != 422) or is_limit_told(_words(response), status):
        return named_wait_s(response)
    return None


def is_workflow_told(words: str) -> bool:
    """Whether GitHub's words say that a change to a workflow file is refused."""
    return bool(_WORKFLOW.search(words))


def is_limit_told(words: str, status: int = 403) -> bool:
    """Whether GitHub's words speak of a limit. A 422 may quote what was sent, so there only one phrase counts."""
    return bool(_TOO_QUICK.search(words) or (status != 422 and _LIMIT.search(words)))


def named_wait_s(response: "httpx.Response") -> float:
    """How long a limit lasts: by GitHub's own clock, as ours may be wrong."""
    headers = response.headers
    if (said := headers.get("retry-after", "")).isdecimal():
        return float(said)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(float(reset) - server_time(response), 1.0)
    return DEFAULT_WAIT_S


def server_time(response: "httpx.Response") -> float:
    """When the answer was written, in seconds since 1970."""
    try:
        return parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()


def _words(response: "httpx.Response") -> str:
    try:
        return ErrorResponse.model_validate_json(response.content).words
    except ValueError:
        return str(response.reason_phrase)
