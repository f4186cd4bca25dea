"""A small HTTP client over kept connections, so light that the server is what is measured."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

ANSWER_S: Final = 20.0
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Load:
    """What came of a series: each request's milliseconds, all their seconds together, and the status codes."""

    ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return len(self.ms) / self.seconds


class Connection(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self, request: bytes) -> int:
        """Send the bytes of a request; the status of its answer, once all of that has come."""
        assert self._transport is not None
        self._received, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        status, length = _STATUS.match(head), _LENGTH.search(head + b"\r\n")
        if status is not None and len(body) >= (int(length[1]) if length else 0):
            self._answer.set_result(int(status[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("The server hung up."))


async def connect(port: int) -> Connection:
    """A connection to this machine's `port`."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def send(port: int, requests: Sequence[bytes], *, connections: int) -> Load:
    """Send all requests, `connections` at a time, each as soon as its connection is free."""
    opened = [await connect(port) for _ in range(connections)]
    load, left, began = Load(), iter(requests), perf_counter()
    try:
        async with asyncio.timeout(ANSWER_S), asyncio.TaskGroup() as group:
            for connection in opened:
                group.create_task(_work(connection, left, load))
    finally:
        for connection in opened:
            connection.close()
    load.seconds = perf_counter() - began
    return load


async def _work(connection: Connection, left: Iterator[bytes], load: Load) -> None:
    for request in left:
        began = perf_counter()
        load.statuses[await connection.ask(request)] += 1
        load.ms.append((perf_counter() - began) * 1000)
