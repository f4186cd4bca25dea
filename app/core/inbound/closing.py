"""What ends the runs of a thread at once: a person closes, deletes or moves the issue, or closes the pull request."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.core.inbound.events import IssueClosed, PullClosed
from app.core.policy.changes import BRANCH_PREFIX
from app.core.run.job import Command, Job, Person, Verb, job_from_api
from app.core.run.run import Run

KIND: Final = "closed"
"""Of the signal to a run; its `by` is the login of whoever did it, its `key` what they did."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Who did what to which thread. `branch` is that of a pull request."""

    repo: str
    number: int
    by: Person
    action: str
    at: datetime | None = None
    branch: str = ""

    def ends(self, run: Run) -> bool:
        """Is the run one of this thread, and was it asked for before?

        A merge closes the issue, too: a run on the issue that has its pull request is about to end by itself.
        """
        job = run.job
        if job.repo != self.repo or run.conclusion is not None or not job.works:
            return False
        if self.at is not None and job.moment > self.at:
            return False
        made = run.pull_request.number if run.pull_request else None
        if self.branch:
            return self.number in {job.number, made} or run.branch == self.branch
        return job.number == self.number and made is None


def find_closing(event: IssueClosed | PullClosed) -> Closing | None:
    """What the event ends; None for a merge, for what a bot did, and for pull requests that are not the bot's.
    Runs notice what is ignored here before their next push."""
    repo, by = event.repository.full_name, event.sender
    if event.installation is None or by.is_bot:
        return None
    person = Person(by.login, by.id)
    if isinstance(event, IssueClosed):
        issue = event.issue
        return None if issue.pull_request else Closing(repo, issue.number, person, event.action, issue.updated_at)
    pull = event.pull_request
    is_own = pull.head.repo is not None and pull.head.repo.full_name == repo
    if pull.merged_at is not None or not is_own or not pull.head.ref.startswith(BRANCH_PREFIX):
        return None
    return Closing(repo, pull.number, person, event.action, pull.closed_at or pull.updated_at, pull.head.ref)


def withdraw(run: Run, closing: Closing, now: datetime) -> Job:
    """The job that ends a run which no worker holds."""
    key = f"{run.id} {closing.action} {closing.at} {run.attempt}"
    return job_from_api(run.job, closing.by, Command(Verb.WITHDRAW, instruction=closing.action), key, now)
