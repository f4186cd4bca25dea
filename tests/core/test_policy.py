import time
from contextlib import suppress

import pytest

from app.core.errors import Refused
from app.core.policy import ABSENT, EXECUTABLE, REGULAR, SYMLINK, Caps, Change, Role, admit, inspect


def test_ordinary_changes_pass() -> None:
    changes = (
        Change("src/a.py", REGULAR, b"x = 1\n"),
        Change("run.sh", EXECUTABLE, b"#!/bin/sh\n", REGULAR),
        Change("old.py", ABSENT, b"", REGULAR),
        Change("docs/latest", SYMLINK, b"../README.md"),
    )
    inspection = inspect(changes)
    assert inspection.passed == changes
    assert inspection.held == ()


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        "CODEOWNERS",
        "pkg/CODEOWNERS",
        ".gitattributes",
        "AGENTS.md",
        "sub/CLAUDE.md",
        ".gitmodules",
    ],
)
def test_protected_paths_are_held_back_and_named(path: str) -> None:
    inspection = inspect((Change(path, REGULAR, b"x"), Change("a.py", REGULAR, b"y")))
    assert [change.path for change in inspection.passed] == ["a.py"]
    assert inspection.held == (path,)


def test_the_repository_can_protect_more() -> None:
    assert inspect((Change("db/migrations/1.sql", REGULAR),), protected=("migrations/**", "db/migrations/")).held


def test_the_repository_cannot_lift_what_always_holds() -> None:
    assert inspect((Change(".github/workflows/ci.yml", REGULAR),), protected=("!.github/**", "!/.github")).held


@pytest.mark.parametrize(
    "path",
    [
        ".GitHub/workflows/ci.yml",
        "codeowners",
        "docs/CodeOwners",
        "agents.md",
        ".github./workflows/ci.yml",
        ".github /x",
        ".gitattributes::$DATA",
        "\uff0egithub/x",
        "AGENT\u017f.md",
        ".claude/settings.json",
        ".cursorrules",
    ],
)
def test_another_name_of_a_protected_path_is_held_back_too(path: str) -> None:
    assert inspect((Change(path, REGULAR, b"x"),)).held == (path,)


def test_a_pattern_and_a_path_may_be_composed_differently() -> None:
    assert inspect((Change("cafe\u0301/menu.md", REGULAR),), protected=("caf\u00e9/**",)).held


@pytest.mark.parametrize("path", [".github", "docs", "deploy"])
def test_what_would_take_the_place_of_a_folder_with_protected_paths_is_held_back(path: str) -> None:
    gone = tuple(Change(name, ABSENT, b"", REGULAR) for name in (".github/x.yml", "docs/CODEOWNERS", "deploy/a/b"))
    inspection = inspect((*gone, Change(path, SYMLINK, b"src")), protected=("deploy/**",))
    assert path in inspection.held
    assert inspection.passed == ()


def test_deleting_a_protected_path_is_held_back_too() -> None:
    assert inspect((Change("CODEOWNERS", ABSENT, b"", REGULAR),)).held == ("CODEOWNERS",)


@pytest.mark.parametrize(
    "path",
    [
        "../up",
        "/etc/passwd",
        "a/../../b",
        ".git/config",
        "sub/.GIT/hooks/x",
        "a\\b",
        "a\nb",
        "a//b",
        "",
        "git~1/x",
        ".git ./config",
        "a/.git::$INDEX_ALLOCATION/config",
        ".g\u200cit/config",
        "\uff0egit/config",
        "\ufffd",
    ],
)
def test_odd_paths_are_refused(path: str) -> None:
    with pytest.raises(Refused, match="do not publish"):
        inspect((Change(path, REGULAR, b""),))


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../../up", b"a/../../../up"])
def test_links_that_leave_the_tree_are_refused(target: bytes) -> None:
    with pytest.raises(Refused, match="leads out"):
        inspect((Change("docs/link", SYMLINK, target),))


@pytest.mark.parametrize("target", [b".git/config", b"../.GIT/hooks", b"a/.git ./x"])
def test_links_into_gits_own_folder_are_refused(target: bytes) -> None:
    with pytest.raises(Refused, match="git's own"):
        inspect((Change("docs/link", SYMLINK, target),))


