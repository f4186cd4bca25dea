"""The state of this GitHub besides git, all of it in memory; refs and commits are in the bare repositories."""

import itertools
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from random import Random
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.demo.github.state.limits import Limits
from app.demo.github.state.records import (
    Comment,
    Delivery,
    Installation,
    Issue,
    Label,
    Reaction,
    Repo,
    Token,
    User,
    now,
)

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
