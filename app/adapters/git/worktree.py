"""A local git repository in GitHub's place, for `vibecoder run --repo PATH`.

Commits are made of git's plumbing with an index of their own, outside the repository, and end on one branch. The work
tree, the index, HEAD and the branch that is checked out stay as they are, and no hook runs.
"""

import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from app.adapters.git.host import GitFailed, environment, run
from app.core.errors import GitHubError, HeadMoved, UserError
from app.core.inbound.delivery import LogPage
from app.core.inbound.triggers import LabelledIssue, RecentActivity
from app.core.policy.authorization import Role
from app.core.policy.branch_rules import BranchRule
from app.core.policy.changes import Change
from app.core.policy.rate_allowance import Allowance
from app.core.policy.tree_diff import is_sha
from app.core.ports.github import GitHub, Listing
from app.core.refs import is_branch
from app.core.run.job import Person, Remark, read_job_key
from app.core.run.pull_requests import Check, CheckSuiteState, IssueText, MergeResult, PullRequest, ThumbsUp
from app.core.run.run import Commit, OpenedPullRequest
from app.core.safety.escape import code


class NoPullRequests:
    """Implements the port `Pulls`: looking finds nothing, writing is refused. Only files are there."""

    def __init__(self, read_file: Callable[[str], Awaitable[bytes | None]]) -> None:
        self._read_file = read_file

    async def pull(self, number: int) -> PullRequest | None:
        return None

    async def put_reply(self, number: int, comment_id: int, body: str, *, marker: str) -> None:
        raise _refused()

    async def react_to_review_comment(self, content: str, comment_id: int) -> None:
        raise _refused()

    async def add_labels(self, number: int, labels: Sequence[str]) -> None:
        raise _refused()

    async def request_reviews(self, number: int, reviewers: Sequence[str]) -> None:
        raise _refused()

    async def merge(self, branch: str, head: str) -> MergeResult:
        raise _refused()

    async def checks(self, sha: str) -> tuple[Check, ...]:
        return ()

    async def suites(self, sha: str) -> tuple[CheckSuiteState, ...]:
        return ()

    async def check_log(self, check: Check) -> str:
        return ""

    async def rerun(self, check: Check) -> bool:
        return False

    async def thumbs_ups(self, comment_id: int) -> tuple[ThumbsUp, ...]:
        return ()

    async def issue(self, number: int) -> IssueText | None:
        return None

    async def read_file(self, path: str) -> bytes | None:
        return await self._read_file(path)


def _refused() -> GitHubError:
    return GitHubError("A local repository has no pull requests.", status=422)


NOBODY: Final = "0" * 40
MAX_COMMITS: Final = 250
FALLBACK_NAME: Final = "vibecoder"
FALLBACK_EMAIL: Final = "vibecoder@localhost"


