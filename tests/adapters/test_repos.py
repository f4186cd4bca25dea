"""The host-side git cache, over real git."""

import asyncio
import os
import subprocess
import tarfile
from base64 import b64encode
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.adapters.git.cache import locked
from app.adapters.git.repos import GitRepos
from app.core.errors import RepoError
from app.demo.loopback import serving
from tests.adapters.origin import GitServer, Origin, git

TOKEN = SecretStr("ghs_secret")
BASIC = "Basic " + b64encode(b"x-access-token:ghs_secret").decode()


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def repos(tmp_path: Path, origin: Origin) -> GitRepos:
    return GitRepos(tmp_path / "cache", url=lambda repo: origin.path.as_uri())


def unpack(tar: Path, to: Path) -> Path:
    to.mkdir()
    with tarfile.open(tar) as archive:
        assert {name.split("/")[0] for name in archive.getnames()} == {".git"}
    subprocess.run(["tar", "-xf", tar, "-C", to], check=True)  # extractall has no filter before Python 3.11.4
    return to


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def everything(root: Path) -> bytes:
    return b"".join(file.read_bytes() + str(file).encode() for file in root.rglob("*") if file.is_file())


async def test_a_branch_s_head_is_fetched(origin: Origin, repos: GitRepos) -> None:
    sha = origin.commit()

    assert await repos.fetch(1, "acme/greeter", "main", None) == sha
    assert await repos.read(1, "acme/greeter", sha, "greet.py") == b"print('helo')\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_a_local_repository_of_somebody_else_is_fetched(tmp_path: Path, origin: Origin) -> None:
    sha = origin.commit()
    for path in (origin.path, *origin.path.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    repos = GitRepos(tmp_path / "cache", url=lambda repo: str(origin.path))

    assert await repos.fetch(0, "local/greeter", "main", None) == sha


async def test_a_branch_that_was_rewritten_is_followed(origin: Origin, repos: GitRepos) -> None:
    origin.commit()
    await repos.fetch(1, "acme/greeter", "main", None)
    origin.git("checkout", "--quiet", "--orphan", "other")
    sha = origin.commit("new.py")
    origin.git("branch", "--force", "main")

    assert await repos.fetch(1, "acme/greeter", "main", None) == sha


async def test_a_branch_may_take_the_place_of_a_folder_of_branches(origin: Origin, repos: GitRepos) -> None:
    sha = origin.commit()
    origin.git("branch", "a")
    await repos.fetch(1, "acme/greeter", "a", None)
    origin.git("branch", "--delete", "a")
    origin.git("branch", "a/b")

    assert await repos.fetch(1, "acme/greeter", "a/b", None) == sha


async def test_the_second_fetch_takes_only_what_is_new_and_the_token_is_seen_nowhere(
    origin: Origin, tmp_path: Path
) -> None:
    origin.commit("noise.txt", "".join(f"{index**7}\n" for index in range(20_000)))
    origin.commits(80)
    server = GitServer(origin.path, BASIC)
    async with serving(server.app()) as url:
        repos = GitRepos(tmp_path / "cache", url=lambda repo: f"{url}/{repo}.git")
        await repos.fetch(1, "acme/greeter", "main", TOKEN)
        first = sum(server.sent_bytes)
        sha = origin.commit()
        assert await repos.fetch(1, "acme/greeter", "main", TOKEN) == sha
        second = sum(server.sent_bytes) - first

    assert first > 50_000
    assert second < 5_000
    assert server.command_lines
    for secret in (b"ghs_secret", BASIC.removeprefix("Basic ").encode()):
        assert secret not in b"".join(server.command_lines)
        assert secret not in everything(tmp_path)


async def test_a_refused_token_is_said_to_be_refused(origin: Origin, tmp_path: Path) -> None:
    origin.commit()
    async with serving(GitServer(origin.path, "Basic other").app()) as url:
        repos = GitRepos(tmp_path / "cache", url=lambda repo: f"{url}/{repo}.git")
        for token in (TOKEN, None):
            with pytest.raises(RepoError, match="acme/greeter may not be read") as refused:
                await repos.fetch(1, "acme/greeter", "main", token)
            assert not refused.value.is_passing
        with pytest.raises(RepoError, match="acme/other is not there") as absent:
            await repos.fetch(1, "acme/other", "main", TOKEN)
        assert not absent.value.is_passing


async def test_a_server_that_fails_once_is_asked_again(origin: Origin, tmp_path: Path) -> None:
    sha = origin.commit()
    server = GitServer(origin.path, BASIC, fails=1)
    async with serving(server.app()) as url:
        repos = GitRepos(tmp_path / "cache", url=lambda repo: f"{url}/{repo}.git")
        assert await repos.fetch(1, "acme/greeter", "main", TOKEN) == sha


async def test_a_server_that_keeps_failing_passes(origin: Origin, tmp_path: Path) -> None:
    origin.commit()
    async with serving(GitServer(origin.path, BASIC, fails=9).app()) as url:
        repos = GitRepos(tmp_path / "cache", url=lambda repo: f"{url}/{repo}.git")
        with pytest.raises(RepoError, match="git server of acme/greeter does not answer") as caught:
            await repos.fetch(1, "acme/greeter", "main", TOKEN)
    assert caught.value.is_passing


async def test_a_server_that_hangs_up_passes(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        repos = GitRepos(tmp_path, url=lambda repo: f"http://127.0.0.1:{port}/{repo}.git")
        with pytest.raises(RepoError) as caught:
            await repos.fetch(1, "acme/greeter", "main", TOKEN)
    assert caught.value.is_passing


async def test_a_server_that_is_away_is_said_to_be_away(tmp_path: Path) -> None:
    repos = GitRepos(tmp_path, url=lambda repo: f"http://127.0.0.1:9/{repo}.git")

    with pytest.raises(RepoError, match="git server of acme/greeter does not answer") as away:
        await repos.fetch(1, "acme/greeter", "main", TOKEN)
    assert away.value.is_passing


async def test_a_server_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        repos = GitRepos(tmp_path, url=lambda repo: f"http://127.0.0.1:{port}/{repo}.git", timeout_s=0.5)
        with pytest.raises(RepoError, match=r"did not end within 0\.5 s") as slow:
            await repos.fetch(1, "acme/greeter", "main", TOKEN)
    assert slow.value.is_passing


async def test_an_unknown_branch_is_named(origin: Origin, repos: GitRepos) -> None:
    origin.commit()

    with pytest.raises(RepoError, match="acme/greeter has no branch `nope`") as caught:
        await repos.fetch(1, "acme/greeter", "nope", None)
    assert not caught.value.is_passing


async def test_an_empty_repository_is_said_to_be_empty(origin: Origin, repos: GitRepos) -> None:
    with pytest.raises(RepoError, match="is empty: it has no commit yet"):
        await repos.fetch(1, "acme/greeter", "main", None)


async def test_a_repository_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    repos = GitRepos(tmp_path / "cache", url=lambda repo: (tmp_path / "nothing").as_uri())

    with pytest.raises(RepoError, match="is not there"):
        await repos.fetch(1, "acme/greeter", "main", None)


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-d",
        "--upload-pack=x",
        "a..b",
        "a b",
        "a~1",
        "a:b",
        "a\n",
        "/a",
        "a/",
        "a.lock",
        "a//b",
        ".a",
        "@{u}",
        "HEAD",
    ],
)
async def test_what_cannot_be_a_branch_is_refused(repos: GitRepos, ref: str) -> None:
    with pytest.raises(RepoError, match="cannot be a branch's name"):
        await repos.fetch(1, "acme/greeter", ref, None)


