"""GitHub's API as one authenticated client that raises `GitHubError` and nothing else.

Requests are written by hand and sent through githubkit: its typed methods would cost the worker 30 MiB.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from githubkit import GitHub
from githubkit.auth import BaseAuthStrategy
from githubkit.exception import (
    GitHubException,
    GraphQLFailed,
    RateLimitExceeded,
    RequestError,
    RequestFailed,
    RequestTimeout,
)
from pydantic import BaseModel

from app.adapters.github.address import HEADERS, USER_AGENT
from app.adapters.github.answers import refusal
from app.adapters.github.retry import Retry
from app.core.errors import GitHubError, HeadMoved

A = TypeVar("A", bound=BaseModel)

_STALE: Final = re.compile(r"Expected branch to point to|is at [0-9a-f]{7,} but expected")
_STATUS_OF: Final = {"NOT_FOUND": 404, "FORBIDDEN": 403, "UNPROCESSABLE": 422}


@dataclass(frozen=True)
class Connection:
    """What every client of one App shares. A request with all its repeats may take six times `timeout_s`."""

    base_url: str
    timeout_s: float
    retry: Retry
    tls: ssl.SSLContext

    @asynccontextmanager
    async def open(self, auth: BaseAuthStrategy) -> AsyncIterator["Api"]:
        github = GitHub(
            auth,
            base_url=self.base_url,
            user_agent=USER_AGENT,
            timeout=self.timeout_s,
            ssl_verify=self.tls,
            http_cache=False,
            auto_retry=self.retry,
        )
        async with github:
            yield Api(github, deadline_s=6 * self.timeout_s)


class Api:
    """REST and GraphQL. A request is repeated where `retry.py` says that it may be."""

    def __init__(self, github: GitHub[BaseAuthStrategy], *, deadline_s: float) -> None:
        self._github = github
        self._deadline_s = deadline_s

    async def call(
        self,
        method: str,
        path: str,
        answer: type[A],
        *,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> A:
        """Send one REST request and read its answer."""
        with _translated(f"{method} {path}"):
            async with asyncio.timeout(self._deadline_s):
                response = await self._github.arequest(method, path, params=params, json=body, headers=HEADERS)
            return answer.model_validate_json(response.content)

    async def graphql(self, query: str, variables: dict[str, object], answer: type[A]) -> A:
        """Send one GraphQL request, never twice, and read its `data`."""
        with _translated("GraphQL"):
            async with asyncio.timeout(self._deadline_s):
                data = await self._github.graphql.arequest(query, variables)
            return answer.model_validate(data)


def is_unclear(error: GitHubError) -> bool:
    """Whether the request may have been carried out all the same."""
    return error.status == 0 or error.status >= 500


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise GitHubError(f"GitHub did not carry out {what} in time.") from error
    except GitHubException as error:
        raise _translate(what, error) from error
    except ValueError as error:
        raise GitHubError(f"GitHub's answer to {what} cannot be read.") from error


def _translate(what: str, error: GitHubException) -> GitHubError:
    match error:
        case RateLimitExceeded():
            wait_s = error.retry_after.total_seconds()
            words = f"GitHub's rate limit is used up; it asks to wait {wait_s:.0f} s before {what}."
            return GitHubError(words, status=max(error.response.status_code, 403), retry_after_s=wait_s)
        case RequestFailed():
            return refusal(what, error.response.raw_response)
        case RequestTimeout():
            return GitHubError(f"GitHub did not answer {what} in time.")
        case RequestError(exc=GitHubError() as fault):
            return fault
        case GraphQLFailed():
            return _graphql_refusal(error)
        case RequestError():
            return GitHubError(f"GitHub could not be reached for {what}: {error.exc or type(error.exc).__name__}")
        case _:
            return GitHubError(f"GitHub could not be asked for {what}: {error!r}")


def _graphql_refusal(error: GraphQLFailed) -> GitHubError:
    faults = error.response.errors or []
    words = "; ".join(fault.message for fault in faults)
    kinds = [fault.type for fault in faults]
    if "STALE_DATA" in kinds or _STALE.search(words):
        return HeadMoved(f"The branch has moved: {words}", status=409)
    # A fault without a type is GitHub's own ("Something went wrong while executing your query").
    status = next((_STATUS_OF[kind] for kind in kinds if kind in _STATUS_OF), 422 if any(kinds) else 502)
    return GitHubError(f"GitHub refused the request: {words}", status=status)
