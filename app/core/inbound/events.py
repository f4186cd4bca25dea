"""GitHub's webhook payloads, cut down to what the rules read: parsed once, trusted after.

    header                       action         event
    ping                         (none)         Ping
    issues                       labeled        IssueLabeled
    issues                       closed, deleted, transferred   IssueClosed
    pull_request                 closed         PullClosed
    issue_comment                created        CommentCreated
    pull_request_review          submitted      ReviewSubmitted
    pull_request_review_comment  created        ReviewCommentCreated
    check_suite                  completed      ChecksCompleted
    status                       (none)         StatusChanged
    installation…                any            InstallationChanged
    repository                   any            RepositoryChanged

Everything else is not ours. Field by field: https://docs.github.com/en/webhooks/webhook-events-and-payloads. What that
page calls required is sometimes null (deleted users, Enterprise Server), so only what a rule needs is required here,
and nothing that GitHub's published schemas make optional (https://github.com/octokit/openapi-webhooks): without that an
event asks for nothing.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from app.core.inbound.delivery import BadDelivery

_Id: TypeAlias = Annotated[int, Field(ge=1, lt=2**63)]
_Moment: TypeAlias = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC))
]
_Login: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]
_RepoName: TypeAlias = Annotated[
    str, Field(max_length=201, pattern=r"^[A-Za-z0-9_-]+/\.{0,2}[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
]


class _Payload(BaseModel):
    """Unknown keys are dropped; no type is guessed (`"1"` is no number)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Present(_Payload):
    """An object of which only its being there counts."""


class Account(_Payload):
    id: _Id
    login: _Login
    type: str = "User"

    @property
    def is_bot(self) -> bool:
        """Apps are of type `Bot` and have `[bot]` after their name; no person's login can have brackets."""
        return self.type == "Bot" or self.login.endswith("[bot]")


class Label(_Payload):
    name: str


class Issue(_Payload):
    """An issue or, when `pull_request` is there, a pull request. `body` is null when it was left empty."""

    number: _Id
    title: str
    body: str | None = None
    state: str | None = None
    closed_at: str | None = None
    updated_at: _Moment
    user: Account | None = None
    pull_request: Present | None = None

    @property
    def is_open(self) -> bool:
        return self.closed_at is None if self.state is None else self.state == "open"


class Comment(_Payload):
    """`performed_via_github_app` is there when an App wrote it, also in a person's name.

    `author_association` is how the author is related to the repository. Members whose membership is private
    may appear as `NONE`: use it for rate limits, never for rights.
    """

    id: _Id
    body: str | None = None
    user: Account | None = None
    author_association: str | None = None
    performed_via_github_app: Present | None = None
    created_at: _Moment | None = None


class HeadRepo(_Payload):
    full_name: str


class PullHead(_Payload):
    """The end of a pull request that is to be merged; `repo` is null when its fork is gone."""

    ref: Annotated[str, Field(max_length=255)]
    sha: Annotated[str, Field(max_length=64)]
    repo: HeadRepo | None = None


class PullRequestPayload(_Payload):
    """A pull request within the events about its review. `user` is who opened it."""

    number: _Id
    title: str
    body: str | None = None
    state: str
    user: Account | None = None
    head: PullHead

    @property
    def is_open(self) -> bool:
        return self.state == "open"


class Review(_Payload):
    """`state` is `approved`, `changes_requested` or `commented`; `body` is null when only lines were commented on."""

    id: _Id
    body: str | None = None
    state: str
    user: Account | None = None
    author_association: str | None = None
    performed_via_github_app: Present | None = None
    submitted_at: _Moment | None = None


class ReviewComment(Comment):
    """A comment on a line of the diff; `line` is null for one on a file, or on lines that are gone."""

    path: Annotated[str, Field(max_length=4_096)]
    line: int | None = None
    diff_hunk: str = ""
    pull_request_review_id: _Id | None = None


class SuiteRepo(_Payload):
    id: _Id


class SuiteEnd(_Payload):
    repo: SuiteRepo | None = None


class SuitePull(_Payload):
    """A pull request that a check suite's head belongs to; maybe one of another repository: a fork, or the parent."""

    number: _Id
    head: SuiteEnd | None = None
    base: SuiteEnd | None = None

    def is_within(self, repository_id: int | None) -> bool:
        """Does it go from a branch of this repository to another branch of it?"""
        ends = [end.repo.id if end is not None and end.repo is not None else None for end in (self.head, self.base)]
        return repository_id is not None and ends == [repository_id, repository_id]


class SuiteApp(_Payload):
    slug: str = ""


class CheckSuite(_Payload):
    """The checks of one App on one commit.

    `pull_requests` are those that GitHub knew of when the suite began: none for what a push started before the pull
    request was opened, and none for forks.
    """

    id: _Id
    head_branch: str | None = None
    head_sha: Annotated[str, Field(max_length=64)]
    conclusion: str | None = None
    pull_requests: tuple[SuitePull, ...] = ()
    app: SuiteApp | None = None


class StatusCommit(_Payload):
    sha: Annotated[str, Field(max_length=64)] | None = None


class StatusBranch(_Payload):
    """A branch that contains the commit of a status; `commit` is the branch's head."""

    name: Annotated[str, Field(max_length=255)]
    commit: StatusCommit = StatusCommit()


class Repository(_Payload):
    id: _Id | None = None
    full_name: _RepoName
    private: bool = True


class Installation(_Payload):
    id: _Id


class Ping(_Payload):
    """GitHub's greeting when the webhook is made."""


