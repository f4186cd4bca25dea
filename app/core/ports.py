"""The outside world on one page: what the program needs of it, and what each call promises.

An adapter translates its vendor's exceptions into `core.errors` at the edge, retries only what may be repeated, and
sets a timeout on everything. "Repeatable" means that a second call after an unclear ending does no harm.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import JsonValue, SecretStr

from app.core.allowance import Allowance
from app.core.conversation import Conversation, Reply, ToolSpec
from app.core.delivery import LogPage
from app.core.job import Person, Remark
from app.core.listing import Files, States
from app.core.machine import ExecResult, Network, SandboxInfo
from app.core.parsed import Fault, YamlFile
from app.core.policy import Change, Role
from app.core.pull import Pulls
from app.core.records import Queue, Store
from app.core.rules import Rule
from app.core.run import Commit, PullRequest
from app.core.triggers import Labelled, Recent


class Clock(Protocol):
    """Time, so that tests own it."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class GitHub(Protocol):
    """One repository as one installation of the App sees it. Every method raises `GitHubError`."""

    @property
    def repo(self) -> str:
        """Its name, `owner/name`: another than it was opened by once GitHub has said that it was renamed."""

    @property
    def pulls(self) -> Pulls:
        """This repository's pull requests, their review threads and checks."""

    async def login(self) -> str:
        """The login under which the App itself acts (`vibecoder[bot]`). Repeatable."""

    async def installation(self) -> int:
        """The installation's id, where it was not known (0) looked up; 0 where there is none. Repeatable."""

    async def permission(self, person: Person) -> Role:
        """The person's role on the repository now; `Role.NONE` for strangers. Repeatable.

        A login that today belongs to another account id than `person.id` is a stranger.
        """

    async def react(self, content: str, *, number: int, comment_id: int | None = None) -> None:
        """React to the comment, or to the issue itself. Repeatable: GitHub keeps one of a kind.

        `content` is GitHub's word: `eyes`, `rocket`, `confused`, `+1`.
        """

    async def put_comment(
        self, number: int, body: str, *, marker: str, comment_id: int | None = None, is_urgent: bool = False
    ) -> int:
        """Write the bot's comment on an issue or pull request and return its id.

        With `comment_id` that comment is edited; without, or when it is gone, the App's own comment that contains
        `marker` is looked up and edited, and only when there is none is one created. Repeatable. An edit that
        `is_urgent` is sent where others have to wait for our own limit on writes.
        """

    async def remarks(self, number: int) -> tuple[Remark, ...]:
        """What people (no bots) said in a thread, oldest first, the first 300. Repeatable."""

    async def default_branch(self) -> str:
        """The repository's default branch. Repeatable."""

    async def head(self, branch: str, *, unlike: str = "") -> str | None:
        """The sha at the branch's head, None when there is no such branch. Repeatable.

        With `unlike`, the sha where the branch was last known to be: when an earlier request may have moved or made it,
        it is looked at until it is elsewhere or that would be visible.
        """

    async def create_branch(self, branch: str, sha: str) -> bool:
        """Create the branch at `sha`. Repeatable: an existing branch is left where it is, and the answer is False.

        Raises:
            PermissionMissing: workflow files at `sha` differ from the default branch's, and the App may not bring any.
        """

    async def delete_branch(self, branch: str, sha: str) -> None:
        """Delete the branch if it is at `sha`; one that is elsewhere or gone is left. Repeatable."""

    async def rules(self, branch: str, sha: str) -> tuple[Rule, ...]:
        """The repository's rules, whether the branch exists or not, that the App is held to and that may forbid the
        branch or a commit on top of `sha`. Empty where GitHub tells none. Repeatable."""

    async def may_change_workflows(self) -> bool:
        """Whether the App may bring changes to `.github/workflows` onto a branch, as a merge can. Repeatable."""

    async def commit(
        self, branch: str, expected_head: str, message: str, changes: Sequence[Change], *, merged: str = ""
    ) -> Commit:
        """Put one commit by the App on the branch and return it (`step` unset).

        With `merged`, the sha of a commit on GitHub, it is the merge of that into the branch, and `changes` are what
        it changes of that. `message` is subject, blank line, body. Repeatable: when the head is already a commit of
        ours with this message and these contents on top of `expected_head`, that one is returned.

        Raises:
            HeadMoved: the branch is not at `expected_head`.
        """

    async def commits(self, base: str, head: str) -> tuple[Commit, ...]:
        """The commits that `head` (sha or branch) has and `base` has not, oldest first, at most 250; `files` are empty.
        Repeatable."""

    async def recent(self, since: datetime, etag: str = "") -> Recent | None:
        """What was said and labelled since then; None when nothing changed since GitHub told this `etag`, which costs
        nothing of the rate limit. Repeatable."""

    async def labelled(self, label: str, since: datetime | None = None) -> tuple[Labelled, ...]:
        """Open issues (no pull requests) that carry the label and changed since then, newest first, at most 100, each
        with who put it there last and when. Repeatable."""

    async def pull_request(self, branch: str, *, is_open: bool = True) -> PullRequest | None:
        """The newest pull request from this branch of this repository, open or (without `is_open`) in any state; None
        when there is none. Repeatable."""

    async def issue_pull_request(self, number: int, *, is_open: bool = True) -> PullRequest | None:
        """The newest pull request by the App from a branch that it made for this issue (`vibecode/<number>-…`), open or
        (without `is_open`) in any state, of the newest 1,000; None when there is none. Repeatable."""

    async def put_pull_request(self, *, branch: str, base: str, title: str, body: str, is_draft: bool) -> PullRequest:
        """Open the pull request from `branch`, or bring the open one's title and body up to date. Repeatable."""

    async def read_token(self) -> SecretStr:
        """A token that reads this one repository's contents and nothing else, minted now, good for an hour."""


