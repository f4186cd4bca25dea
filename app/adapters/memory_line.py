"""Who is next and who is held, for the queue in memory: the rules of `lua/line.lua`, which say more."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from app.core.job import Job
from app.core.records import Caps, Reason, Waiting


@dataclass(frozen=True, slots=True)
class Due:
    """A job that may start: since `at`, on any clock. One that does not work is only answered, or over."""

    job: Job
    at: float
    works: bool


@dataclass(slots=True)
class Line:
    """`begun` are the jobs of work that were taken and are not over; `is_at_work` tells which a worker has now."""

    caps: Caps
    begun: Sequence[Job]
    is_at_work: Callable[[str], bool]
    served: dict[int, int]
    """In which turn each installation was served last; `next` adds to it."""
    _holds: dict[str, str] = field(init=False)
    _counts: Counter[str] = field(init=False)
    _begun: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._holds = {job.thread: job.id for job in self.begun if job.thread}
        self._begun = frozenset(job.id for job in self.begun)
        at_work = [job for job in self.begun if self.is_at_work(job.id)]
        self._counts = Counter(scope for job in at_work for scope in (job.repo, _installation(job)))

    def next(self, due: Sequence[Due]) -> Due | None:
        """The job to take; None when none may be taken. Answers go first, past all caps."""
        answers = sorted((each for each in due if not each.works), key=lambda each: each.at)
        free = answers or sorted((each for each in due if self._held(each.job) is None), key=self._order)
        taken = free[0] if free else None
        if taken is not None and taken.works:
            self.served[taken.job.installation_id] = max(self.served.values(), default=0) + 1
        return taken

    def waiting(self, due: Iterable[Due], now: float) -> tuple[Waiting, ...]:
        """See `ports.Queue`."""
        positions: Counter[tuple[Reason, str]] = Counter()
        waiting = []
        for each in sorted((each for each in due if each.works), key=self._order):
            reason, scope, at_work = self._held(each.job) or (Reason.WORKERS, "", 0)
            positions[reason, scope] += 1
            has_begun = each.job.id in {job.id for job in self.begun}
            place = positions[reason, scope]
            waiting.append(Waiting(each.job.id, place, reason, at_work, now - each.at, has_begun))
        return tuple(waiting)

    def _held(self, job: Job) -> tuple[Reason, str, int] | None:
        repo, installation = self._counts[job.repo], self._counts[_installation(job)]
        if self._holds.get(job.thread, job.id) != job.id:
            return Reason.THREAD, job.thread, 1
        if repo >= self.caps.per_repo:
            return Reason.REPO, job.repo, repo
        if installation >= self.caps.per_installation:
            return Reason.INSTALLATION, _installation(job), installation
        if job.id not in self._begun and 0 < self.caps.sandboxes <= len(self._begun):
            return Reason.SANDBOXES, "", len(self._begun)
        return None

    def _order(self, due: Due) -> tuple[int, bool, int, float, str]:
        is_new = due.job.id not in {job.id for job in self.begun}
        job = due.job
        return self._counts[_installation(job)], is_new, self.served.get(job.installation_id, 0), due.at, job.id


def _installation(job: Job) -> str:
    return f"installation {job.installation_id}"
