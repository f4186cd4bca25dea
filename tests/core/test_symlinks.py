"""By which paths a file is read."""

import time
from collections.abc import Mapping

import pytest

from app.core.policy.symlinks import find_names, resolve


def names(path: str, links: Mapping[str, str]) -> set[str]:
    resolved = {each: real for each in links if (real := resolve(links, each))}
    return set(find_names(path, resolved))


@pytest.mark.parametrize(
    ("links", "path", "real"),
    [
        ({"a": "b"}, "a", "b"),
        ({"a": "b", "b": "c/d"}, "a", "c/d"),
        ({"x/a": "../b"}, "x/a", "b"),
        ({"a": "m/../f", "m": "d/e"}, "a", "d/f"),
        ({"a": "./b//c"}, "a", "b/c"),
        ({"a": "a"}, "a", None),
        ({"a": "b", "b": "a"}, "a", None),
        ({"a": "."}, "a", None),
        ({"a": "../x"}, "a", None),
        ({"a": "/etc"}, "a", None),
    ],
)
def test_links_are_followed_as_the_kernel_does(links: dict[str, str], path: str, real: str | None) -> None:
    assert resolve(links, path) == real


@pytest.mark.parametrize(
    ("path", "links", "expected"),
    [
        ("docs/agents.md", {"AGENTS.md": "docs/agents.md"}, {"AGENTS.md"}),
        ("docs/agents.md", {"AGENTS.md": "m", "m": "docs/agents.md"}, {"AGENTS.md", "m"}),
        ("ci/x.yml", {".github": "ci"}, {".github/x.yml"}),
        ("c/x", {"b/l": "../c", "a": "b"}, {"b/l/x", "a/l/x"}),
        ("cix/x.yml", {".github": "ci"}, set()),
        ("ci", {".github/w": "../ci/w"}, set()),
    ],
)
def test_every_name_of_a_file_is_found(path: str, links: dict[str, str], expected: set[str]) -> None:
    assert names(path, links) == expected


def test_links_into_their_own_folder_end() -> None:
    began = time.process_time()
    links = {f"a/l{number}": "../a" for number in range(300)} | {
        f"k{number}": f"k{number + 1}" for number in range(300)
    }
    assert 0 < len(names("a/x", links)) <= 200
    assert time.process_time() - began < 1
