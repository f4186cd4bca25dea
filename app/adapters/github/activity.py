"""What was said in a repository since a moment, as the deliveries about it would have told.

    comment        unedited, with a command
    review         with a command, or of a bot's pull request: changes requested
    line comment   of such a review: unedited since, with a command, or on a bot's pull request

GitHub does not tell whether a review's own text was edited.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from app.adapters.github.client.address import repo_path
from app.adapters.github.client.api import PER_PAGE, Api
from app.adapters.github.client.idempotency import or_none
from app.adapters.github.client.responses import (
    AccountResponse,
    CommentResponse,
    Comments,
    IssueEventResponse,
    IssueEvents,
    IssueResponse,
    Issues,
    PullResponse,
    RepositoryResponse,
    ReviewCommentResponse,
    ReviewComments,
    ReviewResponse,
    Reviews,
)
from app.core.inbound import events
from app.core.inbound.triggers import LabelledIssue, RecentActivity
from app.core.run.job import Person

MAX_PULLS: Final = 200
"""Changed pull requests whose reviews are read, the latest first."""


_MAX_PAGES: Final = 1_000
_COMMAND: Final = "/vibecode"
_TOLD_APART: Final = timedelta(seconds=5)
_NEWEST: Final[dict[str, str | int]] = {"state": "all", "sort": "updated", "direction": "desc", "per_page": 1}


class RepositoryActivity:
    """One look at a repository."""

    def __init__(self, api: Api, repo: str, installation: events.Installation, since: datetime) -> None:
        self._api = api
        self._repo = repo
        self._path = repo_path(repo)
        self._installation = installation
        self._since = since.replace(microsecond=0)
        self._about: events.Repository | None = None

    async def find(self, etag: str) -> RecentActivity | None:
        """What happened; None when GitHub knows the latest thread by `etag` still. One request where nothing did."""
        # A repository whose issues are switched off answers 410.
        newest = await or_none(self._api.changed_page(f"{self._path}/issues", Issues, _NEWEST, etag=etag))
        if newest is None:
            return None
        latest, _, etag = newest
        if all((issue.updated_at or self._since) < self._since for issue in latest.root):
            return RecentActivity(etag=etag)
        changed = await self._changed()
        is_open = [issue for issue in changed.values() if issue.state == "open" and issue.pull_request is None]
        labels = frozenset(label.name.casefold() for issue in is_open for label in issue.labels)
        return RecentActivity(labels, (*await self._comments(changed), *await self._reviews(changed)), etag)

    async def _changed(self) -> dict[int, IssueResponse]:
        """Issues and pull requests, those that changed last at the end."""
        params: dict[str, str | int] = {"state": "all", "sort": "updated", "direction": "asc", **self._params}
        pages = self._api.pages(f"{self._path}/issues", Issues, max_pages=_MAX_PAGES, params=params)
        return {issue.number: issue async for page in pages for issue in page.root}

    async def _comments(self, changed: dict[int, IssueResponse]) -> list[events.Event]:
        pages = self._api.pages(f"{self._path}/issues/comments", Comments, max_pages=_MAX_PAGES, params=self._params)
        said = [
            (comment, changed[comment.thread])
            async for page in pages
            for comment in page.root
            if comment.thread in changed and self._is_command(comment)
        ]
        return [
            events.CommentCreated(
                action="created",
                comment=events.Comment.model_validate({**_said(comment), "created_at": comment.created_at}),
                issue=_issue(issue),
                sender=_account(comment.user),
                repository=await self._repository(),
                installation=self._installation,
            )
            for comment, issue in said
            if comment.user is not None and issue.updated_at is not None
        ]

    async def _reviews(self, changed: dict[int, IssueResponse]) -> list[events.Event]:
        pulls = [issue for issue in changed.values() if issue.pull_request is not None][-MAX_PULLS:]
        return [event for issue in pulls for event in await self._reviews_of(issue)]

    async def _reviews_of(self, issue: IssueResponse) -> list[events.Event]:
        is_bots = issue.user is not None and issue.user.type == "Bot"
        path = f"{self._path}/pulls/{issue.number}"
        pages = self._api.pages(f"{path}/reviews", Reviews, max_pages=_MAX_PAGES)
        new = {
            review.id: review
            async for page in pages
            for review in page.root
            if review.submitted_at is not None and review.submitted_at >= self._since and review.user is not None
        }
        if not new:
            return []
        lines = self._api.pages(f"{path}/comments", ReviewComments, max_pages=_MAX_PAGES)
        remarks = [
            (comment, new[comment.pull_request_review_id])
            async for page in lines
            for comment in page.root
            if comment.pull_request_review_id in new
        ]
        asking = [each for each in new.values() if is_bots or _has_command(each.body)]
        remarks = [(comment, review) for comment, review in remarks if _is_remark(comment, review, is_bots=is_bots)]
        if not asking and not remarks:
            return []
        pull = _pull(await self._api.call("GET", path, PullResponse))
        submitted = [await self._submitted(review, pull) for review in asking]
        return [*submitted, *[await self._remarked(comment, review, pull) for comment, review in remarks]]

    async def _submitted(self, review: ReviewResponse, pull: events.PullRequestPayload) -> events.Event:
        state = {"state": review.state.lower(), "submitted_at": review.submitted_at}
        return events.ReviewSubmitted(
            action="submitted",
            review=events.Review.model_validate({**_said(review), **state}),
            pull_request=pull,
            sender=_account(review.user),
            repository=await self._repository(),
            installation=self._installation,
        )

    async def _remarked(
        self, comment: ReviewCommentResponse, review: ReviewResponse, pull: events.PullRequestPayload
    ) -> events.Event:
        return events.ReviewCommentCreated(
            action="created",
            comment=_remark(comment, review),
            pull_request=pull,
            sender=_account(comment.user),
            repository=await self._repository(),
            installation=self._installation,
        )

    @property
    def _params(self) -> dict[str, str | int]:
        return {"since": f"{self._since:%Y-%m-%dT%H:%M:%SZ}"}

    async def _repository(self) -> events.Repository:
        if self._about is None:
            found = await self._api.call("GET", self._path, RepositoryResponse)
            self._about = events.Repository(full_name=self._repo, private=found.private)
        return self._about

    def _is_command(self, comment: CommentResponse) -> bool:
        is_new = comment.created_at is not None and comment.created_at >= self._since
        return is_new and comment.updated_at == comment.created_at and _has_command(comment.body)


def _has_command(body: str | None) -> bool:
    return _COMMAND in (body or "").casefold()


def _is_remark(comment: ReviewCommentResponse, review: ReviewResponse, *, is_bots: bool) -> bool:
    """A comment may be written long before its review is submitted, which is when it is told."""
    if comment.user is None or comment.created_at is None or review.submitted_at is None:
        return False
    told_at = max(comment.created_at, review.submitted_at)
    is_edited = comment.updated_at is not None and comment.updated_at > told_at + _TOLD_APART
    return not is_edited and (is_bots or _has_command(comment.body))


def _said(said: CommentResponse | ReviewResponse) -> dict[str, object]:
    via = said.performed_via_github_app if isinstance(said, CommentResponse) else None
    return {
        "id": said.id,
        "body": said.body,
        "user": _account(said.user) if said.user is not None else None,
        "author_association": said.author_association,
        "performed_via_github_app": events.Present() if via is not None else None,
    }


def _remark(comment: ReviewCommentResponse, review: ReviewResponse) -> events.ReviewComment:
    place = {"path": comment.path, "line": comment.line, "diff_hunk": comment.diff_hunk}
    told = {"created_at": review.submitted_at, "pull_request_review_id": review.id}
    return events.ReviewComment.model_validate({**_said(comment), **place, **told})


def _issue(issue: IssueResponse) -> events.Issue:
    told = {"user": _account(issue.user) if issue.user is not None else None, "updated_at": issue.updated_at}
    present = events.Present() if issue.pull_request is not None else None
    texts = {"number": issue.number, "title": issue.title, "body": issue.body, "state": issue.state}
    return events.Issue.model_validate({**texts, **told, "pull_request": present})


def _pull(pull: PullResponse) -> events.PullRequestPayload:
    head = pull.head
    repo = events.HeadRepo(full_name=head.repo.full_name) if head.repo is not None else None
    return events.PullRequestPayload(
        number=pull.number,
        title=pull.title,
        body=pull.body,
        state=pull.state,
        user=_account(pull.user) if pull.user is not None else None,
        head=events.PullHead(ref=head.ref, sha=head.sha, repo=repo),
    )


def _account(account: AccountResponse | None) -> events.Account:
    """Only asked for what has an author."""
    known = account or AccountResponse(login="ghost", id=1)
    return events.Account(id=known.id, login=known.login, type=known.type)


_SAME_CHANGE: Final = timedelta(seconds=5)
"""What falls nearer to a comment of the bot's is taken for that comment."""


