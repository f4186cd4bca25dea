"""Which run a command goes on with, and in which comment, in a repository where much else goes on."""

from dataclasses import replace
from typing import Any, Final, cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.policy.authorization import Role
from app.core.policy.budget import Budget
from app.core.ports.github import GitHub
from app.core.run.job import Command, Job, Mode, Person, Source, Verb, job_id
from app.core.run.run import Conclusion, OpenedPullRequest, Run, Status
from app.core.safety.redact import Redactor
from app.runs.context import Options, RunContext
from app.runs.follow_up import ci_failures, review_comments
from app.runs.intake import adoption
from app.runs.intake.threads import find_earlier, find_open, reuse_comment
from app.runs.progress import Progress
from tests.runs.test_lease import ports
from tests.runs.test_publish import undrawn
from tests.text.runs import JOB

BRANCH: Final = "vibecode/12-x"
CROWD: Final = 150
"""More runs than a page of the repository's list holds."""


class People:
    async def permission(self, _: Person) -> Role:
        return Role.WRITE

    async def pull_request(self, _: str) -> OpenedPullRequest | None:
        return None

    @property
    def pulls(self) -> "People":
        return self

    async def react_to_review_comment(self, *_: object) -> None:
        return

    async def react(self, *_: object, **__: object) -> None:
        return


def a_job(
    key: str, verb: Verb = Verb.START, *, number: int = 12, source: Source = Source.COMMENT, **fields: Any
) -> Job:
    name = job_id(JOB.repo, number, source, key)
    return replace(JOB, id=name, number=number, source=source, command=Command(verb), **fields)


async def add(store: MemoryStore, job: Job, **fields: Any) -> Run:
    """Put a run; with `fields` as a worker left it."""
    await MemoryQueue(store).put(Run(job))
    if not fields:
        return Run(job)
    held = await store.acquire(job.id, worker="one", ttl_s=30)
    assert held is not None
    run = replace(held, **fields)
    await store.save(run)
    await store.release(run)
    return run


async def add_crowd(store: MemoryStore, **fields: Any) -> None:
    for number in range(100, 100 + CROWD):
        await add(store, a_job("other", number=number), **fields)


async def open_at(store: MemoryStore, job: Job) -> RunContext:
    await MemoryQueue(store).put(Run(job))
    held = await store.acquire(job.id, worker="one", ttl_s=30)
    assert held is not None
    world = ports(store)
    progress = Progress(held, store=store, clock=world.clock, redactor=Redactor(()), draw=undrawn, every_s=0)
    return RunContext(world, Options(Budget(1, 1, 1, 1)), cast(GitHub, People()), progress, Redactor(()))


DONE: Final[dict[str, Any]] = {"status": Status.COMPLETED, "conclusion": Conclusion.FAILURE, "comment_id": 55}


async def test_a_retry_finds_its_run_among_the_runs_of_a_busy_repository() -> None:
    store = MemoryStore()
    failed = await add(store, a_job("1"), **DONE)
    await add_crowd(store)

    ctx = await open_at(store, a_job("2", Verb.RETRY))

    assert await find_earlier(ctx) == failed


async def test_a_retry_on_the_pull_request_finds_the_run_of_the_issue() -> None:
    store = MemoryStore()
    failed = await add(store, a_job("1"), branch=BRANCH, **DONE)
    await add_crowd(store, branch="vibecode/other")

    ctx = await open_at(store, a_job("2", Verb.RETRY, number=13, is_pull_request=True))

    assert await find_earlier(ctx, BRANCH) == failed
    assert await find_earlier(ctx) is None
    assert await adoption.find_before(ctx, BRANCH) == (failed,)


async def test_more_answers_than_a_page_holds_hide_no_run_in_their_thread() -> None:
    store = MemoryStore()
    failed = await add(store, a_job("1"), **DONE)
    for key in range(CROWD):
        await add(store, a_job(f"help{key}", Verb.HELP), status=Status.COMPLETED, conclusion=Conclusion.NEUTRAL)

    assert await find_earlier(await open_at(store, a_job("2", Verb.RETRY))) == failed


@pytest.mark.parametrize("status", [Status.QUEUED, Status.IN_PROGRESS])
async def test_a_stop_finds_what_is_open(status: Status) -> None:
    store = MemoryStore()
    told = await add(store, a_job("1"), **({"status": status} if status is Status.IN_PROGRESS else {}))
    await add_crowd(store, **({"status": status} if status is Status.IN_PROGRESS else {}))

    found = await find_open(await open_at(store, a_job("2", Verb.STOP)))

    assert [run.id for run in found] == [told.id]


async def test_the_same_comment_is_used_after_many_runs_elsewhere() -> None:
    store = MemoryStore()
    await add(store, a_job("1"), **DONE)
    await add(store, a_job("2", sender=Person("mona", 8)), **{**DONE, "comment_id": 66})
    await add_crowd(store, **{**DONE, "comment_id": 77})

    ctx = await open_at(store, a_job("3", Verb.RETRY))
    await reuse_comment(ctx, of_work=True)

    assert ctx.run.comment_id == 55


async def test_what_is_said_while_a_run_is_at_work_is_heard_in_a_busy_repository() -> None:
    store = MemoryStore()
    wish = replace(a_job("2", number=13, is_pull_request=True), command=Command(Verb.START, instruction="Add a test"))
    ctx = await open_at(store, a_job("1", number=13, is_pull_request=True))
    await ctx.progress.save(stages=())
    await add(store, wish)
    await add_crowd(store)

    taken = await review_comments._collect(ctx)

    assert [job.id for job in taken] == [wish.id]
    assert [heard.text for heard in ctx.run.heard] == ["Add a test"]


async def test_who_answers_for_a_branch_is_found_in_a_busy_repository() -> None:
    store = MemoryStore()
    asked = await add(
        store, a_job("1"), branch=BRANCH, head_sha="c" * 40, pull_request=OpenedPullRequest(13, "", ""), **DONE
    )
    look = a_job("5", number=13, source=Source.CHECKS, branch=BRANCH, head_sha="c" * 40, mode=Mode.FIX_CI)
    looked = await add(store, look, status=Status.COMPLETED, conclusion=Conclusion.NEUTRAL)
    for _ in range(4):
        await add_crowd(store)

    ctx = await open_at(store, replace(look, id=job_id(JOB.repo, 13, Source.CHECKS, "6")))

    assert await ci_failures._before(ctx) == (asked, 0)
    assert [run.id for run in await ci_failures.find_check_runs_seen(store, 13, look)] == [ctx.run.id, looked.id]
    assert await ci_failures._find_number(ctx, look) == 13
