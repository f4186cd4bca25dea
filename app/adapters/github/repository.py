"""One repository as the App's installation sees it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from pydantic import SecretStr

from app.adapters.github.activity import RepositoryActivity, find_labelled
from app.adapters.github.branch_rules import find_rules
from app.adapters.github.client.address import path_part, repo_path
from app.adapters.github.client.api import Api
from app.adapters.github.client.errors import workflows_missing
from app.adapters.github.client.idempotency import is_taken, look_then_create, or_none
from app.adapters.github.client.read_lag import ReadVisibility
from app.adapters.github.client.responses import (
    Anything,
    CollaboratorPermission,
    CommentResponse,
    Comments,
    ComparedCommit,
    Comparison,
    PullResponse,
    PullsResponse,
    Ref,
    Registered,
    RepositoryResponse,
)
from app.adapters.github.client.tokens import READ, Tokens
from app.adapters.github.commits import Branch
from app.adapters.github.pull_requests import GithubkitPullRequests
from app.adapters.github.team_reviews import Teams
from app.core.errors import GitHubError
from app.core.inbound.events import Installation
from app.core.inbound.triggers import LabelledIssue, RecentActivity
from app.core.policy.authorization import Role
from app.core.policy.branch_rules import BranchRule
from app.core.policy.changes import BRANCH_PREFIX, Change
from app.core.run.job import Person, Remark, read_job_key
from app.core.run.run import Commit, OpenedPullRequest

_PER_PAGE: Final = 100
_REMARK_PAGES: Final = 3
_MAX_PAGES: Final = 30
_NOT_ACCESSIBLE: Final = "Resource not accessible by integration"


@dataclass(frozen=True, slots=True)
class Reach:
    """What a repository is reached by: the installation's client, the App's own, its tokens, the account's teams."""

    api: Api
    app: Api
    tokens: Tokens
    teams: Teams


