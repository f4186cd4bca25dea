from typing import cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import SandboxError
from app.core.policy.budget import Budget
from app.core.policy.changes import Inspection
from app.core.ports.github import GitHub
from app.core.ports.sandbox import Sandbox
from app.core.run.run import Run
from app.core.safety.redact import Redactor
from app.runs.context import Options, RunContext
from app.runs.progress import Progress
from app.runs.stages.publish import report_held_back
from tests.runs.test_lease import Hourglass, ports
from tests.text.runs import JOB


class Gone:
    """A machine that is."""

    work_tree = "/work"

    async def exec(self, *_: object, **__: object) -> None:
        raise SandboxError("The machine is gone.")


async def undrawn(_: Run) -> None:
    return


async def test_what_is_held_back_is_told_even_when_the_worker_dies_as_it_is_put_back() -> None:
    store = MemoryStore()
    await MemoryQueue(store).put(Run(JOB))
    run = await store.acquire(JOB.id, worker="one", ttl_s=30)
    assert run is not None
    redactor = Redactor(())
    progress = Progress(run, store=store, clock=Hourglass(), redactor=redactor, draw=undrawn, every_s=0)
    ctx = RunContext(ports(store), Options(Budget(1, 1, 1, 1)), cast(GitHub, None), progress, redactor)
    ctx.machine = cast(Sandbox, Gone())

    with pytest.raises(SandboxError):
        await report_held_back(ctx, Inspection((), (".github/workflows/ci.yml",)))

    kept = await store.load(run.id)
    assert kept is not None
    assert "`.github/workflows/ci.yml`" in kept.notices[0]
