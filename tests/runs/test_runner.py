"""What becomes of a run, by what went wrong: the ladder in `runs/runner.py`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import (
    GitHubError,
    LeaseLost,
    LimitReached,
    OutsideError,
    RequestWithdrawn,
    RetryLater,
    Stopped,
    StoreError,
    UserError,
)
from app.core.policy.budget import Budget
from app.core.ports.bundle import Ports
from app.core.run.job import Command, Person, Source, Verb
from app.core.run.run import Conclusion, Run, Status
from app.runs.context import Options
from app.runs.retry import MAX_WAITS
from app.runs.runner import MAX_LOST_WORKERS, carry_out
from tests.runs.test_lease import Hourglass
from tests.text.runs import JOB

INTERVALS = Options(Budget(1, 1, 1, 1)).intervals
ASKED = replace(JOB, source=Source.COMMENT, comment_id=99, command=Command(Verb.START))


@dataclass
class GitHub:
    """GitHub, where looking up a role ends like this. `comments` are the comments' bodies."""

    error: BaseException
    comments: list[str] = field(default_factory=list)
    looks: int = 0

    @property
    def pulls(self) -> "GitHub":
        return self

    @asynccontextmanager
    async def open(self, *_: object, **__: object) -> AsyncIterator["GitHub"]:
        yield self

    async def permission(self, _: Person) -> None:
        self.looks += 1
        raise self.error

    async def put_comment(self, _: int, body: str, *, comment_id: int | None = None, **__: object) -> int:
        if comment_id is None:
            self.comments.append(body)
        else:
            self.comments[comment_id] = body
        return len(self.comments) - 1 if comment_id is None else comment_id

    async def react(self, *_: object, **__: object) -> None:
        return


async def carry(error: BaseException, **fields: Any) -> tuple[Run, GitHub, BaseException | None]:
    """The run after an attempt that ended like this, what was said on GitHub, and what the worker is left with."""
    store, github = MemoryStore(), GitHub(error)
    ports = cast(Ports, SimpleNamespace(store=store, github=github, clock=Hourglass(), secrets=()))
    await MemoryQueue(store).put(Run(ASKED))
    if fields:
        held = await store.acquire(JOB.id, worker="one", ttl_s=30)
        assert held is not None
        await store.save(replace(held, **fields))
        await store.release(held)
    left: BaseException | None = None
    try:
        await carry_out(ports, Options(Budget(1, 1, 1, 1)), JOB.id)
    except Exception as raised:  # noqa: BLE001 -- whatever the worker gets
        left = raised
    run = await store.load(JOB.id)
    assert run is not None
    assert await store.acquire(JOB.id, worker="two", ttl_s=30) or run.status is Status.COMPLETED, "the lease is free"
    return run, github, left


@pytest.mark.parametrize(
    ("error", "conclusion", "kind"),
    [
        (UserError("No such thing."), Conclusion.SKIPPED, "request"),
        (LimitReached("minutes", "The time is up."), Conclusion.TIMED_OUT, "minutes"),
        (GitHubError("GitHub refused.", status=422), Conclusion.FAILURE, "outside"),
        (OutsideError("Not to be had."), Conclusion.FAILURE, "outside"),
        (Stopped("ada"), Conclusion.CANCELLED, ""),
        (RequestWithdrawn("The issue was closed."), Conclusion.CANCELLED, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_a_run_ends_with_one_comment_that_says_why(error: Exception, conclusion: Conclusion, kind: str) -> None:
    run, github, left = await carry(error)

    assert left is None
    assert (run.status, run.conclusion, run.failure.kind if run.failure else "") == (Status.COMPLETED, conclusion, kind)
    assert len(github.comments) == 1
    assert str(error) in github.comments[-1]


async def test_a_bug_is_told_and_raised_again() -> None:
    run, github, left = await carry(ZeroDivisionError("oops"))

    assert isinstance(left, ZeroDivisionError)
    assert (run.status, run.conclusion) == (Status.COMPLETED, Conclusion.FAILURE)
    assert "`ZeroDivisionError`" in github.comments[-1]
    assert "oops" not in github.comments[-1]


@pytest.mark.parametrize(
    ("waits", "delay_s"), [(0, INTERVALS.outage_s[0]), (3, INTERVALS.outage_s[3]), (15, INTERVALS.outage_s[-1])]
)
async def test_an_outage_is_waited_for_longer_each_time(waits: int, delay_s: float) -> None:
    run, github, left = await carry(GitHubError("GitHub is away.", status=503), waits=waits)

    assert isinstance(left, RetryLater)
    assert (str(left), left.delay_s, left.works, left.yields_thread) == ("GitHub is away.", delay_s, False, False)
    assert (run.conclusion, run.waits) == (None, waits + 1)
    assert run.handed_back == 1, "the attempt ended in order"
    assert "GitHub is away." in run.message
    assert not github.comments


async def test_an_outage_waits_as_long_as_the_other_system_asks() -> None:
    _, _, left = await carry(GitHubError("Slow down.", status=403, retry_after_s=600.0))
    assert isinstance(left, RetryLater)
    assert left.delay_s == 600.0


async def test_an_outage_that_does_not_end_fails_the_run() -> None:
    run, _, left = await carry(GitHubError("GitHub is away.", status=503), waits=MAX_WAITS)
    assert (left, run.conclusion) == (None, Conclusion.FAILURE)


async def test_what_is_waited_for_on_purpose_counts_as_no_outage() -> None:
    run, github, left = await carry(RetryLater("its turn", 7.0, works=True, yields_thread=True))

    assert isinstance(left, RetryLater)
    assert (left.delay_s, left.works, left.yields_thread) == (7.0, True, True)
    assert (run.waits, run.waited_s, run.handed_back, run.lost_workers) == (0, 7.0, 1, 0)
    assert run.wake_at is not None
    assert run.wake_at - Hourglass().now() < timedelta(seconds=7.1)
    assert not github.comments


@pytest.mark.parametrize(
    ("error", "counted"), [(StoreError("Redis is away."), 1), (LeaseLost("Another worker has it."), 0)]
)
async def test_without_the_record_nothing_is_said_and_nothing_ends(error: Exception, counted: int) -> None:
    run, github, left = await carry(error)

    assert left is (error if isinstance(error, StoreError) else None)
    assert (run.conclusion, run.waits, run.handed_back, run.lost_workers) == (None, counted, counted, 0)
    assert not github.comments


async def test_a_run_that_costs_workers_is_given_up() -> None:
    run, github, left = await carry(StoreError("never asked"), attempt=1, handed_back=-MAX_LOST_WORKERS)

    assert (left, run.conclusion, github.looks) == (None, Conclusion.FAILURE, 0)
    assert f"{MAX_LOST_WORKERS + 1} workers" in github.comments[-1]


def test_a_store_that_is_away_is_not_just_another_system() -> None:
    """So that whoever bears with GitHub's outages does not swallow one of Redis, after which nothing is on record."""
    assert not issubclass(StoreError, OutsideError)
