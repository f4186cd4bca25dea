"""The test's hands: a whole deployment on loopback, and the words to talk with it as people on GitHub do.

Everything is real but the outside: our web server, queue, Redis, worker, sandbox and git; GitHub is `app.demo`'s, the
model is scripted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from time import monotonic

import httpx
from starlette.types import ASGIApp

from app import wiring
from app.adapters.github.client.read_lag import ReadVisibility
from app.adapters.github.client.retry import Retry
from app.adapters.redis.connection import open_redis
from app.adapters.tls import tls_context
from app.commands.web import serve_web
from app.commands.worker import serve_jobs
from app.core.errors import StoreError
from app.core.ports.bundle import Ports
from app.core.run.job import Source, job_id
from app.core.run.run import Run, Status
from app.demo.github.ci import Judge
from app.demo.github.server import DemoGitHub
from app.demo.github.state.limits import Rates
from app.demo.github.state.records import Comment, Delivery, Issue, PullRequest
from app.demo.loopback import free_port
from app.demo.model.scripted import ScriptedModel
from app.runs.background.reactions import find_reaction_approvals
from app.runs.background.sweep import sweep
from app.runs.context import Intervals
from app.settings import Settings, load
from app.wiring import Records
from tests.published.recorder import Recorder

SECRET = "an-unguessable-webhook-secret"
OPERATOR = "an-unguessable-operator-token"
REPO = "acme/greeter"
SETTLE_S = 200.0
"""Far more than it takes: the machine may be loaded with another suite."""

GREETER = {
    "README.md": "# Greeter\n\nSays hello.\n",
    "greet.py": 'def greet(name):\n    return f"helo, {name}"\n',
    "tests/__init__.py": "",
    "tests/test_greet.py": (
        "import unittest\n\nfrom greet import greet\n\n\n"
        "class Greeting(unittest.TestCase):\n"
        "    def test_it_names_the_guest(self):\n"
        '        self.assertIn("Ada", greet("Ada"))\n'
    ),
    ".github/vibecode.yml": "test: python3 -m unittest discover -s tests -t .\n",
}
"""A repository with a typo that its one test does not see."""


@dataclass(slots=True)
class Bot:
    """A deployment at work for one repository."""

    github: DemoGitHub
    model: ScriptedModel
    settings: Settings
    records: Records
    url: str
    api: httpx.AsyncClient
    ports: Ports
    worker: AsyncExitStack
    intervals: Intervals

    async def start_worker(self) -> None:
        await self.worker.enter_async_context(serve_jobs(self.settings, self.records, self.ports, self.intervals))

    async def stop_worker(self) -> None:
        """Tell the worker to go, as a deploy does."""
        await self.worker.aclose()

    async def forget_everything(self) -> None:
        """Empty Redis, as an accident would."""
        async with open_redis(self.records.redis_url) as redis:
            await redis.flushall()

    async def swept(self) -> None:
        """Have the worker's sweep for forgotten labels done with."""
        await sweep(self.ports, label="vibecode", is_due=True)

    async def approved_by_thumb(self, issue: Issue, *, by: str) -> int:
        """Give the bot's newest comment there a 👍 and have the worker look; the number of plans that it approved."""
        comment = self.comments(issue)[-1]
        self.github.thumb(REPO, comment.id, by=by)
        # GitHub's moments are whole seconds, and nobody reads a plan within one.
        comment.reactions[-1].created_at += timedelta(seconds=1)
        return await find_reaction_approvals(self.ports, is_due=True)

    async def at_work_on(self, words: str) -> Run:
        """Wait until a run's timeline shows these words."""
        async with asyncio.timeout(SETTLE_S):
            while not (page := await self.records.store.list(limit=1)).runs:  # noqa: ASYNC110 -- nobody tells of it yet
                await asyncio.sleep(0.01)
            async with aclosing(self.records.store.follow(page.runs[0].id)) as runs:
                async for run in runs:
                    if any(words in activity.text for activity in run.activities):
                        return run
        raise AssertionError(f"No run ever showed {words!r}.")

    async def issue(self, title: str = "The greeting has a typo", body: str = "It says helo.") -> Issue:
        return await self.github.issue(REPO, title=title, body=body, author="maintainer")

    async def file(self, text: str) -> None:
        """Put the repository's own file on its default branch."""
        await self.github.push(REPO, "main", {".github/vibecode.yml": text}, message="Say how", by="acme")

    async def label(self, issue: Issue, label: str = "vibecode", *, by: str = "maintainer") -> Delivery:
        return await self.github.label(REPO, issue.number, label, by=by)

    async def comment(self, issue: Issue, text: str, *, by: str = "maintainer") -> Run:
        """Say something on an issue, and wait for the run that it starts to end."""
        return await self.settled(await self.say(issue, text, by=by))

    async def say(self, issue: Issue, text: str, *, by: str = "maintainer") -> str:
        """Say something on an issue or a pull request; the id of the run that it may start."""
        comment, _ = await self.github.comment(REPO, issue.number, text, by=by)
        return job_id(REPO, issue.number, Source.COMMENT, str(comment.id))

    async def work(self) -> list[Run]:
        """Wait until every run that is known has ended; they are returned, oldest first."""
        runs = (await self.records.store.list(limit=100)).runs
        return [await self.settled(run.id) for run in reversed(runs)]

    async def answered(self, source: Source, *, times: int = 1) -> Run:
        """Wait for the end of the run, the `times`-th, that such an event started."""
        found: list[Run] = []
        async with asyncio.timeout(SETTLE_S):
            while len(found) < times:
                page = await self.records.store.list(limit=100)
                found = [run for run in reversed(page.runs) if run.job.source is source]
                await asyncio.sleep(0.01)
        return await self.settled(found[times - 1].id)

    async def waits_for(self, words: str) -> Run:
        """Wait until a run is put off for this."""
        async with asyncio.timeout(SETTLE_S):
            while True:
                for run in (await self.records.store.list(limit=100)).runs:
                    if run.wake_at is not None and words in run.message:
                        return run
                await asyncio.sleep(0.01)

    async def settled(self, run_id: str) -> Run:
        """Wait for a run's end. A Redis that is slow on a loaded machine is asked again."""
        async with asyncio.timeout(SETTLE_S):
            while True:
                with suppress(StoreError):
                    async for run in self.records.store.follow(run_id):
                        if run.status is Status.COMPLETED:
                            return run
                    raise AssertionError(f"There is no run {run_id}.")

    async def start_ci(self, judge: Judge, name: str = "tests", *, on_push: bool = False) -> None:
        """From now on `judge` decides how the repository's check ends."""
        await self.github.ci.judges(REPO, name, judge, on_push=on_push)

    def comments(self, issue: Issue) -> list[Comment]:
        """What the bot said there."""
        return [each for each in self.github.comments(REPO, issue.number) if each.author == "vibecoder[bot]"]

    def pull_requests(self) -> list[PullRequest]:
        return self.github.pull_requests(REPO)

    async def show_diff(self, head: str) -> str:
        return await self.github.diff(REPO, "main", head)


