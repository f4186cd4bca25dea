"""The job: what was asked, by whom, with the text as it stood at that moment.

A job's id names the request, not the delivery, so that a redelivery is the same job:

    acme~greeter~12~comment~99              a comment
    acme~greeter~12~label~20261122T150237Z  a label, at the issue's `updated_at`
    acme~greeter~13~review~901              a submitted review
    acme~greeter~13~remark~77               a comment on a line of code
    acme~greeter~13~checks~5001             a check suite that failed
    acme~greeter~12~reaction~31             a 👍 on a plan
    acme~greeter~api~5f0c…                  the API, by idempotency key
    acme~greeter~local~1763823757123        the command line

`~` stands where GitHub writes `/` and `#`: it occurs in no owner or repository name and needs no escaping in a URL.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

ID_SEPARATOR: Final = "~"
JOB_TRAILER: Final = "Vibecode-Job"
"""The trailer of every commit of a job; its value is `Job.key`."""
_KEY_CHARS: Final = 6
_TO_ID = str.maketrans(dict.fromkeys("/#:", ID_SEPARATOR))


class Mode(StrEnum):
    """How far a job goes."""

    AUTO = "auto"
    PLAN = "plan"
    FOLLOW_UP = "follow_up"
    FIX_CI = "fix_ci"


class Source(StrEnum):
    """Where a job came from."""

    LABEL = "label"
    COMMENT = "comment"
    REVIEW = "review"
    """A submitted review."""
    REMARK = "remark"
    """A comment on a line of code."""
    CHECKS = "checks"
    REACTION = "reaction"
    API = "api"
    LOCAL = "local"


class Verb(StrEnum):
    """What a command asks. `UNREADABLE` is a `/vibecode …` line that could not be read: it is answered."""

    START = "start"
    PLAN = "plan"
    APPROVE = "approve"
    STOP = "stop"
    RETRY = "retry"
    STATUS = "status"
    BUDGET = "budget"
    HELP = "help"
    WITHDRAW = "withdraw"
    """No comment says it: a person `closed`, `deleted` or `transferred` (`instruction`) the thread of a waiting run."""
    UNREADABLE = "unreadable"


UNSAID: Final = frozenset({Verb.UNREADABLE, Verb.WITHDRAW})
"""What no command reads as."""
STARTING: Final = frozenset({Verb.START, Verb.PLAN, Verb.APPROVE, Verb.RETRY, Verb.BUDGET})
"""Commands that may start work; the others are only answered."""
_SCHEDULED: Final = STARTING - {Verb.BUDGET}


@dataclass(frozen=True, slots=True)
class Command:
    """A `/vibecode …` line, read. `problem` is set only for `UNREADABLE` and says what was meant to be said.

    `hands_over` no comment can say: a retry that opens the pull request from what is on the branch, and does no more.
    """

    verb: Verb
    instruction: str = ""
    base: str | None = None
    model: str | None = None
    draft: bool = False
    add_usd: float = 0.0
    problem: str = ""
    hands_over: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """A GitHub account. `id` is GitHub's numeric id, which a renamed login keeps; 0 on the command line."""

    login: str
    id: int = 0
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class DiffPosition:
    """Where in a pull request's diff a comment stands. `line` is None for a whole file; `hunk` is the diff there."""

    path: str
    line: int | None = None
    hunk: str = ""