def test_submodules_are_refused() -> None:
    with pytest.raises(Refused, match="submodule"):
        inspect((Change("vendor", "160000"),))


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_" + "a1" * 18,
        "github_pat_" + "A1" * 20,
        "sk-proj-" + "x4Y" * 14,
        "AKIA" + "QZ" * 8,
        "-----BEGIN RSA PRIVATE KEY-----\\n" + "MIIEvQ1b" * 8,
        "postgres://admin:hunter22@db.internal/x",
    ],
)
def test_a_secret_is_refused_with_its_place_and_without_its_value(secret: str) -> None:
    with pytest.raises(Refused, match=r"`config\.py`, line 2") as caught:
        inspect((Change("config.py", REGULAR, f"# settings\nKEY = '{secret}'\n".encode()),))
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"\\0\0 ghp_" + b"a1" * 18,
        ("ghp_" + "a1" * 18).encode("utf-16"),
        b'X = "ghp_" "' + b"a1" * 18 + b'"',
        b'X = ("ghp_a1a1"\n     + "' + b"a1" * 16 + b'")',
        b"X=ghp_a1a1\\\n" + b"a1" * 16,
        b'API_TOKEN = "q7Zk2Lw9Xc4Vb8Nm1As5Df6G"',
        b'{"client_secret": "3f9a0c7be1d24856a0b9c8d7e6f50413"}',
    ],
)
def test_a_secret_in_disguise_is_refused(content: bytes) -> None:
    with pytest.raises(Refused, match=r"`config\.py`.* holds.* what looks like a") as caught:
        inspect((Change("config.py", REGULAR, content),))
    assert "a1a1" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        'token = "a-token-for-the-integration-tests-1"',
        'password_field_name = "someRatherLongFieldName42"',
        'SECRET_KEY = "change-me-change-me-change-me-0"',
        '"integrity": "sha512-q7Zk2Lw9Xc4Vb8Nm1As5Df6Gq7Zk2Lw9Xc4Vb8Nm1As5Df6G"',
        'sha = "0123456789abcdef0123456789abcdef01234567"',
        'url = "https://" + "example.com"',
    ],
)
def test_ordinary_words_are_no_secret(line: str) -> None:
    assert inspect((Change("a.py", REGULAR, line.encode()),)).passed


def test_a_secret_in_a_name_is_refused_without_saying_it() -> None:
    token = "ghp_" + "a1" * 18
    with pytest.raises(Refused, match="A path holds what looks like a GitHub token") as caught:
        inspect((Change(f"docs/{token}.md", REGULAR),))
    assert token not in str(caught.value)


def test_a_name_cannot_end_the_code_it_is_shown_in() -> None:
    with pytest.raises(Refused) as caught:
        inspect((Change("a` [b](c) `d", "160000"),))
    assert str(caught.value).startswith("``a` [b](c) `d`` has the mode")


@pytest.mark.parametrize("piece", [b"eyJ-", b"://a:", b"' + ", b'"    ', b"sk-", b"token='a"])
def test_a_hostile_file_costs_little(piece: bytes) -> None:
    began = time.process_time()
    with suppress(Refused):
        inspect((Change("a", REGULAR, (piece * 300_000)[:1_000_000]),))
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (tuple(Change(f"f{n}", REGULAR) for n in range(4)), "4 files"),
        (tuple(Change(f"f{n}", REGULAR, b"\0") for n in range(3)), "3 binary files"),
        ((Change("big", REGULAR, b"x" * 11),), "`big` has 11 bytes"),
        ((Change("a", REGULAR, b"x" * 9), Change("b", REGULAR, b"x" * 9)), "18 bytes in all"),
    ],
)
def test_floods_are_refused(changes: tuple[Change, ...], words: str) -> None:
    with pytest.raises(Refused, match=words):
        inspect(changes, caps=Caps(files=3, binary_files=2, file_bytes=10, total_bytes=15))


def test_who_may_not_is_told_who_may() -> None:
    admit("ada", Role.WRITE, ("write", "admin"))
    with pytest.raises(
        Refused, match="`@eve` has the role `read` here, and I work for people with one of: write, admin"
    ):
        admit("eve", Role.READ, ("write", "admin"))
