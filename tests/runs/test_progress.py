"""A store that is slow now and then costs a run nothing."""

from datetime import UTC, datetime

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import StoreError
from app.core.run.run import Run
from app.core.safety.redact import Redactor
from app.runs.progress import PATIENCE_S, Progress
from tests.contract.sample_run import a_run


class Hourglass:
    """Time that passes when somebody sleeps."""

    passed_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 22, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.passed_s += seconds


class SlowStore(MemoryStore):
    """Does not answer the next so many writes in time."""

    fails = 0

    async def save(self, run: Run) -> None:
        if self.fails:
            self.fails -= 1
            raise StoreError("Redis does not answer in time.")
        await super().save(run)


async def undrawn(run: Run) -> int | None:
    return None


async def begun(store: SlowStore) -> Progress:
    await MemoryQueue(store).put(a_run())
    run = await store.acquire(a_run().id, worker="test", ttl_s=600)
    assert run is not None
    return Progress(run, store=store, clock=Hourglass(), redactor=Redactor([]), draw=undrawn, every_s=0)


async def test_a_write_that_is_not_answered_in_time_is_written_again() -> None:
    store = SlowStore()
    progress = await begun(store)
    store.fails = 3
    await progress.save(message="Still there.")
    found = await store.load(a_run().id)
    assert found is not None
    assert (found.message, found.attempt) == ("Still there.", 1)


async def test_a_store_that_stays_away_is_waited_for_only_so_long() -> None:
    store = SlowStore()
    progress = await begun(store)
    store.fails = int(PATIENCE_S) * 10
    with pytest.raises(StoreError):
        await progress.save(message="Still there.")