class IssueLabeled(_Payload):
    """`label` may be absent, by GitHub's schema: nobody knows then which one it was."""

    action: Literal["labeled"]
    label: Label | None = None
    issue: Issue
    repository: Repository
    sender: Account
    installation: Installation | None = None


class IssueClosed(_Payload):
    """The issue was closed, deleted or moved to another repository."""

    action: Literal["closed", "deleted", "transferred"]
    issue: Issue
    repository: Repository
    sender: Account
    installation: Installation | None = None


class ClosedPull(_Payload):
    """A pull request that was closed. `merged_at` is null for one that was not merged."""

    number: _Id
    merged_at: str | None = None
    closed_at: _Moment | None = None
    updated_at: _Moment | None = None
    head: PullHead


class PullClosed(_Payload):
    action: Literal["closed"]
    pull_request: ClosedPull
    repository: Repository
    sender: Account
    installation: Installation | None = None


class CommentCreated(_Payload):
    """A comment on an issue or on a pull request's conversation."""

    action: Literal["created"]
    comment: Comment
    issue: Issue
    repository: Repository
    sender: Account
    installation: Installation | None = None


class ReviewSubmitted(_Payload):
    action: Literal["submitted"]
    review: Review
    pull_request: PullRequestPayload
    repository: Repository
    sender: Account
    installation: Installation | None = None


class ReviewCommentCreated(_Payload):
    """A comment on a line of a pull request, alone or as a part of a review."""

    action: Literal["created"]
    comment: ReviewComment
    pull_request: PullRequestPayload
    repository: Repository
    sender: Account
    installation: Installation | None = None


class ChecksCompleted(_Payload):
    """All checks of one App on one commit ended. The sender is who pushed: for our branches, this App."""

    action: Literal["completed"]
    check_suite: CheckSuite
    repository: Repository
    sender: Account
    installation: Installation | None = None


class StatusChanged(_Payload):
    """A CI system outside of GitHub's checks said how it stands with a commit (`state`). `branches` are at most ten."""

    id: _Id
    sha: Annotated[str, Field(max_length=64)]
    state: Annotated[str, Field(max_length=64)]
    branches: tuple[StatusBranch, ...] = ()
    repository: Repository
    sender: Account
    installation: Installation | None = None


class Named(_Payload):
    full_name: _RepoName | None = None


class InstallationChanged(_Payload):
    """The App was installed, removed, suspended, or given other repositories; these were taken from it."""

    action: Annotated[str, Field(max_length=64)]
    installation: Installation
    repositories_removed: tuple[Named, ...] = ()


class RepositoryChanged(_Payload):
    """A repository was archived, deleted, renamed, transferred, or something else happened to it as a whole.

    Without `repository`, as Enterprise Server may send a change of anonymous access, it takes nothing away.
    """

    action: Annotated[str, Field(max_length=64)]
    repository: Repository | None = None
    changes: dict[str, JsonValue] = Field(default_factory=dict)


Event: TypeAlias = (
    Ping
    | IssueLabeled
    | IssueClosed
    | PullClosed
    | CommentCreated
    | ReviewSubmitted
    | ReviewCommentCreated
    | ChecksCompleted
    | StatusChanged
    | InstallationChanged
    | RepositoryChanged
)

_EVENTS: Final[dict[str, dict[str, type[Event]]]] = {
    "ping": {"": Ping},
    "issues": {
        "labeled": IssueLabeled,
        "closed": IssueClosed,
        "deleted": IssueClosed,
        "transferred": IssueClosed,
    },
    "pull_request": {"closed": PullClosed},
    "issue_comment": {"created": CommentCreated},
    "pull_request_review": {"submitted": ReviewSubmitted},
    "pull_request_review_comment": {"created": ReviewCommentCreated},
    "check_suite": {"completed": ChecksCompleted},
    "status": {"": StatusChanged},
    "installation": {"": InstallationChanged},
    "installation_repositories": {"": InstallationChanged},
    "repository": {"": RepositoryChanged},
}
"""Event header -> the actions that are ours, and their models; an empty action is any."""

HANDLED: Final = frozenset(_EVENTS)

_FIRST_KEY: Final = re.compile(rb'\s{0,16}\{\s{0,16}"action"\s{0,16}:\s{0,16}"([a-z_]{1,64})"')


def is_ours(event: str, body: bytes) -> bool:
    """Tell cheaply whether `parse` could find an event: by the header and, as GitHub writes it first, the action.

    True also when the action stands elsewhere in the body: `parse` looks there.
    """
    if event not in _EVENTS:
        return False
    actions, action = _EVENTS[event], _first_action(body)
    return "" in actions or action is None or action in actions


def parse(event: str, body: bytes) -> Event | None:
    """Read a delivery's body; None when it is not ours.

    Raises:
        BadDelivery: it is not JSON in UTF-8, or not in the shape that GitHub documents.
    """
    if not is_ours(event, body):
        return None
    actions = _EVENTS[event]
    try:
        model = actions.get("") or actions.get(_first_action(body) or _Action.model_validate_json(body).action)
        return model.model_validate_json(body) if model is not None else None
    except ValidationError as error:
        raise BadDelivery(_first_fault(error)) from error


class _Action(_Payload):
    action: str = ""


def _first_action(body: bytes) -> str | None:
    match = _FIRST_KEY.match(body)
    return match[1].decode() if match else None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"The delivery cannot be read: {place + ': ' if place else ''}{fault['msg']}."[:300]
