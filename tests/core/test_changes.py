import time
from contextlib import suppress

import pytest
from pydantic import SecretStr

from app.core.errors import Refused
from app.core.policy.changes import ABSENT, EXECUTABLE, REGULAR, SYMLINK, Change, CommitLimits, inspect
from app.core.policy.protected_paths import list_held
from app.core.safety.redact import OWN, Redactor


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


@pytest.mark.parametrize(
    "path",
    [
        "docs/CODEOWNERS",
        "a/b/.windsurf/rules/x.md",
        "pkg/.cursor/rules/x.mdc",
        ".claude/settings.json",
        ".Roo/rules.md",
        ".junie/guidelines.md",
        "web/.kiro/steering/x.md",
        "opencode.json",
        "lib/Agents.MD",
        "docs/contributing.rst",
        ".vscode/tasks.json",
        ".vscode",
        ".devcontainer/devcontainer.json",
        ".aider.conf.yml",
        "copilot-instructions.md",
        ".gitlab-ci.yml",
        ".circleci/config.yml",
        "ci/Jenkinsfile",
        "azure-pipelines.yml",
        ".woodpecker.yml",
        ".husky/pre-commit",
        ".agents/skills/x/SKILL.md",
        ".kilocode/rules/x.md",
        "CRUSH.md",
        ".rules",
        ".vs/tasks.vs.json",
        "app.sublime-project",
        ".tekton/pull.yaml",
        ".kodiak.toml",
        "bors.toml",
    ],
)
def test_what_steers_ci_agents_and_editors_is_held_back_at_any_depth(path: str) -> None:
    for change in (Change(path, REGULAR, b"x"), Change(path, ABSENT, b"", REGULAR)):
        assert inspect((change, Change("a.py", REGULAR))).held == (path,)


@pytest.mark.parametrize("path", ["agents.py", "src/cursor/x.py", "docs/claude.html.txt", "github/x.yml", "drone.py"])
def test_ordinary_names_are_not_held_back(path: str) -> None:
    assert inspect((Change(path, REGULAR),)).held == ()


@pytest.mark.parametrize(
    ("path", "request_", "is_held"),
    [
        ("AGENTS.md", "Please add a rule to AGENTS.md.", False),
        ("lib/AGENTS.md", "Say so in `agents.md`", False),
        ("AGENTS.md", "Mend docs/AGENTS.md", True),
        ("docs/AGENTS.md", "Mend docs/AGENTS.md", False),
        ("AGENTS.md", "> Please add a rule to AGENTS.md.\nNo.", True),
        ("AGENTS.md", "Mend the greeting", True),
        ("AGENTS.md", "Rename MYAGENTS.md and AGENTS.md.bak", True),
        (".cursor/rules/x.mdc", "Tidy .cursor/", False),
        (".cursor/rules/x.mdc", "Tidy .cursor/rules/y.mdc", True),
        (".claude/settings.json", "Tidy settings.json", True),
        (".vscode/tasks.json", "Add a task to .vscode/tasks.json", False),
        ("AGENTS.md", "Mend the greeting, and do not touch AGENTS.md.", True),
        (".github/workflows/ci.yml", "Mend .github/workflows/ci.yml", True),
        (".github/vibecode.yml", "Mend .github/vibecode.yml", True),
        ("CODEOWNERS", "Mend CODEOWNERS", True),
        (".gitlab-ci.yml", "Mend .gitlab-ci.yml", True),
    ],
)
def test_what_instructs_agents_is_changed_when_the_request_names_it(path: str, request_: str, is_held: bool) -> None:
    assert bool(inspect((Change(path, REGULAR),), request=request_).held) is is_held


def test_the_request_does_not_lift_what_the_repository_protects() -> None:
    assert inspect((Change("AGENTS.md", REGULAR),), protected=("AGENTS.md",), request="Mend AGENTS.md").held


def test_a_path_of_many_folders_costs_little() -> None:
    began = time.process_time()
    assert list_held(["a/" * 500 + "AGENTS.md"], (), "Change docs/AGENTS.md") != []
    assert time.process_time() - began < 0.5


def test_what_would_lie_in_the_place_of_a_protected_file_is_held_back() -> None:
    gone, new = Change("db/a.sql", ABSENT, b"", REGULAR), Change("db/a.sql/x", REGULAR)
    assert inspect((gone, new), protected=("*.sql", "!x")).passed == ()


def test_new_names_that_are_one_file_elsewhere_are_refused() -> None:
    with pytest.raises(Refused, match="the same file on case-insensitive"):
        inspect((Change("a/Read.me", REGULAR), Change("A/read.me", SYMLINK, b"x")))
    renamed = (Change("readme.md", ABSENT, b"", REGULAR), Change("README.md", REGULAR))
    assert inspect(renamed).passed == renamed


def test_what_a_protected_path_links_to_is_held_back_unless_the_request_names_the_link() -> None:
    change = Change("docs/a.md", REGULAR, b"x", read_as=("AGENTS.md",))
    inspection = inspect((change,))
    assert (inspection.protected, inspection.reached) == (("docs/a.md",), {"docs/a.md": "AGENTS.md"})
    assert inspect((change,), request="Change AGENTS.md").held == ()
    assert inspect((change,), request="Change AGENTS.md", protected=("AGENTS.md",)).held == ("docs/a.md",)


