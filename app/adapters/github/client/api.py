"""GitHub's API as one authenticated client that raises `GitHubError` and nothing else.

Requests are written by hand and sent through githubkit: its typed methods would cost the worker 30 MiB.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from githubkit import GitHub, Response
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

from app.adapters.github.client.address import HEADERS, USER_AGENT, repo_path
from app.adapters.github.client.errors import (
    DEFAULT_WAIT_S,
    is_limit_told,
    is_workflow_told,
    named_wait_s,
    read_error,
    workflows_missing,
)
from app.adapters.github.client.meter import Meter
from app.adapters.github.client.responses import RepositoryResponse
from app.adapters.github.client.retry import Retry
from app.adapters.github.client.write_limits import WriteLimiter
from app.core.errors import GitHubError, HeadMoved, RepositoryGone

A = TypeVar("A", bound=BaseModel)

_STALE: Final = re.compile(r"Expected branch to point to|is at [0-9a-f]{7,} but expected")
_STATUS_OF: Final = {
    "NOT_FOUND": 404,
    "FORBIDDEN": 403,
    "UNPROCESSABLE": 422,
    "INTERNAL": 502,
    "SERVICE_UNAVAILABLE": 503,
}
_NO_GRAPHQL: Final = frozenset({404, 405, 410, 501})
"""How a server without GraphQL answers there. What is missing in a repository is told with status 200."""
_NO_MUTATION: Final = re.compile(
    r"doesn't exist on type 'Mutation'|isn't a defined input type|GraphQL.*(disabled|not enabled)", re.IGNORECASE
)
_UNSEEN: Final = re.compile(r"/git/(blobs|trees|commits)$")
"""What nobody sees before a ref points to it: no content in the sense of GitHub's limits."""

_CONDITIONAL: Final = re.compile(r"^/repos/[^/]+/[^/]+$|/(pulls/\d+|contents/.+)$")
"""What is read again and again and seldom changes. GitHub counts no points for an answer of 304:
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate"""
MAX_KEPT: Final = 32
MAX_KEPT_BYTES: Final = 262_144

_ARCHIVED: Final = re.compile(r"archived so is read-only")
_SUSPENDED: Final = re.compile(r"installation has been suspended")
_BY_ID: Final = re.compile(r"/repositories/(\d+)")
"""Where a repository is whatever its name is; its old names lead there."""
_KEEPS_METHOD: Final = frozenset({307, 308})
_LOST: Final = frozenset({301, 302, 307, 308, 404})
"""Answers that may mean that the repository is there no more."""

log = logging.getLogger(__name__)

MAX_READ_BYTES: Final = 64 * 1_048_576
PER_PAGE: Final = 100
MAX_PAGES: Final = 10


@dataclass(frozen=True)
class ApiConnection:
    """What every client of one App shares. A request with all its repeats may take six times `timeout_s`."""

    base_url: str
    timeout_s: float
    retry: Retry
    tls: ssl.SSLContext

    @asynccontextmanager
    async def open(
        self, auth: BaseAuthStrategy, pace: WriteLimiter | None = None, repo: str = "", meter: Meter | None = None
    ) -> AsyncIterator["Api"]:
        """A client, of one repository where that is named; `pace` holds back what it writes, `meter` all it sends."""
        github = GitHub(
            auth,
            base_url=self.base_url,
            user_agent=USER_AGENT,
            timeout=self.timeout_s,
            ssl_verify=self.tls,
            http_cache=False,
            # A redirect would lead the token anywhere. Those of a renamed repository are followed by `Api` itself.
            follow_redirects=False,
            auto_retry=self.retry,
        )
        async with github:
            yield Api(github, deadline_s=6 * self.timeout_s, pace=pace, repo=repo, meter=meter)


class _Unchanged(Exception):
    """GitHub answered 304."""


class GraphQLUnavailable(GitHubError):
    """This server has no GraphQL, or an older one without the mutation. Nothing was carried out."""