@pytest.mark.parametrize("ref", ["main", "vibecode/12-mend-it", "höhe", "a-b_c.d", "release/1.0", "#12", "@", "x@y"])
async def test_git_and_we_agree_on_names(origin: Origin, repos: GitRepos, ref: str) -> None:
    sha = origin.commit()
    if ref == "@":
        with pytest.raises(RepoError, match="cannot be"):
            await repos.fetch(1, "acme/greeter", ref, None)
        return
    origin.git("branch", "--force", "--", ref) if ref != "main" else None

    assert await repos.fetch(1, "acme/greeter", ref, None) == sha


async def test_installations_share_nothing(origin: Origin, repos: GitRepos) -> None:
    sha = origin.commit()
    await repos.fetch(1, "acme/greeter", "main", None)

    with pytest.raises(RepoError, match="must be fetched first"):
        await repos.read(2, "acme/greeter", sha, "greet.py")
    with pytest.raises(RepoError, match="must be fetched first"):
        async with repos.pack(2, "acme/greeter", sha):
            pass


@pytest.mark.parametrize("repo", ["../../etc/x", "acme/../../..", "a/b\0c", "acme/" + "x" * 300, "ac me/-greeter", "/"])
async def test_no_name_leads_out_of_the_cache(origin: Origin, repos: GitRepos, tmp_path: Path, repo: str) -> None:
    origin.commit()
    await repos.fetch(1, repo, "main", None)

    assert names(tmp_path) == {"origin", "cache"}
    assert names(tmp_path / "cache") == {"1"}


