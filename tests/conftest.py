"""What every test may use; and what happens on a machine that cannot isolate commands."""

import os
import signal
from typing import Final

import pytest

from app import wiring

REQUIRE_ISOLATION: Final = "VIBECODER_REQUIRE_ISOLATION"
"""Set in CI: a machine that cannot isolate commands fails there instead of skipping the tests that need it."""
_SKIPPED: Final = "needs an isolated sandbox"


def pytest_sessionstart() -> None:
    """Let Ctrl-C reach the programs under test, also in a suite that a shell started in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def isolation() -> None:
    """For tests that need bubblewrap: without it they are skipped, or fail where isolation is required."""
    if not (why := wiring.why_not_isolated()):
        return
    if os.environ.get(REQUIRE_ISOLATION, "0") not in {"", "0"}:
        pytest.fail(f"{REQUIRE_ISOLATION} is set, but commands cannot be isolated here. {why}")
    pytest.skip(_SKIPPED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped for want of isolation, and how to get it."""
    skipped = sum(_SKIPPED in str(report.longrepr) for report in terminalreporter.stats.get("skipped", ()))
    if skipped:
        terminalreporter.line(
            f"{skipped} tests that need an isolated sandbox were skipped. {wiring.why_not_isolated()}"
        )
