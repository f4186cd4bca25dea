"""What this GitHub knows besides git: people, repositories, threads, the App, its installations, tokens.

Everything lives in memory and is lost at the end; refs and commits live in the bare repositories (see `bare.py`).
"""

import base64
import itertools
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.demo.access import Installation, Token
from app.demo.bare import BareRepo, Identity
from app.demo.history import IssueEvent
from app.demo.limits import Limits

if TYPE_CHECKING:
    from app.demo.review import Review
    from app.demo.rulesets import Ruleset
    from app.demo.statuses import Status

ROLES: Final = ("none", "read", "triage", "write", "maintain", "admin")
TOKEN_LIFE: Final = timedelta(hours=1)
APP_PERMISSIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("actions", "contents", "issues", "pull_requests"), "write"),
    **dict.fromkeys(("checks", "metadata", "statuses"), "read"),
}
EVENTS: Final = (
    *("check_suite", "issue_comment", "issues", "pull_request"),
    *("pull_request_review", "pull_request_review_comment", "repository", "status"),
)
MAX_DELIVERIES: Final = 1_000


def now() -> datetime:
    """The moment, as fine as GitHub shows it."""
    return datetime.now(UTC).replace(microsecond=0)


def node_id(prefix: str, number: int) -> str:
    """An opaque id in the shape of GitHub's."""
    packed = base64.urlsafe_b64encode(number.to_bytes(6, "big")).decode()
    return f"{prefix}_kwDO{packed}"


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


class World:
    """All of it. `url` is where it is served, without a slash at the end."""

    def __init__(self, app_id: int, app_slug: str, public_key: RSAPublicKey) -> None:
        self.url = ""
        self.ahead_s = 0.0
        self.lag_s = 0.0
        self._most_lag_s = 0.0
        self._lags = Random()  # noqa: S311 -- no secret depends on it
        self.has_graphql = True
        self.is_signing = True
        self.clock: Callable[[], float] = time.monotonic
        self.limits = Limits(self.monotonic)
        self._made_at: dict[int, float] = {}
        self.app_id = app_id
        self.app_slug = app_slug
        self.public_key = public_key
        self.permissions = dict(APP_PERMISSIONS)
        self.events = list(EVENTS)
        self.created_at = now()
        self.users: dict[str, User] = {}
        self.repos: dict[str, Repo] = {}
        self.moved: dict[str, Repo] = {}
        self.installations: dict[int, Installation] = {}
        self.tokens: dict[str, Token] = {}
        self.deliveries: deque[Delivery] = deque(maxlen=MAX_DELIVERIES)
        self._ids = itertools.count(1_000_000_007, 13)
        self._user_ids = itertools.count(10_000_019, 101)
        self.app_owner = self.user("app-owner")
        self.bot = self.user(f"{app_slug}[bot]", bot=True)

    def monotonic(self) -> float:
        """The moment, by a clock that a test may own."""
        return self.clock()

    def set_lag(self, most_s: float, seed: int) -> None:
        """Let reads lag behind writes by up to that, each by another time: half of them by all of it."""
        self._lags, self._most_lag_s = Random(seed), most_s  # noqa: S311 -- as above
        self.draw_lag()

    def draw_lag(self) -> None:
        """Choose how far behind the next request reads: as if another replica answered it."""
        self.lag_s = self._most_lag_s * min(self._lags.uniform(0.0, 2.0), 1.0)

    def next_id(self) -> int:
        number = next(self._ids)
        self._made_at[number] = self.monotonic()
        return number

    def is_shown(self, number: int) -> bool:
        """Do reads over the API show what has this id already?"""
        return self.monotonic() - self._made_at.get(number, -math.inf) >= self.lag_s

    def user(self, login: str, *, bot: bool = False) -> User:
        """The account of that login, made on first use."""
        key = login.lower()
        if key not in self.users:
            self.users[key] = User(login, next(self._user_ids), "Bot" if bot else "User")
        return self.users[key]

    def installation(self, account: User) -> Installation:
        """The App's installation on an account, made on first use."""
        for installation in self.installations.values():
            if installation.account is account:
                return installation
        installation = Installation(self.next_id(), account, dict(self.permissions), now())
        self.installations[installation.id] = installation
        return installation

    def repos_of(self, installation: Installation) -> list[Repo]:
        return [repo for repo in self.repos.values() if repo.installation_id == installation.id]

    def add_issue(self, repo: Repo, *, title: str, body: str, user: User) -> Issue:
        issue = Issue(self.next_id(), len(repo.issues) + 1, title, body, user)
        repo.issues[issue.number] = issue
        return issue

    def add_comment(self, repo: Repo, issue: Issue, body: str, user: User) -> Comment:
        comment = Comment(self.next_id(), issue.number, user, body)
        repo.comments[comment.id] = comment
        issue.touch()
        return comment

    def add_reaction(self, reactions: list[Reaction], content: str, user: User) -> tuple[Reaction, bool]:
        """React; the second value is False when the same person had done so already."""
        for reaction in reactions:
            if reaction.content == content and reaction.user is user:
                return reaction, False
        reactions.append(Reaction(self.next_id(), content, user))
        return reactions[-1], True

    def label(self, repo: Repo, name: str) -> Label:
        """The repository's label of that name, made on first use."""
        return repo.labels.setdefault(name.lower(), Label(self.next_id(), name))

    def mint(self, installation: Installation, repos: Iterable[Repo] | None, permissions: Mapping[str, str]) -> Token:
        """A token for an installation, good for an hour; `repos` None: all it has."""
        for value in [value for value, token in self.tokens.items() if token.expires_at and token.expires_at <= now()]:
            del self.tokens[value]
        ids = None if repos is None else frozenset(repo.id for repo in repos)
        token = Token(
            f"ghs_{secrets.token_hex(18)}",
            installation=installation,
            repo_ids=ids,
            permissions={"metadata": "read", **permissions},
            expires_at=now() + timedelta(seconds=self.ahead_s) + TOKEN_LIFE,
        )
        self.tokens[token.value] = token
        return token
