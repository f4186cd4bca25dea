"""The store, as a port: runs, leases, conversations, spending and notes, shared by web and workers.

Every method raises `StoreError` within 3 s when Redis is away.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.core.conversation import Conversation
from app.core.run.run import Run, Status


@dataclass(frozen=True, slots=True)
class Page:
    """One page of runs, newest first. `cursor` asks for the next page; empty on the last."""

    runs: tuple[Run, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """Something a person said to a run in progress. `kind` is `stop`, `status` or `budget` (`amount` in dollars); or
    `gone`: nobody said it, and `by` holds the words why (`core/inbound/access_revoked.py`); or `closed`
    (`core/inbound/closing.py`).

    `key` names the command, so that one which is told twice counts once.
    """

    kind: str
    by: str
    amount: float = 0.0
    key: str = ""


@dataclass(frozen=True, slots=True)
class QueueNotice:
    """The comment that shows a waiting run's position. `shown` is the position as text, empty while that is not known;
    `is_drawing`: a worker is writing it now. Without a `comment_id` there is none, or one whose id is not on record."""

    comment_id: int | None = None
    shown: str = ""
    is_drawing: bool = False

    @property
    def is_unclear(self) -> bool:
        """May there be a comment whose id is not on record?"""
        return self.comment_id is None and not self.shown


class Store(Protocol):
    """Keeps runs, for `Settings.keep_days`. Raises `StoreError` within 3 s when Redis is away."""

    async def load(self, job_id: str) -> Run | None:
        """The run, None when there is none. Repeatable."""

    async def save(self, run: Run) -> None:
        """Keep the run and tell its followers. Fenced by `run.attempt`. Repeatable.

        Raises:
            LeaseLost: another attempt holds the run, or none does.
        """

    async def list(self, *, repo: str = "", status: Status | None = None, cursor: str = "", limit: int = 50) -> Page:
        """A page of runs, newest first; `limit` at most 100. Repeatable."""

    def runs_of(
        self, repo: str, *, number: int | None = None, branch: str = "", status: Status | None = None
    ) -> AsyncGenerator[Run, None]:
        """The runs of a thread, of a branch (`Run.branch`), or of either where both are named; newest first.

        What it costs does not depend on how many other runs the repository has. Reads as it is iterated, and holds
        nothing open in between: it may be left early. Repeatable.
        """

    def follow(self, job_id: str) -> AsyncGenerator[Run, None]:
        """The run as it stands, then each time it was saved, until it is completed. Skips what comes too fast.

        To be closed (`contextlib.aclosing`) by who leaves it early.

        Empty when there is no such run.
        """

    async def latest(self, repo: str, number: int) -> Run | None:
        """The newest run of a thread that started (verb start, plan, approve or retry), None when there is none."""

    async def acquire(self, job_id: str, *, worker: str, ttl_s: float) -> Run | None:
        """Take the run's lease: the run with `attempt` raised by one, or None when it is held, completed or unknown.

        Not repeatable: each success raises the fence.
        """

    async def renew(self, run: Run, *, ttl_s: float) -> None:
        """Hold the lease for `ttl_s` more.

        Raises:
            LeaseLost: it is not this attempt's any more.
        """

    async def release(self, run: Run) -> None:
        """Let the lease go if it is still this attempt's. Repeatable."""

    async def leaseless(self, *, limit: int = 100) -> tuple[str, ...]:
        """Ids of runs in progress that nobody holds, oldest first, and of runs that no worker would find in the queue.

        Those that wait in the queue for a later moment are not among them, until then.
        """

    async def signal(self, job_id: str, signal: Signal) -> None:
        """Leave word for the worker that carries this run; kept for a day, at most 100."""

    async def signals(self, job_id: str) -> tuple[Signal, ...]:
        """Take the words left for this run, oldest first. They are gone afterwards."""

    async def keep_conversation(self, run: Run, task: str, conversation: Conversation) -> None:
        """Keep what was said in a task of the run (`plan`, `step 0`, …) in place of what was kept of any task before.

        Only what is new is written when the conversation kept so far is a beginning of this one. Fenced like `save`;
        gone with the run's completion or after two days. Repeatable.

        Raises:
            LeaseLost: another attempt holds the run, or none does.
        """

    async def conversation(self, job_id: str, task: str) -> Conversation:
        """What was kept of this task; empty when nothing was, or of another. Repeatable."""

    async def reserve(self, scope: str, job_id: str, usd: float, *, limit: float) -> bool:
        """Set dollars aside for a run within a scope (somebody's day), in place of what the run had there.

        False, changing nothing, when what is set aside and spent for all runs together would exceed `limit`. Correct
        with many workers at once; a scope is forgotten after three days. Repeatable.
        """

    async def settle(self, scope: str, job_id: str, usd: float) -> None:
        """Put what the run really spent in place of what was set aside for it. Repeatable."""

    async def claim(self, name: str, *, ttl_s: float, holder: str = "") -> bool:
        """Be the only one over all processes who does `name` for `ttl_s` from now; False when another is.

        A named `holder` may claim again what it holds, and then has it for `ttl_s` from now."""

    async def agree(self, name: str, text: str, *, ttl_s: float) -> str:
        """The text on which all agree who ask within `ttl_s` of the first: the first one's. Repeatable."""

    async def count(self, scope: str, job_id: str, *, limit: int, ttl_s: float) -> float:
        """Count a run among the `limit` that a scope lets pass within `ttl_s`, from its first run on; 0.0 when it is.

        Else the seconds until the scope begins anew; the run is not counted. Correct with many workers at once.
        Repeatable: a run is counted once.
        """

    async def take_turn(self, scope: str, windows: Sequence[tuple[int, float]], *, longest_s: float) -> float:
        """Take the next turn in a scope: for each (count, seconds) of `windows`, so many may go in so many seconds.

        The seconds until the turn. Longer than `longest_s`: none was taken. Correct with many workers at once; by
        Redis' clock. Not repeatable: each call takes a turn.
        """

    async def lead(self, thread: str) -> str:
        """The id of the run of work that was admitted last in a thread (`Job.thread`) within a month; empty when none
        was. Repeatable."""

    async def set_lead(self, thread: str, job_id: str) -> None:
        """Make a run the thread's lead. Repeatable."""

    async def supersede(self, job_id: str, by: str) -> str:
        """Have the run `by` take the place of an ended run whose plan waits, for good: the first one does.

        The id of the run that did, which is `by` or another; empty when there is no such run to supersede. What is
        loaded from then on is `Run.as_superseded`. Correct with many workers at once. Repeatable.
        """

    async def pass_over_reaction(self, reaction_id: int) -> None:
        """Remember for a month that a reaction approves nothing. Repeatable."""

    async def is_passed_over(self, reaction_id: int) -> bool:
        """Was this reaction found to approve nothing? Repeatable."""

    async def queue_notice(self, job_id: str) -> QueueNotice | None:
        """What is shown in a waiting run's comment, None when nothing was yet. Kept for a month. Repeatable."""

    async def set_queue_notice(self, job_id: str, notice: QueueNotice) -> None:
        """Put another in its place. Repeatable."""

    async def note(self, name: str, text: str) -> None:
        """Remember a short text under a name, for a month. Repeatable."""

    async def recall(self, name: str) -> str:
        """The text under that name, empty when there is none. Repeatable."""

    async def remind(self, job_id: str, at: datetime | None) -> None:
        """Have a run looked at again from `at` on, in place of what was said before; None: never. Repeatable.

        Of more than 10,000 those that are due last are forgotten.
        """

    async def due(self, now: datetime, *, limit: int) -> tuple[str, ...]:
        """Ids of runs that are to be looked at by now, the longest due first. They stay so until reminded again."""

    async def ping(self) -> None:
        """Ask whether the store answers. Repeatable."""