async def test_only_regular_files_are_read(origin: Origin, repos: GitRepos) -> None:
    (origin.path / "link").symlink_to("/etc/passwd")
    sha = origin.commit("folder/[a]*.py", "x" * 100)
    await repos.fetch(1, "acme/greeter", "main", None)

    assert await repos.read(1, "acme/greeter", sha, "folder/[a]*.py", max_bytes=7) == b"x" * 7
    for path in ("link", "folder", "folder/", "nope", "", "/etc/passwd", "../origin/link", "folder/*.py", "-r", "a\0b"):
        assert await repos.read(1, "acme/greeter", sha, path) is None


async def test_links_and_the_children_of_folders_are_listed(origin: Origin, repos: GitRepos) -> None:
    (origin.path / "a").mkdir()
    (origin.path / "a" / "link\n120000").symlink_to("../b c")
    (origin.path / "folder").symlink_to("a")
    origin.commit("b/x/1", "120000 blob\t")
    sha = origin.commit("b/2")
    await repos.fetch(1, "acme/greeter", "main", None)

    assert await repos.links(1, "acme/greeter", sha) == {"a/link\n120000": "../b c", "folder": "a"}
    root = {"a", "b", "folder"}
    assert await repos.children(1, "acme/greeter", sha, []) == root
    assert await repos.children(1, "acme/greeter", sha, ["b", "b/x", "none"]) == root | {"b/x", "b/2", "b/x/1"}


@pytest.mark.parametrize("sha", ["HEAD", "main", "--all", "0" * 40, "x" * 40, ""])
async def test_only_fetched_commits_are_read(origin: Origin, repos: GitRepos, sha: str) -> None:
    origin.commit()
    await repos.fetch(1, "acme/greeter", "main", None)

    with pytest.raises(RepoError, match="must be fetched first"):
        await repos.read(1, "acme/greeter", sha, "greet.py")


@pytest.mark.parametrize("is_fetched_first", [True, False])
async def test_a_pack_is_a_small_whole_repository(
    origin: Origin, repos: GitRepos, tmp_path: Path, is_fetched_first: bool
) -> None:
    origin.commit()
    if is_fetched_first:
        await repos.fetch(1, "acme/greeter", "main", None)
    origin.commits(120)
    origin.git("checkout", "--quiet", "-b", "side", "HEAD~3")
    origin.commit("side.py")
    origin.git("checkout", "--quiet", "main")
    origin.git("merge", "--quiet", "--no-edit", "side")
    sha = await repos.fetch(1, "acme/greeter", "main", None)

    async with repos.pack(1, "acme/greeter", sha) as tar:
        tree = unpack(tar, tmp_path / "tree")
    assert not tar.exists()
    assert not list((tmp_path / "cache").glob("pack-*"))

    assert (tree / ".git" / "HEAD").read_text() == f"{sha}\n"
    assert not (tree / ".git" / "index").exists()
    assert not (tree / ".git" / "hooks").exists()
    assert git(tree, "remote") == ""
    git(tree, "reset", "--hard", "--quiet")
    assert git(tree, "status", "--porcelain") == ""
    assert git(tree, "fsck", "--full") == ""
    assert git(tree, "rev-list", "--count", "HEAD") == "50"
    assert (tree / "side.py").exists()
    (tree / "greet.py").write_text("print('hello')\n")
    git(tree, "commit", "--quiet", "--all", "--message", "Mend", env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
    assert git(tree, "log", "-1", "--format=%an") == "vibecoder"


async def test_a_short_history_is_packed_whole(origin: Origin, repos: GitRepos, tmp_path: Path) -> None:
    origin.commit()
    sha = origin.commit("b.py")
    await repos.fetch(1, "acme/greeter", "main", None)

    async with repos.pack(1, "acme/greeter", sha) as tar:
        tree = unpack(tar, tmp_path / "tree")

    assert not (tree / ".git" / "shallow").exists()
    assert git(tree, "rev-list", "--count", "HEAD") == "2"


async def test_ten_jobs_at_once_do_not_fight(origin: Origin, repos: GitRepos) -> None:
    sha = origin.commits(60) if origin.commit() else ""
    async with asyncio.TaskGroup() as group:
        fetches = [group.create_task(repos.fetch(1, "acme/greeter", "main", None)) for _ in range(10)]

    assert {fetch.result() for fetch in fetches} == {sha}


async def test_what_a_killed_worker_left_behind_does_no_harm(origin: Origin, repos: GitRepos, tmp_path: Path) -> None:
    origin.commit()
    await repos.fetch(1, "acme/greeter", "main", None)
    (cache,) = (tmp_path / "cache" / "1").glob("*.git")
    for leftover in ("shallow.lock", "packed-refs.lock", "objects/pack/tmp_pack_x", "refs/vibecoder/x.lock"):
        (cache / leftover).write_text("")
    sha = origin.commits(60)

    assert await repos.fetch(1, "acme/greeter", "main", None) == sha


async def test_a_damaged_cache_is_fetched_anew(origin: Origin, repos: GitRepos, tmp_path: Path) -> None:
    origin.commit()
    await repos.fetch(1, "acme/greeter", "main", None)
    for pack in (tmp_path / "cache").rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"PACK damaged")
    sha = origin.commit("b.py")

    assert await repos.fetch(1, "acme/greeter", "main", None) == sha
    assert await repos.read(1, "acme/greeter", sha, "greet.py") == b"print('helo')\n"


