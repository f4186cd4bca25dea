"""One repository's pull requests: their threads, reviewers and merges, and what an issue or a file says now."""

import logging
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol
from urllib.parse import quote

from app.adapters.github.checks import GithubkitChecks
from app.adapters.github.client.api import PER_PAGE, Api
from app.adapters.github.client.idempotency import look_then_create, or_none
from app.adapters.github.client.read_lag import ReadVisibility
from app.adapters.github.client.responses import (
    Anything,
    Content,
    Contents,
    IssueResponse,
    Labels,
    MergeCommit,
    PullResponse,
    Reactions,
    ReviewCommentResponse,
    ReviewComments,
)
from app.adapters.github.team_reviews import Teams
from app.core.errors import GitHubError, RepositoryGone
from app.core.run import pull_requests
from app.core.run.pull_requests import IssueText, MergeResult, ThumbsUp
from app.core.safety.escape import code

_MAX_PAGES: Final = 30

log = logging.getLogger(__name__)


class PutComment(Protocol):
    """`GitHub.put_comment`."""

    async def __call__(self, number: int, body: str, *, marker: str) -> int: ...


class GithubkitPullRequests(GithubkitChecks):
    """Implements the port `Pulls`."""

    def __init__(
        self,
        api: Api,
        repo: str,
        *,
        bot: Callable[[], Awaitable[str]],
        visibility: ReadVisibility,
        comment: PutComment,
        teams: Teams,
    ) -> None:
        """`bot` tells the login that the App acts under; `comment` is `GitHub.put_comment`."""
        super().__init__(api, repo)
        self._comment = comment
        self._teams = teams
        self._repo = repo
        self._bot = bot
        self._visibility = visibility

    async def pull(self, number: int) -> pull_requests.PullRequest | None:
        found = await or_none(self._api.call("GET", f"{self._path}/pulls/{number}", PullResponse))
        if found is None:
            return None
        head, author = found.head, found.user
        return pull_requests.PullRequest(
            number=found.number,
            title=found.title,
            body=found.body or "",
            url=found.html_url,
            head=head.ref,
            head_sha=head.sha,
            base=found.base.ref if found.base is not None else "",
            author=author.person if author is not None else None,
            is_open=found.state == "open",
            is_merged=found.merged,
            is_draft=found.draft,
            is_fork=head.repo is None or head.repo.full_name.casefold() != self._api.repo.casefold(),
            is_ours=author is not None and author.login == await self._bot(),
            is_mergeable=found.mergeable,
        )

    async def put_reply(self, number: int, comment_id: int, body: str, *, marker: str) -> None:
        comments = f"{self._path}/pulls/comments"
        answered = await self._find_comment(f"{comments}/{comment_id}")
        # GitHub takes no replies to replies.
        first = answered.in_reply_to_id or answered.id

        async def edit_own() -> ReviewCommentResponse | None:
            own = await self._own_reply(number, first, marker)
            if own is None:
                return None
            return await or_none(
                self._api.call("PATCH", f"{comments}/{own}", ReviewCommentResponse, body={"body": body})
            )

        async def create() -> ReviewCommentResponse:
            path = f"{self._path}/pulls/{number}/comments"
            try:
                return await self._api.call(
                    "POST", f"{path}/{first}/replies", ReviewCommentResponse, body={"body": body}
                )
            except GitHubError as error:
                if not _is_refused(error):
                    raise
            # The published description marks `replies` as not for Apps; this is the older way.
            wanted = {"body": body, "in_reply_to": first}
            return await self._api.call("POST", path, ReviewCommentResponse, body=wanted)

        try:
            await look_then_create(edit_own, create, self._visibility.of("reply", first, marker))
        except GitHubError as error:
            if not _is_refused(error):
                raise
            log.warning("no reply in the thread, so a comment", extra={"reason": str(error)})
            link = f"\n\n[The comment that this answers]({answered.html_url})" if answered.html_url else ""
            # A marker of its own: the other may be that of a run's comment.
            own = f"<!-- answer to {comment_id} -->"
            await self._comment(number, f"{own}\n{body.replace(marker, '').lstrip()}{link}", marker=own)

    async def react_to_review_comment(self, content: str, comment_id: int) -> None:
        path = f"{self._path}/pulls/comments/{comment_id}/reactions"
        await self._api.call("POST", path, Anything, body={"content": content})

    async def add_labels(self, number: int, labels: Sequence[str]) -> None:
        if labels:
            await self._api.call("POST", f"{self._path}/issues/{number}/labels", Labels, body={"labels": list(labels)})

    async def request_reviews(self, number: int, reviewers: Sequence[str]) -> None:
        people = [name for name in reviewers if "/" not in name]
        teams = [name for name in reviewers if "/" in name]
        if people:
            path = f"{self._path}/pulls/{number}/requested_reviewers"
            await self._api.call("POST", path, Anything, body={"reviewers": people})
        if teams:
            await self._teams.request_reviews(number, teams)

    async def merge(self, branch: str, head: str) -> MergeResult:
        try:
            made = await self._api.call(
                "POST", f"{self._path}/merges", MergeCommit, body={"base": branch, "head": head}
            )
        except GitHubError as error:
            if error.status != 409 or "conflict" not in str(error).casefold():
                raise
            return MergeResult.CONFLICT
        return MergeResult.MERGED if made.sha else MergeResult.NOTHING

    async def thumbs_ups(self, comment_id: int) -> tuple[ThumbsUp, ...]:
        path = f"{self._path}/issues/comments/{comment_id}/reactions"
        params: dict[str, str | int] = {"content": "+1", "per_page": PER_PAGE}
        found = await or_none(self._api.call("GET", path, Reactions, params=params))
        thumbs_ups = [
            ThumbsUp(each.id, each.user.person, each.user.type == "Bot", each.created_at)
            for each in (found.root if found is not None else ())
            if each.user is not None
        ]
        return tuple(sorted(thumbs_ups, key=lambda thumb: (thumb.created_at, thumb.id)))

    async def issue(self, number: int) -> IssueText | None:
        try:
            found = await or_none(self._api.call("GET", f"{self._path}/issues/{number}", IssueResponse))
        except GitHubError as error:
            if error.status != 301:  # where an issue was transferred to
                raise
            return None
        if found is None:
            return None
        author = found.user.person if found.user is not None else None
        return IssueText(found.title, found.body or "", found.state == "open", author, found.locked)

    async def read_file(self, path: str) -> bytes | None:
        found = await or_none(self._api.call("GET", f"{self._path}/contents/{quote(path)}", Contents))
        if found is None or not isinstance(found.root, Content) or found.root.type != "file":
            return None
        if found.root.encoding != "base64":
            raise GitHubError(
                f"{code(path)} is larger than 1 MB, and GitHub does not show so much at once.", status=422
            )
        return b64decode(found.root.content)

    async def _find_comment(self, path: str) -> ReviewCommentResponse:
        """A comment that we were told of. It may be new, and not visible yet."""
        read = partial(self._api.call, "GET", path, ReviewCommentResponse)
        if (found := await or_none(read())) is None:
            visibility = self._visibility.of("review comment", path)
            visibility.doubt()
            found = await visibility.find(lambda: or_none(read()))
        return found or await read()

    async def _own_reply(self, number: int, first: int, marker: str) -> int | None:
        async for page in self._api.pages(
            f"{self._path}/pulls/{number}/comments", ReviewComments, max_pages=_MAX_PAGES
        ):
            for comment in page.root:
                is_there = comment.in_reply_to_id == first and marker in (comment.body or "")
                if is_there and comment.user is not None and comment.user.login == await self._bot():
                    return comment.id
        return None


def _is_refused(error: GitHubError) -> bool:
    """Whether GitHub will not have this request, and another may do."""
    return error.status in {403, 404, 405, 422} and not error.is_passing and not isinstance(error, RepositoryGone)
