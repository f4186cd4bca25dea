"""The main job: how long the demo's job takes, and where that time goes.

The model answers at once, so that all the time there is is ours: the stages', and the calls' to each of the ports. What
a command in the sandbox costs is beside the same command on the host.
"""

import asyncio
import statistics
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from app import wiring
from app.commands.web import serve_web
from app.commands.worker import serve_jobs
from app.core.run.run import Conclusion, Run, Stage
from app.demo.sample import sample_files, sample_issue
from app.demo.sample.script import SCRIPT
from app.settings import load
from tests.bench.deployment import ended, open_outside
from tests.bench.figure import Figure, figure, show
from tests.bench.timed import Times, timed

ROUNDS: Final = 3
EMPTY_COMMANDS: Final = 20
REPO: Final = "acme/durations"
PORTS: Final = ("sandbox", "github", "model", "store", "repos")


async def measure() -> list[Figure]:
    seconds: list[float] = []
    runs: list[Run] = []
    calls: list[Times] = []
    empty: Times = defaultdict(list)
    for _ in range(ROUNDS):
        calls.append(defaultdict(list))
        with TemporaryDirectory(prefix="bench-") as folder:
            began = perf_counter()
            runs.append(await _carry_out(Path(folder), calls[-1]))
            seconds.append(perf_counter() - began)
            await _empty_commands(Path(folder), empty)
    whole = figure("the whole run", [_seconds(run) for run in runs], "s")
    return [
        figure("with all its servers, from nothing", seconds, "s", against=whole),
        whole,
        *_stages(runs, whole),
        *(_port(name, calls, whole) for name in PORTS),
        *_commands(empty),
    ]


async def _carry_out(folder: Path, calls: Times) -> Run:
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(open_outside(folder))
        settings = load(outside.environ)
        records = await stack.enter_async_context(wiring.open_records(settings))
        await stack.enter_async_context(serve_web(settings, records))
        ports = await stack.enter_async_context(wiring.open_ports(settings, records))
        await stack.enter_async_context(serve_jobs(settings, records, timed(ports, calls)))
        outside.model.says(*SCRIPT)
        sample = sample_issue()
        await outside.github.repo(REPO, files=sample_files())
        outside.github.grant(REPO, "maintainer", "maintain")
        issue = await outside.github.issue(REPO, title=sample.title, body=sample.body, author="mona")
        await outside.github.label(REPO, issue.number, sample.label, by="maintainer")
        run = await ended(records.store)
    if run.conclusion is not Conclusion.SUCCESS:
        raise RuntimeError(f"The job ended as {run.conclusion}: {run.failure}")
    return run


async def _empty_commands(folder: Path, empty: Times) -> None:
    """The least that a command can cost, in the sandbox and on the host, turn by turn."""
    kind = "unisolated" if wiring.why_not_isolated() else "local"
    sandboxes = wiring.open_sandboxes(load({"DATA_DIR": str(folder), "SANDBOX": kind, "PATH": "/usr/bin:/bin"}))
    sandbox = await sandboxes.create(key="empty", metadata={}, timeout_s=60)
    try:
        for _ in range(EMPTY_COMMANDS):
            began = perf_counter()
            await sandbox.exec(["true"])
            half = perf_counter()
            process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "true")
            await process.wait()
            empty["sandbox"].append((half - began) * 1000)
            empty["host"].append((perf_counter() - half) * 1000)
    finally:
        await sandbox.close()


def _seconds(run: Run) -> float:
    assert run.ended_at is not None
    return (run.ended_at - run.job.created_at).total_seconds()


def _stages(runs: list[Run], whole: Figure) -> list[Figure]:
    figures = []
    for stage in Stage:
        took = [
            (record.ended_at - record.started_at).total_seconds()
            for run in runs
            for record in run.stages
            if record.stage is stage and record.ended_at is not None
        ]
        if took:
            figures.append(figure(f"stage {stage}", took, "s", against=whole))
    return figures


def _port(port: str, calls: list[Times], whole: Figure) -> Figure:
    """All calls to one port together. Calls that ran beside others count in full."""
    rounds = [[s for call, took in each.items() if call.startswith(f"{port}.") for s in took] for each in calls]
    together = figure(f"calls to {port}", [sum(took) for took in rounds], "s", against=whole)
    typical_ms = statistics.median(seconds for took in rounds for seconds in took) * 1000
    return replace(together, spread=f"{len(rounds[0])} calls, {show(typical_ms)} ms each")


def _commands(empty: Times) -> list[Figure]:
    host = figure("an empty command on the host", empty["host"], "ms")
    return [host, figure("an empty command in the sandbox", empty["sandbox"], "ms", against=host)]
