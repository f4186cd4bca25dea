"""GitHub, as a port: one repository, and the App as a whole."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from pydantic import SecretStr

from app.core.inbound.delivery import LogPage
from app.core.inbound.triggers import LabelledIssue, RecentActivity
from app.core.policy.authorization import Role
from app.core.policy.branch_rules import BranchRule
from app.core.policy.changes import Change
from app.core.policy.rate_allowance import Allowance
from app.core.ports.pull_requests import PullRequests
from app.core.run.job import Person, Remark
from app.core.run.run import Commit, OpenedPullRequest


class GitHub(Protocol):
    """One repository as one installation of the App sees it. Every method raises `GitHubError`."""

    @property
    def repo(self) -> str:
        """Its name, `owner/name`: another than it was opened by once GitHub has said that it was renamed."""

    @property
    def pulls(self) -> PullRequests:
        """This repository's pull requests, their review threads and checks."""

    async def login(self) -> str:
        """The login under which the App itself acts (`vibecoder[bot]`). Repeatable."""

    async def installation(self) -> int:
        """The installation's id, where it was not known (0) looked up; 0 where there is none. Repeatable."""

    async def permission(self, person: Person) -> Role:
        """The person's role on the repository now; `Role.NONE` for strangers. Repeatable.

        A login that today belongs to another account id than `person.id` is a stranger.
        """

    async def react(self, content: str, *, number: int, comment_id: int | None = None) -> None:
        """React to the comment, or to the issue itself. Repeatable: GitHub keeps one of a kind.

        `content` is GitHub's word: `eyes`, `rocket`, `confused`, `+1`.
        """

    async def put_comment(
        self, number: int, body: str, *, marker: str, comment_id: int | None = None, is_urgent: bool = False
    ) -> int:
        """Write the bot's comment on an issue or pull request and return its id.

        With `comment_id` that comment is edited; without, or when it is gone, the App's own comment that contains
        `marker` is looked up and edited, and only when there is none is one created. Repeatable. An edit that
        `is_urgent` is sent where others have to wait for our own limit on writes.
        """

    async def remarks(self, number: int) -> tuple[Remark, ...]:
        """What people (no bots) said in a thread, oldest first, the first 300. Repeatable."""

    async def default_branch(self) -> str:
        """The repository's default branch. Repeatable."""

    async def head(self, branch: str, *, unlike: str = "") -> str | None:
        """The sha at the branch's head, None when there is no such branch. Repeatable.

        With `unlike`, the sha where the branch was last known to be: when an earlier request may have moved or made it,
        it is looked at until it is elsewhere or that would be visible.
        """

    async def create_branch(self, branch: str, sha: str) -> bool:
        """Create the branch at `sha`. Repeatable: an existing branch is left where it is, and the answer is False.

        Raises:
            PermissionMissing: workflow files at `sha` differ from the default branch's, and the App may not bring any.
        """

    async def delete_branch(self, branch: str, sha: str) -> None:
        """Delete the branch if it is at `sha`; one that is elsewhere or gone is left. Repeatable."""

    async def rules(self, branch: str, sha: str) -> tuple[BranchRule, ...]:
        """The repository's rules, whether the branch exists or not, that the App is held to and that may forbid the
        branch or a commit on top of `sha`. Empty where GitHub tells none. Repeatable."""

    async def may_change_workflows(self) -> bool:
        """Whether the App may bring changes to `.github/workflows` onto a branch, as a merge can. Repeatable."""

    async def commit(
        self, branch: str, expected_head: str, message: str, changes: Sequence[Change], *, merged: str = ""
    ) -> Commit:
        """Put one commit by the App on the branch and return it (`step` unset).

        With `merged`, the sha of a commit on GitHub, it is the merge of that into the branch, and `changes` are what
        it changes of that. `message` is subject, blank line, body. Repeatable: when the head is already a commit of
        ours with this message and these contents on top of `expected_head`, that one is returned.

        Raises:
            HeadMoved: the branch is not at `expected_head`.
        """

    async def commits(self, base: str, head: str) -> tuple[Commit, ...]:
        """The commits that `head` (sha or branch) has and `base` has not, oldest first, at most 250; `files` are empty.
        Repeatable."""

    async def recent(self, since: datetime, etag: str = "") -> RecentActivity | None:
        """What was said and labelled since then; None when nothing changed since GitHub told this `etag`, which costs
        nothing of the rate limit. Repeatable."""

    async def labelled(self, label: str, since: datetime | None = None) -> tuple[LabelledIssue, ...]:
        """Open issues (no pull requests) that carry the label and changed since then, newest first, at most 100, each
        with who put it there last and when. Repeatable."""

    async def pull_request(self, branch: str, *, is_open: bool = True) -> OpenedPullRequest | None:
        """The newest pull request from this branch of this repository, open or (without `is_open`) in any state; None
        when there is none. Repeatable."""

    async def issue_pull_request(self, number: int, *, is_open: bool = True) -> OpenedPullRequest | None:
        """The newest pull request by the App from a branch that it made for this issue (`vibecode/<number>-…`), open or
        (without `is_open`) in any state, of the newest 1,000; None when there is none. Repeatable."""

    async def put_pull_request(
        self, *, branch: str, base: str, title: str, body: str, is_draft: bool
    ) -> OpenedPullRequest:
        """Open the pull request from `branch`, or bring the open one's title and body up to date. Repeatable."""

    async def read_token(self) -> SecretStr:
        """A token that reads this one repository's contents and nothing else, minted now, good for an hour."""


T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T_co]):
    """A page of a list. `cursor` asks for the next page; empty on the last. `etag` is GitHub's name for the page as it
    is now."""

    items: tuple[T_co, ...]
    cursor: str = ""
    etag: str = ""


class Reader(Protocol):
    """All that one installation has, by a token that can write nothing. Every method raises `GitHubError`; with status
    429 and `retry_after_s` once what may be used of the installation's rate limit is used up."""

    @property
    def sent(self) -> int:
        """The number of requests sent so far."""

    async def repositories(self, cursor: str = "", *, etag: str = "") -> Listing[str] | None:
        """A page of the repositories (`owner/name`) that can be written to; None when it is the one of this `etag`
        still. Repeatable."""

    def repository(self, repo: str) -> GitHub:
        """One of them."""


class GitHubApp(Protocol):
    """The App itself."""

    def open(self, installation_id: int, repo: str, *, unsure_s: float = 0.0) -> AbstractAsyncContextManager[GitHub]:
        """Open one repository (`owner/name`) for one job, in the job's own task.

        For `unsure_s` from now, something that was asked for before may be there and not be visible yet: whatever is
        looked up before it is created is looked up until then.
        """

    def read(self, installation_id: int, allowance: Allowance) -> AbstractAsyncContextManager[Reader]:
        """Open all that an installation has, for reading. The token ends with the block; what is sent is counted in the
        `allowance`, and nothing is sent that it does not allow."""

    async def installed(self, cursor: str = "") -> Listing[int]:
        """A page of the ids of the App's installations, suspended ones left out. Repeatable."""

    async def delivery_log(self, cursor: str = "") -> LogPage:
        """A page of GitHub's log of attempts to deliver, newest first. GitHub forgets them after days. Repeatable."""

    async def redeliver(self, attempt_id: int) -> None:
        """Ask GitHub to make this attempt again; it does so soon, under the same guid."""
