"""A deployment of real processes in a folder of its own, to be damaged: web, workers, Redis, GitHub, model.

vibecoder web ─────┐                 ┌── the embedded GitHub   (in this process)
                   ├── tap ── Redis  │
vibecoder worker ──┘                 │
      │   └───────────────── tap ────┴── the scripted model    (in this process)
      └───────────────────────────────── E2B's stand-in        (in this process, where the setting SANDBOX is `e2b`)
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app import wiring
from app.adapters.redis import keys
from app.adapters.redis.embedded import EmbeddedRedis
from app.adapters.sandbox.local.machine import Machine
from app.core.run.run import Conclusion, Run, Stage
from app.demo.github.front import Fault as Refusal
from app.demo.github.server import DemoGitHub
from app.demo.github.state.records import Delivery, Issue
from app.demo.model.scripted import ScriptedModel
from app.settings import load
from app.wiring import Records
from tests.bot import REPO, SECRET, environment, found
from tests.contract.e2b_server import E2BServer, e2b_server, e2b_settings
from tests.faults.program import Program
from tests.faults.redis_server import RedisServer
from tests.faults.script import SUBJECTS, Script
from tests.faults.story import Story
from tests.faults.tap import Tap

PATIENCE: Final = 4
"""All limits are for an idle machine; one that is loaded with another suite may take this many times as long."""
MOMENT_S: Final = 60.0
"""How long the moment for a fault may be in coming."""
SUCCESS: Final = frozenset({Conclusion.SUCCESS})


@dataclass(slots=True)
class Asked:
    """What was asked of the bot, and how it may end. `is_answer_only`: it is answered, and no work comes of it.
    `is_more`: it goes into the comment of what was asked before. `is_past`: others have gone on with its branch."""

    number: int
    job_id: str
    ends: frozenset[Conclusion] = SUCCESS
    is_answer_only: bool = False
    is_more: bool = False
    is_past: bool = False
    subjects: list[str] = field(default_factory=lambda: list(SUBJECTS))


class World:
    """Everything that a fault needs to do its damage."""

    def __init__(
        self, folder: Path, *, workers: int, is_direct: bool, serves: bool, environ: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.github = DemoGitHub(folder / "github", webhook_secret=SECRET)
        self.model = ScriptedModel()
        self.script = Script()
        self.redis_folder = folder / "data" / "redis"
        self.redis_url = f"unix://{self.redis_folder}/redis.sock"
        self.redis = RedisServer(self.redis_folder)
        self.redis_tap = Tap(lambda: asyncio.open_unix_connection(f"{self.redis_folder}/redis.sock"))
        self.model_tap = Tap(self._connect_model)
        self.workers: list[Program] = []
        self.asked: list[Asked] = []
        self.e2b: E2BServer | None = None
        self._count = workers
        self._is_direct = is_direct
        self._serves = serves
        self._environ = environ
        self._stack = AsyncExitStack()

    # ------------------------------------------------------------------------------------------- making and unmaking

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._clear)
            await stack.enter_async_context(self.github)
            await stack.enter_async_context(self.model)
            await stack.enter_async_context(self.redis_tap.open())
            await stack.enter_async_context(self.model_tap.open())
            self.model.answers(self.script.answer)
            self._stack = stack
            if not self._serves:
                stack.push_async_callback(self.redis.kill)
                await self.redis.start()
            await self._start_programs(stack)
            records = await stack.enter_async_context(wiring.open_records(load({"REDIS_URL": self.redis_url})))
            self.records: Records = records
            self.keys: Any = await stack.enter_async_context(Redis.from_url(self.redis_url, socket_timeout=3))
            self.story = Story(records.store, self.folder / "story.log")
            self.script.tell = self.story.write
            await stack.enter_async_context(self.story.followed())
            self.github.webhook_url = f"http://127.0.0.1:{self.environ['PORT']}/webhook"
            self.github.grant(await found(self.github), "maintainer", "maintain")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start_programs(self, stack: AsyncExitStack) -> None:
        model_url = f"http://127.0.0.1:{self.model_tap.port}/v1"
        self.environ = environment(self.github, model_url, self.folder) | dict(self._environ)
        if self.environ["SANDBOX"] == "e2b":
            (self.folder / "e2b").mkdir()
            self.e2b = await stack.enter_async_context(e2b_server(self.folder / "e2b"))
            self.environ |= e2b_settings(self.e2b)
        if self._serves:
            self.web = self.program("serve", "serve")
            self.workers = [self.web]
        else:
            self.environ["REDIS_URL"] = (
                self.redis_url if self._is_direct else f"redis://127.0.0.1:{self.redis_tap.port}/0"
            )
            self.web = self.program("web", "web")
            self.workers = [self.program("worker", f"worker-{number}") for number in range(1, self._count + 1)]
        async with asyncio.TaskGroup() as group:
            for program in {self.web, *self.workers}:
                group.create_task(program.start())

    def program(self, command: str, name: str, **environ: str) -> Program:
        """A process of this deployment, killed at the end; not started."""
        program = Program(command, self.folder / f"{name}.log", {**self.environ, **environ})
        self._stack.push_async_callback(program.kill)
        return program

    async def _connect_model(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.model.url)
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def _clear(self) -> None:
        """Leave nothing behind, whatever was killed: the Redis that `serve` left, machines and their processes."""
        if self._serves and self.redis_folder.exists():
            async with EmbeddedRedis(self.redis_folder):
                pass
        for machine in self.machines():
            await asyncio.to_thread(machine.destroy)

    # -------------------------------------------------------------------------------------------------------- people

    async def issue(self, title: str = "The greeting has a typo") -> Issue:
        return await self.github.issue(REPO, title=title, body="It says helo.", author="maintainer")

    async def ask(self, title: str = "The greeting has a typo", *, ends: frozenset[Conclusion] = SUCCESS) -> Asked:
        """Label an issue, and see the delivery accepted: where Redis was too slow for it, delivered again."""
        issue = await self.issue(title)
        delivery = await self.github.label(REPO, issue.number, "vibecode", by="maintainer")
        while delivery.status_code == 503:
            self.story.write("delivered again: it was answered 503")
            delivery = await self.deliver_again(delivery)
        return self.expect(issue.number, delivery, ends)

    def expect(self, number: int, delivery: Delivery, ends: frozenset[Conclusion] = SUCCESS) -> Asked:
        """Expect a run of an accepted delivery.

        Raises:
            AssertionError: it was not accepted.
        """
        assert 200 <= delivery.status_code < 300, f"The delivery was answered {delivery.status_code}."
        self.asked.append(Asked(number, str(json.loads(delivery.response)["job"]), ends))
        return self.asked[-1]

    async def deliver_again(self, delivery: Delivery) -> Delivery:
        """What becomes of a second attempt at a delivery."""
        await self.github.redeliver(delivery)
        return [each for each in self.github.deliveries if each.guid == delivery.guid][-1]

    # ------------------------------------------------------------------------------------------------------- moments

    async def until(self, is_so: Callable[[], bool], what: str, limit_s: float = MOMENT_S) -> None:
        """Wait for a moment.

        Raises:
            AssertionError: it did not come.
        """
        try:
            async with asyncio.timeout(PATIENCE * limit_s):
                while not is_so():  # noqa: ASYNC110 - processes ring no bell
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise AssertionError(f"It did not come to this within {PATIENCE * limit_s:.0f} s: {what}.") from error

    def run(self, asked: Asked) -> Run | None:
        """The run as it stood a moment ago; None when there is none yet."""
        return self.story.runs.get(asked.job_id)

    async def until_at(self, asked: Asked, words: str) -> None:
        """Wait until the run's timeline shows these words."""

        def shows() -> bool:
            run = self.run(asked)
            return run is not None and any(words in activity.text for activity in run.activities)

        await self.until(shows, f"the timeline shows {words!r}")

    async def until_in(self, asked: Asked, stage: Stage) -> None:
        await self.until(lambda: (run := self.run(asked)) is not None and run.stage is stage, f"the stage {stage}")

    async def until_hit(self, refusal: Refusal, limit_s: float = MOMENT_S) -> None:
        """Wait until an ordered failure of GitHub's has come to pass as often as it was to."""
        await self.until(lambda: refusal.times == 0, f"{refusal.method} {refusal.path.pattern} at GitHub", limit_s)

    async def holder(self, asked: Asked) -> Program:
        """The worker that carries the run."""
        name = (await self.keys.hget(keys.run(asked.job_id), "worker")).decode()
        return next(worker for worker in self.workers if name.endswith(f":{worker.pid}"))

    async def settled(self) -> None:
        """Wait until all that was asked for has ended; whoever runs the fault bounds it."""
        ids = [asked.job_id for asked in self.asked]
        while not self.story.are_completed(ids):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
        self.story.write("settled")

    # ---------------------------------------------------------------------------------------------------- the workers

    async def kill_worker(self, asked: Asked | None = None) -> None:
        """SIGKILL of the worker that carries the run, then a new one in its place, as a platform does."""
        worker = self.workers[0] if asked is None or len(self.workers) == 1 else await self.holder(asked)
        await worker.kill()
        await self.story.mark(f"SIGKILL of {worker.log.stem}")
        await worker.start()

    # --------------------------------------------------------------------------------------------------- the machines

    @property
    def cloud(self) -> E2BServer:
        """E2B's stand-in, in a world that has it."""
        assert self.e2b is not None
        return self.e2b

    @property
    def sandbox_root(self) -> Path:
        return (self.folder / "data" / "sandboxes").resolve()

    def machines(self) -> list[Machine]:
        """The sandboxes' folders, living or half destroyed."""
        return [Machine(folder) for folder in self.sandbox_root.glob("*") if folder.is_dir()]

    async def destroy_machines(self) -> None:
        """What a vendor's outage does: every machine is gone, and all that ran in it."""
        for machine in self.machines():
            await asyncio.to_thread(machine.destroy)

    async def redis_keys(self) -> list[tuple[str, int]]:
        """Every key with its time to live; -1: it has none."""
        with suppress(RedisError):
            names = sorted([name async for name in self.keys.scan_iter(count=1000)])
            return [(name.decode(), await self.keys.ttl(name)) for name in names]
        return []
