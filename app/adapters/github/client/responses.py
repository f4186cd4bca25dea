"""What is read of GitHub's answers, parsed once; all other keys are ignored.

Own models, shared with the web process: githubkit's refuse answers that GitHub really gives, and cost 25 MiB.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr

from app.core.policy.authorization import Role
from app.core.run.job import Person, Remark

_ROLES: Final = {
    "admin": Role.ADMIN,
    "maintain": Role.MAINTAIN,
    "push": Role.WRITE,
    "triage": Role.TRIAGE,
    "pull": Role.READ,
}
"""A repository's `permissions`, strongest first."""


class ApiResponse(BaseModel):
    """Built at first use: the web process needs three of these, and most days none."""

    model_config = ConfigDict(defer_build=True)


class AccountResponse(ApiResponse):
    login: str
    id: int
    type: str = "User"

    @property
    def person(self) -> Person:
        return Person(self.login, self.id, self.type == "Bot")


class App(ApiResponse):
    id: int = 0
    slug: str | None = None
    name: str | None = None
    client_id: str | None = None


class Registered(App):
    """The App, asked for by itself."""

    html_url: str = ""
    owner: AccountResponse | None = None
    permissions: Mapping[str, str] = Field(default_factory=dict)
    events: tuple[str, ...] = ()


class HookConfig(ApiResponse):
    url: str = ""
    content_type: str = "form"
    insecure_ssl: str | int = 0


class Token(ApiResponse):
    token: SecretStr
    expires_at: datetime


class InstallationResponse(ApiResponse):
    id: int
    account: AccountResponse | None = None
    html_url: str = ""
    permissions: Mapping[str, str] = Field(default_factory=dict)
    events: tuple[str, ...] = ()
    suspended_at: datetime | None = None


class RepositoryResponse(ApiResponse):
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


class Repositories(ApiResponse):
    total_count: int = 0
    repositories: list[RepositoryResponse]


class Attempt(ApiResponse):
    """One line of the log of deliveries."""

    id: int
    guid: str
    event: str
    action: str | None = None
    delivered_at: datetime
    status_code: int
    redelivery: bool = False


class CollaboratorPermission(ApiResponse):
    permission: str
    role_name: str | None = None
    user: AccountResponse | None = None

    @property
    def role(self) -> Role:
        """An organisation's custom role counts as the permission that it builds on."""
        return _role(self.role_name) or _role(self.permission) or Role.NONE


class CommentResponse(ApiResponse):
    id: int
    body: str | None = None
    user: AccountResponse | None = None
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


class LabelResponse(ApiResponse):
    name: str = ""


class Labels(RootModel[list[LabelResponse]]):
    pass


class IssueResponse(ApiResponse):
    number: int
    title: str
    body: str | None = None
    state: str = "open"
    locked: bool = False
    user: AccountResponse | None = None
    pull_request: Mapping[str, object] | None = None
    updated_at: datetime | None = None
    labels: "tuple[LabelResponse, ...]" = ()


class IssueEventResponse(ApiResponse):
    """Something that happened to an issue. `actor` is None when the account is gone."""

    event: str = ""
    actor: AccountResponse | None = None
    label: LabelResponse | None = None
    created_at: datetime


class GitObject(ApiResponse):
    sha: str


class Ref(ApiResponse):
    object: GitObject


class GitVerification(ApiResponse):
    verified: bool = False


class GitPerson(ApiResponse):
    name: str = ""


class GitCommit(ApiResponse):
    sha: str
    author: GitPerson | None = None
    html_url: str = ""
    message: str = ""
    tree: GitObject
    parents: tuple[GitObject, ...] = ()
    verification: GitVerification | None = None


class CommitMessage(ApiResponse):
    message: str = ""
    verification: GitVerification | None = None


class ComparedCommit(ApiResponse):
    sha: str
    html_url: str = ""
    commit: CommitMessage
    author: AccountResponse | None = None


class Comparison(ApiResponse):
    """`status`: is the second of the two `ahead` of the first, `behind`, `identical`, or have they `diverged`?"""

    status: str = ""
    commits: tuple[ComparedCommit, ...]


