"""What a run may spend: set aside in two days' books before it begins, settled at its end, added to by people."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import LimitReached
from app.core.policy.budget import Budget
from app.core.policy.repo_config import BudgetSection, RepoConfig
from app.core.ports.github import GitHub
from app.core.ports.store import Signal
from app.core.run.run import Cost, Run
from app.core.safety.redact import Redactor
from app.runs.context import Options, RunContext
from app.runs.intake.spending import grant, reserve, settle
from app.runs.progress import Progress
from tests.runs.test_lease import ports
from tests.runs.test_publish import undrawn
from tests.text.runs import JOB

DOLLARS = 2.0


async def open_one(
    store: MemoryStore, key: int = 1, *, usd: float | None = DOLLARS, repo_day: float | None = None, day: float = 50.0
) -> RunContext:
    """A run that may spend `usd`, where the repository's day has `repo_day` and the installation's `day` dollars."""
    job = replace(JOB, id=f"{JOB.id}{key}")
    await MemoryQueue(store).put(Run(job))
    held = await store.acquire(job.id, worker="one", ttl_s=30)
    assert held is not None
    world = ports(store)
    progress = Progress(held, store=store, clock=world.clock, redactor=Redactor(()), draw=undrawn, every_s=0)
    progress.budget = Budget(usd, 30, 100, 1_000_000)
    ctx = RunContext(world, Options(progress.budget, usd_per_day=day), cast(GitHub, None), progress, Redactor(()))
    ctx.config = RepoConfig(budget=BudgetSection(usd_per_day=repo_day))
    await ctx.progress.save(budget_usd=usd or 0.0)
    return ctx


async def spend(ctx: RunContext, usd: float) -> None:
    await ctx.progress.save(cost=Cost(usd=usd, turns=1))


@pytest.mark.parametrize(
    ("repo_day", "day", "fit", "named"),
    [
        (5.0, 50.0, 2, "$5.00 (`usd_per_day` in `.github/vibecode.yml`)"),
        (None, 5.0, 2, "$5.00 (`MAX_USD_PER_DAY`)"),
        (4.0, 4.0, 2, "$4.00 (`usd_per_day`"),
        (1.0, 50.0, 0, "$1.00 (`usd_per_day`"),
    ],
)
async def test_so_many_runs_as_the_day_has_dollars_begin(
    repo_day: float | None, day: float, fit: int, named: str
) -> None:
    store = MemoryStore()
    for key in range(fit):
        await reserve(await open_one(store, key, repo_day=repo_day, day=day))
    with pytest.raises(LimitReached) as refused:
        await reserve(await open_one(store, 99, repo_day=repo_day, day=day))
    assert refused.value.kind == "usd_per_day"
    assert named in str(refused.value)


async def test_what_a_run_did_not_spend_is_there_for_the_next() -> None:
    store = MemoryStore()
    first = await open_one(store, 1, repo_day=2.5)
    await reserve(first)
    await spend(first, 0.4)
    await settle(first)
    await settle(first)

    await reserve(await open_one(store, 2, repo_day=2.5))

    with pytest.raises(LimitReached):
        await reserve(await open_one(store, 3, repo_day=2.5))


async def test_a_run_refused_by_one_book_takes_nothing_from_the_other() -> None:
    store = MemoryStore()
    with pytest.raises(LimitReached):
        await reserve(await open_one(store, 1, repo_day=10.0, day=1.0))
    for key in range(2, 7):
        await reserve(await open_one(store, key, repo_day=10.0, day=50.0))


async def test_dollars_that_a_run_carries_over_are_settled_already() -> None:
    store = MemoryStore()
    ctx = await open_one(store, repo_day=1.0)
    await spend(ctx, 1.5)
    await reserve(ctx)
    await spend(ctx, 1.8)
    await settle(ctx)

    await reserve(await open_one(store, 2, usd=0.7, repo_day=1.0))


async def twice(do: Callable[[], Awaitable[None]]) -> None:
    await do()
    await do()


async def test_dollars_are_added_once_for_each_command() -> None:
    ctx = await open_one(MemoryStore(), repo_day=5.0)
    await reserve(ctx)

    await twice(lambda: grant(ctx, Signal("budget", "ada", 1.5, key="one")))
    assert (ctx.run.granted_usd, ctx.run.limit_usd) == (1.5, 3.5)

    await grant(ctx, Signal("budget", "ada", 1.5, key="two"))
    assert (ctx.run.granted_usd, ctx.run.grants) == (3.0, ("one", "two"))


async def test_dollars_that_the_day_has_not_are_not_added_and_that_is_said() -> None:
    store = MemoryStore()
    ctx = await open_one(store, repo_day=5.0)
    await reserve(ctx)

    await grant(ctx, Signal("budget", "ada", 3.5, key="one"))

    assert (ctx.run.granted_usd, ctx.run.grants) == (0.0, ("one",))
    assert "Could not add $3.50" in ctx.run.notices[-1]
    await reserve(await open_one(store, 2, usd=3.0, repo_day=5.0))


@pytest.mark.parametrize("usd", [None, float("inf")])
async def test_a_run_without_a_limit_sets_nothing_aside(usd: float | None) -> None:
    ctx = await open_one(MemoryStore(), usd=usd, repo_day=0.01)
    await reserve(ctx)
    assert ctx.run.reserved == ()