@asynccontextmanager
async def deployed(
    folder: Path, *, is_worker_up: bool = True, times: float = 1.0, **environ: str
) -> AsyncIterator[Bot]:
    """A deployment with everything in `folder`; `environ` adds settings. What it asked of GitHub was as published.

    It waits for other systems so many `times` shorter than usual.
    """
    async with AsyncExitStack() as stack:
        recorders: list[Recorder] = []
        github = await stack.enter_async_context(
            DemoGitHub(folder / "github", webhook_secret=SECRET, middleware=partial(_record, recorders))
        )
        github.world.limits.rates = Rates()
        model = await stack.enter_async_context(ScriptedModel())
        settings = load(environment(github, model.url, folder) | environ)
        records = await stack.enter_async_context(wiring.open_records(settings))
        url, _ = await stack.enter_async_context(serve_web(settings, records))
        github.webhook_url = f"{url}/webhook"
        github.grant(await found(github), "maintainer", "maintain")
        ports = await stack.enter_async_context(wiring.open_ports(settings, records, _retry(times)))
        worker = await stack.enter_async_context(AsyncExitStack())
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        api = httpx.AsyncClient(base_url=url, headers=headers, verify=tls_context())
        await stack.enter_async_context(api)
        bot = Bot(github, model, settings, records, url, api, ports, worker, _intervals(times))
        if is_worker_up:
            await bot.start_worker()
        yield bot
        disagreements = recorders[0].faults()
        assert not disagreements, "\n".join(disagreements)


def _retry(times: float) -> Retry:
    """The adapter's own, with every wait so many times shorter."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / times)

    def visibility(unsure_s: float) -> ReadVisibility:
        return ReadVisibility(unsure_s, monotonic=lambda: monotonic() * times, sleep=sleep)

    return Retry(first_wait_s=0.5 / times, visibility=visibility)


def _intervals(times: float) -> Intervals:
    usual = Intervals()
    return Intervals(
        outage_s=tuple(wait_s / times for wait_s in usual.outage_s),
        check_list_s=usual.check_list_s / times,
        rerun_s=usual.rerun_s / times,
        queue_place_s=usual.queue_place_s / times,
    )


def _record(recorders: list[Recorder], app: ASGIApp) -> Recorder:
    recorders.append(Recorder(app))
    return recorders[-1]


def environment(github: DemoGitHub, model_url: str, folder: Path) -> dict[str, str]:
    """The settings of a deployment that talks to this GitHub and this model, with what it keeps in `folder`."""
    return {
        "GITHUB_APP_ID": "1",
        "GITHUB_PRIVATE_KEY": github.private_key_pem,
        "GITHUB_WEBHOOK_SECRET": SECRET,
        "GITHUB_URL": github.url,
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "sk-scripted-model-key-for-tests",
        "MODEL_API": "responses",
        "MODEL": "scripted",
        "DATA_DIR": str(folder / "data"),
        "PORT": str(free_port()),
        "API_TOKEN": OPERATOR,
        "SANDBOX": "unisolated" if _why_not_isolated() else "local",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "DRAIN_SECONDS": "0",
        "GATHER_SECONDS": "0",
    }


@cache
def _why_not_isolated() -> str:
    return wiring.why_not_isolated()


async def found(github: DemoGitHub) -> str:
    """Found the repository that the tests talk about."""
    await github.repo(REPO, files=GREETER)
    return REPO