async def test_a_repository_beyond_the_limit_is_refused(origin: Origin, tmp_path: Path) -> None:
    origin.noise(3_000_000)
    repos = GitRepos(tmp_path / "cache", url=lambda repo: origin.path.as_uri(), max_bytes=1024**2)

    with pytest.raises(RepoError, match="larger than the 1 MiB"):
        await repos.fetch(1, "acme/greeter", "main", None)


async def test_a_cache_that_has_grown_too_large_starts_anew(origin: Origin, tmp_path: Path) -> None:
    repos = GitRepos(tmp_path / "cache", url=lambda repo: origin.path.as_uri(), max_bytes=1024**2)
    for _ in range(3):
        origin.noise(600_000)
        origin.git("checkout", "--quiet", "--orphan", "next")
        sha = origin.commit("b.py")
        origin.git("branch", "--force", "main")
        origin.git("checkout", "--quiet", "main")
        origin.git("branch", "--delete", "--force", "next")
        assert await repos.fetch(1, "acme/greeter", "main", None) == sha

    size = sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*.pack"))
    assert size < 1.3 * 1024**2


async def test_a_tree_that_would_write_into_git_s_own_folder_is_refused(origin: Origin, repos: GitRepos) -> None:
    blob = origin.git("hash-object", "-w", "--stdin", stdin=b"[core]")
    inner = origin.git("mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    tree = origin.git("mktree", stdin=f"040000 tree {inner}\t.git\n".encode())
    origin.git("update-ref", "refs/heads/main", origin.git("commit-tree", tree, "-m", "evil"))

    with pytest.raises(RepoError, match="damaged or dangerous"):
        await repos.fetch(1, "acme/greeter", "main", None)


async def test_an_old_tool_s_harmless_fault_is_let_through(origin: Origin, repos: GitRepos) -> None:
    tree = origin.git("mktree", stdin=b"")
    commit = f"tree {tree}\nauthor Ada <ada@example.org> 1 +051800\ncommitter Ada <ada@example.org> 1 +0000\n\nold\n"
    sha = origin.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=commit.encode())
    origin.git("update-ref", "refs/heads/main", sha)

    assert await repos.fetch(1, "acme/greeter", "main", None) == sha


async def test_clones_of_every_kind_are_fetched_from(origin: Origin, tmp_path: Path) -> None:
    origin.commit()
    sha = origin.commits(60)
    git(tmp_path, "clone", "--quiet", "--bare", str(origin.path), "bare")
    git(tmp_path, "clone", "--quiet", "--depth=3", origin.path.as_uri(), "shallow")
    origin.git("worktree", "add", "--quiet", "-b", "linked", str(tmp_path / "linked"))

    repos = GitRepos(tmp_path / "cache", url=lambda repo: (tmp_path / repo).as_uri())
    for kind in ("bare", "shallow", "linked"):
        assert await repos.fetch(0, kind, "main", None) == sha
        async with repos.pack(0, kind, sha) as tar:
            tree = unpack(tar, tmp_path / f"tree-{kind}")
        assert git(tree, "rev-list", "--count", "HEAD") == ("3" if kind == "shallow" else "50")


