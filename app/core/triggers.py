"""Triggers: the rules that turn an event into a job.

    event                   when, always by a person                                mode of the job
    issues.labeled          the label, on an open issue                             auto
    issues.labeled          the label with `:plan` after it, on an open issue       plan
    issue_comment.created   a command                                               auto
    issue_comment.created   `/vibecode plan`                                        plan
    issue_comment.created   `/vibecode [instruction]` on a pull request             follow_up
    anything else           ever                                                    no job

- A person is no Bot, has no `[bot]` after the login, and wrote the comment without an App in between: two bots that
  answer each other would never end.
- A command on a closed issue, or one that cannot be read, is a job too: the worker answers it. A label there is not.
- Edited and deleted comments start nothing, and neither does what comes without an installation: who could act on it?
- Whether the sender may is asked when the job is admitted, not here: no call leaves the web process.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.core import commands
from app.core.events import Account, CommentCreated, Event, IssueLabeled
from app.core.job import Command, Job, Mode, Person, Source, Verb, job_id

MAX_TITLE_CHARS: Final = 256
MAX_BODY_CHARS: Final = 65_536
"""GitHub's own limits: only what is no issue of GitHub's is cut."""

PLAN_SUFFIX: Final = ":plan"


def decide(event: Event, *, delivery_id: str, label: str, now: datetime) -> Job | None:
    """The job that an event asks for, None when it asks for nothing. `label` is the deployment's, in any case."""
    match event:
        case IssueLabeled():
            command = _labeled(event, label.casefold())
        case CommentCreated():
            command = _commented(event)
        case _:
            return None
    if command is None or event.installation is None or event.sender.is_bot:
        return None
    issue, repository = event.issue, event.repository
    is_pull_request = issue.pull_request is not None
    comment_id = event.comment.id if isinstance(event, CommentCreated) else None
    source = Source.COMMENT if comment_id else Source.LABEL
    key = str(comment_id) if comment_id else _moment(issue.updated_at)
    return Job(
        id=job_id(repository.full_name, issue.number, source, key),
        repo=repository.full_name,
        installation_id=event.installation.id,
        source=source,
        sender=_person(event.sender),
        created_at=now,
        command=command,
        mode=_mode(command.verb, is_pull_request=is_pull_request),
        number=issue.number,
        is_pull_request=is_pull_request,
        title=issue.title[:MAX_TITLE_CHARS],
        body=(issue.body or "")[:MAX_BODY_CHARS],
        author=_person(issue.user) if issue.user else None,
        comment_id=comment_id,
        delivery_id=delivery_id,
        is_private=repository.private,
    )


def _labeled(event: IssueLabeled, label: str) -> Command | None:
    if event.issue.state != "open":
        return None
    match event.label.name.casefold():
        case name if name == label:
            return Command(Verb.START)
        case name if name == label + PLAN_SUFFIX:
            return Command(Verb.PLAN)
    return None


def _commented(event: CommentCreated) -> Command | None:
    comment = event.comment
    if comment.performed_via_github_app or (comment.user and comment.user.is_bot):
        return None
    return commands.parse((comment.body or "")[:MAX_BODY_CHARS])


def _mode(verb: Verb, *, is_pull_request: bool) -> Mode:
    if verb is Verb.PLAN:
        return Mode.PLAN
    return Mode.FOLLOW_UP if is_pull_request and verb is Verb.START else Mode.AUTO


def _person(account: Account) -> Person:
    return Person(account.login, account.id)


TOO_LATE: Final = (
    "I learned of the label late, and the issue has changed since, so I do not know what was asked for. "
    "Put the label on again, or say `/vibecode`."
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """An open issue that carries the label now. `labelled_by` put it there at `labelled_at`, whole seconds, UTC.

    `changed_at` is when anything about the issue last changed after that (its text may have), None when nothing did.
    """

    number: int
    title: str
    body: str
    author: Person | None
    labelled_by: Person
    labelled_at: datetime
    is_private: bool = False
    changed_at: datetime | None = None


def catch_up(found: Labelled, *, repo: str, installation_id: int, now: datetime) -> Job:
    """The job of a label whose delivery never came: the same id that the delivery would have given, were it to come.

    Nobody knows what the issue said at that moment once it has changed since: then people are asked to say it again.
    """
    has_changed = found.changed_at is not None
    command = Command(Verb.UNREADABLE, problem=TOO_LATE) if has_changed else Command(Verb.START)
    return Job(
        command=command,
        id=job_id(repo, found.number, Source.LABEL, _moment(found.labelled_at)),
        repo=repo,
        installation_id=installation_id,
        source=Source.LABEL,
        sender=found.labelled_by,
        created_at=now,
        number=found.number,
        title=found.title[:MAX_TITLE_CHARS],
        body=found.body[:MAX_BODY_CHARS],
        author=found.author,
        is_private=found.is_private,
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
