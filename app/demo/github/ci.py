"""A small CI, in the place of GitHub Actions: it judges the files of a commit, as often as it is asked to.

    github.ci.judges("acme/greeter", "tests", lambda build: Outcome("failure", "E   assert 1 == 2"))

From then on whatever is pushed to the default branch, or to a branch with an open pull request, is judged in the
background, and the end of it delivered as `check_suite`. A suite stands for one workflow run: its jobs are the checks.
With `on_push` every push to any branch is judged, before there is a pull request, and opening one starts nothing: such
a suite names the pull requests that were open when it began, which for the first push are none.
https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_suite
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from app.demo.github.shapes import Json, Shapes, stamp
from app.demo.github.state.bare_repo import Commit
from app.demo.github.state.records import Delivery, PullRequest, Repo, User, node_id, now
from app.demo.github.state.world import World
from app.demo.github.webhooks import Courier

ACTIONS: Final = {"id": 15_368, "slug": "github-actions", "name": "GitHub Actions"}
_WORST: Final = ("failure", "timed_out", "stale", "cancelled", "action_required", "neutral", "success")
_NEVER_STARTED: Final = "startup_failure"


@dataclass(frozen=True, slots=True)
class Build:
    """What is judged: a commit's files, on a branch, for the `attempt`-th time."""

    sha: str
    branch: str
    attempt: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`conclusion` as in GitHub's API; `log` is what the job printed. A suite with a `startup_failure` has no jobs."""

    conclusion: str
    log: str = ""


Judge = Callable[[Build], Outcome]


@dataclass(eq=False, slots=True)
class CheckRun:
    """One job of a suite, once. `conclusion` is empty until it ends."""

    id: int
    name: str
    conclusion: str = ""
    log: str = ""
    started_at: datetime = field(default_factory=now)
    completed_at: datetime | None = None


@dataclass(eq=False, slots=True)
class CheckSuite:
    """One workflow run on a commit, with the newest run of each of its checks and those before them. `pulls` are the
    pull requests that it names, where those were settled when it began."""

    id: int
    run_id: int
    sha: str
    branch: str
    pusher: User
    pulls: list[PullRequest] | None = None
    never_started: bool = False
    attempt: int = 1
    checks: dict[str, CheckRun] = field(default_factory=dict)
    earlier: list[CheckRun] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)

    @property
    def is_over(self) -> bool:
        return self.never_started or all(check.conclusion for check in self.checks.values())

    @property
    def conclusion(self) -> str:
        if self.never_started:
            return _NEVER_STARTED
        return min((check.conclusion for check in self.checks.values()), key=_WORST.index)