T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T_co]):
    """A page of a list. `cursor` asks for the next page; empty on the last. `etag` is GitHub's name for the page as it
    is now."""

    items: tuple[T_co, ...]
    cursor: str = ""
    etag: str = ""


class Reader(Protocol):
    """All that one installation has, by a token that can write nothing. Every method raises `GitHubError`; with status
    429 and `retry_after_s` once what may be used of the installation's rate limit is used up."""

    @property
    def sent(self) -> int:
        """The number of requests sent so far."""

    async def repositories(self, cursor: str = "", *, etag: str = "") -> Listing[str] | None:
        """A page of the repositories (`owner/name`) that can be written to; None when it is the one of this `etag`
        still. Repeatable."""

    def repository(self, repo: str) -> GitHub:
        """One of them."""


class GitHubApp(Protocol):
    """The App itself."""

    def open(self, installation_id: int, repo: str, *, unsure_s: float = 0.0) -> AbstractAsyncContextManager[GitHub]:
        """Open one repository (`owner/name`) for one job, in the job's own task.

        For `unsure_s` from now, something that was asked for before may be there and not be visible yet: whatever is
        looked up before it is created is looked up until then.
        """

    def read(self, installation_id: int, allowance: Allowance) -> AbstractAsyncContextManager[Reader]:
        """Open all that an installation has, for reading. The token ends with the block; what is sent is counted in the
        `allowance`, and nothing is sent that it does not allow."""

    async def installed(self, cursor: str = "") -> Listing[int]:
        """A page of the ids of the App's installations, suspended ones left out. Repeatable."""

    async def delivery_log(self, cursor: str = "") -> LogPage:
        """A page of GitHub's log of attempts to deliver, newest first. GitHub forgets them after days. Repeatable."""

    async def redeliver(self, attempt_id: int) -> None:
        """Ask GitHub to make this attempt again; it does so soon, under the same guid."""


class Sandbox(Protocol):
    """One isolated machine with one work tree. Paths are relative to the work tree or absolute inside the machine.

    Every method raises `SandboxGone` when the machine does not exist any more, and `SandboxError` when it cannot be
    reached after the adapter's own retries.
    """

    id: str
    work_tree: str
    """Absolute path of the work tree inside the machine; exists and is empty when the machine is new."""

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
        max_output_bytes: int = 32_768,
        leaves_daemons: bool = False,
    ) -> ExecResult:
        """Run `argv` without a shell and wait for it, not for what it started in the background. That ends with it,
        unless `leaves_daemons` says that it is to live on; on this host, where no process outlives its command, it
        ends all the same.

        A command that fails, or does not exist (127), is an `ExecResult`, not an exception. Output is UTF-8 with
        U+FFFD for bad bytes, cut in the middle at its source, so that a flood costs the worker nothing.

        Raises:
            CommandTimeout: it ran past `timeout_s`; all it started is dead.
        """

    async def read(self, path: str, *, max_bytes: int = 1_048_576) -> bytes:
        """The file's first `max_bytes`. Repeatable.

        Raises:
            FileNotFoundError: there is no such file, or it is not a regular file.
            OSError: it cannot be read; the message says why.
        """

    async def write(self, path: str, data: bytes) -> None:
        """Write a file, making its folders. Keeps an existing file's mode. Repeatable.

        Raises:
            OSError: there is a folder, a device or a read-only file at `path`.
        """

    async def upload(self, tar: Path, to: str) -> None:
        """Unpack a tar of the host into a folder of the machine. Repeatable."""

    async def set_network(self, network: Network) -> None:
        """From now on allow only this. New machines are open (set-up needs the network). Repeatable."""

    async def keep_alive(self, seconds: float) -> None:
        """Let the machine live at least this much longer. Repeatable."""

    async def close(self) -> None:
        """Destroy the machine and all that is on it. Repeatable; never raises for a machine that is gone."""


