"""What was said in a repository since a moment, as the deliveries about it would have told."""

from datetime import datetime
from typing import Final

from app.adapters.github.answers import Account, Comment, Comments, Issue, Issues, Repository
from app.adapters.github.api import Api
from app.core import events
from app.core.triggers import Recent

_MAX_PAGES: Final = 1_000
_COMMAND: Final = "/vibecode"


async def find_recent(api: Api, repo: str, path: str, since: datetime, installation_id: int) -> Recent | None:
    """Labels of open issues that changed since, and comments with a command that were written since and not edited;
    None when nothing changed. One request where nothing did."""
    moment = f"{since:%Y-%m-%dT%H:%M:%SZ}"
    changed: dict[int, Issue] = {}
    params: dict[str, str | int] = {"state": "all", "since": moment, "sort": "updated", "direction": "asc"}
    async for page in api.pages(f"{path}/issues", Issues, max_pages=_MAX_PAGES, params=params):
        changed |= {issue.number: issue for issue in page.root}
    if not changed:
        return None
    is_open = [issue for issue in changed.values() if issue.state == "open" and issue.pull_request is None]
    labels = frozenset(label.name.casefold() for issue in is_open for label in issue.labels)
    said: list[tuple[Comment, Issue]] = []
    async for found in api.pages(f"{path}/issues/comments", Comments, max_pages=_MAX_PAGES, params={"since": moment}):
        for comment in found.root:
            issue = changed.get(comment.thread)
            if issue is not None and _is_command(comment, since):
                said.append((comment, issue))
    if not said:
        return Recent(labels)
    repository = await api.call("GET", path, Repository)
    about = events.Repository(full_name=repo, private=repository.private)
    installation = events.Installation(id=installation_id)
    comments = [_event(comment, issue, about, installation) for comment, issue in said]
    return Recent(labels, tuple(comment for comment in comments if comment is not None))


def _is_command(comment: Comment, since: datetime) -> bool:
    is_new = comment.created_at is not None and comment.created_at >= since
    return is_new and comment.updated_at == comment.created_at and _COMMAND in (comment.body or "").casefold()


def _event(
    comment: Comment, issue: Issue, about: events.Repository, installation: events.Installation
) -> events.CommentCreated | None:
    if comment.user is None or issue.updated_at is None:
        return None
    via = events.Present() if comment.performed_via_github_app is not None else None
    return events.CommentCreated(
        action="created",
        comment=events.Comment(
            id=comment.id,
            body=comment.body,
            user=_account(comment.user),
            author_association=comment.author_association,
            performed_via_github_app=via,
            created_at=comment.created_at,
        ),
        issue=events.Issue(
            number=issue.number,
            title=issue.title,
            body=issue.body,
            state=issue.state,
            updated_at=issue.updated_at,
            user=_account(issue.user) if issue.user is not None else None,
            pull_request=events.Present() if issue.pull_request is not None else None,
        ),
        repository=about,
        sender=_account(comment.user),
        installation=installation,
    )


def _account(account: Account) -> events.Account:
    return events.Account(id=account.id, login=account.login, type=account.type)
