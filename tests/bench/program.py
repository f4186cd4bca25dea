"""A program under measurement, in a process of its own: started, waited for, weighed, ended."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

START_S: Final = 20.0
END_S: Final = 30.0
VIBECODER: Final = str(Path(sys.executable).with_name("vibecoder"))


@dataclass(frozen=True, slots=True)
class Program:
    """A running program. `ready_s` is how long it took to say that it is ready."""

    pid: int
    ready_s: float

    @property
    def rss_mb(self) -> float:
        """Resident memory now, children not counted, in units of 10**6 bytes."""
        return memory_mb("VmRSS", self.pid)


@asynccontextmanager
async def running(log: Path, *argv: str, ready: str, environ: Mapping[str, str]) -> AsyncIterator[Program]:
    """Run `argv` until the block ends; `ready` is what it says on standard error, which goes to `log`, when it is."""
    with log.open("wb") as said:
        began = monotonic()
        process = await asyncio.create_subprocess_exec(
            *argv, env=environ, stdin=asyncio.subprocess.DEVNULL, stderr=said
        )
        try:
            await _until(log, ready, process)
            yield Program(process.pid, monotonic() - began)
        finally:
            await _end(process)


async def _until(log: Path, ready: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_S):
        while ready not in (said := _read(log)):
            if process.returncode is not None:
                raise RuntimeError(f"It ended instead of being ready: {said[-1000:]}")
            await asyncio.sleep(0.002)


def _read(log: Path) -> str:
    return log.read_text("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def memory_mb(what: str, pid: int | None = None) -> float:
    """`VmRSS` or `VmHWM` (the peak) of a process, this one without `pid`, in units of 10**6 bytes."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) * 1024 / 1e6