class SandboxProvider(Protocol):
    """Makes machines. Every method raises `SandboxError`."""

    async def create(self, *, key: str, metadata: Mapping[str, str], timeout_s: float) -> Sandbox:
        """A new machine that lives `timeout_s` unless kept alive. Repeatable with the same `key`."""

    async def reconnect(self, sandbox_id: str) -> Sandbox:
        """The living machine of that id.

        Raises:
            SandboxGone: there is none.
        """

    async def list(self) -> tuple[SandboxInfo, ...]:
        """All living machines that this program made, oldest first. Repeatable."""

    async def kill(self, sandbox_id: str) -> bool:
        """Destroy a machine by id; False when there was none. Repeatable."""


class Model(Protocol):
    """A model's server."""

    async def reply(
        self,
        conversation: Conversation,
        tools: Sequence[ToolSpec],
        *,
        model: str = "",
        max_output_tokens: int = 16_384,
        cache_key: str = "",
    ) -> Reply:
        """One turn. `model` empty takes the deployment's; `cache_key` groups turns that share a prefix.

        Repeatable, at a price: each call is paid.

        Raises:
            ModelError: refused, away, or an answer with neither words nor calls, after the adapter's own retries.
        """


class Repos(Protocol):
    """Git on the host: a bare cache per installation and repository. Runs nothing of what it fetches.

    Every method raises `RepoError`.
    """

    async def fetch(self, installation_id: int, repo: str, ref: str, token: SecretStr | None, *, name: str = "") -> str:
        """Bring a branch into the cache, only what is new, and return its head's sha. Repeatable.

        `name` is what the repository is called now, where it was renamed; its cache stays that of `repo`.
        """

    async def read(
        self, installation_id: int, repo: str, sha: str, path: str, *, max_bytes: int = 65_536
    ) -> bytes | None:
        """A file's bytes at a fetched commit; None when there is no such regular file. Repeatable."""

    def pack(self, installation_id: int, repo: str, sha: str, *, beside: str = "") -> AbstractAsyncContextManager[Path]:
        """A tar, gone afterwards, of one folder `.git`: a shallow, non-bare repository of our own making with `sha`
        as its detached HEAD, no hooks, no remote, and nothing checked out. It holds the commit `beside`, too.
        Repeatable."""

    async def merge_base(self, installation_id: int, repo: str, one: str, other: str) -> str | None:
        """The newest commit that both fetched commits come from; None when it is not among the last few dozen of
        each. Repeatable."""

    async def files(self, installation_id: int, repo: str, sha: str, paths: Collection[str]) -> Files:
        """Of a fetched commit: the files at these paths, those above them (a file where a path has a folder) and all
        those under them. Nothing else. Repeatable."""

    async def links(self, installation_id: int, repo: str, sha: str) -> Mapping[str, str]:
        """All symbolic links of a fetched commit: where they stand, and the target as it is written. Repeatable."""

    async def children(self, installation_id: int, repo: str, sha: str, folders: Collection[str]) -> frozenset[str]:
        """The paths directly in the root and in these folders of a fetched commit, those of folders too. Repeatable."""

    async def tracked_by_lfs(self, installation_id: int, repo: str, sha: str, paths: Collection[str]) -> frozenset[str]:
        """Which of these paths Git LFS keeps, by the `.gitattributes` of a fetched commit. Repeatable."""

    async def diff(self, installation_id: int, repo: str, before: str, after: str) -> States:
        """What `after` has at the paths where two fetched commits differ. Renames are not followed. Repeatable."""

    async def blobs(
        self, installation_id: int, repo: str, shas: Collection[str], *, max_bytes: int = 1_048_576
    ) -> Mapping[str, bytes]:
        """The contents of blobs of fetched commits. Those that are larger than `max_bytes`, beyond 16 MiB in all, or
        not in the cache are left out. Repeatable."""


class Parsers(Protocol):
    """Reads text that may be hostile, in a process that holds no secret and can reach nothing.

    All is repeatable, and never blocks the caller's event loop. Every method raises `ParserStopped` where a text
    crashes its parser or passes the limits of time, memory and size.
    """

    async def syntax_faults(self, path: str, data: bytes) -> tuple[Fault, ...] | None:
        """The first syntax faults of a file, in order; None when it cannot be judged: another language, a template, a
        file of more than 512 KiB. The language is told by the path."""

    async def load_yaml(self, data: bytes) -> YamlFile:
        """A YAML document without anchors, aliases, merge keys and tags of its own; at most 64 KiB, 16 levels deep.

        Raises:
            ParseError: it is none; names the line where it can.
        """

    async def matches(self, pattern: str, data: bytes) -> bool:
        """Whether a regular expression is found in a text.

        Raises:
            ParseError: it is none that Python reads.
        """

    async def load_json(self, data: bytes) -> JsonValue:
        """A JSON document of at most 1 MiB, 100 levels deep.

        Raises:
            ParseError: it is none.
        """


@dataclass(frozen=True, slots=True)
class Ports:
    """All of the outside, as `wiring` puts it together."""

    clock: Clock
    github: GitHubApp
    sandboxes: SandboxProvider
    model: Model
    queue: Queue
    store: Store
    repos: Repos
    parsers: Parsers
    secrets: tuple[SecretStr, ...] = field(default=(), repr=False)
    """What must never be said: redacted from all that leaves the program."""
