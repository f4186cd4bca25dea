"""A tap on a wire: a proxy that sees the bytes between the program and a server, and acts at a chosen moment.

before    the request has been sent, and waits here: the server has not seen it
after     the server has carried it out, and its answer waits here: the program does not know
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

_CHUNK: Final = 1 << 20
_OVERLAP: Final = 512

Act = Callable[[], Awaitable[object]]
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Cut(Exception):
    """Raised by an act: the connection is cut here, after `keep` bytes more."""

    def __init__(self, keep: int = 0) -> None:
        super().__init__(keep)
        self.keep = keep


@dataclass(eq=False)
class Rule:
    """What is watched for. `times` counts down; `done` is set when the last act is over."""

    pattern: re.Pattern[bytes]
    act: Act
    is_after: bool
    times: int = 1
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def carry_out(self) -> None:
        try:
            await self.act()
        finally:
            if self.times == 0:
                self.done.set()


class Tap:
    """Listens on a port of its own and passes everything on to the server behind `connect`."""

    def __init__(self, connect: Connect) -> None:
        self.port = 0
        self._connect = connect
        self._rules: list[Rule] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def when(self, pattern: str, act: Act, *, after: bool = False, times: int = 1) -> Rule:
        """Act when a request matches."""
        rule = Rule(re.compile(pattern.encode(), re.DOTALL), act, after, times)
        self._rules.append(rule)
        return rule

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Tap"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        waiting: list[Rule] = []
        pumps = {
            asyncio.create_task(self._requests(reader, server_writer, waiting)),
            asyncio.create_task(self._answers(server_reader, writer, waiting)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for each in (writer, server_writer):
                each.close()

    async def _act(self, rule: Rule) -> None:
        """Act to the end, also when that ends the connection."""
        acting = asyncio.create_task(rule.carry_out())
        self._tasks.add(acting)
        acting.add_done_callback(self._forget)
        await asyncio.shield(acting)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a `Cut` is no news

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: list[Rule]) -> None:
        seen = b""
        with suppress(OSError, Cut):
            while chunk := await reader.read(_CHUNK):
                seen = seen[-_OVERLAP:] + chunk
                for rule in [rule for rule in self._rules if rule.pattern.search(seen)]:
                    seen = b""
                    rule.times -= 1
                    if rule.times == 0:
                        self._rules.remove(rule)
                    if rule.is_after:
                        waiting.append(rule)
                    else:
                        await self._act(rule)
                writer.write(chunk)
                await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: list[Rule]) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                try:
                    while waiting:
                        await self._act(waiting.pop())
                except Cut as cut:
                    writer.write(chunk[: cut.keep])
                    await writer.drain()
                    return
                writer.write(chunk)
                await writer.drain()
