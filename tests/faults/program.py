"""One `vibecoder` process under attack: started, killed, frozen, ended, started again; all it says goes to one log."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

START_S: Final = 120.0
END_S: Final = 100.0
VIBECODER: Final = str(Path(sys.executable).with_name("vibecoder"))
ROOT: Final = Path(__file__).parents[2]
"""The tree that is tested is the one that these tests lie in."""
READY: Final = {"web": "web is ready", "worker": "worker is ready", "serve": "worker is ready"}


class Program:
    """`vibecoder <command>` with exactly these settings."""

    def __init__(self, command: str, log: Path, environ: Mapping[str, str]) -> None:
        self.command = command
        self.log = log
        self._environ = {"PYTHONPATH": str(ROOT), **environ}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        with self.log.open("ab") as said:
            begin = said.tell()
            self._process = await asyncio.create_subprocess_exec(
                VIBECODER, self.command, env=self._environ, stdin=-3, stdout=said, stderr=said, start_new_session=True
            )
        async with asyncio.timeout(START_S):
            while READY[self.command].encode() not in self.log.read_bytes()[begin:]:
                if not self.is_alive:
                    raise RuntimeError(f"vibecoder {self.command} ended instead of being ready: {self.log}")
                await asyncio.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL; gone when this returns."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> None:
        """SIGTERM, as a deploy does; SIGKILL when it takes too long."""
        try:
            await self._end(signal.SIGTERM)
        except TimeoutError:
            await self.kill()
            raise

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None or not self.is_alive:
            return
        self.send(number)
        async with asyncio.timeout(END_S):
            await self._process.wait()
