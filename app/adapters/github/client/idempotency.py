"""What must be there once, and may be asked for twice: look it up before it is made, and after an unclear ending."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.adapters.github.client.api import is_unclear
from app.adapters.github.client.read_lag import ReadVisibility
from app.core.errors import GitHubError

T = TypeVar("T")


async def or_none(call: Awaitable[T]) -> T | None:
    """The answer, None when there is no such thing or no longer."""
    try:
        return await call
    except GitHubError as error:
        if error.status not in {404, 410}:
            raise
        return None


async def look_then_create(
    look: Callable[[], Awaitable[T | None]], create: Callable[[], Awaitable[T]], visibility: ReadVisibility
) -> T:
    """Create only what is not there; after an unclear ending look again first, and create at most twice.

    That GitHub says it exists already is proof: then it is looked for until it is visible.
    """
    for _ in range(2):
        if (found := await visibility.find(look)) is not None:
            return found
        try:
            return await create()
        except GitHubError as error:
            if not is_unclear(error) and not is_taken(error):
                raise
            visibility.doubt()
            fault = error
    found = await (visibility.find(look) if is_taken(fault) else look())
    if found is not None:
        return found
    raise fault


def is_taken(error: GitHubError) -> bool:
    """Whether GitHub says that it exists already."""
    return error.status == 422 and "already exists" in str(error)
