"""Runs as they stand at several moments, for the texts that show them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.core.conversation import Usage
from app.core.run.job import Job, Person, Source, job_id
from app.core.run.plan import Plan, Step
from app.core.run.run import Commit, Conclusion, Cost, Failure, OpenedPullRequest, Run, Stage, StageRecord, Status
from app.core.run.verification import SuiteRun, Verdict, Verification

AT = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
JOB = Job(
    id=job_id("acme/greeter", 12, Source.LABEL, "20261122T150000Z"),
    repo="acme/greeter",
    installation_id=1,
    source=Source.LABEL,
    sender=Person("ada", 7),
    created_at=AT,
    number=12,
    title="The greeting has a typo",
)
WORKING = Run(
    JOB,
    status=Status.IN_PROGRESS,
    percent=60,
    message="Step 2 of 2: Say so in the README",
    branch="vibecode/12-the-greeting-has-a-typo",
    plan=Plan("Mend the greeting", "The greeting lacked an l.", (Step("Mend it"), Step("Say so in the README"))),
    steps_done=1,
    commits=(Commit("abcdef1234", "Mend it", ("greet.py",), 0, True),),
    stages=(StageRecord(Stage.SANDBOX, Status.COMPLETED, AT, AT + timedelta(seconds=3), "The sandbox is ready"),),
    cost=Cost(Usage(12_000, 8_000, 500), 0.0312, 6),
    model="some-model",
    started_at=AT,
)
DONE = replace(
    WORKING,
    status=Status.COMPLETED,
    conclusion=Conclusion.SUCCESS,
    percent=100,
    steps_done=2,
    pull_request=OpenedPullRequest(13, "https://github.com/acme/greeter/pull/13", "abcdef1234"),
    verification=Verification(
        Verdict.PROVEN,
        (
            SuiteRun("base", "pytest -q", 0, 1.2, "1 passed"),
            SuiteRun("base with the new tests", "pytest -q", 1, 1.3, "1 failed"),
            SuiteRun("head", "pytest -q", 0, 1.25, "2 passed"),
        ),
        "f" * 40,
        ("tests/test_greet.py",),
    ),
    notices=("Not published because these paths are protected: `CODEOWNERS`.",),
)
FAILED = replace(
    WORKING,
    status=Status.COMPLETED,
    conclusion=Conclusion.FAILURE,
    failure=Failure("request", "The set-up command failed. Ask @ops.", Stage.CLONE, "```\nboom\n```"),
)
