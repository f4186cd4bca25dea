"""What the stages of one attempt share: the ports, the deployment's options, the run's progress, and what is open."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import SecretStr

from app.agent.loop import Session
from app.agent.survey import Brief
from app.core.errors import OutsideError, RepoError, RepositoryGone, SandboxError
from app.core.policy.budget import Budget
from app.core.policy.repo_config import RepoConfig
from app.core.policy.tree_diff import Published
from app.core.ports.bundle import Ports
from app.core.ports.github import GitHub
from app.core.ports.sandbox import Sandbox
from app.core.run.job import Job, Source
from app.core.run.links import page_url
from app.core.run.plan import Plan
from app.core.run.run import Run
from app.core.safety.redact import Redactor
from app.runs.progress import Progress
from app.text.comment import is_silent, marker_for, render_comment

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intervals:
    """How long runs wait for what takes its time, in seconds."""

    outage_s: tuple[float, ...] = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0)
    """For another system: the first time, the second, and so on; the last for all after."""
    check_list_s: float = 5.0
    """Until the checks of a pull request are listed again."""
    rerun_s: float = 1.0
    """At least, until a check that was asked to run again is looked at."""
    queue_place_s: float = 3.0
    """Before a run's place in the queue is shown: most never wait as long."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the deployment decides for every run. `worker` names this process in leases and logs.

    `deployment` marks our sandboxes, so that two deployments which share an account leave each other's alone.
    """

    budget: Budget
    usd_per_day: float = math.inf
    label: str = "vibecode"
    runs_per_hour: int = 40
    thread_runs_per_hour: int = 12
    deployment: str = ""
    public_url: str = ""
    page_secret: SecretStr = SecretStr("")
    worker: str = "worker"
    comment_every_s: float = 3.0
    sandbox_ttl_s: float = 900.0
    test_timeout_s: float = 600.0
    setup_timeout_s: float = 900.0
    gather_s: float = 20.0
    intervals: Intervals = Intervals()
    why_no_room: Callable[[], str] = str
    """Why this worker has no room for a run that has begun; empty while it has."""

    def page_url(self, job_id: str) -> str:
        """Where the run can be followed; empty when this deployment serves no pages."""
        return page_url(self.public_url, self.page_secret, job_id) if self.public_url else ""


@dataclass(slots=True)
class RunContext:
    """One attempt at one run. Whatever must outlive a crash is in the run; this may be lost.

    `brief` is what the agent is told of the task. `is_reconnected` says that the sandbox is the one of an earlier
    attempt, as that left it. `pull_before` are title and opening of the pull request that is followed up, `origin` the
    job that made it, where that is known; `failing` (name, part of the log) its failing checks. `published` is the
    branch's tree as the worker knows it (see `runs/stages/branch_changes.py`). `has_branch`: this attempt created the
    run's branch, so that nothing is on it yet but base. The run's trees are shas of git trees in its
    sandbox: `start_tree` is the base after set-up, `published_tree` what is on the branch.
    """

    ports: Ports
    options: Options
    github: GitHub
    progress: Progress
    redactor: Redactor
    config: RepoConfig = field(default_factory=RepoConfig)
    machine: Sandbox | None = None
    brief: Brief | None = None
    is_reconnected: bool = False
    pull_before: tuple[str, str] = ("", "")
    origin: Job | None = None
    failing: tuple[tuple[str, str], ...] = ()
    published: Published | None = None
    has_branch: bool = False

    @property
    def run(self) -> Run:
        return self.progress.run

    @property
    def sandbox(self) -> Sandbox:
        """The open machine.

        Raises:
            SandboxError: there is none (any more).
        """
        if self.machine is None:
            raise SandboxError("There is no sandbox.")
        return self.machine

    @property
    def plan(self) -> Plan:
        """The plan that is carried out; without steps when there is none."""
        return self.run.plan or Plan("", "", ())

    @property
    def page_url(self) -> str:
        return self.options.page_url(self.run.id)

    async def open_session(self, task: str, instructions: tuple[tuple[str, str], ...] | None = None) -> Session:
        """A conversation with the model: one for the `plan`, one for each `step n`, one for each `repair n`.
        `instructions` take the place of the brief's.

        One that an earlier attempt began is gone on with where what it speaks of is still there: a plan changes
        nothing, a step's edits are in the sandbox if that lives, a repair's are taken back before it begins.
        """
        is_still_true = task == "plan" or (self.is_reconnected and task.startswith("step"))
        return Session(
            conversation=await self.ports.store.conversation(self.run.id, task) if is_still_true else (),
            model=self.ports.model,
            sandbox=self.sandbox,
            parsers=self.ports.parsers,
            watcher=self.progress,
            brief=replace(self.brief, instructions=instructions) if self.brief and instructions else self.brief,
            model_name=self.run.job.command.model or "",
            cache_key=self.run.id,
        )

    async def fetch(self, ref: str) -> str:
        """Bring a branch into the host's cache and return its head. What was refused is tried once more, with a new
        token and by the name that the repository has now.

        Raises:
            RepoError: there is no such branch, or no way to it.
        """
        job, github = self.run.job, self.github
        fetch = partial(self.ports.repos.fetch, job.installation_id, job.repo, ref)
        try:
            return await fetch(await github.read_token(), name=github.repo)
        except RepoError as error:
            if error.is_passing:
                raise
            await github.head(ref)
            return await fetch(await github.read_token(), name=github.repo)

    async def react(self, content: str) -> None:
        """React to what triggered, where a person did. A courtesy: where it is refused for good, that is only logged.

        A review as a whole takes no reactions, and a tap leaves nothing to react to.
        """
        job = self.run.job
        is_silent = job.is_from_api or job.source in {Source.CHECKS, Source.REACTION, Source.REVIEW}
        if job.number is None or is_silent or (self.run.is_muted and (job.sender.is_bot or not job.is_addressed)):
            return
        await self.react_to(content, job.number, job.source, job.comment_id)

    async def react_to(self, content: str, number: int, source: Source, comment_id: int | None) -> None:
        """React to what somebody said: to a comment, or to the thread itself. A courtesy, as `react`."""
        try:
            if source is Source.REMARK and comment_id is not None:
                await self.github.pulls.react_to_review_comment(content, comment_id)
            else:
                await self.github.react(content, number=number, comment_id=comment_id)
        except OutsideError as error:
            if error.is_passing or (isinstance(error, RepositoryGone) and self.run.conclusion is None):
                raise
            log.warning("no reaction", extra={"reason": str(error)})

    async def keep_sandbox_alive(self) -> None:
        """Keep the sandbox alive; called now and then while work goes on."""
        if self.machine is not None:
            await self.machine.keep_alive(self.options.sandbox_ttl_s)

    async def draw(self, run: Run) -> int | None:
        """Draw a run's comment; its id, None where there is no thread to write in."""
        return await update_comment(self.github, self.options, self.redactor, run)


async def update_comment(github: GitHub, options: Options, redactor: Redactor, run: Run) -> int | None:
    """Write the run's one comment from the run."""
    if run.job.number is None or is_silent(run):
        return None
    body = redactor.redact_markdown(render_comment(run, options.page_url(run.id)))
    return await github.put_comment(
        run.job.number, body, marker=marker_for(run), comment_id=run.comment_id, is_urgent=run.is_on_hold
    )


def open_context(ports: Ports, options: Options, run: Run, github: GitHub) -> RunContext:
    """Begin an attempt at a run whose lease is held."""
    redactor = Redactor(ports.secrets)

    async def draw_run(run: Run) -> int | None:
        is_tap_for_nothing = run.job.is_from_api and not run.earlier  # whoever tapped reads the answer in the run
        return None if run.is_muted or is_tap_for_nothing else await update_comment(github, options, redactor, run)

    begun = replace(run, wake_at=None)
    if not run.started_at:
        begun = replace(begun, started_at=ports.clock.now(), message="Getting ready.")
    progress = Progress(
        begun,
        store=ports.store,
        clock=ports.clock,
        redactor=redactor,
        draw=draw_run,
        every_s=options.comment_every_s,
    )
    return RunContext(ports, options, github, progress, redactor)
