"""What is published is decided by what the worker knows, whatever the sandbox says."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from app.adapters.git.repos import GitRepos
from app.core.errors import Refused, SandboxError
from app.core.policy.changes import Change, CommitLimits, inspect
from app.core.policy.tree_diff import TreeEntry, hash_blob
from app.core.ports.sandbox import ExecResult, Sandbox
from app.runs.context import RunContext
from app.runs.stages.branch_changes import Changes, list_changed, read_changes, read_sides
from app.runs.stages.work_tree import snapshot
from tests.adapters.origin import Origin

NOTHING = "0" * 40
EVIL = b"* @EVIL\n"


class Liar:
    """A machine whose git says what it was told to say. Blobs are given as they are, under the names asked for."""

    work_tree = "/work"

    def __init__(
        self, listing: str = "", blobs: Mapping[str, bytes] | None = None, *, raw: bytes | None = None
    ) -> None:
        self.listing = listing
        self.blobs = blobs or {}
        self.raw = raw

    async def exec(self, argv: Sequence[str], **_: object) -> ExecResult:
        if argv[0] == "git":
            return ExecResult(0, self.listing, 0)
        shas = argv[5:]
        said = b"".join(b"%s blob %d\n%s\n" % (sha.encode(), len(self.blobs[sha]), self.blobs[sha]) for sha in shas)
        return ExecResult(0, f"1\n{base64.b64encode(said if self.raw is None else self.raw).decode()}", 0)


def claim(**states: bytes | None) -> tuple[str, dict[str, bytes]]:
    """A listing and the blobs for it; `__` stands for `/`, `_D_` for a dot."""
    return listing({name.replace("__", "/").replace("_D_", "."): content for name, content in states.items()})


def listing(states: Mapping[str, bytes | None]) -> tuple[str, dict[str, bytes]]:
    blobs = {hash_blob(content, NOTHING): content for content in states.values() if content is not None}
    lines = [
        f":100644 {'000000' if content is None else '100644'} {NOTHING} "
        f"{NOTHING if content is None else hash_blob(content, NOTHING)} M\0{path}\0"
        for path, content in states.items()
    ]
    return "".join(lines), blobs


class Place:
    """A branch that changed `a.py` and owns `CODEOWNERS`, and base that changed `b.py` since, both fetched."""

    def __init__(self, folder: Path) -> None:
        self.origin = Origin(folder / "origin")
        self.repos = GitRepos(folder / "cache", url=lambda _: self.origin.path.as_uri())
        self.fetches = 0

    async def work(self, sandbox: Liar) -> RunContext:
        origin = self.origin
        for path in ("a.py", "b.py", "docs/CODEOWNERS", "docs/x.md"):
            origin.commit(path, "old\n")
        origin.git("checkout", "--quiet", "-b", "ours")
        origin.commit("CODEOWNERS", "* @acme\n")
        head = origin.commit("a.py", "ours\n")
        origin.git("checkout", "--quiet", "main")
        base = origin.commit("b.py", "theirs\n")
        for branch in ("main", "ours"):
            await self.repos.fetch(1, "acme/greeter", branch, None)
        job = SimpleNamespace(installation_id=1, repo="acme/greeter")
        run = SimpleNamespace(job=job, head_sha=head, base_sha=base, branch="ours", base_ref="main", merges=base)
        ports = SimpleNamespace(repos=self.repos)
        return cast(
            RunContext, SimpleNamespace(run=run, ports=ports, sandbox=sandbox, published=None, fetch=self.fetch)
        )

    async def fetch(self, ref: str) -> str:
        self.fetches += 1
        return await self.repos.fetch(1, "acme/greeter", ref, None)

    async def look(self, sandbox: Liar, *, merges: bool = False) -> Changes:
        ctx = await self.work(sandbox)
        sides = await read_sides(ctx) if merges else None
        return await read_changes(ctx, "1" * 40, "2" * 40, sides, CommitLimits())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_old_contents_are_the_branchs_own(place: Place) -> None:
    changes = await place.look(Liar(*claim(a_D_py=b"new\n", n_D_py=b"n\n", b_D_py=None)))

    assert {each.path: (each.old_content, each.old_mode, each.is_deleted) for each in changes.new} == {
        "a.py": (b"ours\n", "100644", False),
        "n.py": (None, "000000", False),
        "b.py": (b"old\n", "100644", True),
    }
    assert place.fetches == 0


async def test_what_is_claimed_as_changed_and_is_not_is_left_out(place: Place) -> None:
    assert (await place.look(Liar(*claim(a_D_py=b"ours\n", nothing=None)))).new == ()


async def test_a_merge_keeps_by_the_workers_own_reckoning(place: Place) -> None:
    """The sandbox says as `own` nothing at all: what it claims beyond is inspected."""
    listed, blobs = listing({"a.py": b"ours\n", "CODEOWNERS": b"* @acme\n", "docs/CODEOWNERS": EVIL, "n.py": b"n\n"})
    changes = await place.look(Liar(listed, blobs), merges=True)
    inspection = inspect(changes.new)

    assert [each.path for each in changes.kept] == ["CODEOWNERS", "a.py"]
    assert inspection.held == ("docs/CODEOWNERS",)
    assert {each.path: each.content for each in changes.to_send(inspection)} == {
        "CODEOWNERS": b"",
        "a.py": b"",
        "n.py": b"n\n",
    }
    assert all(each.sha for each in changes.kept)


async def test_a_merge_cannot_drop_a_persons_change_to_a_protected_path_by_saying_nothing(place: Place) -> None:
    changes = await place.look(Liar(*claim(a_D_py=b"ours\n")), merges=True)
    inspection = inspect(changes.new)

    assert inspection.held == ("CODEOWNERS",)
    assert [each.path for each in changes.to_send(inspection) if each.sha] == ["a.py", "CODEOWNERS"]


async def test_what_a_file_in_a_folders_place_takes_away_is_counted(place: Place) -> None:
    changes = await place.look(Liar(*claim(docs=b"x\n")))

    assert {each.path for each in changes.new if each.is_deleted} == {"docs/CODEOWNERS", "docs/x.md"}
    assert set(inspect(changes.new).held) == {"docs", "docs/CODEOWNERS"}


async def test_a_folder_in_a_files_place_takes_the_file_away(place: Place) -> None:
    changes = await place.look(Liar(*listing({"a.py/x": b"x\n"})))

    assert {each.path: each.is_deleted for each in changes.new} == {"a.py": True, "a.py/x": False}


async def test_other_bytes_than_were_listed_are_not_taken(place: Place) -> None:
    listed, blobs = claim(n_D_py=b"harmless\n")
    with pytest.raises(SandboxError, match="other contents than it listed"):
        await place.look(Liar(listed, dict.fromkeys(blobs, EVIL)))


@pytest.mark.parametrize(
    "raw", [b"", b"x", b"\xff" * 300, b"0" * 40 + b" blob -99\nx\n", b"0" * 40 + b" missing\n", b"a blob 9" + b"9" * 99]
)
async def test_bytes_that_are_no_blobs_end_in_a_plain_error(place: Place, raw: bytes) -> None:
    listed, blobs = claim(n_D_py=b"n\n")
    with pytest.raises(SandboxError):
        await place.look(Liar(listed, blobs, raw=raw))


@pytest.mark.parametrize(
    "listed",
    [
        "nonsense",
        "nonsense\0",
        f":100644 100644 {NOTHING} {NOTHING} M\0a\0" * 2,
        f":100644 100644 {NOTHING} --output=/x M\0a\0",
        f":100644 100644 {NOTHING} {NOTHING} M\0a",
    ],
)
async def test_a_listing_that_is_none_ends_in_a_plain_error(place: Place, listed: str) -> None:
    with pytest.raises(SandboxError, match="cannot be read"):
        await place.look(Liar(listed))


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "\ud800", "a/./b", ""])
async def test_paths_that_are_none_are_refused(place: Place, path: str) -> None:
    with pytest.raises(Refused, match="not published"):
        await place.look(Liar(*listing({path: b"x"})))


async def test_a_path_cannot_be_file_and_folder(place: Place) -> None:
    with pytest.raises(Refused, match="also lists as a file"):
        await place.look(Liar(*listing({"n": b"x", "n/b": b"x"})))


@pytest.mark.parametrize("path", ["a/" * 65 + "b", "a" * 1_025])
async def test_a_path_of_many_folders_is_refused_before_it_is_looked_up(place: Place, path: str) -> None:
    with pytest.raises(Refused, match="too long or nested too deeply"):
        await place.look(Liar(*listing({path: b"x"})))


async def test_floods_are_refused_before_anything_is_read(place: Place) -> None:
    with pytest.raises(Refused, match="201 files, more than 200"):
        await place.look(Liar(listing({f"f{number}": b"x" for number in range(201)})[0]))


async def test_what_this_attempt_committed_counts_without_a_fetch(place: Place) -> None:
    ctx = await place.work(Liar(*claim(n_D_py=b"n\n", x_D_py=b"x\n")))
    first = await read_changes(ctx, "1" * 40, "2" * 40, None, CommitLimits())
    run = cast(SimpleNamespace, ctx.run)
    run.head_sha, ctx.published = "f" * 40, first.base.with_commit("f" * 40, first.new)
    ctx.machine = None
    cast(SimpleNamespace, ctx).sandbox = Liar(*claim(n_D_py=b"n\nmore\n", x_D_py=b"x\n"))
    (changed,) = (await read_changes(ctx, "1" * 40, "2" * 40, None, CommitLimits())).new

    assert (changed.path, changed.old_content) == ("n.py", b"n\n")
    assert {"n.py", "x.py", "a.py"} <= set(await list_changed(ctx))
    assert place.fetches == 0


async def test_a_tree_whose_name_is_none_is_not_taken() -> None:
    with pytest.raises(SandboxError, match="named no tree"):
        await snapshot(cast(Sandbox, Namer("--output=/tmp/x")))


class Namer(Liar):
    async def exec(self, argv: Sequence[str], **_: object) -> ExecResult:
        return ExecResult(0, self.listing, 0)


def test_blobs_hash_as_git_does() -> None:
    assert hash_blob(b"", NOTHING) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert TreeEntry("100644", hash_blob(b"", "0" * 64)).sha.startswith("473a0f4c3be8a93681a267e3b1e9a7dc")
    assert Change("a", "000000").is_deleted
