"""A bare git repository on disk, driven by git's plumbing: the only truth about refs and commits.

Nothing of a repository is ever run: no hooks, no user or system configuration, no prompt.
"""

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

NO_OBJECT: Final = "0" * 40
SHA: Final = re.compile(r"[0-9a-f]{40}")
_TIMEOUT_S: Final = 60.0
_SAFE: Final = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")
_IDENTITY: Final = re.compile(r"(?P<name>.*?) ?<(?P<email>[^>]*)> (?P<seconds>\d+) (?P<zone>[+-]\d{4})$")


class GitFailed(Exception):
    """Git said no; `str()` is what it printed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who made a commit, and when."""

    name: str
    email: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __str__(self) -> str:
        return f"{self.name} <{self.email}> {int(self.at.timestamp())} +0000"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as git stores it; `message` has no trailing newline."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Identity
    committer: Identity
    message: str

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a tree. `mode` as git writes it; `sha` None takes the path away; `size` None for what is no blob."""

    path: str
    mode: str
    sha: str | None
    kind: str = "blob"
    size: int | None = None


def environment(**more: str) -> dict[str, str]:
    """All that git is given: nothing of ours, and the configuration of nobody."""
    return {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        **more,
    }


def program(*argv: str) -> list[str]:
    """The command line that runs git, hooks off."""
    return [shutil.which("git") or "git", *_SAFE, *argv]


def _parse_identity(line: str) -> Identity:
    found = _IDENTITY.fullmatch(line)
    if found is None:
        return Identity(line, "", datetime.fromtimestamp(0, UTC))
    return Identity(found["name"], found["email"], datetime.fromtimestamp(int(found["seconds"]), UTC))


def _parse_commit(sha: str, raw: str) -> Commit:
    head, _, message = raw.partition("\n\n")
    lines = [line.partition(" ") for line in head.split("\n") if not line.startswith(" ")]
    fields = {key: value for key, _, value in lines}
    return Commit(
        sha=sha,
        tree=fields["tree"],
        parents=tuple(value for key, _, value in lines if key == "parent"),
        author=_parse_identity(fields["author"]),
        committer=_parse_identity(fields["committer"]),
        message=message.rstrip("\n"),
    )


def _loose_refs(repository: Path, prefix: str) -> dict[str, str]:
    """The refs that are files of their own (gitrepository-layout(5)), in order of name."""
    found = {}
    for folder, _, names in os.walk(repository / "refs"):
        for path in (Path(folder, name) for name in names if not name.endswith(".lock")):
            name = path.relative_to(repository).as_posix()
            if name.startswith(prefix):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    found[name] = path.read_text("ascii").strip()
    return dict(sorted(found.items()))


def _write_loose_blob(objects: Path, data: bytes) -> str:
    """What `git hash-object -w` does: an object is a deflated file, named by its SHA-1."""
    raw = b"blob %d\0" % len(data) + data
    sha = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    path = objects / sha[:2] / sha[2:]
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix="tmp_obj_", delete=False) as file:
            file.write(zlib.compress(raw, 1))
        Path(file.name).replace(path)
        path.chmod(0o444)
    return sha


class BareRepo:
    """One repository. Every method raises `GitFailed` when git does."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._monotonic = monotonic
        self._moves: list[tuple[float, str, str | None]] = []
        """When which ref was moved, and from where."""

    async def run(self, *argv: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Run git in this repository and return what it printed."""
        command = program("--git-dir", str(self.path), *argv)

        def call() -> bytes:
            done = subprocess.run(
                command,
                input=stdin,
                env=environment(**(env or {})),
                cwd=self.path,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0 or done.stderr.startswith(b"Ignoring path"):
                raise GitFailed(done.stderr.decode(errors="replace").strip())
            return done.stdout

        return await asyncio.to_thread(call)

    async def init(self, default_branch: str) -> None:
        self.path.mkdir(parents=True)
        await self.run("init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}")
        with (self.path / "config").open("a") as config:
            config.write("[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n")

    # refs ------------------------------------------------------------------------------------------------------

    async def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """Every ref whose full name begins with `prefix`, in order of name."""
        # Nothing packs them here, and git takes milliseconds to start for what is asked for most.
        if not (self.path / "packed-refs").exists():
            return _loose_refs(self.path, prefix)
        printed = (await self.run("for-each-ref", "--format=%(refname) %(objectname)")).decode()
        pairs = (line.rpartition(" ") for line in printed.splitlines())
        return {name: sha for name, _, sha in pairs if name.startswith(prefix)}

    async def ref(self, name: str) -> str | None:
        return (await self.refs(name)).get(name)

    async def head(self, branch: str) -> str | None:
        return await self.ref(f"refs/heads/{branch}")

    async def shown_ref(self, name: str, lag_s: float) -> str | None:
        """Where a ref was so many seconds ago."""
        since = self._monotonic() - lag_s
        return next((sha for at, moved, sha in self._moves if moved == name and at > since), await self.ref(name))

    async def update_ref(self, name: str, sha: str, expected: str) -> None:
        """Move a ref that stands at `expected` (`NO_OBJECT`: does not exist yet), or fail."""
        await self.run("update-ref", "--", name, sha, expected)
        self._moves.append((self._monotonic(), name, None if expected == NO_OBJECT else expected))

    async def delete_ref(self, name: str) -> None:
        await self.run("update-ref", "-d", "--", name)

    async def is_ref_name(self, name: str) -> bool:
        try:
            await self.run("check-ref-format", name)
        except GitFailed:
            return False
        return True

    async def resolve(self, ref: str) -> str | None:
        """The commit that a sha, a branch or a full ref name means; None when there is none."""
        if SHA.fullmatch(ref):
            return ref if await self.kind(ref) == "commit" else None
        known = await self.refs()
        return next((known[name] for name in (f"refs/heads/{ref}", f"refs/{ref}", ref) if name in known), None)

    # objects ---------------------------------------------------------------------------------------------------

    async def kind(self, sha: str) -> str | None:
        """`commit`, `tree`, `blob`, `tag`, or None when there is no such object."""
        try:
            return (await self.run("cat-file", "-t", sha)).decode().strip()
        except GitFailed:
            return None

    async def write_blob(self, data: bytes) -> str:
        return await asyncio.to_thread(_write_loose_blob, self.path / "objects", data)

    async def write_tree(self, base: str | None, entries: Sequence[Entry]) -> str:
        """The tree `base` with these paths put or taken away; git refuses paths such as `.git/x` and `../x`."""
        if any("\0" in entry.path for entry in entries):
            raise GitFailed("A path holds a zero byte.")
        lines = [f"{entry.mode if entry.sha else 0} {entry.sha or NO_OBJECT}\t{entry.path}\0" for entry in entries]
        with tempfile.TemporaryDirectory(prefix="index-", dir=self.path) as folder:
            env = {"GIT_INDEX_FILE": f"{folder}/index"}
            if base:
                await self.run("read-tree", base, env=env)
            await self.run("update-index", "--replace", "-z", "--index-info", stdin="".join(lines).encode(), env=env)
            return (await self.run("write-tree", env=env)).decode().strip()

    async def write_commit(self, commit: Commit) -> str:
        """Store a commit (its `sha` is not looked at) and return its sha."""
        lines = [f"tree {commit.tree}", *(f"parent {sha}" for sha in commit.parents)]
        lines += [f"author {commit.author}", f"committer {commit.committer}"]
        raw = "\n".join(lines) + f"\n\n{commit.message.rstrip()}\n"
        return (await self.run("hash-object", "-w", "-t", "commit", "--stdin", stdin=raw.encode())).decode().strip()

    async def commit(self, sha: str) -> Commit:
        return _parse_commit(sha, (await self.run("cat-file", "commit", sha)).decode(errors="replace"))

    async def tree(self, sha: str, *, recursive: bool = False) -> list[Entry]:
        """A commit's or tree's entries; recursive lists folders too, as GitHub does."""
        options = ("-r", "-t") if recursive else ()
        printed = (await self.run("ls-tree", "-z", "-l", *options, sha)).decode(errors="replace")
        entries = []
        for line in printed.split("\0")[:-1]:
            head, _, path = line.partition("\t")
            mode, kind, blob, size = head.split()
            entries.append(Entry(path, mode, blob, kind, None if size == "-" else int(size)))
        return entries

    async def blob(self, sha: str) -> bytes:
        return await self.run("cat-file", "blob", sha)

    async def file(self, ref: str, path: str) -> bytes | None:
        """A file's bytes at a commit or branch; None when there is no such file."""
        try:
            return await self.run("cat-file", "blob", f"{ref}:{path}")
        except GitFailed:
            return None

    # history ---------------------------------------------------------------------------------------------------

    async def log(self, revisions: str, *, limit: int = 250) -> list[Commit]:
        """The newest first; `revisions` is a ref, or `base..head`."""
        shas = await self.run("rev-list", f"--max-count={limit}", revisions, "--")
        printed = await self.run("cat-file", "--batch", stdin=shas)
        commits = []
        while printed:
            head, _, rest = printed.partition(b"\n")
            sha, _, size = head.decode().split()
            commits.append(_parse_commit(sha, rest[: int(size)].decode(errors="replace")))
            printed = rest[int(size) + 1 :]
        return commits

    async def count(self, revisions: str) -> int:
        return int(await self.run("rev-list", "--count", revisions, "--"))

    async def merge_base(self, one: str, other: str) -> str | None:
        try:
            return (await self.run("merge-base", one, other)).decode().strip()
        except GitFailed:
            return None

    async def merged_tree(self, ours: str, theirs: str) -> str | None:
        """The tree that merging two commits gives, None when they are in conflict."""
        try:
            return (await self.run("merge-tree", "--write-tree", "--no-messages", ours, theirs)).decode().strip()
        except GitFailed as error:
            if str(error):
                raise
            return None

    async def diff(self, base: str, head: str, *paths: str) -> str:
        """What `head` changed since it left `base`, as a unified diff."""
        start = await self.merge_base(base, head) or base
        printed = await self.run("diff", "--no-color", "--no-ext-diff", "--no-textconv", start, head, "--", *paths)
        return printed.decode(errors="replace")
