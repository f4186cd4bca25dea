"""`python -m tests.faults [NAME…]`: damage running deployments, and see that nothing is lost and nothing happens twice.

Every fault has a world of its own (see `world`): real processes, a real Redis, GitHub and the model in this process. A
few run at a time, the longest first. After each the same facts are looked at (`truth`). A name may be the beginning of
several. What a failed fault's processes said is kept.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Final

import click

from tests.faults import clock, deliveries, disk, e2b, follow_up, github, killed, lag, model, redis, sandbox, stopped
from tests.faults.fault import FAULTS, Fault
from tests.faults.truth import Finding, check
from tests.faults.world import PATIENCE, World

MODULES: Final = (killed, stopped, redis, github, model, sandbox, e2b, deliveries, clock, disk, follow_up, lag)
AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    fault: Fault
    folder: Path
    findings: list[Finding]
    recovery_s: float | None
    rest_s: float
    seconds: float

    def count(self, kind: str) -> int:
        return sum(finding.kind == kind for finding in self.findings)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--list", "is_list", is_flag=True, help="List the faults and what each does, and do nothing.")
@click.option(
    "--at-once", default=AT_ONCE, show_default=True, help="How many worlds at a time; twice as many more that wait."
)
@click.option("--keep", is_flag=True, help="Keep the logs of faults that passed, too.")
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...], is_list: bool, at_once: int, keep: bool) -> None:
    """Inject the faults whose names begin with NAMES, or all of them."""
    chosen = [fault for fault in FAULTS.values() if not names or fault.name.startswith(names)]
    if is_list or not chosen:
        for fault in chosen or FAULTS.values():
            click.echo(f"{fault.name:<42} {fault.about}")
        sys.exit(0 if is_list else 2)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        outcomes = asyncio.run(_inject_all(chosen, folder, at_once=at_once, keep=keep))
    except asyncio.CancelledError:
        sys.exit(130)
    _show(outcomes)
    sys.exit(1 if any(outcome.findings for outcome in outcomes) else 0)


async def _inject_all(faults: list[Fault], folder: Path, *, at_once: int, keep: bool) -> list[Outcome]:
    rooms = {False: asyncio.Semaphore(at_once), True: asyncio.Semaphore(2 * at_once)}
    outcomes: list[Outcome] = []

    async def one(fault: Fault) -> None:
        async with rooms[fault.waits]:
            outcome = await _inject(fault, folder / fault.name)
        outcomes.append(outcome)
        _tell(outcome, len(outcomes), len(faults))
        if not keep and not outcome.findings:
            await asyncio.to_thread(shutil.rmtree, outcome.folder, ignore_errors=True)

    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with asyncio.TaskGroup() as group:
        for fault in sorted(faults, key=lambda fault: -fault.limit_s):
            group.create_task(one(fault))
    return outcomes


async def _inject(fault: Fault, folder: Path) -> Outcome:
    """Inject one fault, let the world come to rest and look at what is there. Never raises: that is a finding, too."""
    began = monotonic()
    world = World(folder, workers=fault.workers, is_direct=fault.is_direct, serves=fault.serves, environ=fault.environ)
    trying = asyncio.create_task(_try(fault, world))
    try:
        await asyncio.wait({trying})
    except asyncio.CancelledError:
        trying.cancel()
        await asyncio.wait({trying})
        raise
    error = trying.exception()
    findings = [Finding("broken", f"{type(error).__name__}: {error}")] if error else trying.result()
    has_story = hasattr(world, "story")
    recovery_s, rest_s = (world.story.recovery_s, world.story.rest_s) if has_story else (None, 0.0)
    return Outcome(fault, folder, findings, recovery_s, rest_s, monotonic() - began)


async def _try(fault: Fault, world: World) -> list[Finding]:
    async with world:
        lost: list[Finding] = []
        working = asyncio.create_task(_work(fault, world))
        limit_s = PATIENCE * fault.limit_s
        await asyncio.wait({working}, timeout=limit_s)
        if not working.done():
            working.cancel()
            lost = [Finding("late", f"not at rest after {limit_s:.0f} s")]
        elif (error := working.exception()) is not None:
            lost = [Finding("broken", f"{type(error).__name__}: {error}")]
        findings = lost + await check(world, is_at_rest=not lost)
        for finding in findings:
            world.story.write(f"FINDING {finding}")
        return findings


async def _work(fault: Fault, world: World) -> None:
    await fault.inject(world)
    await world.settled()


def _tell(outcome: Outcome, number: int, total: int) -> None:
    mark = click.style("FAILED", fg="red") if outcome.findings else click.style("passed", fg="green")
    recovery = "" if outcome.recovery_s is None else f", went on after {outcome.recovery_s:.1f} s"
    click.echo(f"[{number}/{total}] {mark} {outcome.fault.name}: {outcome.seconds:.0f} s{recovery}")
    for finding in outcome.findings:
        click.echo(f"    {finding}")


def _show(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.findings]
    recoveries = sorted(outcome.recovery_s for outcome in outcomes if outcome.recovery_s is not None)
    killed_s = [each.recovery_s or 0.0 for each in outcomes if each.fault.name.startswith(("killed", "everything"))]
    rows = {
        "faults injected": str(len(outcomes)),
        "runs lost": str(sum(outcome.count("lost") for outcome in outcomes)),
        "things missing": str(sum(outcome.count("missing") for outcome in outcomes)),
        "things doubled": str(sum(outcome.count("doubled") for outcome in outcomes)),
        "things untrue": str(sum(outcome.count("untrue") for outcome in outcomes)),
        "things left behind": str(sum(outcome.count("left behind") for outcome in outcomes)),
        "seconds to recovery, median": f"{median(recoveries):.1f}" if recoveries else "-",
        "seconds to recovery, worst": f"{recoveries[-1]:.1f}" if recoveries else "-",
        "  of a killed worker, worst": f"{max(killed_s):.1f}" if killed_s else "-",
    }
    click.echo()
    for name, value in rows.items():
        click.echo(f"{name:<30}{value:>8}")
    click.echo()
    for outcome in sorted(failed, key=lambda outcome: outcome.fault.name):
        click.echo(f"{outcome.fault.name}: {outcome.findings[0]} ({outcome.folder})")
    click.echo(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")


if __name__ == "__main__":
    main()
