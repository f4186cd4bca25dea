from typing import cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.budget import Budget
from app.core.errors import SandboxError
from app.core.policy import Inspection
from app.core.ports import GitHub, Sandbox
from app.core.redact import Redactor
from app.core.run import Run
from app.runs.progress import Progress
from app.runs.publish import hold_back
from app.runs.work import Options, Work
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
    work = Work(ports(store), Options(Budget(1, 1, 1, 1)), cast(GitHub, None), progress, redactor)
    work.machine = cast(Sandbox, Gone())

    with pytest.raises(SandboxError):
        await hold_back(work, Inspection((), (".github/workflows/ci.yml",)))

    kept = await store.load(run.id)
    assert kept is not None
    assert "`.github/workflows/ci.yml`" in kept.notices[0]
