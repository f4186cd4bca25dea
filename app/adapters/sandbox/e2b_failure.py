"""The SDK's failures as `SandboxError`, and which of them pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from e2b import (
    AuthenticationException,
    InvalidArgumentException,
    NotEnoughSpaceException,
    NotFoundException,
    RateLimitException,
    SandboxException,
    SandboxNotFoundException,
    SandboxNotRunningException,
    ServiceBusyException,
    TemplateException,
)

from app.core.errors import SandboxError

_REFUSALS: Final = (
    InvalidArgumentException,
    NotEnoughSpaceException,
    NotFoundException,
    TemplateException,
    TypeError,
    ValueError,
)
_GONE: Final = "The sandbox is gone: its time was over or it was killed. Start a new one."


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn whatever the SDK raises into a SandboxError. It raises bare `Exception`, too, and its transports' own."""
    try:
        yield
    except AuthenticationException as error:
        raise SandboxError("E2B refused the API key. Set E2B_API_KEY to a valid one.") from error
    except (SandboxNotFoundException, SandboxNotRunningException) as error:
        raise SandboxError(_GONE, is_passing=True) from error
    except (RateLimitException, ServiceBusyException) as error:
        words = f"E2B could not {doing}: it is busy ({error}). Try again in a few minutes."
        raise SandboxError(words, is_passing=True) from error
    except Exception as error:
        words = f"E2B could not {doing} ({type(error).__name__}: {error}). See status.e2b.dev."
        raise SandboxError(words, is_passing=_is_passing(error)) from error


def _is_passing(error: Exception) -> bool:
    """Whether it was E2B that failed, or the way there (whose errors have no common root), and not what was asked."""
    if isinstance(error, SandboxException) and error.status_code is not None:
        return error.status_code >= 500 or error.status_code == 408
    return not isinstance(error, _REFUSALS)
