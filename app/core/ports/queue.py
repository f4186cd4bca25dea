"""The queue, as a port: carries jobs from the web process to workers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.core.run.run import Run


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """How many runs may be at work at a time for one repository and for one installation, and how many may have a
    sandbox in the whole deployment, those that were put off included; 0 sandboxes: no limit."""

    per_repo: int = 2
    per_installation: int = 8
    sandboxes: int = 0


class WaitReason(StrEnum):
    """What a run waits for."""

    THREAD = "thread"
    """Another run of its issue or pull request is in progress, or waits to go on."""
    REPO = "repo"
    INSTALLATION = "installation"
    SANDBOXES = "sandboxes"
    """The deployment has as many sandboxes as it may."""
    WORKERS = "workers"
    DISK = "disk"
    """No worker that is running has room on its disk."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A running worker. `no_room` says why it takes no runs; empty when it does."""

    name: str
    no_room: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run of work that may start and was not taken yet. `position` is 1 for who is next among those that wait for the
    same; `at_work` is how many are in progress there; `waited_s` counts from the moment it was put, or might go on."""

    job_id: str
    position: int
    reason: WaitReason
    at_work: int = 0
    waited_s: float = 0.0
    has_begun: bool = False


class Queue(Protocol):
    """Carries jobs from web to worker, at least once. Raises `StoreError` within 3 s when Redis is away."""

    async def put(self, run: Run) -> bool:
        """Store a new run and queue its job in one atomic write; wake a worker.

        Returns False, changing nothing, when this id was put within the last seven days. Repeatable.
        """

    async def put_again(self, job_id: str, *, after_s: float = 0.0) -> None:
        """Queue a stored run once more, to begin no sooner than `after_s` from now. Repeatable: a job waits at most
        once, and the last call says when."""

    async def depth(self) -> int:
        """How many jobs wait."""

    async def workers(self) -> tuple[WorkerState, ...]:
        """The workers that are running, by name. One that was killed is among them for half a minute. Repeatable."""

    async def waiting(self) -> tuple[Waiting, ...]:
        """The runs of work that wait for a worker, in the order in which they are to be taken; of the first 1,000 jobs.

        Commands that are only answered wait for nothing and are not among them. Repeatable."""
