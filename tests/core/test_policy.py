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


def test_submodules_are_refused() -> None:
    with pytest.raises(Refused, match="submodule"):
        inspect((Change("vendor", "160000"),))


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_" + "a" * 36,
        "github_pat_" + "A1" * 20,
        "sk-proj-" + "x" * 40,
        "AKIA" + "Q" * 16,
        "-----BEGIN RSA PRIVATE KEY-----",
        "postgres://admin:hunter22@db.example.com/x",
    ],
)
def test_a_secret_is_refused_with_its_place_and_without_its_value(secret: str) -> None:
    with pytest.raises(Refused, match=r"`config\.py`, line 2") as caught:
        inspect((Change("config.py", REGULAR, f"# settings\nKEY = '{secret}'\n".encode()),))
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (tuple(Change(f"f{n}", REGULAR) for n in range(4)), "4 files"),
        ((Change("big", REGULAR, b"x" * 11),), "`big` has 11 bytes"),
        ((Change("a", REGULAR, b"x" * 9), Change("b", REGULAR, b"x" * 9)), "18 bytes in all"),
    ],
)
def test_floods_are_refused(changes: tuple[Change, ...], words: str) -> None:
    with pytest.raises(Refused, match=words):
        inspect(changes, caps=Caps(files=3, file_bytes=10, total_bytes=15))


def test_who_may_not_is_told_who_may() -> None:
    admit("ada", Role.WRITE, ("write", "admin"))
    with pytest.raises(Refused, match="@eve has the role `read` here, and I work for people with one of: write, admin"):
        admit("eve", Role.READ, ("write", "admin"))
