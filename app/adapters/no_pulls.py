"""The pull requests of a repository that can have none."""

from collections.abc import Awaitable, Callable, Sequence

from app.core.errors import GitHubError
from app.core.pull import Check, IssueText, Merging, Pull, Suite, Thumb


class NoPulls:
    """Implements the port `Pulls`: looking finds nothing, writing is refused. Only files are there."""

    def __init__(self, read_file: Callable[[str], Awaitable[bytes | None]]) -> None:
        self._read_file = read_file

    async def pull(self, number: int) -> Pull | None:
        return None

    async def put_reply(self, number: int, comment_id: int, body: str, *, marker: str) -> None:
        raise _refused()

    async def react_to_review_comment(self, content: str, comment_id: int) -> None:
        raise _refused()

    async def add_labels(self, number: int, labels: Sequence[str]) -> None:
        raise _refused()

    async def request_reviews(self, number: int, reviewers: Sequence[str]) -> None:
        raise _refused()

    async def merge(self, branch: str, head: str) -> Merging:
        raise _refused()

    async def checks(self, sha: str) -> tuple[Check, ...]:
        return ()

    async def suites(self, sha: str) -> tuple[Suite, ...]:
        return ()

    async def check_log(self, check: Check) -> str:
        return ""

    async def rerun(self, check: Check) -> bool:
        return False

    async def thumbs(self, comment_id: int) -> tuple[Thumb, ...]:
        return ()

    async def issue(self, number: int) -> IssueText | None:
        return None

    async def read_file(self, path: str) -> bytes | None:
        return await self._read_file(path)


def _refused() -> GitHubError:
    return GitHubError("A local repository has no pull requests.", status=422)
