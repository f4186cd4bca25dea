"""Triggers: the rules that turn an event into a job.

    event                                when                                                 mode of the job
    issues.labeled                       the label, on an open issue                          auto
    issues.labeled                       the label with `:plan` after it, on an open issue    plan
    issue_comment.created                a command                                            auto
    issue_comment.created                `/vibecode plan`                                     plan
    issue_comment.created                `/vibecode [instruction]` on a pull request          follow_up
    pull_request_review_comment.created  on a pull request of the bot's                       follow_up
    pull_request_review.submitted        changes requested, on a pull request of the bot's    follow_up
    pull_request_review.submitted        a command in its text                                as in a comment
    check_suite.completed                failed or did not run to its end, on a branch        fix_ci
                                         of the bot's
    status                               failed, on a branch of the bot's                     fix_ci
    anything else                        ever                                                 no job

- A pull request of the bot's was opened by a bot, from a branch `vibecode/…` of the repository itself; whether by this
  App, the worker asks. Only `check_suite` and `status` come without a person: whoever started the work answers for it.
- Checks of a push may end before there is a pull request, and a status never names one: such a job has no number, and
  the worker looks the pull request up.
- A person is no Bot, has no `[bot]` after the login, and wrote the comment without an App in between: two bots that
  answer each other would never end. Bots that the repository's file names count as persons.
- A command on a closed issue, or one that cannot be read, is a job too: the worker answers it. A label there is not.
- Edited and deleted comments start nothing, and neither does what comes without an installation: who could act on it?
- Whether the sender may is asked when the job is admitted, not here: no call leaves the web process.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from app.core.inbound import commands
from app.core.inbound.events import (
    Account,
    ChecksCompleted,
    Comment,
    CommentCreated,
    Event,
    Issue,
    IssueLabeled,
    PullRequestPayload,
    Review,
    ReviewCommentCreated,
    ReviewSubmitted,
    StatusChanged,
)
from app.core.policy.changes import BRANCH_PREFIX
from app.core.run.job import MEMBERS, Command, DiffPosition, Job, Mode, Person, Source, Verb, job_id
from app.core.run.pull_requests import FAILED, FAILED_STATES, HALTED

MAX_TITLE_CHARS: Final = 256
MAX_BODY_CHARS: Final = 65_536
"""GitHub's own limits: only what is no issue of GitHub's is cut."""
MAX_HUNK_CHARS: Final = 4_096

PLAN_SUFFIX: Final = ":plan"


@dataclass(frozen=True, slots=True)
class TriggerMatch:
    """What an event asks for, by which of its parts. `key` names the request within its thread."""

    command: Command
    source: Source
    key: str
    comment_id: int | None = None
    label: str = ""
    place: DiffPosition | None = None
    review_id: int | None = None
    is_addressed: bool = True
    at: datetime | None = None


def decide(event: Event, *, delivery_id: str, label: str, now: datetime, bots: Collection[str] = ()) -> Job | None:
    """The job that an event asks for, None when it asks for nothing. `label` is the repository's or the deployment's,
    `bots` are logins that may ask as people do; both in any case."""
    match event:
        case IssueLabeled():
            asked = _labeled(event, label.casefold())
            thread: Issue | PullRequestPayload = event.issue
        case CommentCreated():
            asked = _commented(event)
            thread = event.issue
        case ReviewCommentCreated():
            asked = _remarked(event)
            thread = event.pull_request
        case ReviewSubmitted():
            asked = _reviewed(event)
            thread = event.pull_request
        case ChecksCompleted() | StatusChanged():
            return _failed(event, delivery_id=delivery_id, now=now)
        case _:
            return None
    if asked is None or event.installation is None or not _is_accepted_sender(event.sender, bots):
        return None
    is_pull_request = isinstance(thread, PullRequestPayload) or thread.pull_request is not None
    repository, head = event.repository, thread.head if isinstance(thread, PullRequestPayload) else None
    return Job(
        id=job_id(repository.full_name, thread.number, asked.source, asked.key),
        repo=repository.full_name,
        installation_id=event.installation.id,
        source=asked.source,
        sender=_person(event.sender),
        created_at=now,
        command=asked.command,
        mode=_mode(asked.command.verb, is_pull_request=is_pull_request),
        number=thread.number,
        is_pull_request=is_pull_request,
        title=thread.title[:MAX_TITLE_CHARS],
        body=(thread.body or "")[:MAX_BODY_CHARS],
        author=_person(thread.user) if thread.user else None,
        comment_id=asked.comment_id,
        delivery_id=delivery_id,
        is_private=repository.private,
        is_open=thread.is_open,
        label=asked.label,
        branch=head.ref if head else "",
        head_sha=head.sha if head else "",
        place=asked.place,
        review_id=asked.review_id,
        is_addressed=asked.is_addressed,
        asked_at=asked.at,
    )


def repo_whose_file_decides(event: Event, *, label: str, now: datetime) -> str:
    """The repository whose file might make a job of an event that is none otherwise: by its label, or by its bots.
    Empty where no file could."""
    if not isinstance(event, IssueLabeled | CommentCreated | ReviewCommentCreated | ReviewSubmitted):
        return ""
    name = event.label.name if isinstance(event, IssueLabeled) and event.label else label
    asks = decide(event, delivery_id="", label=name, now=now, bots=(event.sender.login,))
    return event.repository.full_name if asks is not None else ""


def may_be_from_a_stranger(event: Event) -> bool:
    """Could somebody without a role in the repository have caused this event, by what GitHub says of its author?

    False for labels, which take a role, and for checks of pull requests within the repository. Checks of which no pull
    request is known may be of a fork's branch; so may statuses.
    """
    match event:
        case CommentCreated() | ReviewCommentCreated():
            return event.comment.author_association not in MEMBERS
        case ReviewSubmitted():
            return event.review.author_association not in MEMBERS
        case ChecksCompleted():
            return _number_of(event) is None
        case StatusChanged():
            return True
    return False


def _labeled(event: IssueLabeled, label: str) -> TriggerMatch | None:
    if event.label is None or not event.issue.is_open:
        return None
    moment = moment_key(event.issue.updated_at)
    match event.label.name.casefold():
        case name if name == label:
            verb = Verb.START
        case name if name == label + PLAN_SUFFIX:
            verb = Verb.PLAN
        case _:
            return None
    return TriggerMatch(Command(verb), Source.LABEL, moment, label=event.label.name, at=event.issue.updated_at)


def _commented(event: CommentCreated) -> TriggerMatch | None:
    comment = event.comment
    command = None if _is_relayed(comment, event.sender) else _command(comment.body)
    return (
        None
        if command is None
        else TriggerMatch(command, Source.COMMENT, str(comment.id), comment.id, at=comment.created_at)
    )


def _remarked(event: ReviewCommentCreated) -> TriggerMatch | None:
    """A comment on a line needs no `/vibecode` on the bot's own pull request; elsewhere only a command counts."""
    comment = event.comment
    if _is_relayed(comment, event.sender):
        return None
    command = _command(comment.body)
    is_addressed = command is not None
    if command is None and _is_bots(event.pull_request, event.repository.full_name):
        command = Command(Verb.START, instruction=_cut(comment.body).strip())
    if command is None or (command.verb is Verb.START and not command.instruction):
        return None
    place = DiffPosition(comment.path, comment.line, comment.diff_hunk[-MAX_HUNK_CHARS:])
    review_id = comment.pull_request_review_id
    asked = TriggerMatch(command, Source.REMARK, str(comment.id), comment.id, place=place, review_id=review_id)
    return replace(asked, is_addressed=is_addressed, at=comment.created_at)


