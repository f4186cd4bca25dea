"""The run: one document that holds all there is to know about a job's carrying out.

The comment, the status API, the pages, the logs and the metrics are views of it. `status` and `conclusion` take the
values of GitHub's check runs (https://docs.github.com/en/rest/checks/runs), so that a run maps to one.

    queued ──▶ in_progress ──▶ completed (conclusion)
                   └─ stages in the order of `Stage`, each saved before and after
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from app.core.conversation import Usage
from app.core.run.job import Feedback, Job, Person
from app.core.run.plan import Plan
from app.core.run.pull_requests import Diagnosis
from app.core.run.verification import Verification

MAX_ACTIVITIES: Final = 200
MAX_NOTICES: Final = 50
SETTLE_S: Final = 15.0
"""After so many seconds what was created on GitHub is taken to be visible to everybody who looks."""


class Status(StrEnum):
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class Conclusion(StrEnum):
    """GitHub's values. `neutral`: nothing to do, or answered; `action_required`: waits for a person (see `Run.needs`);
    `timed_out`: over budget; `skipped`: refused; `cancelled`: stopped."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"
    ACTION_REQUIRED = "action_required"


class Stage(StrEnum):
    BRANCH = "branch"
    SANDBOX = "sandbox"
    CLONE = "clone"
    PLAN = "plan"
    STEPS = "steps"
    VERIFY = "verify"
    PUBLISH = "publish"
    PULL_REQUEST = "pull_request"
    CLEANUP = "cleanup"


PERCENT: Final[dict[Stage, tuple[int, int]]] = {
    Stage.BRANCH: (0, 3),
    Stage.SANDBOX: (3, 10),
    Stage.CLONE: (10, 30),
    Stage.PLAN: (30, 40),
    Stage.STEPS: (40, 80),
    Stage.VERIFY: (80, 85),
    Stage.PUBLISH: (85, 92),
    Stage.PULL_REQUEST: (92, 97),
    Stage.CLEANUP: (97, 100),
}
"""Where each stage begins and ends, in percent of the whole."""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage that began. `status` is `in_progress` or `completed`; `detail` is one line for people."""

    stage: Stage
    status: Status
    started_at: datetime
    ended_at: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """A published commit. `step` is the index into the plan's steps, None for what verification changed; `author` is a
    login, where it is known; `job_key` is the key of the job that made it, as its trailer says."""

    sha: str
    subject: str
    files: tuple[str, ...] = ()
    step: int | None = None
    is_verified: bool = False
    url: str = ""
    author: str = ""
    job_key: str = ""


@dataclass(frozen=True, slots=True)
class OpenedPullRequest:
    number: int
    url: str
    head_sha: str
    is_draft: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What the run has used. `usd` is the sum of known prices; `is_priced` is False once a turn's price was unknown."""

    usage: Usage = field(default_factory=Usage)
    usd: float = 0.0
    turns: int = 0
    is_priced: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """Where and why a run ended early. `message` is fit for people; `excerpt` the last lines of a log, redacted."""

    kind: str
    message: str
    stage: Stage | None = None
    excerpt: str = ""


