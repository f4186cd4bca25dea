from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from app.core.ports.queue import Waiting, WaitReason
from app.core.run.job import Mode, Source
from app.core.run.plan import Plan, Step
from app.core.run.pull_requests import Diagnosis
from app.core.run.run import Conclusion, Failure, Run, Status
from app.text.comment import (
    MAX_CHARS,
    describe_status,
    is_silent,
    marker_for,
    marker_of,
    render_comment,
    render_help,
    render_queue_position,
)
from tests.text.runs import DONE, FAILED, JOB, WORKING


def test_a_run_at_work_shows_its_step_and_how_to_end_it() -> None:
    assert render_comment(WORKING, "https://bot.example/jobs/1") == snapshot("""\
<!-- vibecoder:run=cf4374eeb09ab7f5 -->
### ⏳ Working · 60 %

Step 2 of 2: Say so in the README

**Mend the greeting**

- [x] Mend it (abcdef1)
- [ ] Say so in the README

<details><summary>Stages</summary>

| stage | | |
|---|---|---|
| sandbox | The sandbox is ready | 3 s |

</details>

<sub>$0.03 · 6 turns · 12,500 tokens · some-model · branch `vibecode/12-the-greeting-has-a-typo` · [live](https://bot.example/jobs/1) · `/vibecode stop` stops it</sub>
""")


def test_a_run_that_is_done_shows_its_proof() -> None:
    assert render_comment(DONE, "") == snapshot("""\
<!-- vibecoder:run=cf4374eeb09ab7f5 --> <!-- vibecoder:ended -->
### ✅ Done · #13

The greeting lacked an l.

**Mend the greeting**

- [x] Mend it (abcdef1)
- [x] Say so in the README

**Tests pass**, and the changed tests fail without the change.

| tests run on | exit code | seconds |
|---|---|---|
| base | 0 | 1.2 |
| base with the new tests | 1 | 1.3 |
| head | 0 | 1.25 |

<details><summary><code>pytest -q</code></summary>

On base:

```
1 passed
```

On base with the new tests:

```
1 failed
```

On head:

```
2 passed
```

</details>

> Not published because these paths are protected: `CODEOWNERS`.

<details><summary>Stages</summary>

| stage | | |
|---|---|---|
| sandbox | The sandbox is ready | 3 s |

</details>

<sub>$0.03 · 6 turns · 12,500 tokens · some-model · branch `vibecode/12-the-greeting-has-a-typo`</sub>
""")


def test_a_failure_shows_where_and_the_last_lines() -> None:
    assert render_comment(FAILED, "") == snapshot("""\
<!-- vibecoder:run=cf4374eeb09ab7f5 --> <!-- vibecoder:ended -->
### ❌ Failed

The set-up command failed. Ask `@ops`. (in the stage `clone`)

<details><summary>Last lines</summary>

````
```
boom
```
````

</details>

**Mend the greeting**

- [x] Mend it (abcdef1)
- [ ] Say so in the README

<details><summary>Stages</summary>

| stage | | |
|---|---|---|
| sandbox | The sandbox is ready | 3 s |

</details>

<sub>$0.03 · 6 turns · 12,500 tokens · some-model · branch `vibecode/12-the-greeting-has-a-typo` · `/vibecode retry` resumes it</sub>
""")


def test_a_sentence_links_to_the_pull_request_it_is_about_and_to_no_other() -> None:
    words = "#34 was closed, and #35 was not. It fixes #34."
    failed = replace(FAILED, failure=Failure("", words), message=words, related=(34,))
    stopped = replace(failed, failure=None, conclusion=Conclusion.CANCELLED)
    found = replace(FAILED, job=replace(JOB, mode=Mode.FIX_CI), failure=None, diagnosis=Diagnosis(findings=(words,)))
    for run in (failed, stopped, replace(found, related=(34,), summary="x")):
        assert "#34 was closed, and <code>&#35;35</code> was not. It <code>fixes &#35;34</code>." in render_comment(
            run, ""
        )
    assert "#34" not in render_comment(replace(failed, related=()), "")
    assert "#12 was closed" in render_comment(replace(failed, message="", failure=Failure("", "#12 was closed.")), "")


def test_an_answer_is_only_the_answer() -> None:
    run = Run(JOB, status=Status.IN_PROGRESS, conclusion=Conclusion.NEUTRAL, summary="Nothing is running here.")
    assert render_comment(run, "") == snapshot("""\
<!-- vibecoder:run=cf4374eeb09ab7f5 --> <!-- vibecoder:ended -->
Nothing is running here.
""")


