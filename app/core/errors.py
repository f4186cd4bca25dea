"""Every way a run can end early, as types that the one ladder in `runs/runner.py` tells apart.

    VibecoderError
    ├── UserError            somebody asked for what cannot be had; posted as written
    │   ├── Refused          the gate or the admission said no; posted as written
    │   └── CommandFailed    a command of the repository's own file failed; carries its last lines
    ├── LimitReached         a budget ended; what was done is kept and handed over
    ├── Stopped              a person said stop
    │   └── AccessRevoked    the repository was archived, the App uninstalled, and the like
    │       └── RequestWithdrawn  a role was taken away, the thread closed, the branch deleted
    ├── LeaseLost            another worker carries this run now; this one may write nothing more
    ├── RetryLater           the run waits, for another system or for what it asked for, and goes on where it stopped
    ├── StoreError           Redis is away or does not answer: nothing can be recorded, and the job is repeated
    ├── ParseError           a text is not what it should be; whoever asked says so where it belongs
    │   └── ParserStopped    reading it crashed the parser or passed its limits
    └── OutsideError         another system failed; one line, with what to try next
        ├── GitHubError      carries the HTTP status and, when GitHub named one, the wait
        │   ├── HeadMoved          the branch is not where the commit expected it
        │   ├── PermissionMissing  the App has not the permission for this; names it and who can grant it
        │   └── RepositoryGone     archived, deleted, moved, or out of the App's sight
        ├── ModelError
        ├── SandboxError     the machine or its vendor failed, or there never was one
        │   └── SandboxGone  it does not exist any more, nor does what was in it
        └── RepoError        git on the host failed

Anything else that reaches the runner is a bug.
"""


class VibecoderError(Exception):
    """Root of everything this program raises on purpose; `str()` is one sentence fit for a person."""


class UserError(VibecoderError):
    """A request that cannot be carried out as asked. The text says what was meant to be said."""


class Refused(UserError):
    """A rule said no. The text names the rule and what to do about it."""


class CommandFailed(UserError):
    """A command that the repository's file names did not end well. `output` is what it printed, capped."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class LimitReached(VibecoderError):
    """A limit of the run is used up.

    `kind` is one of `usd`, `tokens`, `minutes`, `turns`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Stopped(VibecoderError):
    """A person who may asked the run to stop. `by` is their login."""

    def __init__(self, by: str) -> None:
        super().__init__(f"Stopped by {by}.")
        self.by = by


class AccessRevoked(Stopped):
    """The run's repository is no more the bot's to work on. `words` say why."""

    def __init__(self, words: str) -> None:
        VibecoderError.__init__(self, words)
        self.by = ""


class RequestWithdrawn(AccessRevoked):
    """What the run stands on is no longer so: a role, an open issue or pull request, its branch. `words` say which."""


class LeaseLost(VibecoderError):
    """The store refused a write because another worker holds the run."""


class RetryLater(VibecoderError):
    """The run cannot go on now; whoever took its job takes it again after `delay_s` seconds. `str()` is the reason.

    It holds no worker meanwhile. Other runs of its thread wait for it, unless it `yields_thread`. With `works`, a job
    that seemed to want only an answer counts as work from now on and waits for its turn.
    """

    def __init__(self, reason: str, delay_s: float, *, works: bool = False, yields_thread: bool = False) -> None:
        super().__init__(reason)
        self.delay_s = delay_s
        self.works = works
        self.yields_thread = yields_thread


class StoreError(VibecoderError):
    """Redis is away, frozen or full. The job is repeated from what was recorded last; nothing else can be done."""


class ParseError(VibecoderError):
    """A text cannot be read. `str()` says why, without a full stop; `line` where, from 1, None when that is unknown."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


class ParserStopped(ParseError):
    """Reading a text crashed the parser, or passed its limits: nothing is known of the text. Not worth trying again."""


class OutsideError(VibecoderError):
    """Another system failed and the adapter's own retries are used up.

    `is_passing` says that the same request may well work later: the run waits instead of failing. `retry_after_s` is
    how long that system asked to be left alone, None when it did not say.
    """

    def __init__(self, message: str, *, is_passing: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.is_passing = is_passing
        self.retry_after_s = retry_after_s


class GitHubError(OutsideError):
    """GitHub refused or failed. `status` is the HTTP status, 0 when there was no answer."""

    def __init__(self, message: str, *, status: int = 0, retry_after_s: float | None = None) -> None:
        is_passing = status in {0, 408, 429} or status >= 500 or retry_after_s is not None
        super().__init__(message, is_passing=is_passing, retry_after_s=retry_after_s)
        self.status = status


class HeadMoved(GitHubError):
    """The branch's head is not the one the commit expected: somebody else pushed."""


class MissingPermission(GitHubError):
    """The App lacks a permission for this request. The words name it, and who can grant it where."""

    def __init__(self, words: str) -> None:
        super().__init__(words, status=403)


class RepositoryGone(GitHubError):
    """The repository is no more the bot's to work on, by GitHub's own answer; the words say why.

    Its status is 403 whatever GitHub's was: a 404 would read as an answer about what was asked for.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words, status=403)


class ModelError(OutsideError):
    """The model's server refused, failed or answered nothing usable."""


class SandboxError(OutsideError):
    """The sandbox or its vendor failed; what is in it may still be there. A command that fails is not this: it is a
    value."""


class SandboxGone(SandboxError):
    """The sandbox does not exist any more. A new one works."""

    def __init__(self, message: str) -> None:
        super().__init__(message, is_passing=True)


class RepoError(OutsideError):
    """Git on the host failed: no such ref, no access, a damaged object."""
