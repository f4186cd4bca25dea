"""Flood: what 200 MB of command output add to the worker's memory, and to the command's time.

An agent's command may print for ever. The worker keeps the two ends of it, so that its memory does not grow, and must
take the rest fast enough not to hold up the command.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from app import wiring
from app.adapters.sandbox.local.sandboxes import LocalSandbox, LocalSandboxes
from tests.bench.figure import Figure, figure
from tests.bench.program import memory_mb

ROUNDS: Final = 3
MEGABYTES: Final = 200
BUDGET_MB: Final = 20.0
_PRINT: Final = f"yes 'a line that a command may well print' | head -c {MEGABYTES}000000"


async def measure() -> list[Figure]:
    taken_s, quiet_s, added_mb = [], [], []
    with TemporaryDirectory(prefix="bench-") as folder:
        provider = LocalSandboxes(Path(folder), isolation=not wiring.why_not_isolated())
        sandbox = await provider.create(key="flood", metadata={}, timeout_s=120)
        try:
            await _seconds(sandbox, "yes | head -c 100000")
            for _ in range(ROUNDS):
                quiet_s.append(await _seconds(sandbox, f"{_PRINT} >/dev/null"))
                before_mb = _forget_peak()
                taken_s.append(await _seconds(sandbox, _PRINT))
                added_mb.append(memory_mb("VmHWM") - before_mb)
        finally:
            await sandbox.close()
    quiet = figure(f"{MEGABYTES} MB into /dev/null", quiet_s, "s")
    return [
        quiet,
        figure(f"{MEGABYTES} MB of output", taken_s, "s", against=quiet),
        figure(f"memory that {MEGABYTES} MB of output add", added_mb, "MB", budget=BUDGET_MB),
    ]


async def _seconds(sandbox: LocalSandbox, command: str) -> float:
    ended = await sandbox.exec(["sh", "-c", command])
    if ended.exit_code:
        raise RuntimeError(f"{command} failed: {ended.output}")
    return ended.seconds


def _forget_peak() -> float:
    """Let the kernel measure the peak anew from here on (proc(5), clear_refs); the memory now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return memory_mb("VmRSS")
