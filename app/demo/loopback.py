"""Serving an application on a free port of this machine, for as long as a block lasts."""

import asyncio
import errno
import random
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

NEVER_GIVEN = range(20_000, 32_000)
"""Below the ports that Linux and others choose for connections: one of those may be taken before it is listened on."""
SHUTDOWN_TIMEOUT_S = 5.0
TICK_S = 1.0
"""How often the header `Date` is made anew."""


@asynccontextmanager
async def serving(app: ASGIApp, port: int = 0, *, has_date: bool = True) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 and give the address, `http://127.0.0.1:PORT`. Open connections end with the block.

    `has_date` adds the header `Date` to every answer.
    """
    # Without the protocol's number asyncio leaves Nagle's algorithm on: 40 ms for every kept-alive answer.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        config = uvicorn.Config(
            app, log_config=None, log_level="critical", lifespan="off", ws="none", date_header=has_date
        )
        config.timeout_graceful_shutdown = 1
        server = _Server(config)
        task = asyncio.create_task(server.serve([listener]), name="loopback server")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            server.told.set()
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                await task


class _Server(uvicorn.Server):
    """Leaves the process's signals alone: they belong to the program. Ends when it is told, not at its next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self.told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.close()
        await asyncio.sleep(0)
        for server in self.servers:
            await server.wait_closed()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now, where it can be had one that no connection is given."""
    for port in (*random.sample(NEVER_GIVEN, 20), 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError(errno.EADDRINUSE, "No port of 127.0.0.1 is free.")
