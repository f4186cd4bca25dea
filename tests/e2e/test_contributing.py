"""`.github/CONTRIBUTING.md` lists the modules that a delivery and a run go through: here both are traced."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from app.core.run.run import Conclusion
from tests.bot import Bot, deployed
from tests.e2e.turns import MEND

ROOT: Final = Path(__file__).parents[2]
MAX_OF_DELIVERY: Final = 12
CLOCK: Final = "app/adapters/clock.py"


def listed(heading: str) -> list[str]:
    """The modules that the numbered list under a heading names, in its order."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"(?m)^\d+\. `(app/[\w/]+\.py)`", section)


@contextmanager
def entered() -> Iterator[list[str]]:
    """The modules of `app` whose functions are called meanwhile, by first call; the embedded GitHub's are not."""
    modules: list[str] = []
    prefix = f"{ROOT}/"

    def see(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and code.co_filename.startswith(f"{prefix}app/"):
            module = code.co_filename.removeprefix(prefix)
            if module not in modules and not module.startswith("app/demo/"):
                modules.append(module)

    before: Callable[..., object] | None = sys.getprofile()
    threading.setprofile(see)
    sys.setprofile(see)
    try:
        yield modules
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


async def test_a_labelled_delivery_goes_the_way_that_is_written_down(tmp_path: Path) -> None:
    async with deployed(tmp_path, times=10, is_worker_up=False) as bot:
        issue = await bot.issue()
        with entered() as modules:
            delivery = await bot.label(issue)

    assert delivery.status_code == 202
    assert [module for module in modules if module != CLOCK] == listed("From a delivery to 202")
    assert len(listed("From a delivery to 202")) <= MAX_OF_DELIVERY


async def test_a_run_goes_the_way_that_is_written_down(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    with entered() as modules:
        await bot.label(issue)
        (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    main_line = listed("From the job to the pull request")
    assert main_line
    assert [module for module in modules if module in main_line] == main_line
