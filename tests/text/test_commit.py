import subprocess
import time
from dataclasses import replace

import pytest

from app.core.run.job import Person, Source
from app.text.commit import compose_message
from tests.text.runs import JOB


def _trailers(message: str) -> list[str]:
    """What git itself takes for trailers."""
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


OURS = ["Refs: #12", f"Vibecode-Job: {JOB.key}", "Co-authored-by: ada <7+ada@users.noreply.github.com>"]


def test_git_reads_the_trailers_as_one_block() -> None:
    assert _trailers(compose_message(JOB, "Mend the greeting", "It lacked an l.")) == OURS
    assert _trailers(compose_message(JOB, "Mend the greeting", "")) == OURS
    assert _trailers(compose_message(JOB, "Mend it", "", issue=3)) == ["Refs: #3", *OURS[1:]]


def test_a_bot_is_a_co_author_like_anybody() -> None:
    job = replace(JOB, sender=Person("renovate[bot]", 29139614))
    trailer = "Co-authored-by: renovate[bot] <29139614+renovate[bot]@users.noreply.github.com>"
    assert _trailers(compose_message(job, "Mend it", "So.")) == [*OURS[:2], trailer]


def test_a_run_of_the_command_line_has_no_trailers() -> None:
    job = replace(JOB, source=Source.LOCAL, number=None)
    assert compose_message(job, "Mend it", "So.") == "Mend it\n\nSo."


@pytest.mark.parametrize("unit", ["#1", "a/#1 ", "issue #1", "GH-1\n", "x@#1`", "https://github.com/a/b/issues/1 "])
def test_references_without_number_cost_little(unit: str) -> None:
    text = unit * (40_000 // len(unit))
    began = time.process_time()
    compose_message(JOB, text, text)
    assert time.process_time() - began < 1.5
