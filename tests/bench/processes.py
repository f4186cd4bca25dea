"""Processes: what `vibecoder web` and `vibecoder worker` weigh, and how long they take to be ready.

Small machines run several of each. Web must stay clear of what only a worker needs; a worker is weighed after a whole
job, since that is what it weighs from then on; with E2B's library, only before it. Each is beside a Python that does
nothing.
"""

import asyncio
import sys
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from app import wiring
from app.core.run import Conclusion
from app.settings import load
from tests.bench.deployment import Outside, ended, open_outside
from tests.bench.figure import Figure, figure
from tests.bench.program import VIBECODER, Program, running
from tests.bot import GREETER, REPO
from tests.e2e.turns import MEND

ROUNDS: Final = 3
WEB_MB, WEB_S, WORKER_MB = 60.0, 1.5, 130.0
_NOTHING: Final = (
    "import sys; print('ready', file=sys.stderr, flush=True); sys.stdin = open(0); import signal; signal.pause()"
)


async def measure() -> list[Figure]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        with TemporaryDirectory(prefix="bench-") as folder:
            await _weigh(Path(folder), found)
    python_s = figure("Python alone, until ready", found["python s"], "s")
    python_mb = figure("Python alone, memory", found["python MB"], "MB")
    return [
        python_s,
        figure("web, until ready", found["web s"], "s", against=python_s, budget=WEB_S),
        figure("worker, until ready", found["worker s"], "s", against=python_s),
        python_mb,
        figure("web, memory when ready", found["web MB"], "MB", against=python_mb),
        figure("web, memory after a delivery", found["web MB later"], "MB", against=python_mb, budget=WEB_MB),
        figure("worker, memory when ready", found["worker MB"], "MB", against=python_mb),
        figure("worker, memory after a job", found["worker MB later"], "MB", against=python_mb, budget=WORKER_MB),
        figure("worker for E2B, memory when ready", found["E2B MB"], "MB", against=python_mb, budget=WORKER_MB),
    ]


async def _weigh(folder: Path, found: defaultdict[str, list[float]]) -> None:
    async with running(folder / "python.log", sys.executable, "-c", _NOTHING, ready="ready", environ={}) as python:
        found["python s"].append(python.ready_s)
        found["python MB"].append(python.rss_mb)
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(open_outside(folder))
        records = await stack.enter_async_context(wiring.open_records(load(outside.environ)))
        started: dict[str, Program] = {}
        environ = {**outside.environ, "REDIS_URL": records.redis_url}
        for name in ("web", "worker"):
            program = running(folder / f"{name}.log", VIBECODER, name, ready=f"{name} is ready", environ=environ)
            started[name] = await stack.enter_async_context(program)
            found[f"{name} s"].append(started[name].ready_s)
            found[f"{name} MB"].append(started[name].rss_mb)
        await _ask(outside)
        async with asyncio.timeout(60):
            run = await ended(records.store)
        if run.conclusion is not Conclusion.SUCCESS:
            raise RuntimeError(f"The job ended as {run.conclusion}: {run.failure}")
        for name, process in started.items():
            found[f"{name} MB later"].append(process.rss_mb)
        environ |= {"SANDBOX": "e2b", "E2B_API_KEY": "e2b_no_key_of_anybody"}
        async with running(folder / "e2b.log", VIBECODER, "worker", ready="worker is ready", environ=environ) as worker:
            found["E2B MB"].append(worker.rss_mb)


async def _ask(outside: Outside) -> None:
    await outside.github.repo(REPO, files=GREETER)
    outside.github.grant(REPO, "maintainer", "maintain")
    outside.model.says(*MEND)
    issue = await outside.github.issue(REPO, title="The greeting has a typo", body="It says helo.", author="maintainer")
    await outside.github.label(REPO, issue.number, "vibecode", by="maintainer")
