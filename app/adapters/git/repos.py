"""The host-side git cache: one bare repository per installation and repository, with nothing in it but objects.

A token travels in the environment of one short-lived `git fetch` (as `http.<url>.extraHeader`): not on a command line,
which every user of the machine can read, nor in a URL or a file, which outlive the call. Redirects are not followed, so
it reaches the server it is meant for and no other.

A cache that is damaged or has grown too large is thrown away and fetched anew: all that is in it is also at its origin.
"""

import asyncio
import hashlib
import logging
import os
import re
import shutil
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from app.adapters.git.cache import evict, forget_leftovers, locked, mark_used, tidy
from app.adapters.git.host import GitFailed, environment, run
from app.core.errors import RepoError
from app.core.policy.tree_diff import Files, States, TreeEntry, folders_of, is_sha, parse_diff
from app.core.refs import is_branch
from app.core.safety.escape import code

DEPTH: Final = 50
MAX_BYTES: Final = 16 * 1024**2
"""The most that is read of one command's output."""
MAX_LISTING_BYTES: Final = 64 * 1024**2
"""Of a whole tree's listing: more than half a million files."""
MAX_TARGET_BYTES: Final = 4_096
"""Linux takes no longer path as a link's target."""
PATHS_AT_ONCE: Final = 500
MAX_ATTEMPTS: Final = 2
RETRY_WAIT_S: Final = 1.0

