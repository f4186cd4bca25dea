"""A small GitHub that is really there: real git, real tokens, real signed webhooks, on a port of this machine.

async with DemoGitHub(root, webhook_secret="…") as github:
    await github.repo("acme/greeter", files={"README.md": "# Greeter"})
    github.webhook_url = "http://127.0.0.1:8080/webhook"
    issue = await github.issue("acme/greeter", title="A typo", author="mona")
    await github.label("acme/greeter", issue.number, "vibecode", by="mona")
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Self, Unpack

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.types import ASGIApp

from app.demo.github.api.checks import storage
from app.demo.github.api.statuses import Statuses
from app.demo.github.application import build
from app.demo.github.call import Hub
from app.demo.github.ci import CI
from app.demo.github.front import Fault, FaultOptions, Front, Request
from app.demo.github.people.maintainers import Upkeep
from app.demo.github.people.owners import Custody
from app.demo.github.people.reviewers import Reviewers
from app.demo.github.shapes import Shapes
from app.demo.github.state.bare_repo import NO_OBJECT, BareRepo, Commit, Entry
from app.demo.github.state.label_events import put_label
from app.demo.github.state.records import Comment, Delivery, Issue, PullRequest, Repo, Token, User, now
from app.demo.github.state.world import ROLES, World
from app.demo.github.webhooks import Courier
from app.demo.loopback import serving


@cache
def _key_pair() -> tuple[str, rsa.RSAPublicKey]:
    """The App's private key in PEM, and its public key, made once a process: it takes a third of a second."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return private.decode(), key.public_key()


_LINK: Final = b"link to "


