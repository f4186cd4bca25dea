"""Which words of a request ask for something, and which ask for it not to be done."""

import time

import pytest

from app.core.policy.request_text import affirmative_text

NAME = "AGENTS.md"


@pytest.mark.parametrize(
    "request_",
    [
        "Add a rule to AGENTS.md.",
        "Fix the tests. Then say so in `AGENTS.md`!",
        "Do not touch the tests. Change AGENTS.md instead.",
        "Don't touch CI.\n\nUpdate AGENTS.md",
        "- Update AGENTS.md\n- Do not touch the tests",
        "1. never edit CI\n2. update AGENTS.md",
        "Leave these alone:\n- CI\n\nUpdate AGENTS.md.",
        "## Out of scope\nCI\n## Task\nUpdate AGENTS.md",
        "Keep AGENTS.md up to date.",
        "Tidy docs/do-not-edit/AGENTS.md and notes/never.md",
        "Note it in AGENTS.md",
        "Update AGENTS.md, which is nothing new",
        "Do not change it. Do change AGENTS.md.",
    ],
)
def test_a_sentence_without_a_negation_counts(request_: str) -> None:
    assert NAME in affirmative_text(request_)


@pytest.mark.parametrize(
    "request_",
    [
        "Do not touch AGENTS.md",
        "Don't touch AGENTS.md.",
        "Don\u2019t touch AGENTS.md.",
        "DO NOT TOUCH AGENTS.md",
        "dont change AGENTS.md",
        "Never change AGENTS.md",
        "Fix the typo without changing AGENTS.md",
        "Change all files except AGENTS.md",
        "Change everything other than AGENTS.md",
        "Leave AGENTS.md alone",
        "Keep AGENTS.md unchanged",
        "Keep AGENTS.md as it is",
        "AGENTS.md must not be changed",
        "AGENTS.md should stay as is",
        "You cannot edit AGENTS.md",
        "Avoid changes to AGENTS.md",
        "Please ignore AGENTS.md",
        "No changes to AGENTS.md, please",
        "Stay away from AGENTS.md",
        "Do not\ntouch\nAGENTS.md",
        "Don't change files that steer agents, e.g. AGENTS.md",
        "Do not touch:\n- AGENTS.md\n- CLAUDE.md",
        "**Do not touch:**\n\n* CI\n* AGENTS.md",
        "- Do not touch:\n  - AGENTS.md",
        "## Out of scope\n\nHere they are.\n\n- AGENTS.md",
        "AGENTS.md is good. Leave it alone.",
        "There is AGENTS.md. Don't change it!",
        "> Update AGENTS.md",
    ],
)
def test_a_sentence_with_a_negation_does_not(request_: str) -> None:
    assert NAME not in affirmative_text(request_)


@pytest.mark.parametrize("text", ["no a " * 30_000, "e.g" * 40_000, "- " * 60_000, "# \n" * 40_000, "a" * 130_000])
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    affirmative_text(text)
    assert time.process_time() - began < 1
