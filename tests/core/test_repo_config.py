from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from app.adapters.parsers.documents import load_yaml
from app.core.errors import ParseError, UserError
from app.core.policy.repo_config import RepoConfig, detect_tests, explain, is_test, read

WHOLE = """\
label: robot
plan: approve
setup: ["pip install -e .[test]"]
test: "pytest -q"
lint: "ruff check ."
network: [pypi.example.org]
protected: ["db/**"]
budget: {usd: 2, minutes: 30, usd_per_day: 20}
ci_fix_attempts: 1
roles: [write, admin]
pull_request: {draft: true, labels: [bot], reviewers: [ada]}
"""


def parse(text: str) -> RepoConfig:
    """As the worker does, but in this process."""
    try:
        file = load_yaml(text.encode())
    except ParseError as error:
        raise UserError(explain(error)) from error
    return read(file)


def test_everything_is_optional() -> None:
    assert parse("") == parse("# nothing\n") == RepoConfig()


def test_every_key_is_read() -> None:
    config = parse(WHOLE)
    assert config.label == "robot"
    assert config.plan == "approve"
    assert config.setup == ("pip install -e .[test]",)
    assert config.network == ("pypi.example.org",)
    assert config.budget.minutes == 30
    assert config.roles == ("write", "admin")
    assert config.pull_request.draft


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\ntset: pytest\n", "line 2: unknown key `tset`. Did you mean `test`?"),
        ("budget:\n  usd: 1\n  usdd: 3\n", "line 3: unknown key `budget.usdd`. Did you mean `usd`?"),
        ("test: pytest\nbudget:\n  usd: -1\n", "line 3: `budget.usd`: Input should be greater than 0"),
        ("roles: [owner]\n", "line 1: `roles`: Input should be 'read'"),
        ("test: [\n", "line 2, could not be read: expected the node content, but found '<stream end>'."),
        ("protected:\n  - docs/\n  - 'db/[a'\n", "line 3: `protected`: `db/[a` matches no path: a `[` has no `]`"),
        ("protected: ['[Z-a]']\n", "line 1: `protected`: `[Z-a]` matches no path: it has a bad character range z-a."),
        ("protected: [./AGENTS.md]\n", "line 1: `protected`: `./AGENTS.md` matches no path: paths are written from"),
        ("protected: ['# rules']\n", "`# rules` matches no path: it is a comment"),
        ("samples: ['docs\\']\n", "line 1: `samples`: `docs\\` matches no path: it has a `\\` with nothing after it."),
        ("protected: ['!']\n", "line 1: `protected`: `!` matches no path: it is empty."),
        ("- a\n- b\n", "must hold `key: value` lines"),
        ("test: \x00\n", "could not be read"),
        ("test: &t pytest\nlint: *t\n", "line 1, could not be read: anchors and aliases (`&name`, `*name`) are not"),
        ("budget: {<<: {usd: 1}}\n", "line 1, could not be read: merge keys (`<<`) are not supported"),
        ("x: " + "[" * 50, "line 1, could not be read: it is nested deeper than 16 levels."),
        ("test: !!set {a}\n", "line 1, could not be read: the tag"),
        ("people: [" + "a," * 6_000 + "]", "more than 5,000 values"),
        ("x" * 70_000, "longer than 65,536 bytes"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert words in str(caught.value)


@given(st.text(alphabet=":[]{}&*!|>'\"%@`- \nabtest#?,~0123", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UserError):
        assert isinstance(parse(text), RepoConfig)


def commands(*paths: str) -> list[str]:
    return [found.command for found in detect_tests(dict.fromkeys(paths))]


def test_tests_are_found_by_what_the_repository_holds() -> None:
    assert commands("go.mod", "main.go") == ["go test ./..."]
    assert commands("Cargo.toml", "src/lib.rs") == ["cargo test --quiet"]
    assert commands("README.md") == []
    assert commands("lib.py", "tests/test_lib.py")[0] == "python -m pytest -q"
    assert commands("lib.py", "tests/test_lib.py")[-1] == "python3 -m unittest discover -s tests"
    packaged = commands("lib.py", "tests/__init__.py", "tests/test_lib.py")
    assert packaged[-1] == "python3 -m unittest discover -s tests -t ."
    assert commands("src/lib/core.py", "tests/test_lib.py")[0] == "PYTHONPATH=src python -m pytest -q"


def test_a_script_that_only_says_there_are_no_tests_is_no_test() -> None:
    nothing: JsonValue = {"scripts": {"test": 'echo "Error: no test specified" && exit 1'}}
    assert detect_tests({"package.json": None}, nothing) == ()
    files = {"package.json": None, "pnpm-lock.yaml": None}
    assert [found.command for found in detect_tests(files, {"scripts": {"test": "vitest run"}})] == ["pnpm test"]
    oddities: list[JsonValue] = [[], None, 1, {"scripts": []}, {"scripts": None}]
    for odd in oddities:
        assert detect_tests({"package.json": None}, odd) == ()
    assert detect_tests({"Makefile": b"all:\n\ntest: all\n\t./t\n"})[0].command == "make test"


@pytest.mark.parametrize(
    "path", ["tests/a.py", "test_a.py", "pkg/a_test.go", "src/a.spec.ts", "spec/a_spec.rb", "FooTest.java"]
)
def test_a_file_of_tests_is_known_by_its_name(path: str) -> None:
    assert is_test(path)


@pytest.mark.parametrize("path", ["latest.py", "contest/a.py", "src/testing.md", "attest.go"])
def test_other_files_are_not_taken_for_tests(path: str) -> None:
    assert not is_test(path)
