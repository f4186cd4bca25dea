"""`vibecoder run` on a local repository: commits on a new branch, and nothing else changes."""

from pathlib import Path

import pytest

from app.adapters.git.worktree import LocalRepository
from app.core.errors import GitHubError, HeadMoved, UserError
from app.core.policy.authorization import Role
from app.core.policy.changes import Change
from app.core.ports.github import GitHub, GitHubApp
from app.core.run.job import Person
from tests.adapters.origin import Origin, git

BRANCH = "vibecode/mend-it"
MEND = Change("greet.py", "100644", b"print('hello')\n", "100644")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    origin = Origin(tmp_path / "greeter")
    origin.git("config", "user.name", "Grace")
    origin.git("config", "user.email", "grace@example.org")
    origin.commit()
    return origin


def surroundings(origin: Origin) -> tuple[object, ...]:
    """All that is the user's: work tree, index, HEAD and branches but ours."""
    files = {
        str(file): (file.read_bytes(), file.stat().st_mode, file.stat().st_mtime_ns)
        for file in origin.path.rglob("*")
        if file.is_file() and ".git" not in file.relative_to(origin.path).parts
    }
    index = (origin.path / ".git" / "index").read_bytes()
    refs = [line for line in origin.git("for-each-ref").splitlines() if BRANCH not in line]
    return files, index, (origin.path / ".git" / "HEAD").read_text(), refs, origin.git("status", "--porcelain")


async def test_a_commit_lands_on_its_branch_and_nothing_else_moves(origin: Origin) -> None:
    base = origin.git("rev-parse", "HEAD")
    (origin.path / "greet.py").write_text("half done")
    (origin.path / "staged.py").write_text("staged")
    origin.git("add", "staged.py")
    (origin.path / "untracked.py").write_text("untracked")
    before = surroundings(origin)
    app: GitHubApp = LocalRepository(origin.path)

    async with app.open(0, "local/greeter") as github:
        assert await github.default_branch() == "main"
        assert await github.head(BRANCH) is None
        await github.create_branch(BRANCH, base)
        commit = await github.commit(BRANCH, base, "Mend the greeting\n\nIt said helo.", [MEND])

        assert await github.head(BRANCH) == commit.sha

    assert (commit.subject, commit.files, commit.is_verified) == ("Mend the greeting", ("greet.py",), False)
    assert origin.git("show", f"{BRANCH}:greet.py") == "print('hello')"
    assert origin.git("ls-tree", "--name-only", BRANCH) == "greet.py"
    assert origin.git("log", "-1", "--format=%an <%ae> %cn%n%B%P", BRANCH).splitlines() == [
        "Grace <grace@example.org> Grace",
        "Mend the greeting",
        "",
        "It said helo.",
        base,
    ]
    assert surroundings(origin) == before
    assert list((origin.path / ".git").glob("*.lock")) == []


async def test_modes_links_and_deletions_are_honoured(origin: Origin) -> None:
    base = origin.commit("old/deep.py")
    changes = [
        Change("run", "100755", b"#!/bin/sh\n"),
        Change("link", "120000", b"greet.py"),
        Change("old/deep.py", "000000", old_mode="100644"),
        Change("old", "100644", b"now a file", "000000"),
        Change("with\ttab\nand line", "100644", b"\r\n\x00\xff"),
    ]
    (origin.path / ".gitattributes").write_text("* text eol=crlf\n")

    async with LocalRepository(origin.path).open(0, "") as github:
        await github.create_branch(BRANCH, base)
        await github.commit(BRANCH, base, "Change all", changes)

    listed = origin.git("ls-tree", "-r", "-z", BRANCH).split("\0")[:-1]
    assert [(line[:6], line.partition("\t")[2]) for line in listed] == [
        ("100644", "greet.py"),
        ("120000", "link"),
        ("100644", "old"),
        ("100755", "run"),
        ("100644", "with\ttab\nand line"),
    ]
    assert origin.git("cat-file", "-s", f"{BRANCH}:with\ttab\nand line") == "4"
    assert origin.git("fsck", "--full", "--strict") == ""


