"""What this GitHub knows, as records: accounts, repositories, issues, pull requests, reviews, tokens, deliveries."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.demo.github.state.bare_repo import BareRepo, Identity


@dataclass(eq=False, slots=True)
class Installation:
    id: int
    account: "User"
    permissions: dict[str, str]
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass(eq=False, slots=True)
class Token:
    """A bearer of rights: a person's (`user`), or an installation's, on some repositories, with some permissions."""

    value: str
    user: "User | None" = None
    installation: Installation | None = None
    repo_ids: frozenset[int] | None = None
    permissions: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IssueEvent:
    """`event` is `labeled` or `unlabeled`."""

    id: int
    event: str
    actor: "User"
    label: "Label"
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Spot:
    """A line of the new side of a diff. `hunk` is the diff down to it, `position` its place in the file's diff."""

    path: str
    line: int
    hunk: str
    position: int


def now() -> datetime:
    """The moment, as fine as GitHub shows it."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(eq=False, slots=True)
class User:
    """An account. `kind` is GitHub's `type`: `User` or `Bot`. One that was deleted is nobody's author any more."""

    login: str
    id: int
    kind: str = "User"
    is_deleted: bool = False

    def identity(self) -> Identity:
        return Identity(self.login, f"{self.id}+{self.login}@users.noreply.github.com")


@dataclass(eq=False, slots=True)
class Reaction:
    id: int
    content: str
    user: User
    created_at: datetime = field(default_factory=now)


@dataclass(eq=False, slots=True)
class ReviewComment:
    """A comment on a line. `in_reply_to` is the first comment of its thread, None for that one itself."""

    id: int
    review_id: int
    user: User
    body: str
    spot: Spot
    commit_id: str
    in_reply_to: "ReviewComment | None" = None
    reactions: list[Reaction] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    @property
    def author(self) -> str:
        return self.user.login

    def edit(self, body: str) -> None:
        self.body = body
        self.updated_at = now()


@dataclass(eq=False, slots=True)
class Review:
    """`state` is one of `STATES`. A comment on a line that stands alone has a review of its own, without words."""

    id: int
    user: User
    state: str
    body: str
    commit_id: str
    comments: list[ReviewComment] = field(default_factory=list)
    submitted_at: datetime = field(default_factory=now)


@dataclass(eq=False, slots=True)
class Ruleset:
    """`rules` are (kind, parameters) for branches that match `branches`, in the syntax of `fnmatch`."""

    id: int
    name: str
    rules: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    branches: str = "*"
    is_bypassed: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    id: int
    sha: str
    context: str
    state: str
    description: str
    creator: User
    created_at: datetime = field(default_factory=now)


def node_id(prefix: str, number: int) -> str:
    """An opaque id in the shape of GitHub's."""
    packed = base64.urlsafe_b64encode(number.to_bytes(6, "big")).decode()
    return f"{prefix}_kwDO{packed}"


@dataclass(eq=False, slots=True)
class Label:
    id: int
    name: str


@dataclass(eq=False, slots=True)
class Comment:
    """A comment of a thread. `history` holds every body it ever had, the present one last."""

    id: int
    number: int
    user: User
    body: str
    reactions: list[Reaction] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    def __post_init__(self) -> None:
        self.history.append(self.body)

    @property
    def author(self) -> str:
        return self.user.login

    def edit(self, body: str) -> None:
        self.body = body
        self.history.append(body)
        self.updated_at = now()


@dataclass(eq=False, slots=True)
class Issue:
    """An issue, and what a pull request shares with one. `moved_to` is the path of where it was transferred to."""

    id: int
    number: int
    title: str
    body: str
    user: User
    state: str = "open"
    labels: list[Label] = field(default_factory=list)
    events: list[IssueEvent] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    closed_at: datetime | None = None
    is_locked: bool = False
    is_deleted: bool = False
    moved_to: str = ""

    @property
    def author(self) -> str:
        return self.user.login

    def touch(self) -> None:
        """Move `updated_at` on, by a second at least: two changes never share a moment."""
        self.updated_at = max(now(), self.updated_at + timedelta(seconds=1))

    def put_state(self, state: str) -> None:
        self.state = state
        self.closed_at = now() if state == "closed" else None


@dataclass(eq=False, slots=True)
class PullRequest(Issue):
    """A pull request from `head` to `base`, two branches of one repository; with `fork`, `head` is one of that.

    The branches say where its ends are; the shas are where they were when it was opened, or merged, for branches since
    deleted. `reviewers` and `teams` were asked for a review.
    """

    head: str = ""
    base: str = ""
    head_sha: str = ""
    base_sha: str = ""
    is_draft: bool = False
    fork: "Repo | None" = None
    reviewers: list[User] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    reviews: "list[Review]" = field(default_factory=list)
    merge_sha: str = ""
    merged_by: User | None = None
    merged_at: datetime | None = None


@dataclass(eq=False, slots=True)
class Repo:
    """A repository. `signed` holds the shas of commits that GitHub made for the App, and so signed.

    `is_blocked` is so for legal reasons; without `has_issues` it has pull requests only.
    """

    id: int
    owner: User
    name: str
    git: BareRepo
    installation_id: int
    default_branch: str = "main"
    private: bool = False
    archived: bool = False
    is_blocked: bool = False
    has_issues: bool = True
    roles: dict[str, str] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)
    teams: set[str] = field(default_factory=set)
    statuses: "list[Status]" = field(default_factory=list)
    rulesets: "list[Ruleset]" = field(default_factory=list)
    created_at: datetime = field(default_factory=now)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    @property
    def path(self) -> Path:
        """Where the bare repository lies."""
        return self.git.path

    def role(self, user: User) -> str:
        """The person's role: what was granted, else `read` where everyone may read."""
        return self.roles.get(user.login.lower(), "none" if self.private else "read")

    def thread(self, number: int) -> list[Comment]:
        return [comment for comment in self.comments.values() if comment.number == number]

    def pull_requests(self) -> list[PullRequest]:
        return [issue for issue in self.issues.values() if isinstance(issue, PullRequest)]


@dataclass(eq=False, slots=True)
class Delivery:
    """One attempt to deliver an event. `status_code`: 0 nothing was sent, 502 no connection, 504 too late."""

    id: int
    guid: str
    event: str
    action: str | None
    payload: bytes
    installation_id: int | None
    repository_id: int | None
    redelivery: bool = False
    delivered_at: datetime = field(default_factory=now)
    duration_s: float = 0.0
    status: str = "not sent"
    status_code: int = 0
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response: str = ""