def _reviewed(event: ReviewSubmitted) -> TriggerMatch | None:
    review = event.review
    if _is_relayed(review, event.sender):
        return None
    command = _command(review.body)
    is_addressed = command is not None
    wants_changes = review.state.casefold() == "changes_requested"
    if command is None and wants_changes and _is_bots(event.pull_request, event.repository.full_name):
        command = Command(Verb.START, instruction=_cut(review.body).strip())
    if command is None:
        return None
    asked = TriggerMatch(command, Source.REVIEW, str(review.id), review_id=review.id, is_addressed=is_addressed)
    return replace(asked, at=review.submitted_at)


def _failed(event: ChecksCompleted | StatusChanged, *, delivery_id: str, now: datetime) -> Job | None:
    """The sender is whoever pushed, for our branches this App: who started the work is found out by the worker."""
    if isinstance(event, StatusChanged):
        is_told = event.state in FAILED_STATES
        heads = [branch.name for branch in event.branches if branch.commit.sha == event.sha]
        branch = next((name for name in heads if name.startswith(BRANCH_PREFIX)), "")
        key, sha, number = f"status{event.id}", event.sha, None
    else:
        suite = event.check_suite
        is_told = suite.conclusion in FAILED | HALTED
        branch, key, sha, number = suite.head_branch or "", str(suite.id), suite.head_sha, _number_of(event)
    if not is_told or not branch.startswith(BRANCH_PREFIX) or event.installation is None:
        return None
    job = checks_job(event.repository.full_name, number, key, branch=branch, head_sha=sha, now=now)
    return replace(
        job,
        installation_id=event.installation.id,
        sender=_person(event.sender),
        delivery_id=delivery_id,
        is_private=event.repository.private,
    )