async def test_a_head_that_moved_is_told(origin: Origin) -> None:
    base = origin.git("rev-parse", "HEAD")
    async with LocalRepository(origin.path).open(0, "") as github:
        await github.create_branch(BRANCH, base)
        made = await github.commit(BRANCH, base, "Mend\n\nBecause.", [MEND])

        assert await github.commit(BRANCH, base, "Mend\n\nBecause.", [MEND]) == made
        with pytest.raises(HeadMoved):
            await github.commit(BRANCH, base, "Mend\n\nOtherwise.", [MEND])
        origin.git("config", "user.name", "Somebody else")
        with pytest.raises(HeadMoved):
            await github.commit(BRANCH, base, "Mend\n\nBecause.", [MEND])
        with pytest.raises(HeadMoved):
            await github.commit("vibecode/none", base, "Mend", [MEND])


async def test_an_existing_branch_is_left_where_it_is(origin: Origin) -> None:
    base = origin.git("rev-parse", "HEAD")
    head = origin.commit("b.py")
    async with LocalRepository(origin.path).open(0, "") as github:
        await github.create_branch(BRANCH, head)
        await github.create_branch(BRANCH, base)

        assert await github.head(BRANCH) == head


async def test_a_branch_somebody_works_on_is_not_moved(origin: Origin) -> None:
    base = origin.git("rev-parse", "HEAD")
    async with LocalRepository(origin.path).open(0, "") as github:
        with pytest.raises(UserError, match="`main` is checked out"):
            await github.commit("main", base, "Mend", [MEND])
        await github.create_branch(BRANCH, base)
        origin.git("worktree", "add", "--quiet", str(origin.path.parent / "other"), BRANCH)
        with pytest.raises(UserError, match="is checked out"):
            await github.commit(BRANCH, base, "Mend", [MEND])


