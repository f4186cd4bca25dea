"""The main job with its sandbox at E2B, where every call crosses the internet and waits for the one before."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core.run.run import Conclusion
from app.core.run.verification import Verdict
from tests.bot import Bot, deployed
from tests.contract.e2b_server import E2BServer, e2b_server, e2b_settings
from tests.e2e.turns import MEND


@pytest.fixture
async def e2b(tmp_path: Path) -> AsyncIterator[E2BServer]:
    (tmp_path / "e2b").mkdir()
    async with e2b_server(tmp_path / "e2b") as server:
        yield server


@pytest.fixture
async def bot(tmp_path: Path, e2b: E2BServer) -> AsyncIterator[Bot]:
    async with deployed(tmp_path, is_worker_up=True, times=1.0, **e2b_settings(e2b)) as bot:
        yield bot


async def test_the_smallest_job_takes_few_calls(bot: Bot, e2b: E2BServer) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()
    assert run.conclusion is Conclusion.SUCCESS
    assert run.verification is not None
    assert run.verification.verdict is Verdict.PROVEN
    to_the_machine = [call for call in e2b.calls if call in {"Start", "SendSignal"} or call.endswith("/files")]
    assert len(to_the_machine) <= 16