def _number_of(event: ChecksCompleted) -> int | None:
    """The pull request of this repository, from a branch of it, that the checks are of; None when none is named."""
    pulls = event.check_suite.pull_requests
    return next((pull.number for pull in pulls if pull.is_within(event.repository.id)), None)


def _command(text: str | None) -> Command | None:
    return commands.parse(_cut(text))


def _cut(text: str | None) -> str:
    return (text or "")[:MAX_BODY_CHARS]


def _is_accepted_sender(sender: Account, bots: Collection[str]) -> bool:
    return not sender.is_bot or sender.login.casefold() in {bot.casefold() for bot in bots}


def _is_relayed(said: Comment | Review, sender: Account) -> bool:
    """Was this written by an App in a person's name, or by another than the sender?"""
    is_bots = said.user is not None and said.user.is_bot
    return is_bots != sender.is_bot or (said.performed_via_github_app is not None and not is_bots)


def _is_bots(pull: PullRequestPayload, repo: str) -> bool:
    is_own = pull.head.repo is not None and pull.head.repo.full_name == repo
    return is_own and pull.head.ref.startswith(BRANCH_PREFIX) and pull.user is not None and pull.user.is_bot


def _mode(verb: Verb, *, is_pull_request: bool) -> Mode:
    if verb is Verb.PLAN:
        return Mode.PLAN
    return Mode.FOLLOW_UP if is_pull_request and verb is Verb.START else Mode.AUTO


def _person(account: Account) -> Person:
    return Person(account.login, account.id, account.is_bot)


def checks_job(repo: str, number: int | None, key: str, *, branch: str, head_sha: str, now: datetime) -> Job:
    """The job that looks into the checks of a commit at the head of `branch`; without a number it finds the pull
    request first. The installation and the sender are still to be filled in."""
    return Job(
        id=job_id(repo, number, Source.CHECKS, key),
        repo=repo,
        installation_id=0,
        source=Source.CHECKS,
        sender=Person("", 0, is_bot=True),
        created_at=now,
        mode=Mode.FIX_CI,
        number=number,
        is_pull_request=number is not None,
        branch=branch,
        head_sha=head_sha,
    )


LABEL_MISSED: Final = (
    "The label event was received late and the issue has changed since, so no run was started. Remove the label and "
    "apply it again, or comment `/vibecode`."
)


COMMAND_MISSED: Final = (
    "This command was received late and the thread has changed since, so it was not run. Comment the command again."
)


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """What happened in a repository lately: labels (in lower case) of open issues that changed, and what people said
    that may be requests, as deliveries would have told. `etag` names the state of the repository's threads."""

    labels: frozenset[str] = frozenset()
    events: tuple[Event, ...] = ()
    etag: str = ""


@dataclass(frozen=True, slots=True)
class LabelledIssue:
    """An open issue that carries the label now. `labelled_by` put it there at `labelled_at`, whole seconds, UTC.

    `changed_at` is when anything about the issue last changed after that (its text may have), None when nothing did.
    `answers` are the first lines of what the App itself has commented since.
    """

    number: int
    title: str
    body: str
    author: Person | None
    labelled_by: Person
    labelled_at: datetime
    is_private: bool = False
    changed_at: datetime | None = None
    answers: tuple[str, ...] = ()


def job_of_missed_label(
    found: LabelledIssue, *, repo: str, installation_id: int, now: datetime, verb: Verb = Verb.START
) -> Job:
    """The job of a label whose delivery never came: the same id that the delivery would have given, were it to come.

    Nobody knows what the issue said at that moment once it has changed since: then people are asked to say it again.
    """
    has_changed = found.changed_at is not None
    command = Command(Verb.UNREADABLE, problem=LABEL_MISSED) if has_changed else Command(verb)
    return Job(
        command=command,
        mode=_mode(command.verb, is_pull_request=False),
        id=job_id(repo, found.number, Source.LABEL, moment_key(found.labelled_at)),
        repo=repo,
        installation_id=installation_id,
        source=Source.LABEL,
        sender=found.labelled_by,
        created_at=now,
        number=found.number,
        title=found.title[:MAX_TITLE_CHARS],
        body=found.body[:MAX_BODY_CHARS],
        author=found.author,
        asked_at=found.labelled_at,
        is_private=found.is_private,
    )


def moment_key(at: datetime) -> str:
    """The part of a label's job id that tells when it was put on."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
