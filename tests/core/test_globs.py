"""Patterns of a repository's file, as git reads them, on paths that are made to take long."""

import time

import pytest

from app.core.policy.globs import compile_globs, match_any


@pytest.mark.parametrize(
    ("patterns", "path", "is_matched"),
    [
        (["migrations/**"], "migrations/1.sql", True),
        (["migrations/**"], "a/migrations/1.sql", False),
        (["migrations/"], "a/migrations/1.sql", True),
        (["migrations/"], "a/migrations", False),
        (["*.sql"], "a/b/1.sql", True),
        (["/*.sql"], "a/1.sql", False),
        (["src/**/*.sql"], "src/1.sql", True),
        (["src/**/*.sql"], "src/a/b/1.sql", True),
        (["**/a/b"], "x/a/b/c", True),
        (["a?c", "[!x]y[0-9]"], "q/zy7", True),
        (["[!x]y[0-9]"], "xy7", False),
        (["*.sql", "!keep.sql"], "a/keep.sql", False),
        (["a/", "!a/keep.sql"], "a/keep.sql", True),
        (["# a", "", "\\#b", "/", "!", "[z-a]", "a["], "#b", True),
        (["# a", "", "/", "!", "[z-a]", "***"], "a", True),
        (["a*b*c"], "a-c-b", False),
        (["a*b*c"], "a-b-b-c-c", True),
        (["*b*"], "abc", True),
        (["a", "*.b", "c"], "x/y.b/z", True),
        (["a", "!b", "b", "!a"], "b", True),
        (["a", "b", "!a", "!b"], "b", False),
        (["[\\d]"], "1", False),
        (["[\\d]", "[\\]]"], "]", True),
        (["a", "b/"], "b", False),
    ],
)
def test_patterns_match_as_in_gitignore(patterns: list[str], path: str, is_matched: bool) -> None:
    assert match_any(compile_globs(tuple(patterns)), path) is is_matched


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 20 + "*b", "a" * 1_024),
        ("**/a/" * 20 + "b", "a/" * 64 + "a"),
        ("**/*a*a*b/" * 9 + "b", "aaaaaaa/" * 64 + "a"),
        ("[!x]*?*" * 9 + "b", "a" * 1_024),
    ],
)
def test_no_pattern_takes_long(pattern: str, path: str) -> None:
    began = time.process_time()
    assert not match_any(compile_globs((pattern,)), path)
    assert time.process_time() - began < 0.2