class DemoGitHub:
    """Serves a world, and is the hands of the people in it.

    `repo` names are `owner/name`, people are named by login and made on first use. What a person does returns once
    the webhook of it was answered (or was not sent, as `webhook_url` is empty); what the App does over HTTP is
    delivered meanwhile.
    """

    def __init__(
        self,
        root: Path,
        *,
        webhook_secret: str,
        app_id: int = 1,
        app_slug: str = "vibecoder",
        port: int = 0,
        middleware: Callable[[ASGIApp], ASGIApp] | None = None,
    ) -> None:
        """`middleware` wraps the application: it passes every request and answer on."""
        self.private_key_pem, public_key = _key_pair()
        self.root = root
        self.webhook_secret = webhook_secret
        self.world = World(app_id, app_slug, public_key)
        self._port = port
        self._middleware = middleware
        self._shapes = Shapes(self.world)
        self._courier = Courier(self.world, self._shapes, webhook_secret)
        self.ci = CI(self.world, self._shapes, self._courier)
        self._front = Front(build(Hub(self.world, self._shapes, self._courier, self.ci, self.private_key_pem)))
        self.pulls = Reviewers(self.world, self._shapes, self._courier, self.ci)
        self.statuses = Statuses(self.world, self._shapes, self._courier)
        self.custody = Custody(self.world, self._shapes, self._courier)
        self.upkeep = Upkeep(self.world, self._shapes, self._courier)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            served = self._front if self._middleware is None else self._middleware(self._front)
            self.world.url = await stack.enter_async_context(serving(served, self._port, has_date=False))
            self.ci.logs_url = await stack.enter_async_context(serving(storage(self.ci)))
            await stack.enter_async_context(self._courier)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where it is served; REST is under `/api/v3`, GraphQL at `/api/graphql`."""
        return self.world.url

    @property
    def webhook_url(self) -> str:
        return self._courier.url

    @webhook_url.setter
    def webhook_url(self, url: str) -> None:
        self._courier.url = url

    @property
    def requests(self) -> list[Request]:
        """The latest requests, oldest first."""
        return list(self._front.requests)

    @property
    def deliveries(self) -> list[Delivery]:
        """The delivery log, oldest first."""
        return list(self.world.deliveries)

    def fails(self, method: str, path: str, **options: Unpack[FaultOptions]) -> Fault:
        """Let the next requests fail whose path matches the expression; `*` is any method."""
        self._front.faults.append(Fault(method, re.compile(path), **options))
        return self._front.faults[-1]

    def sign_with(self, secret: str) -> None:
        """Sign deliveries with another secret from now on, as after a change on the App's page alone."""
        self._courier.secret = secret

    def loses(self, times: int = 1) -> None:
        """Let the next attempts to deliver fail: they are in the log, and nothing arrives."""
        self._courier.losses = times

    def skew(self, seconds: float) -> None:
        """Put its clock ahead of this machine's: what it says in `Date`, and when tokens begin and end."""
        self.world.ahead_s = self._front.ahead_s = seconds

    def lags(self, seconds: float, *, seed: int = 0) -> None:
        """Let reads over the API show what comments, pull requests and branches were up to so many seconds ago, each
        another time. What is written counts at once, and so it does for git itself."""
        self.world.set_lag(seconds, seed)

    # people ----------------------------------------------------------------------------------------------------

    def user(self, login: str, *, bot: bool = False) -> User:
        return self.world.user(login, bot=bot)

    def user_token(self, login: str) -> str:
        """A token that speaks for a person."""
        token = Token(f"ghu_{secrets.token_hex(18)}", user=self.user(login))
        self.world.tokens[token.value] = token
        return token.value

    def grant(self, repo: str, login: str, role: str) -> None:
        """Give a person a role: none, read, triage, write, maintain or admin."""
        if role not in ROLES:
            raise ValueError(f"{role} is no role; there are {', '.join(ROLES)}.")
        self._repo(repo).roles[self.user(login).login.lower()] = role

    def expire_tokens(self) -> None:
        """End the life of every installation token minted so far."""
        for token in self.world.tokens.values():
            if token.installation is not None:
                token.expires_at = now()

    # repositories ----------------------------------------------------------------------------------------------

    def _repo(self, full_name: str) -> Repo:
        return self.world.repos[full_name.lower()]

    async def repo(
        self,
        full_name: str,
        *,
        files: Mapping[str, str | bytes] | None = None,
        source: Path | None = None,
        private: bool = False,
        default_branch: str = "main",
    ) -> Repo:
        """Create a repository, the App installed on it; the first commit holds `files` and the folder `source`."""
        owner, _, name = full_name.partition("/")
        git = BareRepo(self.root / owner / f"{name}.git", self.world.monotonic)
        await git.init(default_branch)
        account = self.user(owner)
        installation = self.world.installation(account)
        repo = Repo(self.world.next_id(), account, name, git, installation.id, default_branch, private)
        repo.roles[owner.lower()] = "admin"
        self.world.repos[full_name.lower()] = repo
        found = await asyncio.to_thread(_read_folder, source) if source else {}
        if found or files:
            await self.push(full_name, default_branch, {**found, **(files or {})}, message="Initial commit", by=owner)
        await self._courier.send("installation", self._courier.about_installation("created", installation, repo))
        return repo

    async def suspend(self, owner: str, *, is_suspended: bool = True) -> Delivery:
        """Suspend the App on an account: it may nothing there and is told of nothing there; or let it go on."""
        installation = self.world.installation(self.user(owner))
        installation.suspended_at = now() if is_suspended else None
        action = "suspend" if is_suspended else "unsuspend"
        return await self._courier.send("installation", self._courier.about_installation(action, installation))

    def permit(self, owner: str, **permissions: str) -> None:
        """Let the App ask for further permissions, and accept them on an account."""
        self.world.permissions.update(permissions)
        self.world.installation(self.user(owner)).permissions.update(permissions)

    async def uninstall(self, owner: str) -> Delivery:
        """Remove the App from an account. Its tokens end at once."""
        installation = self.world.installation(self.user(owner))
        del self.world.installations[installation.id]
        tokens = self.world.tokens
        self.world.tokens = {key: token for key, token in tokens.items() if token.installation is not installation}
        return await self._courier.send("installation", self._courier.about_installation("deleted", installation))

    async def push(
        self, repo: str, branch: str, files: Mapping[str, str | bytes | None], *, message: str, by: str
    ) -> str:
        """Put a commit on a branch, as a person who pushes; None deletes. A new branch starts at the default one. What
        begins with `link to ` becomes a symbolic link."""
        world = self._repo(repo)
        git, identity = world.git, self.user(by).identity()
        head = await git.head(branch)
        parent = head or await git.head(world.default_branch)
        entries = []
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            mode = "120000" if data is not None and data.startswith(_LINK) else "100644"
            entries.append(Entry(path, mode, None if data is None else await git.write_blob(data.removeprefix(_LINK))))
        tree = await git.write_tree(parent, entries)
        commit = Commit("", tree, (parent,) if parent else (), identity, identity, message)
        sha = await git.write_commit(commit)
        await git.update_ref(f"refs/heads/{branch}", sha, head or NO_OBJECT)
        await self.ci.pushed(world, branch, self.user(by))
        return sha

    async def head(self, repo: str, branch: str) -> str | None:
        return await self._repo(repo).git.head(branch)

    async def file(self, repo: str, ref: str, path: str) -> bytes | None:
        return await self._repo(repo).git.file(ref, path)

    async def diff(self, repo: str, base: str, head: str) -> str:
        return await self._repo(repo).git.diff(base, head)

    async def log(self, repo: str, ref: str) -> list[Commit]:
        """The newest first; `ref` may be `base..head`."""
        return await self._repo(repo).git.log(ref)

    # threads ---------------------------------------------------------------------------------------------------

    async def issue(self, repo: str, *, title: str, body: str = "", author: str) -> Issue:
        world, user = self._repo(repo), self.user(author)
        issue = self.world.add_issue(world, title=title, body=body, user=user)
        await self._courier.send("issues", self._courier.issue("opened", world, issue, user))
        return issue

    async def label(self, repo: str, number: int, label: str, *, by: str) -> Delivery:
        """Put a label on an issue (again, if it is there)."""
        world, user = self._repo(repo), self.user(by)
        issue, known = world.issues[number], self.world.label(world, label)
        put_label(self.world, issue, known, user)
        shape = self._shapes.label(world, known)
        return await self._courier.send("issues", self._courier.issue("labeled", world, issue, user, label=shape))

    async def comment(self, repo: str, number: int, body: str, *, by: str) -> tuple[Comment, Delivery]:
        world, user = self._repo(repo), self.user(by)
        comment = self.world.add_comment(world, world.issues[number], body, user)
        payload = self._courier.comment("created", world, comment, user)
        return comment, await self._courier.send("issue_comment", payload)

    async def edit_comment(self, repo: str, comment: Comment, body: str, *, by: str) -> Delivery:
        world, changes = self._repo(repo), {"body": {"from": comment.body}}
        comment.edit(body)
        payload = self._courier.comment("edited", world, comment, self.user(by), changes=changes)
        return await self._courier.send("issue_comment", payload)

    def thumb(self, repo: str, comment_id: int, *, by: str) -> None:
        """Give 👍 to a comment. GitHub delivers nothing of it."""
        reactions = self._repo(repo).comments[comment_id].reactions
        self.world.add_reaction(reactions, "+1", self.user(by))

    def comments(self, repo: str, number: int) -> list[Comment]:
        """A thread's comments, oldest first."""
        return self._repo(repo).thread(number)

    def pull_requests(self, repo: str) -> list[PullRequest]:
        return self._repo(repo).pull_requests()

    # deliveries ------------------------------------------------------------------------------------------------

    async def ping(self) -> Delivery:
        return await self._courier.send("ping", self._courier.ping())

    async def redeliver(self, delivery: Delivery, times: int = 1) -> list[int]:
        """Deliver the same bytes again, `times` at once; the status codes that were answered."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._courier.again(delivery)) for _ in range(times)]
        return [task.result().status_code for task in tasks]


def _read_folder(folder: Path) -> dict[str, str | bytes]:
    """The files of a folder, without its `.git`."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    found = {path.relative_to(folder): path for path in files}
    return {name.as_posix(): path.read_bytes() for name, path in found.items() if ".git" not in name.parts}