def test_the_help_lists_every_command() -> None:
    assert render_help() == snapshot("""\
| command | effect |
|---|---|
| `/vibecode [options] [instruction]` | start on an issue; on the bot's pull request: follow up |
| `/vibecode plan [instruction]` | plan only, then wait |
| `/vibecode approve` | approve the pending plan |
| `/vibecode stop` | stop the run in progress and any queued ones; finished work stays on the branch |
| `/vibecode retry` | resume after the last completed step, or start over if there is none |
| `/vibecode status` | show the run's status and refresh its comment |
| `/vibecode budget +2` | add two dollars to the run's budget; a run that ran out resumes |
| `/vibecode help` | show these commands |

Options go before the instruction:
`--base BRANCH`: start from this branch and open the pull request against it;
`--model NAME`: use this model;
`--draft`: open the pull request as a draft.
""")


def test_a_queued_run_says_so() -> None:
    assert "🕐 Queued" in render_comment(Run(JOB), "")


def test_a_comment_never_outgrows_what_github_takes() -> None:
    body = render_comment(replace(DONE, notices=("x" * 70_000,)), "")
    assert len(body) <= MAX_CHARS + 1
    assert body.startswith(marker_of(DONE.id))


def test_the_marker_ends_no_comment_early_whatever_the_repository_is_called() -> None:
    assert marker_of("acme~a--b~1").count("--") == 2


def test_a_plan_that_waits_says_how_to_approve_and_how_to_change_it() -> None:
    made = Plan(
        "Mend the greeting", "It lacks an l.", (Step("Mend it", ("greet.py", "a.py"), "pytest -q"), Step("Say so"))
    )
    waits = replace(WORKING, plan=made, steps_done=0, commits=(), stages=(), branch="", needs="approval")
    waits = replace(waits, conclusion=Conclusion.ACTION_REQUIRED, approval="a1b2c3d4e5f6")
    assert render_comment(waits, "") == snapshot("""\
<!-- vibecoder:run=cf4374eeb09ab7f5 --> <!-- vibecoder:ended -->
### ✋ Needs your approval

It lacks an l.

To approve plan `a1b2c3d4e5f6`, comment `/vibecode approve` or react with 👍. To change it, comment `/vibecode plan` with what should be different.

**Mend the greeting**

- [ ] Mend it
  - files: `greet.py`, `a.py`
  - check: pytest -q
- [ ] Say so


<sub>$0.03 · 6 turns · 12,500 tokens · some-model</sub>
""")


@pytest.mark.parametrize(
    ("reason", "at_work", "words"),
    [
        (WaitReason.THREAD, 1, "another run is in progress here."),
        (WaitReason.REPO, 1, "acme/greeter has 1 run in progress, which is its limit."),
        (WaitReason.INSTALLATION, 8, "this installation has 8 runs in progress, which is its limit."),
        (WaitReason.SANDBOXES, 20, "20 of 20 sandboxes of this deployment are in use."),
        (WaitReason.WORKERS, 0, "all workers are busy."),
        (WaitReason.DISK, 0, "all workers are out of disk space. The run starts when an operator frees some."),
    ],
)
def test_a_run_that_waits_says_where_and_why(reason: WaitReason, at_work: int, words: str) -> None:
    assert render_queue_position(Waiting("an id", 2, reason, at_work), JOB) == f"Queued at position 2: {words}"


def test_what_is_found_out_about_failed_checks_is_said_in_a_comment_of_the_pull_requests_own() -> None:
    job = replace(JOB, source=Source.CHECKS, mode=Mode.FIX_CI, number=13, head_sha="0123456789abcdef")
    found = Diagnosis(findings=("`tests` failed. It also fails on `main`, so I made no change.",))
    run = Run(job, conclusion=Conclusion.NEUTRAL, diagnosis=found)
    assert render_comment(run, "") == snapshot("""\
<!-- vibecoder:run=443beb9585cd68a1 --> <!-- vibecoder:ended -->
### 💬 Nothing to do

`tests` failed. It also fails on `main`, so I made no change.

<sub>commit 0123456</sub>
""")
    assert marker_for(run) == marker_for(replace(run, job=replace(job, id="acme~greeter~13~checks~7")))


def test_nothing_is_said_of_failed_checks_before_something_is_known() -> None:
    job = replace(JOB, source=Source.CHECKS, mode=Mode.FIX_CI)
    assert is_silent(Run(job))
    assert not is_silent(Run(job, failure=Failure("bug", "I am sorry.")))
    assert not is_silent(Run(JOB))


def test_a_model_without_a_price_is_not_said_to_cost_nothing() -> None:
    free = replace(WORKING, cost=replace(WORKING.cost, usd=0.0, is_priced=False), budget_usd=2.0)
    for words in (render_comment(free, ""), describe_status(free)):
        assert "price not known" in words
        assert "$" not in words
