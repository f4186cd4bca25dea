"""The host-side cache of repositories, as a port."""

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from app.core.policy.tree_diff import Files, States


class Repos(Protocol):
    """Git on the host: a bare cache per installation and repository. Runs nothing of what it fetches.

    Every method raises `RepoError`.
    """

    async def fetch(self, installation_id: int, repo: str, ref: str, token: SecretStr | None, *, name: str = "") -> str:
        """Bring a branch into the cache, only what is new, and return its head's sha. Repeatable.

        `name` is what the repository is called now, where it was renamed; its cache stays that of `repo`.
        """

    async def read(
        self, installation_id: int, repo: str, sha: str, path: str, *, max_bytes: int = 65_536
    ) -> bytes | None:
        """A file's bytes at a fetched commit; None when there is no such regular file. Repeatable."""

    def pack(self, installation_id: int, repo: str, sha: str, *, beside: str = "") -> AbstractAsyncContextManager[Path]:
        """A tar, gone afterwards, of one folder `.git`: a shallow, non-bare repository of our own making with `sha`
        as its detached HEAD, no hooks, no remote, and nothing checked out. It holds the commit `beside`, too.
        Repeatable."""

    async def merge_base(self, installation_id: int, repo: str, one: str, other: str) -> str | None:
        """The newest commit that both fetched commits come from; None when it is not among the last few dozen of
        each. Repeatable."""

    async def files(self, installation_id: int, repo: str, sha: str, paths: Collection[str]) -> Files:
        """Of a fetched commit: the files at these paths, those above them (a file where a path has a folder) and all
        those under them. Nothing else. Repeatable."""

    async def links(self, installation_id: int, repo: str, sha: str) -> Mapping[str, str]:
        """All symbolic links of a fetched commit: where they stand, and the target as it is written. Repeatable."""

    async def children(self, installation_id: int, repo: str, sha: str, folders: Collection[str]) -> frozenset[str]:
        """The paths directly in the root and in these folders of a fetched commit, those of folders too. Repeatable."""

    async def tracked_by_lfs(self, installation_id: int, repo: str, sha: str, paths: Collection[str]) -> frozenset[str]:
        """Which of these paths Git LFS keeps, by the `.gitattributes` of a fetched commit. Repeatable."""

    async def diff(self, installation_id: int, repo: str, before: str, after: str) -> States:
        """What `after` has at the paths where two fetched commits differ. Renames are not followed. Repeatable."""

    async def blobs(
        self, installation_id: int, repo: str, shas: Collection[str], *, max_bytes: int = 1_048_576
    ) -> Mapping[str, bytes]:
        """The contents of blobs of fetched commits. Those that are larger than `max_bytes`, beyond 16 MiB in all, or
        not in the cache are left out. Repeatable."""
