"""What is read of GitHub's answers, parsed once; all other keys are ignored.

Own models, shared with the web process: githubkit's refuse answers that GitHub really gives, and cost 25 MiB.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr

from app.core.job import Person, Remark
from app.core.policy import Role

_ROLES: Final = {
    "admin": Role.ADMIN,
    "maintain": Role.MAINTAIN,
    "push": Role.WRITE,
    "triage": Role.TRIAGE,
    "pull": Role.READ,
}
"""A repository's `permissions`, strongest first."""


class Answer(BaseModel):
    """Built at first use: the web process needs three of these, and most days none."""

    model_config = ConfigDict(defer_build=True)


class Account(Answer):
    login: str
    id: int
    type: str = "User"

    @property
    def person(self) -> Person:
        return Person(self.login, self.id, self.type == "Bot")


class App(Answer):
    id: int = 0
    slug: str | None = None
    name: str | None = None
    client_id: str | None = None


class Registered(App):
    """The App, asked for by itself."""

    html_url: str = ""
    owner: Account | None = None
    permissions: Mapping[str, str] = Field(default_factory=dict)
    events: tuple[str, ...] = ()


class HookConfig(Answer):
    url: str = ""
    content_type: str = "form"
    insecure_ssl: str | int = 0


class Token(Answer):
    token: SecretStr
    expires_at: datetime


class Installation(Answer):
    id: int
    account: Account | None = None
    html_url: str = ""
    permissions: Mapping[str, str] = Field(default_factory=dict)
    events: tuple[str, ...] = ()
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
    total_count: int = 0
    repositories: list[Repository]


class Attempt(Answer):
    """One line of the log of deliveries."""

    id: int
    guid: str
    event: str
    action: str | None = None
    delivered_at: datetime
    status_code: int
    redelivery: bool = False


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
    author_association: str = "NONE"
    issue_url: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def thread(self) -> int:
        """The number of the issue or pull request; 0 where it is not told."""
        number = self.issue_url.rpartition("/")[2]
        return int(number) if number.isdecimal() else 0

    @property
    def is_by_bot(self) -> bool:
        return self.performed_via_github_app is not None or (self.user is not None and self.user.type == "Bot")

    @property
    def remark(self) -> Remark | None:
        """None for what no person said."""
        at = self.created_at
        if self.user is None or self.is_by_bot or at is None:
            return None
        person = Person(self.user.login, self.user.id)
        return Remark(person, self.author_association, self.body or "", at, self.updated_at or at)


class Label(Answer):
    name: str = ""


class Labels(RootModel[list[Label]]):
    pass


class Issue(Answer):
    number: int
    title: str
    body: str | None = None
    state: str = "open"
    locked: bool = False
    user: Account | None = None
    pull_request: Mapping[str, object] | None = None
    updated_at: datetime | None = None
    labels: "tuple[Label, ...]" = ()


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
    author: Account | None = None


class Comparison(Answer):
    """`status`: is the second of the two `ahead` of the first, `behind`, `identical`, or have they `diverged`?"""

    status: str = ""
    commits: tuple[ComparedCommit, ...]


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


class CheckOutput(Answer):
    title: str | None = None
    summary: str | None = None
    text: str | None = None


class CheckRun(Answer):
    id: int
    name: str
    status: str = ""
    conclusion: str | None = None
    html_url: str | None = None
    completed_at: datetime | None = None
    output: CheckOutput | None = None
    app: App | None = None


class CheckRuns(Answer):
    check_runs: tuple[CheckRun, ...] = ()


class CheckSuite(Answer):
    status: str | None = None
    conclusion: str | None = None
    app: App | None = None


class CheckSuites(Answer):
    check_suites: tuple[CheckSuite, ...] = ()


class Status(Answer):
    """One commit status. `state` is `failure`, `error`, `pending` or `success`."""

    id: int
    context: str
    state: str
    description: str | None = None
    target_url: str | None = None
    updated_at: datetime | None = None


class CombinedStatus(Answer):
    """The newest status of each context."""

    statuses: tuple[Status, ...] = ()


class WorkflowJob(Answer):
    run_id: int


class Comments(RootModel[list[Comment]]):
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


def _role(word: str | None) -> Role | None:
    return Role(word) if word in set(Role) else None
