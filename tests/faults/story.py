"""What is known of a world's runs over time: when each changed, and how long after the damage it did so again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Final

from app.core.errors import StoreError
from app.core.ports.store import Store
from app.core.run.run import Run, Status

LOOK_S: Final = 0.1


class Story:
    """Follows every run in the store, and writes down what it sees in `log`."""

    def __init__(self, store: Store, log: Path) -> None:
        self.runs: dict[str, Run] = {}
        self._store = store
        self._log = log
        self._began = monotonic()
        self._marked_at = 0.0
        self._progressed_at = 0.0
        self._marked: dict[str, Run] = {}

    def write(self, words: str) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{monotonic() - self._began:7.2f} {words}\n")

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Look as long as the block lasts."""
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait({following})

    async def _follow(self) -> None:
        """Look for ever; an outage is waited out."""
        while True:
            with suppress(StoreError):
                await self._look()
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        for run in (await self._store.list(limit=100)).runs:
            if run != self.runs.get(run.id):
                self._tell(run, self.runs.get(run.id))
                self.runs[run.id] = run
            if self._marked_at and not self._progressed_at and run != self._marked.get(run.id):
                self._progressed_at = monotonic()
                self.write(f"progress, {self.recovery_s:.1f} s after the damage")

    def _tell(self, run: Run, before: Run | None) -> None:
        words = f"{run.id} attempt {run.attempt} {run.status} {run.stage or ''} {run.conclusion or ''}"
        if before is None or (before.attempt, before.stage, before.status) != (run.attempt, run.stage, run.status):
            self.write(f"{words} {run.message}")
        for notice in run.notices[len(before.notices) if before else 0 :]:
            self.write(f"{run.id} notice: {notice}")
        if run.failure is not None and (before is None or before.failure is None):
            self.write(f"{run.id} failure: {run.failure}")

    async def mark(self, words: str) -> None:
        """The damage is done, or, for an outage, over: from here the time to recover is taken."""
        self.write(f"DAMAGE: {words}")
        with suppress(StoreError):
            await self._look()
        self._marked = {job_id: replace(run) for job_id, run in self.runs.items()}
        self._marked_at, self._progressed_at = monotonic(), 0.0

    @property
    def recovery_s(self) -> float | None:
        """Seconds from the damage to the first change of any run; None when there was none."""
        return self._progressed_at - self._marked_at if self._progressed_at else None

    @property
    def rest_s(self) -> float:
        """Seconds from the damage until now."""
        return monotonic() - self._marked_at if self._marked_at else 0.0

    def are_completed(self, job_ids: list[str]) -> bool:
        runs = [self.runs.get(job_id) for job_id in job_ids]
        return all(run is not None and run.status is Status.COMPLETED for run in runs)