async def test_the_least_recently_used_go_when_all_together_are_too_large(
    origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sha = origin.noise(200_000)
    cache = tmp_path / "cache"
    repos = GitRepos(cache, url=lambda repo: origin.path.as_uri(), max_total_bytes=700_000)
    for repo in ("acme/a", "acme/b", "acme/c"):
        await repos.fetch(1, repo, "main", None)
    await repos.read(1, "acme/a", sha, "greet.py")
    with caplog.at_level("INFO", "app.adapters.git.cache"):
        await repos.fetch(2, "acme/d", "main", None)

    assert sorted(path.name[:6] for path in cache.glob("*/*.git")) == ["acme-a", "acme-c", "acme-d"]
    assert [record.message for record in caplog.records] == ["repository evicted from the cache"]
    with pytest.raises(RepoError, match="must be fetched first"):
        await repos.read(1, "acme/b", sha, "greet.py")
    assert await repos.fetch(1, "acme/b", "main", None) == sha
    assert sorted(path.name[:6] for path in cache.glob("*/*.git")) == ["acme-a", "acme-b", "acme-d"]


async def test_what_was_just_fetched_and_what_is_held_stay(
    origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sha = origin.noise(200_000)
    cache = tmp_path / "cache"
    repos = GitRepos(cache, url=lambda repo: origin.path.as_uri(), max_total_bytes=1)
    await repos.fetch(1, "acme/a", "main", None)
    (held,) = cache.glob("*/*.git")
    async with locked(held, 1):
        assert await repos.fetch(1, "acme/b", "main", None) == sha
    assert await repos.read(1, "acme/a", sha, "greet.py") == b"print('helo')\n"
    assert "the cache is larger than it may be, and all of it in use" in caplog.text

    assert await repos.fetch(1, "acme/c", "main", None) == sha
    assert [path.name[:6] for path in cache.glob("*/*.git")] == ["acme-c"]


async def test_what_a_worker_that_was_killed_while_evicting_left_is_removed(
    origin: Origin, repos: GitRepos, tmp_path: Path
) -> None:
    origin.commit()
    left = tmp_path / "cache" / "1" / "acme-a-0.gone"
    (left / "objects").mkdir(parents=True)
    await repos.fetch(1, "acme/greeter", "main", None)

    assert not left.exists()


async def test_many_jobs_within_a_tight_bound_all_get_their_repository(origin: Origin, tmp_path: Path) -> None:
    """Each fetch evicts what the others have just fetched, unless they are still at it."""
    sha = origin.noise(100_000)
    repos = GitRepos(tmp_path / "cache", url=lambda repo: origin.path.as_uri(), max_total_bytes=250_000)
    async with asyncio.TaskGroup() as group:
        fetches = [group.create_task(repos.fetch(1, f"acme/{index % 4}", "main", None)) for index in range(8)]

    assert {fetch.result() for fetch in fetches} == {sha}
    assert await repos.fetch(1, "acme/last", "main", None) == sha
    sizes = [sum(file.stat().st_size for file in one.rglob("*")) for one in (tmp_path / "cache").glob("*/*.git")]
    assert 1 <= len(sizes) <= 2


async def test_what_lfs_keeps_is_told_as_git_reads_attributes(repos: GitRepos, origin: Origin) -> None:
    origin.commit("docs/.gitattributes", "*.pdf filter=lfs\n*.png -filter\n/own filter=lfs\n")
    origin.commit("src/.gitattributes", "*.py filter=strip\n")
    head = origin.commit(".gitattributes", "[attr]big filter=lfs\n*.png big\nfolder filter=lfs\n")
    await repos.fetch(1, "acme/greeter", "main", None)

    paths = ["a.png", "docs/a.png", "docs/b.pdf", "b.pdf", "docs/own", "docs/x/own", "folder/x", "src/a.py", "ö\n.png"]
    told = await repos.tracked_by_lfs(1, "acme/greeter", head, paths)
    assert told == {"a.png", "docs/b.pdf", "docs/own", "ö\n.png"}
    assert await repos.tracked_by_lfs(1, "acme/greeter", head, []) == frozenset()


async def test_where_nothing_is_in_lfs_nothing_is_asked(repos: GitRepos, origin: Origin) -> None:
    head = origin.commit()
    await repos.fetch(1, "acme/greeter", "main", None)
    assert await repos.tracked_by_lfs(1, "acme/greeter", head, ["greet.py"]) == frozenset()