class Api:
    """REST and GraphQL. A request is repeated where `retry.py` says that it may be.

    A repository that was renamed is found by its number, to which its old name leads, and all goes on there; no other
    redirect is followed.
    """

    def __init__(
        self,
        github: GitHub[BaseAuthStrategy],
        *,
        deadline_s: float,
        pace: WriteLimiter | None = None,
        repo: str = "",
        meter: Meter | None = None,
    ) -> None:
        self._github = github
        self._deadline_s = deadline_s
        self._pace = pace
        self.repo = repo
        """The repository's name, as far as it is known: another once an answer has said so."""
        self._repo = repo
        self._meter = meter
        self._moved_to = ""
        self._kept: dict[str, tuple[str, bytes]] = {}
        self.has_graphql = True
        """False once this server has shown that it does not know GraphQL, or not enough of it."""

    def of(self, repo: str) -> "Api":
        """The same client, for one repository."""
        return Api(self._github, deadline_s=self._deadline_s, pace=self._pace, repo=repo, meter=self._meter)

    async def call(
        self,
        method: str,
        path: str,
        answer: type[A],
        *,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, str | int] | None = None,
        is_urgent: bool = False,
    ) -> A:
        """Send one REST request and read its answer; one without a body reads as `{}`."""
        if self._pace is not None and method != "GET" and not _UNSEEN.search(path):
            await self._pace.admit(is_edit=method == "PATCH", is_urgent=is_urgent)
        async with self._explained(f"{method} {path}"):
            if method == "GET" and params is None and _CONDITIONAL.search(path):
                return answer.model_validate_json(await self._read_changed(path))
            response = await self._send(method, path, params=params, body=body)
            return answer.model_validate_json(response.content or b"{}")

    async def _read_changed(self, path: str) -> bytes:
        """Read what was perhaps read before: GitHub is asked whether it is still the same."""
        etag, content = self._kept.get(path, ("", b""))
        response = await self._send("GET", path, etag=etag)
        if etag and response.status_code == 304:
            return content
        self._keep(path, response)
        return response.content

    def _keep(self, path: str, response: Response[object]) -> None:
        content = response.content
        if (etag := response.headers.get("etag", "")) and len(content) <= MAX_KEPT_BYTES:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[path] = (etag, content)

    async def pages(
        self,
        path: str,
        answer: type[A],
        *,
        max_pages: int = MAX_PAGES,
        params: Mapping[str, str | int] | None = None,
    ) -> AsyncIterator[A]:
        """Read a list page by page, by the links from each to the next."""
        for _ in range(max_pages):
            page, params = await self.page(path, answer, params)
            yield page
            if not params:
                return

    async def page(
        self, path: str, answer: type[A], params: Mapping[str, str | int] | None = None
    ) -> tuple[A, Mapping[str, str | int]]:
        """Read one page of a list, and get the parameters that ask for the next; none on the last."""
        page, following, _ = await self._read_page(path, answer, params)
        return page, following

    async def changed_page(
        self, path: str, answer: type[A], params: Mapping[str, str | int] | None = None, *, etag: str
    ) -> tuple[A, Mapping[str, str | int], str] | None:
        """Read one page as `page` does, with its ETag; None where it is still the one of `etag`."""
        try:
            return await self._read_page(path, answer, params, etag)
        except _Unchanged:
            return None

    async def _read_page(
        self, path: str, answer: type[A], params: Mapping[str, str | int] | None, etag: str = ""
    ) -> tuple[A, Mapping[str, str | int], str]:
        async with self._explained(f"GET {path}"):
            response = await self._send("GET", path, params={"per_page": PER_PAGE, **(params or {})}, etag=etag)
            if etag and response.status_code == 304:
                raise _Unchanged
            page = answer.model_validate_json(response.content)
        following = response.raw_response.links.get("next")
        # Not the link itself: it must not lead the token to another place.
        params = dict(httpx.URL(following["url"]).params) if following is not None else {}
        return page, params, response.headers.get("etag", "")

    async def read_elsewhere(self, path: str, *, last_bytes: int) -> bytes:
        """The end of what a GET leads to: read there without our token, and no more of it than `MAX_READ_BYTES`."""
        with _translated(f"GET {path}"):
            async with asyncio.timeout(self._deadline_s):
                async with self._github.get_async_client() as client:
                    answer = await client.get(path, headers=HEADERS, follow_redirects=False)
                if answer.is_error:
                    raise read_error(f"GET {path}", answer)
                if answer.next_request is None:
                    return answer.content[-last_bytes:]
                return await self._read_end(answer.next_request.url, last_bytes)

    async def _read_end(self, url: httpx.URL, last_bytes: int) -> bytes:
        config, read, end = self._github.config, 0, bytearray()
        stranger = httpx.AsyncClient(
            verify=config.ssl_verify, timeout=config.timeout, headers={"User-Agent": USER_AGENT}
        )
        async with stranger, stranger.stream("GET", url) as answer:
            if answer.is_error:
                raise GitHubError(f"GitHub's storage answered {answer.status_code}.", status=answer.status_code)
            async for chunk in answer.aiter_bytes():
                end += chunk
                del end[: -2 * last_bytes]
                read += len(chunk)
                if read > MAX_READ_BYTES:
                    break
        return bytes(end[-last_bytes:])

    async def graphql(self, query: str, variables: dict[str, object], answer: type[A]) -> A:
        """Send one GraphQL mutation, never twice, and read its `data`.

        Raises:
            GraphQLUnavailable: this server does not know it; do the same over REST.
        """
        if self._pace is not None:
            await self._pace.admit()
        async with self._explained("GraphQL"):
            try:
                async with asyncio.timeout(self._deadline_s):
                    data = await self._github.graphql.arequest(query, variables)
            except (RequestFailed, GraphQLFailed) as error:
                fault = _translate("GraphQL", error)
                if not _lacks_graphql(error, fault):
                    raise
                self.has_graphql = False
                log.warning("no GraphQL here, commits go over REST", extra={"reason": str(fault)})
                raise GraphQLUnavailable(str(fault), status=501) from error
            return answer.model_validate(data)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, object] | None = None,
        etag: str = "",
    ) -> Response[object]:
        headers = {**HEADERS, "If-None-Match": etag} if etag else HEADERS
        for is_again in (False, True):
            response = await self._ask(method, self._find(path), params=params, json=body, headers=headers)
            if not response.raw_response.has_redirect_location:
                return response
            is_kept = method == "GET" or response.status_code in _KEEPS_METHOD
            if is_again or not is_kept or not self._is_inside(path) or self._moved_to:
                break
            await self._look()
            if not self._moved_to:
                break
        raise read_error(f"{method} {path}", response.raw_response)

    async def _ask(self, method: str, path: str, **options: Any) -> Response[object]:
        if self._meter is not None:
            self._meter.check()
        async with asyncio.timeout(self._deadline_s):
            try:
                response = await self._github.arequest(method, path, **options)
            except RequestFailed as error:
                self._count(error.response)
                raise
        self._count(response)
        return response

    def _is_inside(self, path: str) -> bool:
        return bool(self._repo) and f"{path}/".startswith(f"/repos/{self._repo}/")

    def _count(self, response: Response[object]) -> None:
        if self._meter is not None:
            self._meter.count(response.raw_response)

    def _find(self, path: str) -> str:
        """The path, by the repository's number once its name is another."""
        is_moved = self._moved_to and self._is_inside(path)
        return self._moved_to + path.removeprefix(f"/repos/{self._repo}") if is_moved else path

    async def find_id(self, path: str) -> int:
        """The number of the repository to which the path, in one that was renamed, leads; 0 when it leads nowhere."""
        with _translated(f"GET {path}"):
            async with asyncio.timeout(self._deadline_s):
                answer = (await self._github.arequest("GET", path, headers=HEADERS)).raw_response
        found = _BY_ID.match(self._leads_to(answer))
        return int(found[1]) if found else 0

    def _leads_to(self, answer: httpx.Response) -> str:
        """The path within this API to which an answer redirects, empty when it does not, or to elsewhere."""
        base = str(self._github.config.base_url).rstrip("/")
        url = str(answer.next_request.url) if answer.next_request is not None else ""
        return url.removeprefix(base) if url.startswith(f"{base}/") else ""

    @asynccontextmanager
    async def _explained(self, what: str) -> AsyncIterator[None]:
        try:
            with _translated(what):
                yield
        except GitHubError as error:
            gone = await self._find_gone(error) if self._repo else None
            if gone is not None:
                raise gone from error
            raise

    async def _find_gone(self, error: GitHubError) -> RepositoryGone | None:
        """What has become of the repository, if that is the reason for the error."""
        words = str(error)
        if error.status in {403, 422} and _ARCHIVED.search(words):
            return RepositoryGone(f"{self._repo} was archived, so nothing can be written there.")
        if error.status == 403 and _SUSPENDED.search(words):
            return RepositoryGone(f"The App was suspended, so {self._repo} is out of its sight.")
        if error.status not in _LOST:
            return None
        try:
            await self._look()
        except RepositoryGone as gone:
            return gone
        except GitHubError as fault:
            is_gone = fault.status == 404
            return RepositoryGone(f"{self._repo} is gone, or the App may not see it any more.") if is_gone else None
        return None

    async def _look(self) -> None:
        """Look for the repository where it was; when it has moved, remember where to."""
        path = repo_path(self._repo)
        etag, _ = self._kept.get(path, ("", b""))
        with _translated(f"GET {path}"):
            async with asyncio.timeout(self._deadline_s):
                headers = {**HEADERS, "If-None-Match": etag} if etag else HEADERS
                answer = await self._github.arequest("GET", self._find(path), headers=headers)
            there = self._leads_to(answer.raw_response)
            if not _BY_ID.fullmatch(there):
                if answer.status_code == 200:
                    self._keep(path, answer)
                return
            found = RepositoryResponse.model_validate_json((await self._send("GET", there)).content)
        log.info("repository renamed", extra={"repo": self._repo, "called": found.full_name})
        self._moved_to, self.repo = there, found.full_name or self.repo


