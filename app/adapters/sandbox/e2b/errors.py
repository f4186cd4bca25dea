"""The SDK's failures as `SandboxError`, and which of them pass."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Final

import httpx
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b import (
    AuthenticationException,
    InvalidArgumentException,
    NotEnoughSpaceException,
    NotFoundException,
    RateLimitException,
    SandboxException,
    SandboxNotFoundException,
    SandboxNotRunningException,
    SandboxUnreachableException,
    ServiceBusyException,
    TemplateException,
)

from app.core.errors import SandboxError, SandboxGone
from app.core.safety.escape import code

_REFUSALS: Final = (
    InvalidArgumentException,
    NotEnoughSpaceException,
    NotFoundException,
    TemplateException,
    UnicodeError,
)
_REASON_CHARS: Final = 300
_PAGE: Final = re.compile(r"<!doctype html|<html|<head|<title", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title>([^<]{1,200})", re.IGNORECASE)
_OF_SERVER: Final = re.compile(r"5\d\d: ")
"""How the SDK begins what it says of an upload that envd, or what lies between, answered so."""
_BUSY: Final = frozenset({429, 502, 503, 504})
_STATUS: Final = re.compile(r"\d{3}(?= is not a valid HTTPStatus)")
_GONE: Final = "The sandbox is gone: its time was over or it was killed. Start a new one."


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn whatever the SDK raises into a SandboxError. It raises bare `Exception`, too, and its transports' own."""
    try:
        yield
    except AuthenticationException as error:
        raise SandboxError("E2B refused the API key. Set E2B_API_KEY to a valid one.") from error
    except (SandboxNotFoundException, SandboxNotRunningException) as error:
        raise SandboxGone(_GONE) from error
    except (RateLimitException, ServiceBusyException) as error:
        words = f"E2B could not {doing}: it is busy, {_reason(error)}. Try again in a few minutes."
        raise SandboxError(words, is_passing=True) from error
    except Exception as error:
        words = f"E2B could not {doing}: {_reason(error)}. See status.e2b.dev."
        raise SandboxError(words, is_passing=_is_passing(error)) from error


def _reason(error: Exception) -> str:
    """What went wrong, in a line. The SDK itself fails while it reads an answer that is not JSON, or one whose status
    Python's `HTTPStatus` does not know, such as 520."""
    words = error.doc if isinstance(error, JSONDecodeError) else str(error)
    if _PAGE.search(words):
        title = _TITLE.search(words)
        return f"it answered with an error page{f', {code(title[1].strip())}' if title else ''}"
    if isinstance(error, JSONDecodeError):
        return f"its answer cannot be read, {code(_line(words))}"
    if isinstance(error, ValueError) and (status := _STATUS.match(words)):
        return f"it answered with HTTP {status[0]}"
    return code(_line(f"{type(error).__name__}: {words}"))


def _line(words: str) -> str:
    return " ".join(words.split())[:_REASON_CHARS]


def is_blip(error: BaseException) -> bool:
    """Whether a call failed on its way to a machine that is not known to be gone: worth the same call again at once."""
    if isinstance(error, ConnectError):
        return error.code is not Code.DEADLINE_EXCEEDED
    if isinstance(error, httpx.TransportError):
        return not isinstance(error, httpx.TimeoutException)
    if type(error) is SandboxException:
        words = str(error)
        return error.status_code in _BUSY or bool(_PAGE.search(words) or _OF_SERVER.match(words))
    if isinstance(error, JSONDecodeError):
        return bool(_PAGE.search(error.doc))
    if isinstance(error, ValueError):
        return bool(_STATUS.match(str(error)))
    return isinstance(error, RateLimitException | ServiceBusyException | SandboxUnreachableException)


def _is_passing(error: Exception) -> bool:
    """Whether it was E2B that failed, or the way there (whose errors have no common root), and not what was asked."""
    if isinstance(error, SandboxException) and error.status_code is not None:
        return error.status_code >= 500 or error.status_code == 408
    return not isinstance(error, _REFUSALS)