class Signature(ApiResponse):
    is_valid: bool = Field(default=False, alias="isValid")


class NewCommit(ApiResponse):
    oid: str
    url: str = ""
    signature: Signature | None = None


class Created(ApiResponse):
    commit: NewCommit


class CreatedCommit(ApiResponse):
    """The answer to the mutation `createCommitOnBranch`."""

    created: Created = Field(alias="createCommitOnBranch")


class CheckOutput(ApiResponse):
    title: str | None = None
    summary: str | None = None
    text: str | None = None


class CheckRun(ApiResponse):
    id: int
    name: str
    status: str = ""
    conclusion: str | None = None
    html_url: str | None = None
    completed_at: datetime | None = None
    output: CheckOutput | None = None
    app: App | None = None


class CheckRuns(ApiResponse):
    check_runs: tuple[CheckRun, ...] = ()


class CheckSuiteResponse(ApiResponse):
    status: str | None = None
    conclusion: str | None = None
    app: App | None = None


class CheckSuites(ApiResponse):
    check_suites: tuple[CheckSuiteResponse, ...] = ()


class StatusResponse(ApiResponse):
    """One commit status. `state` is `failure`, `error`, `pending` or `success`."""

    id: int
    context: str
    state: str
    description: str | None = None
    target_url: str | None = None
    updated_at: datetime | None = None


class CombinedStatus(ApiResponse):
    """The newest status of each context."""

    statuses: tuple[StatusResponse, ...] = ()


class WorkflowJob(ApiResponse):
    run_id: int


class Comments(RootModel[list[CommentResponse]]):
    pass


class Issues(RootModel[list[IssueResponse]]):
    pass


class IssueEvents(RootModel[list[IssueEventResponse]]):
    pass


class Installations(RootModel[list[InstallationResponse]]):
    pass


class Attempts(RootModel[list[Attempt]]):
    pass


class Anything(ApiResponse):
    """An answer of which only the success matters."""


def _role(word: str | None) -> Role | None:
    return Role(word) if word in set(Role) else None


class Head(ApiResponse):
    """One end of a pull request; `repo` is null when its fork is gone."""

    ref: str
    sha: str = ""
    repo: RepositoryResponse | None = None


class PullResponse(ApiResponse):
    """`merged` and `mergeable` stand only in the answer about one."""

    number: int
    html_url: str
    title: str = ""
    body: str | None = None
    state: str = "open"
    user: AccountResponse | None = None
    draft: bool = False
    merged: bool = False
    mergeable: bool | None = None
    head: Head
    base: Head | None = None


class ReviewCommentResponse(CommentResponse):
    """A comment in a thread of a pull request. All but the thread's first name that one in `in_reply_to_id`."""

    in_reply_to_id: int | None = None
    pull_request_review_id: int | None = None
    html_url: str = ""
    path: str = ""
    line: int | None = None
    diff_hunk: str = ""


class ReviewResponse(ApiResponse):
    """`state` is in capitals here, and in small letters in deliveries."""

    id: int
    body: str | None = None
    state: str = ""
    user: AccountResponse | None = None
    author_association: str = "NONE"
    submitted_at: datetime | None = None


class MergeCommit(ApiResponse):
    """The answer to a merge; without a sha there was nothing to merge."""

    sha: str = ""


class Reaction(ApiResponse):
    id: int
    user: AccountResponse | None = None
    created_at: datetime


class Content(ApiResponse):
    """What stands at a path. `encoding` is `none` for what is larger than 1 MB."""

    type: str
    encoding: str = ""
    content: str = ""


class PullsResponse(RootModel[list[PullResponse]]):
    pass


class ReviewComments(RootModel[list[ReviewCommentResponse]]):
    pass


class Reviews(RootModel[list[ReviewResponse]]):
    pass


class Reactions(RootModel[list[Reaction]]):
    pass


class Contents(RootModel[Content | list[Content]]):
    """One entry, or those of a folder."""
