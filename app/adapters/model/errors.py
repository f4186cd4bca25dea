"""The vendor's failures: which are worth another try, after how long, and what a person should do about the others."""

import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

MAX_ATTEMPTS = 4
MAX_TIMEOUTS = 2
MAX_WAIT_S = 10.0
"""Longer waits are the run's: it says so, and holds no worker meanwhile."""
FIRST_WAIT_S = 0.5
MAX_QUOTE_CHARS = 300

_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_TOO_LONG = re.compile(r"context.{0,20}(length|window|size)|maximum context|prompt is too long|too many tokens", re.I)


def wait_s(error: APIError | TimeoutError, attempt: int) -> float | None:
    """Seconds to wait before the next try after the `attempt`-th failed; None when another try is of no use."""
    if attempt >= (MAX_TIMEOUTS if isinstance(error, APITimeoutError | TimeoutError) else MAX_ATTEMPTS):
        return None
    if not is_passing(error):
        return None
    named = retry_after_s(error)
    if named is None:
        return float(FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))  # noqa: S311
    return named if named <= MAX_WAIT_S else None


def is_passing(error: APIError | TimeoutError) -> bool:
    """Whether the same request may well work later."""
    if isinstance(error, APIStatusError):
        return _may_pass(error)
    return isinstance(error, APIConnectionError | TimeoutError)


def retry_after_s(error: APIError | TimeoutError) -> float | None:
    """How long the server asked to be left alone, None when it did not say, or not to any use."""
    return _named_wait_s(error.response.headers) if isinstance(error, APIStatusError) and _may_pass(error) else None


def explain(error: APIError | TimeoutError, *, model: str, url: str, timeout_s: float) -> str:
    """One sentence or two: what failed, and what to do."""
    if isinstance(error, APITimeoutError | TimeoutError):
        return f"The model's server at {url} did not answer within {timeout_s:g} s; try again, or allow it more time."
    if isinstance(error, APIStatusError):
        return _explain_status(error, model, url)
    if isinstance(error, APIConnectionError):
        return f"There is no connection to the model's server at {url}; is it running, and is OPENAI_BASE_URL right?"
    return f"The model's server at {url} answered what cannot be read{_quote(error)}."


def is_about_encrypted_content(error: APIError) -> bool:
    """Models that do not reason refuse to include encrypted reasoning (400 "Encrypted content is not supported…")."""
    return isinstance(error, APIStatusError) and error.status_code in {400, 422} and "ncrypted" in _said(error)


def _may_pass(error: APIStatusError) -> bool:
    if _is_quota(error) or error.response.headers.get("x-should-retry") == "false":
        return False
    return error.status_code in {408, 409, 429} or error.status_code >= 500


def _is_quota(error: APIStatusError) -> bool:
    return error.status_code == 402 or error.code in _QUOTA or error.type in _QUOTA


def _named_wait_s(headers: Mapping[str, str]) -> float | None:
    """Read `retry-after-ms` or `Retry-After`: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after", "")
        if re.fullmatch(r"[\d.]+", value):
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _explain_status(error: APIStatusError, model: str, url: str) -> str:
    quote = _quote(error)
    if _is_quota(error):
        return "The account behind OPENAI_API_KEY has no credit left; add some, or use another key."
    if error.status_code == 413 or error.code == "context_length_exceeded" or _TOO_LONG.search(_said(error)):
        return f"The conversation has become longer than the model `{model}` can read{quote}."
    match error.status_code:
        case 401:
            text = f"The model's server at {url} refused the key; check OPENAI_API_KEY."
        case 403:
            text = f"The key may not use the model `{model}` at {url}{quote}; check its rights, or use another model."
        case 404 if error.code == "model_not_found" or "model" in _said(error).lower():
            text = f"The model's server at {url} has no model `{model}`{quote}; name one that it has."
        case 404:
            text = f"Nothing answers at {url}; OPENAI_BASE_URL usually ends in /v1, and few servers speak Responses."
        case 429:
            text = f"The model's server limits how often it is asked{quote}; try again in a few minutes."
        case status if status >= 500:
            text = f"The model's server failed with status {status}{quote}; try again later."
        case status:
            text = f"The model's server refused the request with status {status}{quote}."
    return text


def _said(error: APIError) -> str:
    """The vendor's own words, empty when it sent none (or a page of HTML)."""
    body: object = error.body
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error")
    text = " ".join(str(body or "").split())
    return "" if text.startswith("<") else text


def _quote(error: APIError) -> str:
    said = _said(error).rstrip(".")
    if not said:
        return ""
    return f" (it says: {said if len(said) <= MAX_QUOTE_CHARS else said[:MAX_QUOTE_CHARS] + '…'})"