class GithubkitRepository:
    """Implements the port `GitHub`."""

    def __init__(self, repo: str, *, app_id: str, reach: Reach, visibility: ReadVisibility) -> None:
        api, app, tokens = reach.api, reach.app, reach.tokens
        self._repo = repo
        self._path = repo_path(repo)
        self._app_id = app_id
        self._api = api
        self._app = app
        self._tokens = tokens
        self._visibility = visibility
        self._bot_login = ""
        self._default_branch = ""
        self.pulls = GithubkitPullRequests(
            api, repo, bot=self.login, visibility=visibility, comment=self.put_comment, teams=reach.teams
        )

    @property
    def repo(self) -> str:
        return self._api.repo

    async def login(self) -> str:
        if not self._bot_login:
            app = await self._app.call("GET", "/app", Registered)
            # By the published description an App may lack its slug; its page never does.
            self._bot_login = f"{app.slug or app.html_url.rpartition('/')[2]}[bot]"
        return self._bot_login

    async def installation(self) -> int:
        return await self._tokens.installation()

    async def permission(self, person: Person) -> Role:
        if not person.id or not person.login:
            return Role.NONE
        path = f"{self._path}/collaborators/{path_part(person.login)}/permission"
        found = await or_none(self._api.call("GET", path, CollaboratorPermission))
        if found is None or found.user is None or found.user.id != person.id:
            return Role.NONE
        return found.role

    async def react(self, content: str, *, number: int, comment_id: int | None = None) -> None:
        what = str(number) if comment_id is None else f"comments/{comment_id}"
        await self._api.call("POST", f"{self._path}/issues/{what}/reactions", Anything, body={"content": content})

    async def put_comment(
        self, number: int, body: str, *, marker: str, comment_id: int | None = None, is_urgent: bool = False
    ) -> int:
        edit = partial(self._edit, body=body, is_urgent=is_urgent)
        if comment_id is not None and (edited := await edit(comment_id)) is not None:
            return edited

        async def edit_own() -> int | None:
            own = await self._own_comment(number, marker)
            return None if own is None else await edit(own)

        async def create() -> int:
            path = f"{self._path}/issues/{number}/comments"
            return (await self._api.call("POST", path, CommentResponse, body={"body": body})).id

        return await look_then_create(edit_own, create, self._visibility.of("comment", number, marker))

    async def remarks(self, number: int) -> tuple[Remark, ...]:
        said = [comment.remark async for comment in self._comments(number, _REMARK_PAGES)]
        return tuple(remark for remark in said if remark is not None)

    async def default_branch(self) -> str:
        if not self._default_branch:
            self._default_branch = (await self._api.call("GET", self._path, RepositoryResponse)).default_branch
        return self._default_branch

    async def head(self, branch: str, *, unlike: str = "") -> str | None:
        there = self._branch(branch)
        visibility = self._visibility.of("branch", branch)
        moved = await visibility.find(partial(there.head_unlike, unlike)) if unlike else None
        return moved or await there.head()

    async def create_branch(self, branch: str, sha: str) -> bool:
        body = {"ref": f"refs/heads/{branch}", "sha": sha}
        try:
            await self._api.call("POST", f"{self._path}/git/refs", Ref, body=body)
        except GitHubError as error:
            if is_taken(error):
                return False
            if error.status == 403 and _NOT_ACCESSIBLE in str(error) and not await self.may_change_workflows():
                words = f"GitHub does not let the App create a branch at {sha[:7]} ({error})."
                raise workflows_missing(words) from error
            raise
        return True

    async def delete_branch(self, branch: str, sha: str) -> None:
        there = self._branch(branch)
        head = await there.head()
        if head is None:  # it may have been made just now
            visibility = self._visibility.of("branch", branch)
            visibility.doubt()
            head = await visibility.find(there.head)
        if head != sha:
            return
        try:
            await self._api.call("DELETE", f"{self._path}/git/refs/{path_part(f'heads/{branch}')}", Anything)
        except GitHubError as error:
            if error.status not in {404, 422} or "does not exist" not in str(error):
                raise

    async def rules(self, branch: str, sha: str) -> tuple[BranchRule, ...]:
        return await find_rules(self._api, self._repo, branch, sha)

    async def may_change_workflows(self) -> bool:
        return self._tokens.may_change_workflows()

    async def commit(
        self, branch: str, expected_head: str, message: str, changes: Sequence[Change], *, merged: str = ""
    ) -> Commit:
        return await self._branch(branch, merged).commit(expected_head, message, changes)

    async def commits(self, base: str, head: str) -> tuple[Commit, ...]:
        path = f"{self._path}/compare/{path_part(f'{base}...{head}')}"
        # Not in pages: only so are they the newest, and the oldest of them first.
        compared = await self._api.call("GET", path, Comparison)
        return tuple(_compared(commit) for commit in compared.commits)

    async def recent(self, since: datetime, etag: str = "") -> RecentActivity | None:
        about = Installation(id=await self.installation())
        return await RepositoryActivity(self._api, self.repo, about, since).find(etag)

    async def labelled(self, label: str, since: datetime | None = None) -> tuple[LabelledIssue, ...]:
        return await find_labelled(self._api, self._path, label, since=since, bot=self.login)

    async def pull_request(self, branch: str, *, is_open: bool = True) -> OpenedPullRequest | None:
        params = {"state": "open" if is_open else "all", "head": f"{self.repo.partition('/')[0]}:{branch}"}
        pulls = await self._api.call("GET", f"{self._path}/pulls", PullsResponse, params=params)
        # GitHub ignores a filter that it cannot read, and then lists every pull request.
        return next((_pull_request(pull) for pull in pulls.root if pull.head.ref == branch), None)

    async def issue_pull_request(self, number: int, *, is_open: bool = True) -> OpenedPullRequest | None:
        params = {"state": "open" if is_open else "all", "sort": "created", "direction": "desc"}
        prefix, bot = f"{BRANCH_PREFIX}{number}-", await self.login()
        async for page in self._api.pages(f"{self._path}/pulls", PullsResponse, params=params):
            for pull in page.root:
                if pull.head.ref.startswith(prefix) and pull.user is not None and pull.user.login == bot:
                    return _pull_request(pull)
        return None

    async def put_pull_request(
        self, *, branch: str, base: str, title: str, body: str, is_draft: bool
    ) -> OpenedPullRequest:
        async def update() -> OpenedPullRequest | None:
            found = await self.pull_request(branch)
            if found is None:
                return None
            path = f"{self._path}/pulls/{found.number}"
            return _pull_request(await self._api.call("PATCH", path, PullResponse, body={"title": title, "body": body}))

        async def create() -> OpenedPullRequest:
            wanted = {"title": title, "head": branch, "base": base, "body": body, "draft": is_draft}
            return _pull_request(await self._open_pull(wanted))

        return await look_then_create(update, create, self._visibility.of("pull request", branch))

    async def read_token(self) -> SecretStr:
        return (await self._tokens.mint(READ)).token

    def _branch(self, name: str, merged: str = "") -> Branch:
        visibility = self._visibility.of("branch", name)
        return Branch(self._api, self._repo, name, bot=self.login, visibility=visibility, merged=merged)

    async def _edit(self, comment_id: int, body: str, *, is_urgent: bool) -> int | None:
        path = f"{self._path}/issues/comments/{comment_id}"
        comment = await or_none(
            self._api.call("PATCH", path, CommentResponse, body={"body": body}, is_urgent=is_urgent)
        )
        return None if comment is None else comment.id

    async def _own_comment(self, number: int, marker: str) -> int | None:
        async for comment in self._comments(number, _MAX_PAGES):
            if marker in (comment.body or "") and await self._is_own(comment):
                return comment.id
        return None

    async def _comments(self, number: int, max_pages: int) -> AsyncIterator[CommentResponse]:
        for page in range(1, max_pages + 1):
            params = {"per_page": _PER_PAGE, "page": page}
            comments = await self._api.call("GET", f"{self._path}/issues/{number}/comments", Comments, params=params)
            for comment in comments.root:
                yield comment
            if len(comments.root) < _PER_PAGE:
                break

    async def _is_own(self, comment: CommentResponse) -> bool:
        if (via := comment.performed_via_github_app) is not None:
            return self._app_id in {str(via.id), via.client_id}
        if comment.user is None or comment.user.type != "Bot":
            return False
        return comment.user.login == await self.login()

    async def _open_pull(self, wanted: Mapping[str, object]) -> PullResponse:
        path = f"{self._path}/pulls"
        try:
            return await self._api.call("POST", path, PullResponse, body=wanted)
        except GitHubError as error:
            # Private repositories of free accounts have no drafts.
            if error.status != 422 or "Draft pull requests are not supported" not in str(error):
                raise
        return await self._api.call("POST", path, PullResponse, body={**wanted, "draft": False})


def _pull_request(pull: PullResponse) -> OpenedPullRequest:
    return OpenedPullRequest(pull.number, pull.html_url, pull.head.sha, pull.draft)


def _compared(found: ComparedCommit) -> Commit:
    told = found.commit
    is_verified = told.verification is not None and told.verification.verified
    subject, author = told.message.partition("\n")[0].strip(), found.author.login if found.author else ""
    key = read_job_key(told.message)
    return Commit(found.sha, subject, is_verified=is_verified, url=found.html_url, author=author, job_key=key)
