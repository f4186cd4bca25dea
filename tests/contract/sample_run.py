"""Runs to keep, a bare one and one with something in every field, and where to keep them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.core.conversation import Usage
from app.core.ports.queue import Queue
from app.core.ports.store import Store
from app.core.run.job import Command, Job, Person, Source, Verb, job_id
from app.core.run.plan import Plan, Step
from app.core.run.run import Commit, Conclusion, Cost, Failure, Kind, OpenedPullRequest, Run, Stage, StageRecord, Status
from app.core.run.verification import SuiteRun, Verdict, Verification

AT = datetime(2026, 11, 22, 15, 2, 37, 123456, tzinfo=UTC)
REPO = "acme/greeter"


@dataclass(frozen=True)
class Records:
    queue: Queue
    store: Store


def a_run(key: int | str = 1, *, repo: str = REPO, number: int | None = 12, verb: Verb = Verb.START) -> Run:
    return Run(
        Job(
            id=job_id(repo, number, Source.COMMENT, str(key)),
            repo=repo,
            installation_id=7,
            source=Source.COMMENT,
            sender=Person("maintainer", 1),
            created_at=AT,
            command=Command(verb),
            number=number,
        )
    )


def a_full_run() -> Run:
    plan = Plan("Mend the greeting", "It says helo.", (Step("Mend it", ("greet.py",), "pytest -q"), Step("Say so")))
    failure = Failure("SandboxError", "The machine is gone.", Stage.VERIFY, "…\n\x00 é 🙂")
    suites = (SuiteRun("base", "pytest -q", 1, 0.1), SuiteRun("head", "pytest -q", 0, 1e-7, "1 passed"))
    return replace(
        a_run(),
        stages=(StageRecord(Stage.SANDBOX, Status.COMPLETED, AT, AT, "made"),),
        percent=41,
        plan=plan,
        commits=(Commit("a" * 40, "Mend it", ("greet.py",), 0, True, "https://github.test/c"),),
        verification=Verification(Verdict.PROVEN, suites, "b" * 40),
        cost=Cost(Usage(12, 3, 4), 0.1 + 0.2, 2),
        pull_request=OpenedPullRequest(13, "https://github.test/13", "a" * 40),
        notices=("One.", "Two."),
        failure=failure,
        started_at=AT,
    ).with_activity(AT, Kind.TOOL, "shell: pytest")


def completed(run: Run) -> Run:
    return replace(run, status=Status.COMPLETED, conclusion=Conclusion.SUCCESS, percent=100)


def in_progress(run: Run) -> Run:
    return replace(run, status=Status.IN_PROGRESS)


async def taken(records: Records, run: Run, *, ttl_s: float = 30) -> Run:
    """Put a run, unless it is there, and take its lease as soon as it is free."""
    await records.queue.put(run)
    for _ in range(100_000):
        if (held := await records.store.acquire(run.id, worker="w", ttl_s=ttl_s)) is not None:
            return held
    raise AssertionError(f"The lease of {run.id} does not end.")
