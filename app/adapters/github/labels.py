"""Open issues that carry a label, each with the person who put it there: what the deliveries would have told."""

from datetime import datetime, timedelta
from typing import Final

from app.adapters.github.answers import Account, Comments, Issue, IssueEvent, IssueEvents, Issues, Repository
from app.adapters.github.api import PER_PAGE, Api
from app.adapters.github.once import or_none
from app.core.job import Person
from app.core.triggers import Labelled

_TOLD_APART: Final = timedelta(seconds=5)
"""What falls nearer to a comment of the bot's is taken for that comment."""


async def find_labelled(api: Api, repo: str, label: str) -> tuple[Labelled, ...]:
    """The newest 100 of the repository at `repo` (a path of the API); pull requests among them are left out, and so is
    what no person labelled."""
    params: dict[str, str | int] = {"state": "open", "labels": label, "per_page": PER_PAGE}
    # A repository whose issues are switched off answers 410.
    listed = await or_none(api.call("GET", f"{repo}/issues", Issues, params=params))
    found = [issue for issue in listed.root if _is_issue(issue)] if listed is not None else []
    if not found:
        return ()
    is_private = (await api.call("GET", repo, Repository)).private
    labelled = [(issue, await _labelling(api, f"{repo}/issues/{issue.number}", label)) for issue in found]
    return tuple(
        [
            Labelled(
                issue.number,
                issue.title,
                issue.body or "",
                _person(issue.user),
                Person(event.actor.login, event.actor.id),
                event.created_at,
                is_private,
                await _changed_at(api, f"{repo}/issues/{issue.number}", issue, event.created_at),
            )
            for issue, event in labelled
            if event is not None and event.actor is not None and event.actor.type != "Bot"
        ]
    )


async def _changed_at(api: Api, path: str, issue: Issue, labelled_at: datetime) -> datetime | None:
    """When the issue last changed after it was labelled, None when a comment of the bot's is all that was."""
    if issue.updated_at is None or issue.updated_at <= labelled_at:
        return None
    params: dict[str, str | int] = {"since": f"{labelled_at - _TOLD_APART:%Y-%m-%dT%H:%M:%SZ}", "per_page": PER_PAGE}
    comments = (await api.call("GET", f"{path}/comments", Comments, params=params)).root
    last = max((comment.updated_at for comment in comments if comment.is_by_bot and comment.updated_at), default=None)
    return None if last is not None and issue.updated_at <= last + _TOLD_APART else issue.updated_at


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
