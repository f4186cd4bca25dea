"""A run at three moments of its life, and a store that holds runs for one test."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.core.conversation import Usage
from app.core.run.job import Command, Job, Person, Source, Verb
from app.core.run.plan import Plan, Step
from app.core.run.run import Commit, Conclusion, Cost, Failure, Kind, OpenedPullRequest, Run, Stage, StageRecord, Status
from app.core.run.verification import SuiteRun, Verdict, Verification

T0 = datetime(2026, 11, 22, 15, 2, 37, tzinfo=UTC)
ID = "acme~greeter~12~comment~99"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def queued(job_id: str = ID, *, repo: str = "acme/greeter", title: str = "The greeting has a typo") -> Run:
    job = Job(
        id=job_id,
        repo=repo,
        installation_id=7,
        source=Source.COMMENT,
        sender=Person("ada", 1),
        created_at=T0,
        command=Command(Verb.START),
        number=12,
        title=title,
        comment_id=99,
    )
    return Run(job)


def _stages(count: int, *, is_open: bool) -> tuple[StageRecord, ...]:
    records = [
        StageRecord(stage, Status.COMPLETED, at(i * 9), at(i * 9 + 8)) for i, stage in enumerate(list(Stage)[:count])
    ]
    if is_open:
        records[-1] = replace(records[-1], status=Status.IN_PROGRESS, ended_at=None, detail="Step 2 of 3")
    return tuple(records)


def at_work() -> Run:
    plan = Plan(
        "Say hello correctly",
        "The greeting is spelled `helo`.\nCorrect it and hold it with a test.",
        (
            Step("Correct the greeting", ("greeter/greet.py",), "pytest -q tests/test_greet.py"),
            Step("Test that the greeting is spelled right", ("tests/test_greet.py",), "pytest -q"),
            Step("Mention it in the changelog", ("CHANGELOG.md",), "The changelog names the fix."),
        ),
    )
    commit = Commit(
        "5f0c1d2e3b4a59687766554433221100ffeeddcc",
        "Correct the greeting",
        ("greeter/greet.py",),
        0,
        True,
        "https://github.com/acme/greeter/commit/5f0c1d2e3b4a59687766554433221100ffeeddcc",
    )
    run = replace(
        queued(),
        status=Status.IN_PROGRESS,
        attempt=1,
        stages=_stages(5, is_open=True),
        percent=53,
        message="Step 2 of 3: Test that the greeting is spelled right",
        base_ref="main",
        branch="vibecode/12-the-greeting-has-a-typo",
        plan=plan,
        steps_done=1,
        commits=(commit,),
        cost=Cost(Usage(48_210, 39_800, 2_140), 0.0734, 9),
        model="gpt-6-mini",
        started_at=at(1),
    )
    lines = [
        (Kind.STAGE, "sandbox: a fresh machine is up"),
        (Kind.STAGE, "clone: main at 1a2b3c4d"),
        (Kind.MODEL, "The greeting is built in greeter/greet.py; nothing tests its words."),
        (Kind.TOOL, "read greeter/greet.py"),
        (Kind.TOOL, "shell: pytest -q tests/test_greet.py → exit 0"),
        (Kind.NOTE, "A syntax error was sent back to the model."),
    ]
    for index, (kind, text) in enumerate(lines):
        run = run.with_activity(at(2 + index * 11), kind, text)
    return run


def ended() -> Run:
    run = at_work()
    tail = "tests/test_greet.py ..                 [100%]\n2 passed in 0.03s"
    suites = (
        SuiteRun("base", "pytest -q", 0, 1.2, "1 passed in 0.02s"),
        SuiteRun("base with the new tests", "pytest -q tests/test_greet.py", 1, 1.1, "1 failed in 0.05s"),
        SuiteRun("head", "pytest -q", 0, 1.31, tail),
    )
    return replace(
        run,
        status=Status.COMPLETED,
        conclusion=Conclusion.SUCCESS,
        stages=_stages(9, is_open=False),
        percent=100,
        message="Opened pull request #13.",
        steps_done=3,
        verification=Verification(Verdict.PROVEN, suites, "9f" * 20, ("tests/test_greet.py",)),
        pull_request=OpenedPullRequest(13, "https://github.com/acme/greeter/pull/13", "5f0c1d2e" * 5),
        step_summaries=("It says hello now.", "A test checks it.", "The changelog mentions it."),
        ended_at=at(84),
        updated_at=at(84),
    )


def failed() -> Run:
    run = at_work()
    return replace(
        run,
        status=Status.COMPLETED,
        conclusion=Conclusion.FAILURE,
        stages=_stages(5, is_open=True),
        message="The sandbox is gone.",
        failure=Failure(
            "SandboxError", "The sandbox is gone; comment /vibecode retry.", Stage.STEPS, "exit 137\nKilled"
        ),
        notices=("The limit of ten files was reached; two files were left out.",),
        ended_at=at(84),
    )
