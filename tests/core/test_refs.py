import subprocess
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.refs import is_branch

NAME_PIECES: Final = st.sampled_from([*"ab.-/@{~^:?*[\\ \x7f\x01é", ".lock", "HEAD", ".."])


@settings(max_examples=150, deadline=None)
@given(st.lists(NAME_PIECES, min_size=1, max_size=6).map("".join))
@example("HEAD")
@example("@")
@example("a.lock/b")
@example("a/.b")
def test_git_agrees_what_a_branch_is(name: str) -> None:
    """But for `@`, which git reads as another name for where it stands."""
    git = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, check=False)
    assert is_branch(name) == (git.returncode == 0 and name != "@" and not name.startswith("@{"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a" * 244, True), ("a" * 245, False), ("é" * 122, True), ("é" * 123, False), ("\ud800" * 3, True), ("", False)],
)
def test_a_branch_leaves_room_for_its_lock(name: str, expected: bool) -> None:
    assert is_branch(name) is expected