def _lacks_graphql(error: RequestFailed | GraphQLFailed, fault: GitHubError) -> bool:
    """Whether that is how a server answers that does not know GraphQL, or not this mutation."""
    if isinstance(error, GraphQLFailed):
        return bool(_NO_MUTATION.search(str(fault)))
    return fault.status in _NO_GRAPHQL or (fault.status == 403 and bool(_NO_MUTATION.search(str(fault))))


def is_unclear(error: GitHubError) -> bool:
    """Whether the request may have been carried out all the same."""
    if isinstance(error, GraphQLUnavailable):
        return False
    return error.status == 0 or error.status >= 500


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise GitHubError(f"GitHub did not carry out {what} in time.") from error
    except GitHubException as error:
        raise _translate(what, error) from error
    except httpx.HTTPError as error:
        raise GitHubError(f"GitHub could not be reached for {what}: {error or type(error).__name__}") from error
    except ValueError as error:
        raise GitHubError(f"GitHub's answer to {what} cannot be read.") from error


def _translate(what: str, error: GitHubException) -> GitHubError:
    match error:
        case RateLimitExceeded() if error.response.status_code < 400:
            wait_s = named_wait_s(error.response.raw_response)
            words = f"GitHub's rate limit is used up; it asks to wait {wait_s:.0f} s before {what}."
            return GitHubError(words, status=403, retry_after_s=wait_s)
        case RequestFailed():
            return read_error(what, error.response.raw_response)
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
    if is_workflow_told(words):
        return workflows_missing(f"GitHub refused the commit: {words}.")
    if is_limit_told(words):
        return GitHubError(f"GitHub limits how much is written: {words}", status=403, retry_after_s=DEFAULT_WAIT_S)
    # A fault without a type is GitHub's own ("Something went wrong while executing your query").
    status = next((_STATUS_OF[kind] for kind in kinds if kind in _STATUS_OF), 422 if any(kinds) else 502)
    return GitHubError(f"GitHub refused the request: {words}", status=status)
