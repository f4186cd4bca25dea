"""Which words ask to bring base into the branch, and nothing else."""

import time

import pytest

from app.runs.follow_up.update_branch import is_update


@pytest.mark.parametrize(
    "words",
    [
        "update from main",
        "Update from `main` please",
        "sync",
        "please merge main",
        "merge the main branch",
        "rebase onto main!",
        "rebase on origin/main",
        "sync with base",
        "update the branch",
        "update this",
        "update",
        "can you update it from main?",
        "resolve the merge conflicts",
        "fix conflict",
    ],
)
def test_words_that_ask_for_an_update(words: str) -> None:
    assert is_update(words, "main")


@pytest.mark.parametrize(
    "words",
    [
        "update from dev",
        "update the README",
        "merge the two functions",
        "update from main and fix the test",
        "fix the conflict between greet and welcome",
        "rebase the price on the new table",
        "",
    ],
)
def test_words_that_ask_for_something_else(words: str) -> None:
    assert not is_update(words, "main")


@pytest.mark.parametrize(
    "words", ["update from " + "." * 30_000 + "é `", "please " * 10_000 + "`", "merge" + " " * 60_000 + "`"]
)
def test_long_instructions_cost_little(words: str) -> None:
    began = time.process_time()
    assert not is_update(words, "main")
    assert time.process_time() - began < 0.2
