"""Pull requests, their review threads and their checks: values, and what the bot needs of GitHub for them, as a port.

https://docs.github.com/en/rest/pulls, https://docs.github.com/en/rest/checks/runs
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from app.core.job import Person

FAILED: Final = frozenset({"failure", "timed_out"})
"""Conclusions of a check that ask for work."""
HALTED: Final = frozenset({"startup_failure", "cancelled", "stale", "action_required"})
"""Conclusions of a check suite that did not run to its end. No change to the code helps: people are told."""
FAILED_STATES: Final = frozenset({"failure", "error"})
"""States of a commit status that ask for work."""
STATUS_APP: Final = "commit status"
"""`Check.app` of a commit status."""


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request as it stands. `head` and `base` are branches; `is_fork`: its branch is another repository's.

    `is_mergeable` is None while GitHub has not found out. `is_ours` says that this App opened it.
    """

    number: int
    title: str
    body: str
    url: str
    head: str
    head_sha: str
    base: str
    author: Person | None = None
    is_open: bool = True
    is_merged: bool = False
    is_draft: bool = False
    is_fork: bool = False
    is_ours: bool = False
    is_mergeable: bool | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check run or commit status on a commit. `conclusion` is empty while it runs; `text` is what it says itself,
    plain, capped.

    `app` is the slug of the App that made it (`github-actions`), or `STATUS_APP`. `ended_at` is not always told.
    """

    id: int
    name: str
    app: str
    conclusion: str = ""
    url: str = ""
    text: str = ""
    ended_at: datetime | None = None

    @property
    def is_failed(self) -> bool:
        return self.conclusion in FAILED


@dataclass(frozen=True, slots=True)
class Suite:
    """The checks of one App on a commit, as a whole. `conclusion` is empty until all have ended."""

    app_name: str
    conclusion: str = ""

    @property
    def is_halted(self) -> bool:
        return self.conclusion in HALTED


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found out about checks that failed. `findings` are sentences for people, in order.

    `failed` are those that are still to be looked into; `asked` are the ids of those among them that were asked, at
    `asked_at`, to run again. `seen` are the ids of all failed checks that were looked at.
    """

    failed: tuple[Check, ...] = ()
    asked: tuple[int, ...] = ()
    asked_at: datetime | None = None
    findings: tuple[str, ...] = ()
    seen: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Thumb:
    """A reaction of a person or bot to one of our comments. `id` is GitHub's, unique among reactions."""

    id: int
    person: Person
    is_bot: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IssueText:
    """What an issue says now."""

    title: str
    body: str
    is_open: bool
    author: Person | None = None
    is_locked: bool = False


class Merging(StrEnum):
    """How the attempt to merge base into a branch ended."""

    MERGED = "merged"
    NOTHING = "nothing"
    """The branch has all of it already."""
    CONFLICT = "conflict"


class Pulls(Protocol):
    """One repository's pull requests as one installation of the App sees them. Every method raises `GitHubError`."""

    async def pull(self, number: int) -> Pull | None:
        """The pull request, None when there is none of that number. Repeatable."""

    async def put_reply(self, number: int, comment_id: int, body: str, *, marker: str) -> None:
        """Answer in the thread of a review comment, or edit our answer there that contains `marker`. Repeatable."""

    async def react_to_review_comment(self, content: str, comment_id: int) -> None:
        """As `GitHub.react`, to a comment on a line of code. Repeatable."""

    async def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Put labels on; those that the repository has not are made. Repeatable."""

    async def request_reviews(self, number: int, reviewers: Sequence[str]) -> None:
        """Ask people (logins) and teams (`owner/team`) for their review. Repeatable.

        Raises:
            GitHubError: 422 when GitHub knows one of them not, or they may not review; nobody was asked then.
        """

    async def merge(self, branch: str, head: str) -> Merging:
        """Merge `head` (a branch or sha) into `branch` on GitHub, with a verified merge commit. Repeatable."""

    async def checks(self, sha: str) -> tuple[Check, ...]:
        """The newest run of each check on a commit and its commit statuses, at most 100 each. Repeatable."""

    async def suites(self, sha: str) -> tuple[Suite, ...]:
        """The check suites of a commit, at most 100. One that could not start has no checks. Repeatable."""

    async def check_log(self, check: Check) -> str:
        """The log of a failed check as plain text, its last 200,000 characters; empty when GitHub keeps none for us."""

    async def rerun(self, check: Check) -> bool:
        """Ask that the check be run again; False when this kind of check cannot be asked for. Not repeatable."""

    async def thumbs(self, comment_id: int) -> tuple[Thumb, ...]:
        """Who gave 👍 to an issue comment, oldest first, at most 100. Repeatable."""

    async def issue(self, number: int) -> IssueText | None:
        """What an issue or pull request says now, None when there is none here (any more). Repeatable."""

    async def read_file(self, path: str) -> bytes | None:
        """A file's bytes at the default branch's head, at most 1 MB, without a clone; None when there is none.
        Repeatable."""
