from dataclasses import replace

import pytest

from app.core.run.codec import decode, encode
from app.core.run.job import Command, Verb
from app.core.run.plan import Plan
from app.core.run.run import Conclusion, Run
from app.text.comment import render_comment
from app.text.summary import summarize
from tests.text.runs import DONE, FAILED, JOB, WORKING

PLAN = "The greeting lacked an l."
TEXTS = ("It says hello now.", "The README\nsays so, too.")


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (
            replace(DONE, step_summaries=TEXTS),
            f"{PLAN}\n\n- Mend it: {TEXTS[0]}\n- Say so in the README: The README says so, too.",
        ),
        (replace(FAILED, step_summaries=TEXTS), f"{PLAN}\n\n- Mend it: {TEXTS[0]}"),
        (replace(DONE, step_summaries=("", TEXTS[0])), f"{PLAN}\n\n- Mend it\n- Say so in the README: {TEXTS[0]}"),
        (replace(WORKING, steps_done=0), ""),
        (Run(JOB, plan=Plan("Nothing", PLAN, ()), summary=PLAN), PLAN),
        (Run(JOB, summary="Nothing is running here."), "Nothing is running here."),
    ],
)
def test_a_summary_is_of_the_plan_and_of_every_finished_step(run: Run, expected: str) -> None:
    assert summarize(run) == expected


def test_a_stored_run_without_step_summaries_names_its_steps() -> None:
    document = encode(replace(DONE, summary="What the last step did.")).replace(b'"step_summaries":[],', b"")
    assert b"step_summaries" not in document
    assert summarize(decode(document)) == f"{PLAN}\n\n- Mend it\n- Say so in the README"


def test_a_run_that_only_opens_the_pull_request_says_so() -> None:
    job = replace(JOB, command=Command(Verb.RETRY, hands_over=True))
    run = replace(WORKING, job=job, conclusion=Conclusion.NEUTRAL, summary="Opened a draft with the commits so far.")
    assert summarize(run) == run.summary


def test_a_step_done_twice_or_after_a_lost_one_keeps_its_place() -> None:
    run = WORKING.with_step_done(1, "second").with_step_done(1, "second, again")
    assert (run.steps_done, run.step_summaries) == (2, ("", "second, again"))


def test_the_comment_of_a_run_that_changed_nothing_tells_of_all_steps() -> None:
    run = replace(DONE, conclusion=Conclusion.NEUTRAL, step_summaries=TEXTS, pull_request=None)
    assert "It says hello now." in render_comment(run, "")