async def find_labelled(
    api: Api, repo: str, label: str, *, since: datetime | None, bot: Callable[[], Awaitable[str]]
) -> tuple[LabelledIssue, ...]:
    """The newest 100 of the repository at `repo` (a path of the API); pull requests among them are left out, and so is
    what no person labelled. `bot` tells the App's own login."""
    params: dict[str, str | int] = {"state": "open", "labels": label, "per_page": PER_PAGE}
    if since is not None:
        params["since"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
    # A repository whose issues are switched off answers 410.
    listed = await or_none(api.call("GET", f"{repo}/issues", Issues, params=params))
    found = [issue for issue in listed.root if _is_issue(issue)] if listed is not None else []
    if not found:
        return ()
    is_private = (await api.call("GET", repo, RepositoryResponse)).private
    labelled = []
    for issue in found:
        path = f"{repo}/issues/{issue.number}"
        event = await _labelling(api, path, label)
        if event is None or event.actor is None or event.actor.type == "Bot":
            continue
        comments = await _comments_since(api, path, issue, event.created_at)
        own = [each for each in comments if each.user is not None and each.user.login == await bot()]
        labelled.append(
            LabelledIssue(
                issue.number,
                issue.title,
                issue.body or "",
                _person(issue.user),
                Person(event.actor.login, event.actor.id),
                event.created_at,
                is_private,
                _changed_at(issue, event.created_at, comments),
                tuple(_first_line(each) for each in own),
            )
        )
    return tuple(labelled)


async def _comments_since(api: Api, path: str, issue: IssueResponse, labelled_at: datetime) -> list[CommentResponse]:
    if issue.updated_at is None or issue.updated_at <= labelled_at:
        return []
    params: dict[str, str | int] = {"since": f"{labelled_at - _SAME_CHANGE:%Y-%m-%dT%H:%M:%SZ}"}
    return [each async for page in api.pages(f"{path}/comments", Comments, params=params) for each in page.root]


def _changed_at(issue: IssueResponse, labelled_at: datetime, comments: list[CommentResponse]) -> datetime | None:
    """When the issue last changed after it was labelled, None when a comment of the bot's is all that was."""
    if issue.updated_at is None or issue.updated_at <= labelled_at:
        return None
    last = max((comment.updated_at for comment in comments if comment.is_by_bot and comment.updated_at), default=None)
    return None if last is not None and issue.updated_at <= last + _SAME_CHANGE else issue.updated_at


def _first_line(comment: CommentResponse) -> str:
    return (comment.body or "").partition("\n")[0]


async def _labelling(api: Api, issue: str, label: str) -> IssueEventResponse | None:
    """The last time that the label was put on, None when it had another name then."""
    last = None
    async for page in api.pages(f"{issue}/events", IssueEvents):
        for event in page.root:
            if event.event == "labeled" and event.label and event.label.name.casefold() == label.casefold():
                last = event
    return last


def _is_issue(issue: IssueResponse) -> bool:
    return issue.pull_request is None


def _person(account: AccountResponse | None) -> Person | None:
    return None if account is None else Person(account.login, account.id)