def test_a_new_path_that_is_an_existing_one_elsewhere_is_held_back() -> None:
    inspection = inspect((Change("docs/guide.md", REGULAR, b"x", clash="docs/Guide.md"),))
    assert (inspection.held, inspection.protected) == (("docs/guide.md",), ())
    assert inspection.clashes == (("docs/guide.md", "docs/Guide.md"),)


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
    with pytest.raises(Refused, match="not published"):
        inspect((Change(path, REGULAR, b""),))


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../../up", b"a/../../../up"])
def test_links_that_leave_the_tree_are_refused(target: bytes) -> None:
    with pytest.raises(Refused, match="points outside"):
        inspect((Change("docs/link", SYMLINK, target),))


@pytest.mark.parametrize("target", [b".git/config", b"../.GIT/hooks", b"a/.git ./x"])
def test_links_into_gits_own_folder_are_refused(target: bytes) -> None:
    with pytest.raises(Refused, match=r"into `\.git`"):
        inspect((Change("docs/link", SYMLINK, target),))


def test_submodules_are_refused() -> None:
    with pytest.raises(Refused, match="has mode 160000"):
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
def test_a_file_with_a_secret_is_held_back_with_its_place_and_without_its_value(secret: str) -> None:
    honest = Change("a.py", REGULAR, b"x = 1\n")
    inspection = inspect((Change("config.py", REGULAR, f"# settings\nKEY = '{secret}'\n".encode()), honest))
    assert inspection.passed == (honest,)
    assert inspection.held == ("config.py",)
    assert inspection.protected == ()
    (leak,) = inspection.leaks
    assert (leak.path, leak.line) == ("config.py", 2)
    assert secret not in leak.kind


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
def test_a_secret_in_disguise_is_held_back(content: bytes) -> None:
    (leak,) = inspect((Change("config.py", REGULAR, content),)).leaks
    assert "a1a1" not in leak.kind


_TOKEN = "ghp_" + "a1B2" * 9


def test_a_value_that_the_file_held_before_is_not_new() -> None:
    old = f"x = 1\nSECRET_KEY = '{_TOKEN}'\n".encode()
    new = f"x = 2\nSECRET_KEY = '{_TOKEN}'  # for the docs\n".encode()
    assert inspect((Change("a.py", REGULAR, new, REGULAR, old),)).passed


def test_a_new_value_in_a_file_that_held_another_is_found() -> None:
    old = b"SECRET_KEY = 'ghp_" + b"x9Y8" * 9 + b"'\n"
    (leak,) = inspect((Change("a.py", REGULAR, old + f"T = '{_TOKEN}'\n".encode(), REGULAR, old),)).leaks
    assert leak.line == 2


def test_what_is_moved_is_not_new() -> None:
    content = f"T = '{_TOKEN}'\n".encode()
    changes = (Change("old.py", ABSENT, b"", REGULAR, content), Change("new.py", REGULAR, content))
    assert inspect(changes).passed == changes


def test_a_value_that_was_written_in_pieces_is_not_new_in_one() -> None:
    old = f"T = ('{_TOKEN[:20]}'\n     '{_TOKEN[20:]}')\n".encode()
    assert inspect((Change("a.py", REGULAR, f"T = '{_TOKEN}'\n".encode(), REGULAR, old),)).passed


def test_files_that_the_repository_says_are_samples_may_hold_them() -> None:
    sample, other = (Change(path, REGULAR, f"T = '{_TOKEN}'\n".encode()) for path in ("tests/keys/a.txt", "b.txt"))
    assert inspect((sample, other), samples=("tests/keys/**",)).passed == (sample,)


def test_a_secret_of_the_deployment_holds_a_file_back_in_old_lines_and_samples_too() -> None:
    own = Redactor([SecretStr("Zk9-qL2_wX7cV4bN8mR1tY5u")]).find_own
    content = b"a\nu5Yt1Rm8Nb4Vc7Xw_2Lq-9kZ\n"
    change = Change("a.txt", REGULAR, content + b"b\n", REGULAR, content)
    (leak,) = inspect((change,), samples=("a.txt",), find_own=own).leaks
    assert (leak.line, leak.kind) == (2, OWN)


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


def test_a_file_with_a_secret_in_its_name_is_held_back() -> None:
    path = f"docs/{_TOKEN}.md"
    (leak,) = inspect((Change(path, REGULAR, b"x"),)).leaks
    assert (leak.path, leak.line, leak.kind) == (path, 0, "a GitHub token (in its name)")


def test_a_name_cannot_end_the_code_it_is_shown_in() -> None:
    with pytest.raises(Refused) as caught:
        inspect((Change("a` [b](c) `d", "160000"),))
    assert str(caught.value).startswith("``a` [b](c) `d`` has mode")


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
        inspect(changes, caps=CommitLimits(files=3, binary_files=2, file_bytes=10, total_bytes=15))


def test_a_submodule_is_held_back_with_what_takes_its_place() -> None:
    moved = Change("lib", "160000", old_mode="160000")
    found = inspect((moved, Change("lib/x.py", "100644", b"x\n"), Change("a.py", "100644", b"a\n")))
    assert (found.submodules, found.held, found.protected) == (("lib", "lib/x.py"), ("lib", "lib/x.py"), ())
    assert [change.path for change in found.passed] == ["a.py"]


def test_what_lfs_does_not_have_is_held_back() -> None:
    found = inspect((Change("a.png", "100644", b"PNG", is_unstored=True),))
    assert (found.unstored, found.held, found.protected, found.passed) == (("a.png",), ("a.png",), (), ())
