"""What is read of GitHub's answers, parsed once; all other keys are ignored.

Own models, shared with the web process: githubkit's refuse answers that GitHub really gives, and cost 25 MiB.
"""

import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr

from app.core.errors import GitHubError
from app.core.policy import Role

if TYPE_CHECKING:
    import httpx

_ROLES: Final = {
    "admin": Role.ADMIN,
    "maintain": Role.MAINTAIN,
    "push": Role.WRITE,
    "triage": Role.TRIAGE,
    "pull": Role.READ,
}
"""A repository's `permissions`, strongest first."""

UNSAID_WAIT_S: Final = 60.0
"""What GitHub asks for when a rate limit's answer names no time."""

_LIMIT: Final = re.compile(r"rate limit|abuse detection", re.IGNORECASE)
_TOO_QUICK: Final = re.compile(r"submitted too quickly")
"""How the limit on creating content is told where there is no other (https://github.com/cli/cli/issues/4801)."""


class Answer(BaseModel):
    """Built at first use: the web process needs three of these, and most days none."""

    model_config = ConfigDict(defer_build=True)


class Account(Answer):
    login: str
    id: int
    type: str = "User"


class App(Answer):
    id: int = 0
    slug: str | None = None
    client_id: str | None = None


class Token(Answer):
    token: SecretStr
    expires_at: datetime


class Installation(Answer):
    id: int
    suspended_at: datetime | None = None


class Repository(Answer):
    full_name: str = ""
    default_branch: str = ""
    private: bool = False
    archived: bool = False
    disabled: bool = False
    role_name: str | None = None
    permissions: Mapping[str, bool] = Field(default_factory=dict)

    @property
    def role(self) -> Role:
        """The role of whoever asked."""
        strongest = next((role for word, role in _ROLES.items() if self.permissions.get(word)), Role.NONE)
        return _role(self.role_name) or strongest


class Repositories(Answer):
    repositories: list[Repository]


class Attempt(Answer):
    """One line of the log of deliveries."""

    id: int
    guid: str
    event: str
    action: str | None = None
    delivered_at: datetime
    status_code: int


class CollaboratorPermission(Answer):
    permission: str
    role_name: str | None = None
    user: Account | None = None

    @property
    def role(self) -> Role:
        """An organisation's custom role counts as the permission that it builds on."""
        return _role(self.role_name) or _role(self.permission) or Role.NONE


class Comment(Answer):
    id: int
    body: str | None = None
    user: Account | None = None
    performed_via_github_app: App | None = None


class Label(Answer):
    name: str = ""


class Issue(Answer):
    number: int
    title: str
    body: str | None = None
    user: Account | None = None
    pull_request: Mapping[str, object] | None = None


class IssueEvent(Answer):
    """Something that happened to an issue. `actor` is None when the account is gone."""

    event: str = ""
    actor: Account | None = None
    label: Label | None = None
    created_at: datetime


class GitObject(Answer):
    sha: str


class Ref(Answer):
    object: GitObject


class GitVerification(Answer):
    verified: bool = False


class GitPerson(Answer):
    name: str = ""


class GitCommit(Answer):
    sha: str
    author: GitPerson | None = None
    html_url: str = ""
    message: str = ""
    tree: GitObject
    parents: tuple[GitObject, ...] = ()
    verification: GitVerification | None = None


class CommitMessage(Answer):
    message: str = ""
    verification: GitVerification | None = None


class ComparedCommit(Answer):
    sha: str
    html_url: str = ""
    commit: CommitMessage


class Comparison(Answer):
    commits: tuple[ComparedCommit, ...]


class Head(Answer):
    ref: str
    sha: str


class Pull(Answer):
    number: int
    html_url: str
    draft: bool = False
    head: Head


class Signature(Answer):
    is_valid: bool = Field(default=False, alias="isValid")


class NewCommit(Answer):
    oid: str
    url: str = ""
    signature: Signature | None = None


class Created(Answer):
    commit: NewCommit


class CreatedCommit(Answer):
    """The answer to the mutation `createCommitOnBranch`."""

    created: Created = Field(alias="createCommitOnBranch")


class Comments(RootModel[list[Comment]]):
    pass


class Pulls(RootModel[list[Pull]]):
    pass


class Issues(RootModel[list[Issue]]):
    pass


class IssueEvents(RootModel[list[IssueEvent]]):
    pass


class Installations(RootModel[list[Installation]]):
    pass


class Attempts(RootModel[list[Attempt]]):
    pass


class Anything(Answer):
    """An answer of which only the success matters."""


class Fault(Answer):
    message: str | None = None
    code: str | None = None
    field: str | None = None


class Refusal(Answer):
    """The body of an answer of 400 and above (https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api)."""

    message: str = ""
    errors: list[Fault | str] | str = ""

    @property
    def words(self) -> str:
        faults = [self.errors] if isinstance(self.errors, str) else self.errors
        details = [
            fault if isinstance(fault, str) else fault.message or f"{fault.field}: {fault.code}" for fault in faults
        ]
        return "; ".join(part for part in (self.message, *details) if part)


def refusal(what: str, response: "httpx.Response") -> GitHubError:
    """The error for an answer of 400 and above."""
    status, wait_s = response.status_code, limit_wait_s(response)
    wait = "" if wait_s is None else f" It asks to wait {wait_s:.0f} s."
    words = f"GitHub answered {status} to {what}: {_words(response)}{wait}"
    return GitHubError(words, status=status, retry_after_s=wait_s)


def limit_wait_s(response: "httpx.Response") -> float | None:
    """How long an answer of 400 and above asks to be left alone, None when it does not.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
    """
    status, headers = response.status_code, response.headers
    if status >= 500:
        return float(headers["retry-after"]) if headers.get("retry-after", "").isdecimal() else None
    if status not in {403, 422, 429}:
        return None
    is_limit = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or status == 429
    if (is_limit and status != 422) or is_limit_told(_words(response), status):
        return named_wait_s(response)
    return None


def is_limit_told(words: str, status: int = 403) -> bool:
    """Whether GitHub's words speak of a limit. A 422 may quote what was sent, so there only one phrase counts."""
    return bool(_TOO_QUICK.search(words) or (status != 422 and _LIMIT.search(words)))


def named_wait_s(response: "httpx.Response") -> float:
    """How long a limit lasts: by GitHub's own clock, as ours may be wrong."""
    headers = response.headers
    if (said := headers.get("retry-after", "")).isdecimal():
        return float(said)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(float(reset) - server_time(response), 1.0)
    return UNSAID_WAIT_S


def server_time(response: "httpx.Response") -> float:
    """When the answer was written, in seconds since 1970."""
    try:
        return parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()


def _words(response: "httpx.Response") -> str:
    try:
        return Refusal.model_validate_json(response.content).words
    except ValueError:
        return str(response.reason_phrase)


def _role(word: str | None) -> Role | None:
    return Role(word) if word in set(Role) else None
