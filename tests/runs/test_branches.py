"""What a job's branch is called."""

from dataclasses import replace

import pytest

from app.core.run.job import job_key, read_job_key
from app.runs.branches import branch_name
from tests.contract.sample_run import a_run


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("The greeting has a typo", "12-the-greeting-has-a-typo"),
        ("Make the words of a very long title end where a word ends", "12-make-the-words-of-a-very-long-title-end"),
        ("x" * 60, f"12-{'x' * 40}"),
        ("直す", "12-change"),
        ("`../../main` & -rf", "12-main-rf"),
    ],
)
def test_a_branch_is_named_by_whole_words_and_the_jobs_key(title: str, slug: str) -> None:
    job = replace(a_run().job, number=12, title=title)
    assert branch_name(job) == f"vibecode/{slug}-{job.key}"


def test_what_begins_with_a_number_is_not_taken_for_an_issues() -> None:
    job = replace(a_run().job, number=None, title="12 monkeys")
    assert branch_name(job) == f"vibecode/run-12-monkeys-{job.key}"


def test_each_job_has_its_own_key() -> None:
    ids = [f"acme~greeter~api~{number}" for number in range(1_000)]
    assert len({job_key(each) for each in ids}) == len(ids)
    assert job_key(ids[0]) == job_key(ids[0])


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("Fix it\n\nRefs #12\nVibecode-Job: k3x9qd\nCo-authored-by: a <a@b>", "k3x9qd"),
        ("Fix it\n\nVibecode-Job: k3x9qd\n\nRefs #12", ""),
        ("Fix it", ""),
        ("Vibecode-Job: k3x9qd is what it says", ""),
    ],
)
def test_only_a_trailer_names_the_job(message: str, key: str) -> None:
    assert read_job_key(message) == key
