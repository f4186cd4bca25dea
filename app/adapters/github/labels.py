"""Open issues that carry a label, each with the person who put it there: what the deliveries would have told."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from app.adapters.github.answers import Account, Comment, Comments, Issue, IssueEvent, IssueEvents, Issues, Repository
from app.adapters.github.api import PER_PAGE, Api
from app.adapters.github.once import or_none
from app.core.job import Person
from app.core.triggers import Labelled

_TOLD_APART: Final = timedelta(seconds=5)
"""What falls nearer to a comment of the bot's is taken for that comment."""


async def find_labelled(
    api: Api, repo: str, label: str, *, since: datetime | None, bot: Callable[[], Awaitable[str]]
) -> tuple[Labelled, ...]:
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
    is_private = (await api.call("GET", repo, Repository)).private
    labelled = []
    for issue in found:
        path = f"{repo}/issues/{issue.number}"
        event = await _labelling(api, path, label)
        if event is None or event.actor is None or event.actor.type == "Bot":
            continue
        comments = await _comments_since(api, path, issue, event.created_at)
        own = [each for each in comments if each.user is not None and each.user.login == await bot()]
        labelled.append(
            Labelled(
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


async def _comments_since(api: Api, path: str, issue: Issue, labelled_at: datetime) -> list[Comment]:
    if issue.updated_at is None or issue.updated_at <= labelled_at:
        return []
    params: dict[str, str | int] = {"since": f"{labelled_at - _TOLD_APART:%Y-%m-%dT%H:%M:%SZ}"}
    return [each async for page in api.pages(f"{path}/comments", Comments, params=params) for each in page.root]


def _changed_at(issue: Issue, labelled_at: datetime, comments: list[Comment]) -> datetime | None:
    """When the issue last changed after it was labelled, None when a comment of the bot's is all that was."""
    if issue.updated_at is None or issue.updated_at <= labelled_at:
        return None
    last = max((comment.updated_at for comment in comments if comment.is_by_bot and comment.updated_at), default=None)
    return None if last is not None and issue.updated_at <= last + _TOLD_APART else issue.updated_at


def _first_line(comment: Comment) -> str:
    return (comment.body or "").partition("\n")[0]


async def _labelling(api: Api, issue: str, label: str) -> IssueEvent | None:
    """The last time that the label was put on, None when it had another name then."""
    last = None
    async for page in api.pages(f"{issue}/events", IssueEvents):
        for event in page.root:
            if event.event == "labeled" and event.label and event.label.name.casefold() == label.casefold():
                last = event
    return last


def _is_issue(issue: Issue) -> bool:
    return issue.pull_request is None


def _person(account: Account | None) -> Person | None:
    return None if account is None else Person(account.login, account.id)
