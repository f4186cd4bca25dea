"""What a sandbox claims that its work tree holds, against what the worker knows of the branch.

The agent owns the sandbox and its git, so a claim decides nothing but what is looked at. It is compared with listings
of commits that the worker fetched itself; whatever differs from those is inspected, and its bytes are hashed here.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from app.core.errors import Refused, SandboxError
from app.core.policy.changes import ABSENT, Change

MAX_PATH_CHARS: Final = 1_024
MAX_FOLDERS: Final = 64
"""More than source code has. What is looked up for a path costs time and memory in the square of its folders."""
_LINE: Final = re.compile(
    r":(?P<old_mode>[0-7]{6}) (?P<mode>[0-7]{6}) (?P<old_sha>[0-9a-f]{40,64}) (?P<sha>[0-9a-f]{40,64}) [A-Z]"
)
_SHA: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a tree: git's mode, and the sha of its blob (of a commit for a submodule)."""

    mode: str
    sha: str


Files = Mapping[str, TreeEntry]
"""Files by path. Folders are not in it."""
States = Mapping[str, TreeEntry | None]
"""What paths are to be; None where there is to be nothing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a claim comes to. `new` differs from what is expected there and must be inspected; `kept` is what a merge
    has from the branch as it is there already."""

    new: States
    kept: States


@dataclass(frozen=True, slots=True)
class Published:
    """The tree at `head`: that of a fetched commit, with what this attempt committed on top, and the contents of that
    by sha."""

    head: str
    fetched: str
    over: States = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)

    def with_commit(self, sha: str, changes: Collection[Change]) -> "Published":
        """After a commit of ours."""
        over, contents = dict(self.over), dict(self.contents)
        for change in changes:
            blob = change.sha or hash_blob(change.content, like=self.fetched)
            over[change.path] = None if change.is_deleted else TreeEntry(change.mode, blob)
            if not change.is_deleted and not change.sha:
                contents[blob] = change.content
        return Published(sha, self.fetched, over, contents)


def parse_diff(raw: str) -> dict[str, TreeEntry | None]:
    """Read `git diff-tree -r -z --raw --no-abbrev --no-renames`: each path's new state.

    https://git-scm.com/docs/git-diff#_raw_output_format

    Raises:
        ValueError: it is not that.
    """
    parts = raw.split("\0")
    if parts.pop() or len(parts) % 2:
        raise ValueError("a line without a path")
    states: dict[str, TreeEntry | None] = {}
    for line, path in zip(parts[::2], parts[1::2], strict=True):
        read = _LINE.fullmatch(line)
        if read is None or path in states:
            raise ValueError("a line that is none, or a path twice")
        states[path] = None if read["mode"] == ABSENT else TreeEntry(read["mode"], read["sha"])
    return states


def read_claim(raw: str) -> dict[str, TreeEntry | None]:
    """What a sandbox says that differs between two of its trees.

    Raises:
        SandboxError: it is no listing.
        Refused: no tree can be like that, or a path that can be no path on GitHub.
    """
    try:
        states = parse_diff(raw)
    except ValueError as error:
        raise SandboxError("The sandbox's git gave a listing that cannot be read.") from error
    for path in states:
        if len(path) > MAX_PATH_CHARS or path.count("/") > MAX_FOLDERS:
            raise Refused(f"The path {path[:100]!a}… is too long or nested too deeply, so it is not published.")
    present = {path for path, state in states.items() if state is not None}
    for path in states:
        if not is_path(path):
            raise Refused(f"Paths like {path!a} are not published.")
        if path in present and any(folder in present for folder in folders_of(path)):
            raise Refused(f"The sandbox lists {path!a} inside a path that it also lists as a file.")
    return states


def is_path(path: str) -> bool:
    """Can a file of a git tree have this path, and can it be said in UTF-8?"""
    is_utf8 = not any("\ud800" <= char <= "\udfff" for char in path)
    return is_utf8 and "\0" not in path and {"", ".", ".."}.isdisjoint(path.split("/"))


def folders_of(path: str) -> list[str]:
    """The folders that a path lies in, the root left out."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def is_sha(text: str) -> bool:
    return _SHA.fullmatch(text) is not None


def hash_blob(content: bytes, like: str) -> str:
    """The sha that git gives a file of this content, in the format of `like` (SHA-1 or SHA-256)."""
    data = b"blob %d\0" % len(content) + content
    return (
        hashlib.sha256(data).hexdigest() if len(like) == 64 else hashlib.sha1(data, usedforsecurity=False).hexdigest()
    )


def compare(claim: States, below: Files, own: States) -> Difference:
    """What publishing the claim on top of the tree `below` would change.

    `below` has at least each file at, above or under a path of `claim` and `own`. `own` is what a merge keeps of the
    branch, by the worker's own reckoning: what is there and what is claimed for those paths are looked at like the
    rest unless they are the same.

    A file where a folder is takes away all that is in it, and one under a file takes that away, whether the claim says
    so or not: both are counted as deletions.
    """
    states: dict[str, TreeEntry | None] = {path: below.get(path) for path in own} | dict(claim)
    present = {path for path, state in states.items() if state is not None}
    covered = {folder for path in present for folder in folders_of(path)}
    for path in below.keys() - present:
        if path in covered or any(folder in present for folder in folders_of(path)):
            states[path] = None
    expected = {path: own[path] if path in own else below.get(path) for path in states}
    return Difference(
        new={path: state for path, state in states.items() if state != expected[path]},
        kept={path: state for path, state in states.items() if state == expected[path] != below.get(path)},
    )
