"""Pull requests on GitHub, their review threads and their checks, as a port."""

from collections.abc import Sequence
from typing import Protocol

from app.core.run.pull_requests import Check, CheckSuiteState, IssueText, MergeResult, PullRequest, ThumbsUp


class PullRequests(Protocol):
    """One repository's pull requests as one installation of the App sees them. Every method raises `GitHubError`."""

    async def pull(self, number: int) -> PullRequest | None:
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

    async def merge(self, branch: str, head: str) -> MergeResult:
        """Merge `head` (a branch or sha) into `branch` on GitHub, with a verified merge commit. Repeatable."""

    async def checks(self, sha: str) -> tuple[Check, ...]:
        """The newest run of each check on a commit and its commit statuses, at most 100 each. Repeatable."""

    async def suites(self, sha: str) -> tuple[CheckSuiteState, ...]:
        """The check suites of a commit, at most 100. One that could not start has no checks. Repeatable."""

    async def check_log(self, check: Check) -> str:
        """The log of a failed check as plain text, its last 200,000 characters; empty when GitHub keeps none for us."""

    async def rerun(self, check: Check) -> bool:
        """Ask that the check be run again; False when this kind of check cannot be asked for. Not repeatable."""

    async def thumbs_ups(self, comment_id: int) -> tuple[ThumbsUp, ...]:
        """Who gave 👍 to an issue comment, oldest first, at most 100. Repeatable."""

    async def issue(self, number: int) -> IssueText | None:
        """What an issue or pull request says now, None when there is none here (any more). Repeatable."""

    async def read_file(self, path: str) -> bytes | None:
        """A file's bytes at the default branch's head, at most 1 MB, without a clone; None when there is none.
        Repeatable."""