class CI:
    """Every repository's checks, and the hands that set them up. `logs_url` is where logs lie, on another host.

    While `gate` is not set, no check ends.
    """

    def __init__(self, world: World, shapes: Shapes, courier: Courier) -> None:
        self.logs_url = ""
        self.gate = asyncio.Event()
        self.gate.set()
        self._world = world
        self._shapes = shapes
        self._courier = courier
        self._judges: dict[int, dict[str, Judge]] = {}
        self._suites: dict[int, list[CheckSuite]] = {}
        self._on_push: set[int] = set()
        self.foreign_pulls: list[tuple[Repo, int]] = []
        """Pull requests of other repositories that every suite names before its own."""

    async def judges(self, repo: str, name: str, judge: Judge, *, on_push: bool = False) -> None:
        """Have `judge` decide from now on how the check of that name ends; the default branch is judged at once."""
        place = self._world.repos[repo.lower()]
        self._judges.setdefault(place.id, {})[name] = judge
        if on_push:
            self._on_push.add(place.id)
        await self.build(repo, place.default_branch)

    async def build(self, repo: str, branch: str) -> Delivery:
        """Judge a branch's head in a new suite and deliver how that ended."""
        place = self._world.repos[repo.lower()]
        return await self._run(place, await self._open(place, branch, place.owner))

    async def pushed(self, repo: Repo, branch: str, pusher: User) -> None:
        """Somebody moved a branch, or opened a pull request from it: begin to judge it, if it is one to judge."""
        if repo.id in self._on_push:
            sha = await repo.git.head(branch)
            is_new = sha is not None and all((suite.sha, suite.branch) != (sha, branch) for suite in self.suites(repo))
            if is_new and sha != await repo.git.head(repo.default_branch):
                self._courier.soon(self._run(repo, await self._open(repo, branch, pusher)))
            return
        heads = {pull.head for pull in repo.pull_requests() if pull.state == "open" and pull.fork is None}
        if repo.id in self._judges and branch in {repo.default_branch, *heads}:
            self._courier.soon(self._run(repo, await self._open(repo, branch, pusher)))

    def suites(self, repo: Repo) -> list[CheckSuite]:
        """Oldest first."""
        return self._suites.get(repo.id, [])

    def find(self, repo: Repo, check_id: int) -> tuple[CheckSuite, CheckRun] | None:
        """A check run and the suite that it is of."""
        for suite in self.suites(repo):
            for check in (*suite.checks.values(), *suite.earlier):
                if check.id == check_id:
                    return suite, check
        return None

    def log(self, repo: str, check_id: int) -> str | None:
        found = self.find(self._world.repos[repo.lower()], check_id) if repo.lower() in self._world.repos else None
        return found[1].log if found else None

    def again(self, repo: Repo, suite: CheckSuite) -> None:
        """Run the failed checks of a suite again, as check runs of their own."""
        suite.attempt += 1
        for name, check in suite.checks.items():
            if check.conclusion not in {"success", "neutral"}:
                suite.earlier.append(check)
                suite.checks[name] = CheckRun(self._world.next_id(), name)
        self._courier.soon(self._run(repo, suite))

    async def _open(self, repo: Repo, branch: str, pusher: User) -> CheckSuite:
        sha = await repo.git.head(branch)
        if sha is None:
            raise ValueError(f"There is no branch {branch}.")
        suite = CheckSuite(self._world.next_id(), self._world.next_id(), sha, branch, pusher)
        suite.checks = {name: CheckRun(self._world.next_id(), name) for name in self._judges[repo.id]}
        suite.pulls = self._open_pulls(repo, branch) if repo.id in self._on_push else None
        self._suites.setdefault(repo.id, []).append(suite)
        return suite

    async def _run(self, repo: Repo, suite: CheckSuite) -> Delivery:
        paths = [entry.path for entry in await repo.git.tree(suite.sha, recursive=True) if entry.kind == "blob"]
        files = {path: await repo.git.file(suite.sha, path) or b"" for path in paths}
        await self.gate.wait()
        for name, check in suite.checks.items():
            if not check.conclusion:
                outcome = self._judges[repo.id][name](Build(suite.sha, suite.branch, suite.attempt, files))
                check.conclusion, check.log, check.completed_at = outcome.conclusion, outcome.log, now()
        if any(check.conclusion == _NEVER_STARTED for check in suite.checks.values()):
            suite.checks, suite.never_started = {}, True
        payload = self._courier.about("completed", repo, suite.pusher)
        payload["check_suite"] = self.suite_shape(repo, suite, await repo.git.commit(suite.sha))
        return await self._courier.send("check_suite", payload)

    # shapes ----------------------------------------------------------------------------------------------------

    def app_shape(self) -> Json:
        return {**self._shapes.app(), **ACTIONS, "node_id": node_id("A", 15_368)}

    def check_shape(self, repo: Repo, suite: CheckSuite, check: CheckRun) -> Json:
        api, html = self._shapes.repo_api(repo), self._shapes.repo_html(repo)
        page = f"{html}/actions/runs/{suite.run_id}/job/{check.id}"
        return {
            "id": check.id,
            "node_id": node_id("CR", check.id),
            "name": check.name,
            "head_sha": suite.sha,
            "external_id": "",
            "url": f"{api}/check-runs/{check.id}",
            "html_url": page,
            "details_url": page,
            "status": "completed" if check.conclusion else "in_progress",
            "conclusion": check.conclusion or None,
            "started_at": stamp(check.started_at),
            "completed_at": stamp(check.completed_at) if check.completed_at else None,
            "output": {
                **dict.fromkeys(("title", "summary", "text")),
                "annotations_count": 0,
                "annotations_url": f"{api}/check-runs/{check.id}/annotations",
            },
            "check_suite": {"id": suite.id},
            "app": self.app_shape(),
            "pull_requests": self._pulls(repo, suite),
        }

    def suite_shape(self, repo: Repo, suite: CheckSuite, head: Commit) -> Json:
        url = f"{self._shapes.repo_api(repo)}/check-suites/{suite.id}"
        return {
            "id": suite.id,
            "node_id": node_id("CS", suite.id),
            "head_branch": suite.branch,
            "head_sha": suite.sha,
            "status": "completed" if suite.is_over else "in_progress",
            "conclusion": suite.conclusion if suite.is_over else None,
            "url": url,
            "before": head.parents[0] if head.parents else None,
            "after": suite.sha,
            "pull_requests": self._pulls(repo, suite),
            "app": self.app_shape(),
            "created_at": stamp(suite.created_at),
            "updated_at": stamp(now()),
            "rerequestable": True,
            "runs_rerequestable": False,
            "latest_check_runs_count": len(suite.checks),
            "check_runs_url": f"{url}/check-runs",
            "head_commit": {
                "id": head.sha,
                "tree_id": head.tree,
                "message": head.message,
                "timestamp": stamp(head.author.at),
                "author": {"name": head.author.name, "email": head.author.email},
                "committer": {"name": head.committer.name, "email": head.committer.email},
            },
        }

    def _pulls(self, repo: Repo, suite: CheckSuite) -> list[Json]:
        """The pull requests from the branch, as GitHub lists them with checks."""
        own = self._open_pulls(repo, suite.branch) if suite.pulls is None else suite.pulls
        foreign = [self._pull(there, number, repo, suite, "main") for there, number in self.foreign_pulls]
        return [*foreign, *(self._pull(repo, pull.number, repo, suite, pull.base) for pull in own)]

    def _pull(self, place: Repo, number: int, repo: Repo, suite: CheckSuite, base: str) -> Json:
        """A pull request of `place` from a branch of `repo`."""
        here, there = ({"id": each.id, "url": self._shapes.repo_api(each), "name": each.name} for each in (repo, place))
        return {
            "url": f"{there['url']}/pulls/{number}",
            "id": place.id + number,
            "number": number,
            "head": {"ref": suite.branch, "sha": suite.sha, "repo": here},
            "base": {"ref": base, "sha": suite.sha, "repo": there},
        }

    def _open_pulls(self, repo: Repo, branch: str) -> list[PullRequest]:
        return [
            pull for pull in repo.pull_requests() if pull.state == "open" and pull.fork is None and pull.head == branch
        ]