MEMBERS: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""Those of GitHub's author associations that only people with a role in the repository have."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A person's comment in a thread. `association` is GitHub's word for who they are to the repository.

    https://docs.github.com/en/graphql/reference/enums#commentauthorassociation
    """

    author: Person
    association: str
    body: str
    created_at: datetime
    updated_at: datetime

    @property
    def is_by_member(self) -> bool:
        return self.association in MEMBERS


@dataclass(frozen=True, slots=True)
class Job:
    """A request. Immutable once stored; `title`, `body` are the issue's text snapshotted from the delivery.

    `repo` is `owner/name`; `number` is the issue's or pull request's, None for the API and the command line.
    `comment_id` is the comment that triggered, for the reaction: of a thread, or of a line of code when `source` is
    `REMARK`; None for all else. `label` is the label's name as it was put on. `is_open` is the thread's state then.

    Of a pull request's events: `branch` and `head_sha` are its head's, as far as they were told; `place` is where the
    comment stands; `review_id` is the review's that it came with. `is_addressed` is False for what was said without
    naming the bot: only from somebody who may is that a request.

    `about` is the id of the run that the command is about; empty: the newest of the thread. `asked_at` is when GitHub
    says that it was asked for (in whole seconds), `created_at` when its delivery came, maybe much later.
    """

    id: str
    repo: str
    installation_id: int
    source: Source
    sender: Person
    created_at: datetime
    command: Command = Command(Verb.START)
    mode: Mode = Mode.AUTO
    number: int | None = None
    is_pull_request: bool = False
    title: str = ""
    body: str = ""
    author: Person | None = None
    comment_id: int | None = None
    delivery_id: str = ""
    is_private: bool = False
    is_open: bool = True
    label: str = ""
    branch: str = ""
    head_sha: str = ""
    place: DiffPosition | None = None
    review_id: int | None = None
    is_addressed: bool = True
    about: str = ""
    asked_at: datetime | None = None

    @property
    def moment(self) -> datetime:
        """When it was asked for: by GitHub's clock where that told, and never after its delivery came."""
        return min(self.asked_at or self.created_at, self.created_at)

    @property
    def key(self) -> str:
        """What tells its branch and its commits from those of other jobs."""
        return job_key(self.id)

    @property
    def thread(self) -> str:
        """`owner/name#number`; empty without a number."""
        return "" if self.number is None else f"{self.repo}#{self.number}"

    @property
    def works(self) -> bool:
        """Does it count against the concurrency limits? A budget command is handled at once, and only counts once it
        starts a run."""
        return self.command.verb in _SCHEDULED

    @property
    def can_join_run(self) -> bool:
        """Is it a request without any option of its own, that a run in progress in its thread could carry out as
        well?"""
        command = self.command
        is_plain = command.verb is Verb.START and not (command.base or command.model or command.draft)
        has_words = bool(command.instruction) or self.source is Source.REVIEW
        return is_plain and has_words and self.is_open and self.mode in {Mode.AUTO, Mode.FOLLOW_UP}

    @property
    def is_from_api(self) -> bool:
        """Was it asked of a run through the API, and not in a thread?"""
        return self.source is Source.API and bool(self.about)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said about the pull request, or to the run while it was in progress, and what became of it.

    `job_id` is the request's that it came in, `comment_id` and `place` are that job's. `step` is the index of the step
    that settles it, None as long as none does; `words` tell the person what was done, or why not.
    """

    job_id: str
    source: Source
    author: Person
    text: str
    comment_id: int | None = None
    place: DiffPosition | None = None
    step: int | None = None
    words: str = ""


def job_id(repo: str, number: int | None, source: Source, key: str) -> str:
    """Name a request. `key` is the comment's id, the label's moment, or the idempotency key's digest."""
    thread = f"{repo}#{number}" if number is not None else repo
    return canonical_id(f"{thread}:{source}:{key}")


def job_from_api(job: Job, person: Person, command: Command, key: str, now: datetime) -> Job:
    """A request about the run of a job that was not made in its thread. `key` tells it from others."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return replace(
        job,
        id=job_id(job.repo, job.number, Source.API, digest),
        source=Source.API,
        sender=person,
        created_at=now,
        asked_at=None,
        command=command,
        mode=Mode.AUTO,
        comment_id=None,
        delivery_id="",
        label="",
        place=None,
        review_id=None,
        about=job.id,
    )


def canonical_id(written: str) -> str:
    """Bring an id as people write it (`owner/name#12:comment:99`) to the form that is stored. Idempotent."""
    return written.translate(_TO_ID)


def job_key(job_id: str) -> str:
    """A short name for a job, always the same for the same id: six lower-case letters and digits."""
    return base64.b32encode(hashlib.sha256(job_id.encode()).digest()).decode().lower()[:_KEY_CHARS]


def read_job_key(message: str) -> str:
    """The key that a commit's trailers name; empty when there is none. Only the last paragraph counts."""
    found = re.findall(rf"^{JOB_TRAILER}: (\S+)$", message.strip().rpartition("\n\n")[2], re.MULTILINE)
    return str(found[-1]) if found else ""
