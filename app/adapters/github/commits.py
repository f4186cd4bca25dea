"""Commits on one branch, made by GitHub so that they are verified, and only on the head that was expected.

Plain files go in one call of the mutation `createCommitOnBranch`. It knows no modes and no second parent: with an
executable file or a symbolic link in a commit, for a merge, and on a server without GraphQL, the commit is put together
from git's objects and the branch is moved to it.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from app.adapters.github.client.address import path_part, repo_path
from app.adapters.github.client.api import Api, GraphQLUnavailable, is_unclear
from app.adapters.github.client.read_lag import ReadVisibility
from app.adapters.github.client.responses import Comparison, CreatedCommit, GitCommit, GitObject, Ref
from app.core.errors import GitHubError, HeadMoved
from app.core.policy.changes import SUBMODULE, Change
from app.core.run.run import Commit

_PLAIN: Final = "100644"
_ABSENT: Final = "000000"
_MUTATION: Final = """
mutation ($input: CreateCommitOnBranchInput!) {
  createCommitOnBranch(input: $input) { commit { oid url signature { isValid } } }
}
"""


class Branch:
    """One branch of one repository."""

    def __init__(
        self,
        api: Api,
        repo: str,
        name: str,
        *,
        bot: Callable[[], Awaitable[str]],
        visibility: ReadVisibility,
        merged: str = "",
    ) -> None:
        """`bot` tells the login that the App commits under; `merged` is the second parent of what is committed."""
        self._merged = merged
        self._bot = bot
        self._visibility = visibility
        self._api = api
        self._repo = repo
        self._name = name
        self._git = f"{repo_path(repo)}/git"
        self._ref = path_part(f"heads/{name}")

    async def head(self) -> str | None:
        """The sha it points to, None when there is no such branch."""
        try:
            ref = await self._api.call("GET", f"{self._git}/ref/{self._ref}", Ref)
        except GitHubError as error:
            if error.status != 404:
                raise
            return None
        return ref.object.sha

    async def head_unlike(self, known: str) -> str | None:
        """The sha it points to, None when that is the known one or there is no branch to be seen."""
        head = await self.head()
        return None if head == known else head

    async def commit(self, expected_head: str, message: str, changes: Sequence[Change]) -> Commit:
        """Put one commit on the branch.

        When the head moved, or the ending is unclear, the branch is looked at, until what may have become of it is
        visible: the commit may be there already. It is tried once more only when the branch still is where it was.

        Raises:
            HeadMoved: the branch is not at `expected_head`.
        """
        try:
            return await self._put(expected_head, message, changes)
        except GitHubError as error:
            if not _may_have_landed(error):
                raise
            self._visibility.doubt()
        if (landed := await self._landed(expected_head, message, changes)) is not None:
            return landed
        try:
            return await self._put(expected_head, message, changes)
        except GitHubError as error:
            # The first try may have landed only now.
            landed = await self._landed(expected_head, message, changes) if _may_have_landed(error) else None
            if landed is None:
                raise
            return landed

    async def _put(self, expected_head: str, message: str, changes: Sequence[Change]) -> Commit:
        """Put it there, by the mutation where it can carry the change and the server knows it."""
        if self._api.has_graphql and not self._merged and all(map(_is_plain, changes)):
            try:
                return await self._put_files(expected_head, message, changes)
            except GraphQLUnavailable:
                pass
        return await self._put_objects(expected_head, message, changes)

    async def _put_files(self, expected_head: str, message: str, changes: Sequence[Change]) -> Commit:
        subject, body = _parts(message)
        additions = [
            {"path": change.path, "contents": b64encode(change.content).decode()}
            for change in changes
            if not change.is_deleted
        ]
        deletions = [{"path": change.path} for change in changes if change.is_deleted]
        wanted = {
            "branch": {"repositoryNameWithOwner": self._api.repo, "branchName": self._name},
            "expectedHeadOid": expected_head,
            "message": {"headline": subject, "body": body},
            "fileChanges": {"additions": additions, "deletions": deletions},
        }
        named = self._api.repo
        try:
            made = (await self._api.graphql(_MUTATION, {"input": wanted}, CreatedCommit)).created.commit
        except GitHubError as error:
            if error.status != 404 or self._api.repo == named:
                raise
            wanted["branch"] = {"repositoryNameWithOwner": self._api.repo, "branchName": self._name}
            made = (await self._api.graphql(_MUTATION, {"input": wanted}, CreatedCommit)).created.commit
        is_verified = made.signature is not None and made.signature.is_valid
        return _commit(made.oid, message, changes, is_verified=is_verified, url=made.url)

    async def _put_objects(self, expected_head: str, message: str, changes: Sequence[Change]) -> Commit:
        await self._check_head(expected_head)
        tree_sha = await self._write_tree(expected_head, changes)
        wanted = {"message": message, "tree": tree_sha, "parents": self._parents(expected_head)}
        made = await self._api.call("POST", f"{self._git}/commits", GitCommit, body=wanted)
        await self._move(made.sha, expected_head)
        return _of_objects(made, message, changes)

    async def _write_tree(self, expected_head: str, changes: Sequence[Change]) -> str:
        """The sha of the tree that the commit has. Trees are named by their content, so a second one is the first."""
        tree_sha = (await self._read(self._merged or expected_head)).tree.sha
        if not changes:
            return tree_sha
        wanted = {"base_tree": tree_sha, "tree": [await self._entry(change) for change in changes]}
        return (await self._api.call("POST", f"{self._git}/trees", GitObject, body=wanted)).sha

    async def _entry(self, change: Change) -> dict[str, str | None]:
        """One path of the new tree: text lies in it, other bytes are sent ahead as a blob."""
        entry: dict[str, str | None] = {"path": change.path, "mode": change.mode, "type": "blob"}
        if change.is_deleted:
            return {**entry, "mode": _PLAIN, "sha": None}
        if change.sha:
            return {**entry, "type": "commit" if change.mode == SUBMODULE else "blob", "sha": change.sha}
        text = _text(change.content)
        if text is not None:
            return {**entry, "content": text}
        body = {"content": b64encode(change.content).decode(), "encoding": "base64"}
        return {**entry, "sha": (await self._api.call("POST", f"{self._git}/blobs", GitObject, body=body)).sha}

    async def _move(self, sha: str, expected_head: str) -> None:
        try:
            await self._api.call("PATCH", f"{self._git}/refs/{self._ref}", Ref, body={"sha": sha, "force": False})
        except GitHubError as error:
            if error.status == 422 and "fast forward" in str(error):
                raise self._moved(expected_head) from error
            raise

    async def _landed(self, expected_head: str, message: str, changes: Sequence[Change]) -> Commit | None:
        """The commit that an earlier request made, None when the branch is still where it was or is not there.

        Raises:
            HeadMoved: the branch's head is another commit than this one of ours.
        """
        head = await self._visibility.find(partial(self._moved_head, expected_head))
        if head is None:
            return None
        found = await self._read(head)
        is_same = [each.sha for each in found.parents] == self._parents(expected_head)
        is_same = is_same and _parts(found.message) == _parts(message)
        is_same = is_same and found.author is not None and found.author.name == await self._bot()
        if not is_same or found.tree.sha != await self._write_tree(expected_head, changes):
            raise self._moved(expected_head)
        return _of_objects(found, message, changes)

    async def _check_head(self, expected_head: str) -> None:
        """See that the branch is where it is expected. Where it was before may still be shown for a while.

        Raises:
            HeadMoved: it is elsewhere.
        """
        head = await self.head()
        if head == expected_head:
            return
        if head is None or await self._is_behind(head, expected_head):
            self._visibility.doubt()
            head = await self._visibility.find(partial(self._head_if, expected_head))
        if head != expected_head:
            raise self._moved(expected_head)

    async def _head_if(self, wanted: str) -> str | None:
        head = await self.head()
        return head if head == wanted else None

    async def _moved_head(self, expected_head: str) -> str | None:
        """The head when it has gone on from where it was expected or went elsewhere; None for what it was before."""
        head = await self.head_unlike(expected_head)
        return None if head is None or await self._is_behind(head, expected_head) else head

    async def _is_behind(self, head: str, expected_head: str) -> bool:
        path = f"{repo_path(self._repo)}/compare/{path_part(f'{expected_head}...{head}')}"
        return (await self._api.call("GET", path, Comparison)).status == "behind"

    def _parents(self, expected_head: str) -> list[str]:
        return [expected_head, *([self._merged] if self._merged else [])]

    def _moved(self, expected_head: str) -> HeadMoved:
        return HeadMoved(f"The branch {self._name} is no longer at {expected_head[:12]}.", status=409)

    async def _read(self, sha: str) -> GitCommit:
        return await self._api.call("GET", f"{self._git}/commits/{sha}", GitCommit)


def _is_plain(change: Change) -> bool:
    """Whether the mutation gives this path the mode that it should have."""
    return change.is_deleted or (change.mode == _PLAIN and change.old_mode in {_PLAIN, _ABSENT})


def _may_have_landed(error: GitHubError) -> bool:
    return is_unclear(error) or isinstance(error, HeadMoved)


def _text(content: bytes) -> str | None:
    try:
        return None if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return None


def _parts(message: str) -> tuple[str, str]:
    subject, _, body = message.partition("\n")
    return subject.strip(), body.strip()


def _commit(sha: str, message: str, changes: Sequence[Change], *, is_verified: bool, url: str) -> Commit:
    files = tuple(change.path for change in changes)
    return Commit(sha, _parts(message)[0], files, is_verified=is_verified, url=url)


def _of_objects(made: GitCommit, message: str, changes: Sequence[Change]) -> Commit:
    is_verified = made.verification is not None and made.verification.verified
    return _commit(made.sha, message, changes, is_verified=is_verified, url=made.html_url)