class Kind(StrEnum):
    """What an activity was: a stage, a tool call, words of the model, or a note by the harness."""

    STAGE = "stage"
    TOOL = "tool"
    MODEL = "model"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of the live timeline. `seq` grows by one; it is the event id of the SSE stream."""

    seq: int
    at: datetime
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """All of a job's carrying out. `id` is the job's. Bounded: at most `MAX_ACTIVITIES` activities, the newest.

    `attempt` counts the workers that held it and is the fence of every write. `commits` are in order of publication.
    `needs` says what a person must do: `approval`, `budget`, `reading` (held-back paths), or nothing.
    For the next worker: `handed_back` of the attempts ended in order; `waits` times in a row another system was away,
    `waited_s` seconds in all, and until `wake_at` nobody need try (None while a worker is at it); `reserved` are the
    scopes where dollars are set aside; the trees (see `runs/context.py`) and `test_command` are the sandbox's.
    `unknown` is JSON that a newer version wrote: kept, not understood. `is_muted`: it says nothing in its thread, as
    who asked is no one to answer (again).
    `before` says how the run ended whose comment this one goes on with.
    Of a follow-up: `issue` is the number of the issue that the pull request closes, `began_at` the branch's head when
    the run began, `heard` what it follows up, `merges` the sha of base that is to be merged into the branch.
    Of its money: `budget_usd` is what it may spend by the rules, 0 where nothing limits it; `granted_usd` what people
    added, `grants` the ids of the commands that did; `carried_usd` of its cost was spent by the runs it goes on with.
    `earlier` is the id of the run that it goes on from. `needs_approval`: a person must approve its plan before it is
    carried out, bound to `approval` (`plan.approval_of`). `previous` is the plan that its own takes the place of.
    `unsure_since`: when a request was last begun that creates something on GitHub and whose answer is not on record.
    `diagnosis` is of failed checks. `is_in_line`: its budget command turned out to be work, and waits its turn.
    `as_of` is the moment whose text it uses, where that is another than its own job's. `requested_by` asked for the
    plan that its sender approved. `summary` is an answer, or what it ended with where no step was done;
    `step_summaries` are the agent's, by step, empty where one was lost with a worker. `text/summary.py` joins them.
    `superseded_by` is the id of the run that took over the plan it proposed, or whose work took its place.
    `related` are the numbers of pull requests of other runs that its sentences are about.
    """

    job: Job
    version: int = 1
    status: Status = Status.QUEUED
    conclusion: Conclusion | None = None
    attempt: int = 0
    stages: tuple[StageRecord, ...] = ()
    percent: int = 0
    message: str = "Waiting for a worker."
    needs: str = ""
    base_ref: str = ""
    base_sha: str = ""
    branch: str = ""
    head_sha: str = ""
    plan: Plan | None = None
    steps_done: int = 0
    commits: tuple[Commit, ...] = ()
    verification: Verification | None = None
    cost: Cost = field(default_factory=Cost)
    pull_request: OpenedPullRequest | None = None
    comment_id: int | None = None
    sandbox_id: str = ""
    model: str = ""
    notices: tuple[str, ...] = ()
    summary: str = ""
    step_summaries: tuple[str, ...] = ()
    failure: Failure | None = None
    activities: tuple[Activity, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None
    handed_back: int = 0
    waits: int = 0
    wake_at: datetime | None = None
    waited_s: float = 0.0
    reserved: tuple[str, ...] = ()
    granted_usd: float = 0.0
    start_tree: str = ""
    published_tree: str = ""
    test_command: str = ""
    is_in_line: bool = False
    unknown: str = ""
    issue: int | None = None
    began_at: str = ""
    heard: tuple[Feedback, ...] = ()
    merges: str = ""
    budget_usd: float = 0.0
    carried_usd: float = 0.0
    grants: tuple[str, ...] = ()
    earlier: str = ""
    asks_first: bool = False
    approval: str = ""
    previous: Plan | None = None
    is_muted: bool = False
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    before: str = ""
    unsure_since: datetime | None = None
    as_of: datetime | None = None
    requested_by: Person | None = None
    superseded_by: str = ""
    related: tuple[int, ...] = ()

    def as_superseded(self, by: str) -> "Run":
        """An ended run whose plan no longer waits: another run carries it out, or other work took its place."""
        message = f"Superseded by the run {by}."
        return replace(self, superseded_by=by, conclusion=Conclusion.NEUTRAL, needs="", message=message)

    def with_step_done(self, index: int, summary: str) -> "Run":
        """Put a finished step on record, with what the agent says of it."""
        before = (*self.step_summaries, *[""] * index)[:index]
        return replace(self, steps_done=index + 1, step_summaries=(*before, summary))

    @property
    def text_at(self) -> datetime:
        """The moment as of which the thread's text was approved for this run."""
        return self.as_of or self.job.moment

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def closes(self) -> int | None:
        """The issue that the run's pull request closes, None when there is none."""
        return self.issue if self.job.is_pull_request else self.job.number

    @property
    def references(self) -> frozenset[int]:
        """The issues and pull requests that its sentences may link to: those it is about."""
        made = self.pull_request.number if self.pull_request else None
        return frozenset(each for each in (self.job.number, self.closes, made, *self.related) if each is not None)

    @property
    def limit_usd(self) -> float:
        """The dollars that it may spend with what people added, 0 where nothing limits it."""
        return self.budget_usd and self.budget_usd + self.granted_usd

    @property
    def is_on_hold(self) -> bool:
        """Does it wait for another system, in no worker's hands?"""
        return self.wake_at is not None and self.conclusion is None

    @property
    def is_suspect(self) -> bool:
        """Did a worker die with it? Asked before the run is taken up again."""
        return self.attempt > self.handed_back

    @property
    def lost_workers(self) -> int:
        """How many workers died with this run in their hands."""
        return max(0, self.attempt - 1 - self.handed_back)

    @property
    def stage(self) -> Stage | None:
        """The stage at work or last at work; None while queued."""
        return self.stages[-1].stage if self.stages else None

    @property
    def is_answer_only(self) -> bool:
        """Did it only answer, without any work?"""
        return self.conclusion is Conclusion.NEUTRAL and not self.stages

    @property
    def is_handed_over(self) -> bool:
        """Did it only open the pull request, from what an ended run left on its branch?"""
        return self.conclusion is Conclusion.NEUTRAL and self.job.command.hands_over

    @property
    def is_resumable(self) -> bool:
        """Did it end so that a retry has something to go on with?"""
        return self.is_handed_over or self.conclusion in {
            Conclusion.FAILURE,
            Conclusion.TIMED_OUT,
            Conclusion.CANCELLED,
        }

    def unsure_s(self, now: datetime) -> float:
        """For how many seconds from now what this run asked GitHub to create may be there and not be visible."""
        return 0.0 if self.unsure_since is None else max(0.0, SETTLE_S - (now - self.unsure_since).total_seconds())

    def with_activity(self, at: datetime, kind: Kind, text: str) -> "Run":
        """Add a line to the timeline; the oldest goes when there are too many."""
        seq = self.activities[-1].seq + 1 if self.activities else 1
        line = Activity(seq, at, kind, text[:2_000])
        return replace(self, activities=(*self.activities, line)[-MAX_ACTIVITIES:], updated_at=at)

    def with_notice(self, text: str) -> "Run":
        """Add something people must be told, once."""
        if text in self.notices:
            return self
        return replace(self, notices=(*self.notices, text)[-MAX_NOTICES:])