async def test_hooks_and_filters_never_run(origin: Origin, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    hooks = origin.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "pre-commit", "post-commit", "commit-msg", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> {proof}\n")
        (hooks / name).chmod(0o755)
    origin.git("config", "core.fsmonitor", f"echo fsmonitor >> {proof}; false")
    origin.git("config", "filter.evil.clean", f"echo filter >> {proof}; cat")
    (origin.path / ".git" / "info").mkdir(exist_ok=True)
    (origin.path / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    base = origin.git("rev-parse", "HEAD")

    async with LocalRepository(origin.path).open(0, "") as github:
        await github.create_branch(BRANCH, base)
        await github.commit(BRANCH, base, "Mend", [MEND])

    assert not proof.exists()


@pytest.mark.parametrize("path", ["../out.py", ".git/config", "a/../b", "/etc/x", "a\0b", "sub/.git/hooks/x", ""])
async def test_a_path_that_leads_elsewhere_is_refused(origin: Origin, path: str) -> None:
    base = origin.git("rev-parse", "HEAD")
    async with LocalRepository(origin.path).open(0, "") as github:
        await github.create_branch(BRANCH, base)
        with pytest.raises(GitHubError):
            await github.commit(BRANCH, base, "Mend", [Change(path, "100644", b"x")])

        assert await github.head(BRANCH) == base


@pytest.mark.parametrize("branch", ["-d", "a..b", "", "a b", "refs/../x"])
async def test_what_cannot_be_a_branch_is_refused(origin: Origin, branch: str) -> None:
    async with LocalRepository(origin.path).open(0, "") as github:
        with pytest.raises(GitHubError, match="cannot be a branch's name"):
            await github.create_branch(branch, origin.git("rev-parse", "HEAD"))


async def test_a_branch_in_the_way_is_named(origin: Origin) -> None:
    origin.git("branch", "vibecode")
    async with LocalRepository(origin.path).open(0, "") as github:
        with pytest.raises(GitHubError, match="refs/heads/vibecode' exists"):
            await github.create_branch(BRANCH, origin.git("rev-parse", "HEAD"))


@pytest.mark.parametrize("kind", ["clone", "bare", "linked", "shallow", "inside"])
async def test_repositories_of_every_kind_take_a_commit(origin: Origin, tmp_path: Path, kind: str) -> None:
    base = origin.commit("folder/b.py")
    place = tmp_path / kind
    match kind:
        case "clone" | "inside":
            git(tmp_path, "clone", "--quiet", str(origin.path), kind)
        case "bare":
            git(tmp_path, "clone", "--quiet", "--bare", str(origin.path), kind)
        case "shallow":
            git(tmp_path, "clone", "--quiet", "--depth=1", origin.path.as_uri(), kind)
        case "linked":
            origin.git("worktree", "add", "--quiet", "-b", "linked", str(place))

    async with LocalRepository(place / "folder" if kind == "inside" else place).open(0, "") as github:
        assert await github.default_branch() == ("linked" if kind == "linked" else "main")
        await github.create_branch(BRANCH, base)
        commit = await github.commit(BRANCH, base, "Mend", [MEND])

    assert git(place, "rev-parse", BRANCH) == commit.sha
    if kind != "bare":
        assert git(place, "status", "--porcelain") == ""


@pytest.mark.parametrize("kind", ["missing", "file", "folder", "empty"])
async def test_what_is_no_repository_is_said_clearly(tmp_path: Path, kind: str) -> None:
    place = tmp_path / kind
    sentence = "is no folder"
    match kind:
        case "file":
            place.write_text("")
        case "folder":
            place.mkdir()
            sentence = "is no git repository; run `git init` there"
        case "empty":
            Origin(place)
            sentence = "has no commit yet"

    with pytest.raises(UserError, match=sentence):
        async with LocalRepository(place).open(0, ""):
            pass


async def test_a_detached_head_asks_for_a_base(origin: Origin) -> None:
    origin.git("checkout", "--quiet", "--detach")
    async with LocalRepository(origin.path).open(0, "") as github:
        with pytest.raises(UserError, match="name one with --base"):
            await github.default_branch()


async def test_github_s_other_half_is_quiet(origin: Origin) -> None:
    async with LocalRepository(origin.path).open(0, "") as github:
        assert await everything_else(github) == (Role.ADMIN, 0, None, "")
        with pytest.raises(GitHubError, match="no pull requests"):
            await github.put_pull_request(branch=BRANCH, base="main", title="", body="", is_draft=False)
        assert github.repo == "local/greeter"


async def everything_else(github: GitHub) -> tuple[Role, int, object, str]:
    await github.react("eyes", number=1)
    return (
        await github.permission(Person("ada")),
        await github.put_comment(1, "", marker=""),
        await github.pull_request(BRANCH),
        (await github.read_token()).get_secret_value(),
    )


async def test_the_commits_of_a_branch_come_oldest_first(origin: Origin) -> None:
    base = origin.git("rev-parse", "HEAD")
    async with LocalRepository(origin.path).open(0, "") as github:
        await github.create_branch(BRANCH, base)
        first = await github.commit(BRANCH, base, "Mend it\n\nBecause.", [MEND])
        second = await github.commit(BRANCH, first.sha, "Mend more", [Change("x", "100644", b"x")])

        assert [(made.sha, made.subject) for made in await github.commits(base, BRANCH)] == [
            (first.sha, "Mend it"),
            (second.sha, "Mend more"),
        ]
        assert await github.commits(BRANCH, base) == ()
        with pytest.raises(GitHubError, match="has no") as caught:
            await github.commits("--all", BRANCH)
        assert not caught.value.is_passing


async def test_there_is_nothing_to_catch_up_with(origin: Origin) -> None:
    app = LocalRepository(origin.path)
    async with app.open(0, "") as github:
        assert await github.labelled("vibecode") == ()
    assert (await app.delivery_log()).attempts == ()
    assert (await app.repositories()).items == ("local/greeter",)
    await app.redeliver(1)


async def test_it_has_files_but_no_pull_requests(origin: Origin) -> None:
    async with LocalRepository(origin.path).open(0, "") as github:
        pulls = github.pulls
        assert await pulls.read_file("greet.py") == b"print('helo')\n"
        assert await pulls.read_file("nothing.md") is None
        assert (await pulls.pull(1), await pulls.issue(1), await pulls.thumbs_ups(1)) == (None, None, ())
        with pytest.raises(GitHubError, match="no pull requests"):
            await pulls.merge("fix", "main")
