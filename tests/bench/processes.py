"""Processes: what `vibecoder web` and `vibecoder worker` weigh, and how long they take to be ready.

Small machines run several of each. Web must stay clear of what only a worker needs; a worker is weighed after a whole
job, since that is what it weighs from then on. Each is beside a Python that does nothing.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from app import wiring
from app.core.run.run import Conclusion
from app.settings import load
from tests.bench.deployment import Outside, ended, open_outside
from tests.bench.figure import Figure, figure
from tests.bench.program import VIBECODER, Program, running
from tests.bot import GREETER, REPO
from tests.contract.e2b_server import API_KEY, e2b_server
from tests.e2e.turns import MEND

ROUNDS: Final = 3
JOB_S: Final = 30.0
WEB_MB, WEB_S, WORKER_MB = 60.0, 1.5, 130.0
_NOTHING: Final = (
    "import sys; print('ready', file=sys.stderr, flush=True); sys.stdin = open(0); import signal; signal.pause()"
)

Found: TypeAlias = defaultdict[str, list[float]]


async def measure() -> list[Figure]:
    found: Found = defaultdict(list)
    for _ in range(ROUNDS):
        await _weigh_python(found)
        await _weigh({}, found, ("web", "worker"))
    with TemporaryDirectory(prefix="bench-") as folder:
        async with e2b_server(Path(folder)) as e2b:
            over = {"SANDBOX": "e2b", "E2B_API_KEY": API_KEY, "E2B_API_URL": e2b.url, "E2B_SANDBOX_URL": e2b.url}
            await _weigh(over, found, ("web beside it", "worker over E2B"))
    python_s = figure("Python alone, until ready", found["python s"], "s")
    python_mb = figure("Python alone, memory", found["python MB"], "MB")
    weights = {
        "web, memory when ready": None,
        "web, memory after a delivery": WEB_MB,
        "worker, memory when ready": None,
        "worker, memory after a job": WORKER_MB,
        "worker over E2B, memory after a job": WORKER_MB,
    }
    return [
        python_s,
        figure("web, until ready", found["web, until ready"], "s", against=python_s, budget=WEB_S),
        figure("worker, until ready", found["worker, until ready"], "s", against=python_s),
        python_mb,
        *(figure(name, found[name], "MB", against=python_mb, budget=budget) for name, budget in weights.items()),
    ]


async def _weigh_python(found: Found) -> None:
    with TemporaryDirectory(prefix="bench-") as folder:
        log, argv = Path(folder) / "python", (sys.executable, "-c", _NOTHING)
        async with running(log, *argv, ready="ready", environ={}) as python:
            found["python s"].append(python.ready_s)
            found["python MB"].append(python.rss_mb)


async def _weigh(sandbox: Mapping[str, str], found: Found, names: tuple[str, str]) -> None:
    """Start web and worker, carry out a job, and note what they are under `names`."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        outside = await stack.enter_async_context(open_outside(folder))
        records = await stack.enter_async_context(wiring.open_records(load(outside.environ)))
        environ = {**outside.environ, **sandbox, "REDIS_URL": records.redis_url}
        programs: list[Program] = []
        for name, command in zip(names, ("web", "worker"), strict=True):
            program = running(folder / command, VIBECODER, command, ready=f"{command} is ready", environ=environ)
            programs.append(await stack.enter_async_context(program))
            found[f"{name}, until ready"].append(programs[-1].ready_s)
            found[f"{name}, memory when ready"].append(programs[-1].rss_mb)
        await _ask(outside)
        async with asyncio.timeout(JOB_S):
            run = await ended(records.store)
        if run.conclusion is not Conclusion.SUCCESS:
            raise RuntimeError(f"The job ended as {run.conclusion}: {run.failure}")
        for name, after, process in zip(names, ("a delivery", "a job"), programs, strict=True):
            found[f"{name}, memory after {after}"].append(process.rss_mb)


async def _ask(outside: Outside) -> None:
    await outside.github.repo(REPO, files=GREETER)
    outside.github.grant(REPO, "maintainer", "maintain")
    outside.model.says(*MEND)
    issue = await outside.github.issue(REPO, title="The greeting has a typo", body="It says helo.", author="maintainer")
    await outside.github.label(REPO, issue.number, "vibecode", by="maintainer")