_HARMLESS: Final = ("zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "missingEmail", "badEmail")
"""Faults that old tools left in respectable histories; everything else that fsck finds stops a fetch."""

_LINK: Final = re.compile(r"(?:\A|(?<=\0))120000 blob ([0-9a-f]+)\t([^\0]+)")
_AWAY: Final = re.compile(
    r"Could not resolve|Failed to connect|Couldn't connect|Connection (refused|reset)|hung up|Empty reply|early EOF"
    r"|RPC failed|error: (408|429|5\d\d)|timed out"
)

_TRUSTING: Final = "git -c 'safe.directory=*' upload-pack"
"""Whether the person trusts a local repository of somebody else's was asked where it was opened, with their own git."""

_OUR_CONFIG: Final = """[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
[gc]
\tauto = 0
[advice]
\tdetachedHead = false
[filter "lfs"]
\tclean =
\tsmudge =
\tprocess =
\trequired = false
[user]
\tname = vibecoder
\temail = vibecoder@localhost
"""

log = logging.getLogger(__name__)


class GitRepos:
    """`Repos` with git. `url` tells where a repository (`owner/name`) is fetched from: http, https or file.

    `max_bytes` bounds every single file that git writes, and with it a pack; a cache above it starts anew. After
    a fetch the least recently used of the others go until all together are within `max_total_bytes`.
    """

    def __init__(
        self,
        root: Path,
        *,
        url: Callable[[str], str],
        max_bytes: int = 2 * 1024**3,
        max_total_bytes: int = 10 * 1024**3,
        timeout_s: float = 600.0,
    ) -> None:
        self._root = root
        self._url = url
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._timeout_s = timeout_s

    async def fetch(self, installation_id: int, repo: str, ref: str, token: SecretStr | None, *, name: str = "") -> str:
        """Bring a branch into the cache. See the port."""
        if not is_branch(ref):
            raise RepoError(f"{code(ref[:100])} cannot be a branch's name.")
        cache = self._cache(installation_id, repo)
        async with locked(cache, self._timeout_s):
            await asyncio.to_thread(tidy, cache, self._max_bytes)
            sha = await self._fetch_twice(cache, name or repo, ref, token)
            await asyncio.to_thread(evict, self._root, self._max_total_bytes, keep=cache)
            return sha

    async def _fetch_twice(self, cache: Path, repo: str, ref: str, token: SecretStr | None) -> str:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await self._fetch(cache, repo, ref, token)
            except GitFailed as error:
                is_away = _AWAY.search(error.stderr) is not None
                known = await self._explain(error, repo, ref, token)
                if attempt == MAX_ATTEMPTS or (known and not is_away):
                    words = known or f"Git could not fetch {repo}: {_stderr_tail(error)}"
                    raise RepoError(words, is_passing=is_away) from error
                log.warning("%s is fetched once more: %s", repo, _stderr_tail(error))
            if is_away:
                await asyncio.sleep(RETRY_WAIT_S)
            else:
                await asyncio.to_thread(shutil.rmtree, cache, ignore_errors=True)
        raise AssertionError("the loop ends by returning or raising")

    async def _fetch(self, cache: Path, repo: str, ref: str, token: SecretStr | None) -> str:
        if not (cache / "HEAD").exists():
            await self._git(["init", "--quiet", "--bare", "--template=", str(cache)], cache.parent)
        # Named by digest: `a` may have gone and `a/b` have come, which cannot both be refs.
        ours = f"refs/vibecoder/{hashlib.sha256(ref.encode()).hexdigest()}"
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--update-shallow"]
        options += [f"--depth={DEPTH}", f"--upload-pack={_TRUSTING}"]
        wanted = f"+refs/heads/{ref}:{ours}"
        await self._git(["fetch", *options, "--", self._url(repo), wanted], cache, token, repo)
        return await self._line(["rev-parse", "--verify", f"{ours}^{{commit}}"], cache)

    async def read(
        self, installation_id: int, repo: str, sha: str, path: str, *, max_bytes: int = 65_536
    ) -> bytes | None:
        """A regular file's first `max_bytes`. See the port."""
        cache = self._cache(installation_id, repo)
        if not is_sha(sha):
            await self._check_known(cache, repo, sha)
        if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
            return None
        try:
            listed = await self._git(["ls-tree", "-z", "--full-tree", sha, "--", path], cache)
            await asyncio.to_thread(mark_used, cache)
            entry = re.match(rb"100\d{3} blob ([0-9a-f]+)\t", listed)
            if entry is None:
                return None
            return await self._git(["cat-file", "blob", entry[1].decode()], cache, max_output_bytes=max_bytes)
        except (GitFailed, RepoError) as error:
            await self._check_known(cache, repo, sha)
            words = _stderr_tail(error) if isinstance(error, GitFailed) else error
            raise RepoError(f"Git could not read {path} of {repo}: {words}") from error

    def pack(self, installation_id: int, repo: str, sha: str, *, beside: str = "") -> AbstractAsyncContextManager[Path]:
        """A tar of a small repository of our own making. See the port."""
        return self._pack(self._cache(installation_id, repo), repo, [sha, *([beside] if beside else [])])

    async def merge_base(self, installation_id: int, repo: str, one: str, other: str) -> str | None:
        """Where two histories part. See the port."""
        cache = self._cache(installation_id, repo)
        for sha in (one, other):
            await self._check_known(cache, repo, sha)
        try:
            return await self._line(["merge-base", one, other], cache)
        except GitFailed as error:
            if error.exit_code != 1:
                raise RepoError(f"Git could not compare two commits of {repo}: {_stderr_tail(error)}") from error
            return None

    async def files(self, installation_id: int, repo: str, sha: str, paths: Collection[str]) -> Files:
        """The files at, above and under these paths. See the port."""
        cache = self._cache(installation_id, repo)
        await self._check_known(cache, repo, sha)
        wanted = sorted(set(paths))
        folders = sorted({folder for path in wanted for folder in folders_of(path)})
        found: dict[str, TreeEntry] = {}
        for options, names in (((), folders), (("-r",), wanted)):
            for first in range(0, len(names), PATHS_AT_ONCE):
                some = names[first : first + PATHS_AT_ONCE]
                listed = await self._list(["ls-tree", *options, "-z", "--full-tree", sha, "--", *some], cache, repo)
                for line in listed.split("\0")[:-1]:
                    about, _, path = line.partition("\t")
                    mode, kind, object_sha = about.split(" ")
                    if kind != "tree":
                        found[path] = TreeEntry(mode, object_sha)
        return found

    async def links(self, installation_id: int, repo: str, sha: str) -> dict[str, str]:
        """All symbolic links. See the port."""
        cache = self._cache(installation_id, repo)
        await self._check_known(cache, repo, sha)
        listed = await self._list(["ls-tree", "-r", "-z", "--full-tree", sha], cache, repo, MAX_LISTING_BYTES)
        entries = {found[2]: found[1] for found in _LINK.finditer(listed)}
        contents = await self.blobs(installation_id, repo, set(entries.values()), max_bytes=MAX_TARGET_BYTES)
        return {path: os.fsdecode(contents[sha]) for path, sha in entries.items() if sha in contents}

    async def children(self, installation_id: int, repo: str, sha: str, folders: Collection[str]) -> frozenset[str]:
        """The paths directly in the root and in these folders. See the port."""
        cache = self._cache(installation_id, repo)
        await self._check_known(cache, repo, sha)
        command, names = ["ls-tree", "-z", "--name-only", "--full-tree", sha], sorted(set(folders))
        listed = await self._list(command, cache, repo)
        for first in range(0, len(names), PATHS_AT_ONCE):
            some = [f"{name}/" for name in names[first : first + PATHS_AT_ONCE]]
            listed += await self._list([*command, "--", *some], cache, repo)
        found = listed.split("\0")[:-1]
        # Where git goes on into a folder it does not list the folder itself.
        return frozenset((*found, *(folder for path in found for folder in folders_of(path))))

    async def tracked_by_lfs(self, installation_id: int, repo: str, sha: str, paths: Collection[str]) -> frozenset[str]:
        """Which of these paths Git LFS keeps. See the port."""
        wanted = {".gitattributes", *(f"{folder}/.gitattributes" for path in paths for folder in folders_of(path))}
        found = await self.files(installation_id, repo, sha, wanted) if paths else {}
        entries = {path: entry for path, entry in found.items() if path in wanted and entry.mode.startswith("100")}
        if not entries:
            return frozenset()
        listed = os.fsencode("".join(f"{entry.mode} {entry.sha}\t{path}\0" for path, entry in entries.items()))
        asked = os.fsencode("".join(f"{path}\0" for path in paths))
        with tempfile.TemporaryDirectory(prefix="pack-", dir=self._root) as made:
            # In a repository of its own, whose index has the attributes and nothing else.
            empty = Path(made)
            try:
                kind = f"--object-format=sha{256 if len(sha) == 64 else 1}"
                await self._git(["init", "--quiet", "--bare", "--template=", kind, made], self._root)
                (empty / "objects" / "info").mkdir(exist_ok=True)
                objects = self._cache(installation_id, repo).resolve() / "objects"
                (empty / "objects" / "info" / "alternates").write_text(f"{objects}\n")
                await self._git(["update-index", "-z", "--index-info"], empty, stdin=listed)
                told = await self._git(["check-attr", "--cached", "-z", "--stdin", "filter"], empty, stdin=asked)
            except GitFailed as error:
                raise RepoError(f"Git could not read the attributes of {repo}: {_stderr_tail(error)}") from error
        words = os.fsdecode(told).split("\0")
        return frozenset(path for path, value in zip(words[::3], words[2::3], strict=False) if value == "lfs")

    async def diff(self, installation_id: int, repo: str, before: str, after: str) -> States:
        """Where two commits differ. See the port."""
        cache = self._cache(installation_id, repo)
        for sha in (before, after):
            await self._check_known(cache, repo, sha)
        options = ["-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--ignore-submodules=none"]
        return parse_diff(await self._list(["diff-tree", *options, before, after], cache, repo))

    async def blobs(
        self, installation_id: int, repo: str, shas: Collection[str], *, max_bytes: int = 1_048_576
    ) -> dict[str, bytes]:
        """Contents by sha. See the port."""
        cache, left = self._cache(installation_id, repo), MAX_BYTES
        if not shas or not await asyncio.to_thread(cache.is_dir):
            return {}
        asked = "".join(f"{sha}\n" for sha in dict.fromkeys(shas) if is_sha(sha)).encode()
        sizes: dict[str, int] = {}
        try:
            told = await self._git(["cat-file", "--batch-check"], cache, stdin=asked)
            for sha, kind, told_size in (line.split() for line in told.decode().splitlines() if line.count(" ") == 2):
                size = int(told_size)
                if kind == "blob" and size <= max_bytes and left >= size + 100:
                    sizes[sha], left = size, left - size - 100
            wanted = "".join(f"{sha}\n" for sha in sizes).encode()
            raw = await self._git(["cat-file", "--batch"], cache, stdin=wanted) if sizes else b""
        except GitFailed as error:
            raise RepoError(f"Git could not read files of {repo}: {_stderr_tail(error)}") from error
        contents, at = {}, 0
        for sha, size in sizes.items():
            start = raw.index(b"\n", at) + 1
            at = start + size + 1
            contents[sha] = raw[start : start + size]
        return contents

    async def _list(self, arguments: list[str], cache: Path, repo: str, max_bytes: int = MAX_BYTES) -> str:
        """A listing, whole or not at all."""
        try:
            listed = await self._git(arguments, cache, max_output_bytes=max_bytes)
        except GitFailed as error:
            raise RepoError(f"Git could not list files of {repo}: {_stderr_tail(error)}") from error
        if len(listed) >= max_bytes:
            raise RepoError(f"{repo} has more files at these paths than can be looked through.")
        return os.fsdecode(listed)

    @asynccontextmanager
    async def _pack(self, cache: Path, repo: str, shas: list[str]) -> AsyncIterator[Path]:
        for sha in shas:
            await self._check_known(cache, repo, sha)
        await asyncio.to_thread(forget_leftovers, self._root)
        with tempfile.TemporaryDirectory(prefix="pack-", dir=self._root) as made:
            folder = Path(made)
            try:
                async with locked(cache, self._timeout_s):
                    await self._write_repository(cache, shas, folder / ".git")
            except GitFailed as error:
                raise RepoError(f"Git could not pack {repo}: {_stderr_tail(error)}") from error
            yield await asyncio.to_thread(_write_tar, folder)

    async def _write_repository(self, cache: Path, shas: list[str], target: Path) -> None:
        """Write the last `DEPTH` commits of each as a repository. Its `shallow` names those whose parents stayed
        behind."""
        some = ["rev-list", f"--max-count={DEPTH}", "--parents"]
        listed = "".join([(await self._git([*some, sha], cache)).decode() for sha in shas])
        parents = {line.split()[0]: line.split()[1:] for line in listed.splitlines()}
        edge = [commit for commit, before in parents.items() if not set(before) <= parents.keys()]
        own = (cache / "shallow").read_text().split() if (cache / "shallow").exists() else []
        edge += [commit for commit in own if commit in parents and commit not in edge]
        (target / "objects" / "pack").mkdir(parents=True)
        (target / "refs").mkdir()
        (target / "HEAD").write_text(f"{shas[0]}\n")
        (target / "config").write_text(_OUR_CONFIG)
        if edge:
            (target / "shallow").write_text("".join(f"{commit}\n" for commit in edge))
        wanted = "".join([*(f"--shallow {commit}\n" for commit in edge), *(f"{sha}\n" for sha in shas)])
        await self._git(
            ["pack-objects", "--quiet", "--revs", str(target / "objects" / "pack" / "pack")],
            cache,
            stdin=wanted.encode(),
        )

    async def _check_known(self, cache: Path, repo: str, sha: str) -> None:
        try:
            if is_sha(sha) and await asyncio.to_thread(cache.is_dir):
                await self._git(["cat-file", "-e", f"{sha}^{{commit}}"], cache)
                await asyncio.to_thread(mark_used, cache)
                return
        except GitFailed:
            pass
        raise RepoError(f"The commit {sha[:64]} of {repo} is not in the cache; it must be fetched first.")

    async def _explain(self, error: GitFailed, repo: str, ref: str, token: SecretStr | None) -> str:
        """What a known failure means, or nothing."""
        said = error.stderr
        if "couldn't find remote ref" in said:
            try:
                heads = await self._git(["ls-remote", "--heads", "--", self._url(repo)], self._root, token, repo)
            except GitFailed:
                return ""
            return f"{repo} has no branch {code(ref)}." if heads else f"{repo} is empty: it has no commit yet."
        if re.search(r"Authentication failed|could not read Username|returned error: 40[13]", said):
            return f"{repo} may not be read: the server refused the token. Is the App still installed there?"
        if re.search(r"repository '.*' not found|does not (exist|appear to be a git repository)", said):
            return f"{repo} is not there, or the App may not see it."
        if _AWAY.search(said) or "unable to access" in said:
            return f"The git server of {repo} does not answer: {_stderr_tail(error)}"
        if "File too large" in said:
            return f"{repo} is larger than the {self._max_bytes // 1024**2} MiB that are allowed."
        if re.search(r"fsck error|error in object", said):
            return f"{repo} holds a damaged or dangerous object, so it is not fetched: {_stderr_tail(error)}"
        return ""

    async def _git(
        self,
        arguments: list[str],
        cwd: Path,
        token: SecretStr | None = None,
        repo: str = "",
        *,
        stdin: bytes = b"",
        max_output_bytes: int = MAX_BYTES,
    ) -> bytes:
        config = {"fetch.fsckObjects": "true", "fetch.unpackLimit": "1", "http.followRedirects": "false"}
        # A server that sends next to nothing for half a minute is taken for one that hangs.
        config |= {"http.lowSpeedLimit": "1", "http.lowSpeedTime": "30"}
        config |= {f"fetch.fsck.{fault}": "ignore" for fault in _HARMLESS}
        if token and token.get_secret_value():
            basic = b64encode(f"x-access-token:{token.get_secret_value()}".encode()).decode()
            config[f"http.{self._url(repo)}.extraHeader"] = f"Authorization: Basic {basic}"
        env = environment(config) | {"GIT_ALLOW_PROTOCOL": "http:https:file"}
        # In blocks of 512 bytes, as POSIX says. With the signal ignored git says what happened instead of dying mute.
        limited = ["sh", "-c", 'trap "" XFSZ && ulimit -f "$0" && exec git "$@"', str(self._max_bytes // 512)]
        try:
            return await run(
                [*limited, *arguments],
                cwd=cwd,
                env=env,
                stdin=stdin,
                timeout_s=self._timeout_s,
                max_output_bytes=max_output_bytes,
            )
        except TimeoutError as error:
            raise RepoError(
                f"Git did not end within {self._timeout_s:g} s (`git {arguments[0]}`).", is_passing=True
            ) from error
        except OSError as error:
            raise RepoError(f"Git cannot be started on this machine: {error.strerror}.") from error

    async def _line(self, arguments: list[str], cwd: Path) -> str:
        return (await self._git(arguments, cwd)).decode().strip()

    def _cache(self, installation_id: int, repo: str) -> Path:
        """The cache's folder. Its name is told apart by a digest, and never leads out of the root."""
        digest = hashlib.sha256(f"{repo}\n{self._url(repo)}".encode()).hexdigest()[:16]
        readable = re.sub(r"[^A-Za-z0-9]+", "-", repo)[:80].strip("-")
        return self._root / str(int(installation_id)) / f"{readable}-{digest}.git"


def _write_tar(folder: Path) -> Path:
    tar = folder / "repository.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(folder / ".git", ".git", filter=_owned_by_root)
    return tar


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _stderr_tail(error: GitFailed) -> str:
    lines = [line.removeprefix("fatal: ").removeprefix("error: ") for line in error.stderr.splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit code {error.exit_code}")[:300]
