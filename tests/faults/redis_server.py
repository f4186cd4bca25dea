"""A Redis that nobody watches over: it lives when it is started, and stays dead when it was killed."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.adapters.redis.embedded import _binary

START_S = 60.0


class RedisServer:
    """On `folder`, with an append-only file, at the unix socket `redis.sock` there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, or start it again on what it had kept; it has loaded that when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": "0", "unixsocket": str(self.socket), "dir": str(self.folder), "save": "", "appendonly": "yes",
            "maxmemory": "512mb", "maxmemory-policy": "noeviction", "logfile": str(self.folder / "redis.log"),
        }  # fmt: skip
        argv = [str(_binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]
        self._process = await asyncio.create_subprocess_exec(*argv, env={}, stdin=-3, stdout=-3, stderr=-3)
        async with asyncio.timeout(START_S), Redis.from_url(f"unix://{self.socket}") as client:
            while True:
                with suppress(RedisError, OSError):
                    await client.execute_command("PING")
                    return
                await asyncio.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def kill(self, *, is_emptied: bool = False) -> None:
        """SIGKILL; with `is_emptied` its disk is lost as well."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()
        if is_emptied:
            rmtree(self.folder / "appendonlydir")
