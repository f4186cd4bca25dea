"""What is read of GitHub's answers, parsed once; all other keys are ignored.

Own models, shared with the web process: githubkit's refuse answers that GitHub really gives, and cost 25 MiB.
"""

from collections.abc import Mapping
from datetime import datetime
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

_UNSAID_WAIT_S: Final = 60.0
"""What GitHub asks for when a rate limit's answer names no time."""


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


class Repository(Answer):
    default_branch: str = ""
    role_name: str | None = None
    permissions: Mapping[str, bool] = Field(default_factory=dict)

    @property
    def role(self) -> Role:
        """The role of whoever asked."""
        strongest = next((role for word, role in _ROLES.items() if self.permissions.get(word)), Role.NONE)
        return _role(self.role_name) or strongest


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


class GitObject(Answer):
    sha: str


class Ref(Answer):
    object: GitObject


class GitVerification(Answer):
    verified: bool = False


class GitCommit(Answer):
    sha: str
    html_url: str = ""
    message: str = ""
    tree: GitObject
    parents: tuple[GitObject, ...] = ()
    verification: GitVerification | None = None


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
    """The error for an answer of 400 and above; `retry_after_s` is set only when a rate limit is why."""
    status = response.status_code
    try:
        words = Refusal.model_validate_json(response.content).words
    except ValueError:
        words = response.reason_phrase
    said = response.headers.get("retry-after", "")
    is_limit = said or response.headers.get("x-ratelimit-remaining") == "0" or "rate limit" in words or status == 429
    wait_s = (float(said) if said.isdecimal() else _UNSAID_WAIT_S) if status in {403, 429} and is_limit else None
    return GitHubError(f"GitHub answered {status} to {what}: {words}", status=status, retry_after_s=wait_s)


def _role(word: str | None) -> Role | None:
    return Role(word) if word in set(Role) else None