class LocalRepository:
    """`GitHubApp`, `Reader` and `GitHub` over the repository at `path`: a clone, a linked work tree, or a bare one."""

    sent: Final = 0

    def __init__(self, path: Path, *, timeout_s: float = 60.0) -> None:
        self.path = path
        self.repo = f"local/{path.resolve().name.removesuffix('.git') or 'repository'}"
        self._timeout_s = timeout_s
        self._git_dir = path
        self.pulls = NoPullRequests(self._file)
        self._env = environment({"commit.gpgSign": "false"}, home=str(Path.home()))

    @property
    def source(self) -> Path:
        """Where it is fetched from: once open its git folder, as `path` may lie deep in its work tree."""
        return self._git_dir.resolve()

    def open(self, installation_id: int, repo: str, *, unsure_s: float = 0.0) -> AbstractAsyncContextManager[GitHub]:
        """Open the repository, whatever the ids. What is in it is visible at once.

        Raises:
            UserError: there is none at the path, or it has no commit yet.
        """
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator["LocalRepository"]:
        if not self.path.is_dir():
            raise UserError(f"{self.path} is no folder; name one that holds a git repository.")
        try:
            found = await self._run("rev-parse", "--absolute-git-dir", cwd=self.path)
        except GitFailed as error:
            if "dubious ownership" in error.stderr:
                raise UserError(
                    f"Git does not trust {self.path}, which belongs to somebody else. If you do: "
                    f"git config --global --add safe.directory {shlex.quote(str(self.path.resolve()))}"
                ) from error
            raise UserError(f"{self.path} is no git repository; run `git init` there and commit something.") from error
        self._git_dir = Path(found)
        if await self._sha("HEAD") is None and not await self._git("for-each-ref", "--count=1", "refs/heads"):
            raise UserError(f"{self.path} has no commit yet; commit something first.")
        yield self

    async def installed(self, cursor: str = "") -> Listing[int]:
        """There is none."""
        return Listing(())

    def read(self, installation_id: int, allowance: Allowance) -> AbstractAsyncContextManager["LocalRepository"]:
        """Open the repository, as `open` does."""
        return self._open()

    async def repositories(self, cursor: str = "", *, etag: str = "") -> Listing[str]:
        """This one."""
        return Listing((self.repo,))

    def repository(self, repo: str) -> GitHub:
        """This one."""
        return self

    async def delivery_log(self, cursor: str = "") -> LogPage:
        """Nothing is delivered here."""
        return LogPage(())

    async def redeliver(self, attempt_id: int) -> None:
        """Nothing is delivered here."""

    async def login(self) -> str:
        """Nobody's: there is no App."""
        return ""

    async def installation(self) -> int:
        """There is none."""
        return 0

    async def permission(self, person: Person) -> Role:
        """Whoever can start this program here may do everything."""
        return Role.ADMIN

    async def react(self, content: str, *, number: int, comment_id: int | None = None) -> None:
        """Nobody is there to see it."""

    async def put_comment(
        self, number: int, body: str, *, marker: str, comment_id: int | None = None, is_urgent: bool = False
    ) -> int:
        """The terminal shows the run instead."""
        return 0

    async def remarks(self, number: int) -> tuple[Remark, ...]:
        """There are none here."""
        return ()

    async def default_branch(self) -> str:
        """The branch that is checked out.

        Raises:
            UserError: none is.
        """
        try:
            branch = await self._run("symbolic-ref", "--short", "HEAD", cwd=self._git_dir)
        except GitFailed as error:
            raise UserError(
                f"No branch is checked out in {self.path}; check one out, or name one with --base."
            ) from error
        if await self._sha(f"refs/heads/{branch}") is None:
            raise UserError(f"The branch {code(branch)} of {self.path} has no commit yet; name another with --base.")
        return branch

    async def head(self, branch: str, *, unlike: str = "") -> str | None:
        """The sha at the branch's head. See the port."""
        return await self._sha(f"refs/heads/{_checked(branch)}")

    async def create_branch(self, branch: str, sha: str) -> bool:
        """Create the branch where it does not exist. See the port."""
        if await self.head(branch) is not None:
            return False
        await self._move(branch, sha, NOBODY)
        return True

    async def delete_branch(self, branch: str, sha: str) -> None:
        """Branches stay: they are made with their first commit here."""

    async def rules(self, branch: str, sha: str) -> tuple[BranchRule, ...]:
        """There are none here."""
        return ()

    async def may_change_workflows(self) -> bool:
        """Everything may be changed here."""
        return True

    async def commit(
        self, branch: str, expected_head: str, message: str, changes: Sequence[Change], *, merged: str = ""
    ) -> Commit:
        """Put one commit on the branch. See the port; nothing is merged here."""
        if merged:
            raise GitHubError("Nothing is merged in a local repository.", status=422)
        head = await self.head(branch)
        if not is_sha(expected_head) or head != expected_head:
            if head is None or not await self._is_made(head, expected_head, message, changes):
                raise HeadMoved(f"The branch {code(branch)} is no longer at {expected_head[:12]}.", status=409)
            return _commit(head, message, changes)
        await self._check_not_checked_out(branch)
        tree = await self._write_tree(expected_head, changes)
        sha = await self._git(
            "commit-tree", tree, "-p", expected_head, stdin=f"{message.rstrip()}\n".encode(), env=await self._identity()
        )
        await self._move(branch, sha, expected_head)
        return _commit(sha, message, changes)

    async def commits(self, base: str, head: str) -> tuple[Commit, ...]:
        """What `head` has and `base` has not. See the port."""
        ends = [await self._sha(end) for end in (base, head)]
        if None in ends:
            raise GitHubError(f"{self.path} has no {code(base[:100])} or no {code(head[:100])}.", status=404)
        newest = f"--max-count={MAX_COMMITS}"
        listed = await self._git("log", "--reverse", newest, "-z", "--format=%H %B", f"{ends[0]}..{ends[1]}")
        messages = (each.partition(" ") for each in listed.split("\0") if each)
        return tuple(Commit(sha, said.partition("\n")[0], job_key=read_job_key(said)) for sha, _, said in messages)

    async def recent(self, since: datetime, etag: str = "") -> RecentActivity | None:
        return None

    async def labelled(self, label: str, since: datetime | None = None) -> tuple[LabelledIssue, ...]:
        """There are no issues here."""
        return ()

    async def pull_request(self, branch: str, *, is_open: bool = True) -> OpenedPullRequest | None:
        """There are none here."""
        return None

    async def issue_pull_request(self, number: int, *, is_open: bool = True) -> OpenedPullRequest | None:
        """There are none here."""
        return None

    async def put_pull_request(
        self, *, branch: str, base: str, title: str, body: str, is_draft: bool
    ) -> OpenedPullRequest:
        """There are none here."""
        raise GitHubError("A local repository has no pull requests; merge the branch instead.", status=422)

    async def read_token(self) -> SecretStr:
        """None is needed."""
        return SecretStr("")

    async def _is_made(self, head: str, parent: str, message: str, changes: Sequence[Change]) -> bool:
        """Whether the head is our own commit with this message and these contents on top of `parent`."""
        shown = await self._git("show", "--no-patch", "--format=%P%n%cn%n%T%n%B", head)
        parents, name, tree, said = shown.split("\n", 3)
        own = (await self._identity())["GIT_COMMITTER_NAME"]
        is_said = (parents, name, said.strip()) == (parent, own, message.strip())
        return is_said and tree == await self._write_tree(parent, changes)

    async def _write_tree(self, parent: str, changes: Sequence[Change]) -> str:
        entries = [f"000000 {NOBODY}\t{change.path}" for change in changes if change.is_deleted]
        written = [change for change in changes if not change.is_deleted]
        for change in written:
            blob = await self._git("hash-object", "-w", "--stdin", "--no-filters", stdin=change.content)
            entries.append(f"{change.mode} {blob}\t{change.path}")
        listed = "".join(f"{entry}\0" for entry in entries).encode(errors="surrogateescape")
        paths = {change.path for change in written}
        with tempfile.TemporaryDirectory(prefix="vibecoder-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            await self._git("read-tree", parent, env=index)
            await self._git("update-index", "-z", "--index-info", stdin=listed, env=index)
            # It passes over paths that it does not take (`.git/config`, `../x`), with no more than a warning.
            taken = await self._git("ls-files", "-z", env=index)
            if not paths <= set(taken.split("\0")[:-1]):
                raise GitHubError("Git does not take one of the paths of this commit.", status=422)
            return await self._git("write-tree", env=index)

    async def _move(self, branch: str, new: str, expected: str) -> None:
        try:
            await self._run(
                *("update-ref", "-m", "vibecoder", f"refs/heads/{branch}", new, expected),
                cwd=self._git_dir,
                env=await self._identity(),
            )
        except GitFailed as error:
            if re.search(r"but expected|reference already exists|unable to resolve reference", error.stderr):
                raise HeadMoved(f"Somebody else moved the branch {code(branch)}.", status=409) from error
            raise GitHubError(f"Git could not set the branch {code(branch)}: {error}", status=422) from error

    async def _check_not_checked_out(self, branch: str) -> None:
        """Moving a branch that somebody works on would show them changes that they never made."""
        trees = await self._git("worktree", "list", "--porcelain", "-z")
        if f"branch refs/heads/{branch}" in trees.split("\0"):
            raise UserError(f"The branch {code(branch)} is checked out in {self.path}; switch to another one first.")

    async def _identity(self) -> dict[str, str]:
        """The person's own, as their commits carry it."""
        name = await self._setting("user.name") or FALLBACK_NAME
        email = await self._setting("user.email") or FALLBACK_EMAIL
        return {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
                (("NAME", name), ("EMAIL", email))}  # fmt: skip

    async def _setting(self, key: str) -> str:
        try:
            return await self._run("config", "--get", key, cwd=self._git_dir)
        except GitFailed:
            return ""

    async def _sha(self, name: str) -> str | None:
        try:
            return await self._run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", cwd=self._git_dir)
        except GitFailed:
            return None

    async def _git(self, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> str:
        """Run git in the repository.

        Raises:
            GitHubError: it failed.
        """
        try:
            return await self._run(*arguments, cwd=self._git_dir, stdin=stdin, env=env)
        except GitFailed as error:
            raise GitHubError(f"`git {arguments[0]}` failed in {self.path}: {error}", status=422) from error

    async def _file(self, path: str) -> bytes | None:
        """A file of the default branch."""
        name = f"refs/heads/{await self.default_branch()}:{path}"
        try:
            return await self._print("cat-file", "blob", name, cwd=self._git_dir)
        except GitFailed:
            return None

    async def _run(self, *arguments: str, cwd: Path, stdin: bytes = b"", env: dict[str, str] | None = None) -> str:
        output = await self._print(*arguments, cwd=cwd, stdin=stdin, env=env)
        return output.decode(errors="surrogateescape").rstrip("\n")

    async def _print(self, *arguments: str, cwd: Path, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
        where = {} if cwd == self.path and self._git_dir == self.path else {"GIT_DIR": str(self._git_dir)}
        try:
            return await run(
                ("git", *arguments),
                cwd=cwd,
                env={**self._env, **where, **(env or {})},
                stdin=stdin,
                timeout_s=self._timeout_s,
            )
        except TimeoutError as error:
            raise GitHubError(f"`git {arguments[0]}` did not end within {self._timeout_s:g} s.") from error
        except OSError as error:
            raise UserError(f"Git cannot be started on this machine: {error.strerror}.") from error


def _commit(sha: str, message: str, changes: Sequence[Change]) -> Commit:
    return Commit(sha, message.partition("\n")[0], tuple(change.path for change in changes))


def _checked(branch: str) -> str:
    if not is_branch(branch):
        raise GitHubError(f"{code(branch[:100])} cannot be a branch's name.", status=422)
    return branch
