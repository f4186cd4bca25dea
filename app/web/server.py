"""What a connection may cost before it has said what it wants.

uvicorn waits without limit for headers and bodies, and takes headers of any size and any number of connections. Here:

    connected ──▶ sends a request ──▶ is answered ──▶ idle (cut by uvicorn) ──▶ sends a request …
    └──── at most 10 s, else 408 ───┘
          at most 32 KiB in one piece that are not body, else 431

One connection too many: whoever is longest without a whole request gives way. When all of them are being answered, the
newcomer gets 503; only the probes are answered, so that nobody restarts a process because it is busy.
"""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, TypeAlias

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.web.limits import PROBES
from app.web.problems import problem

KEEP_ALIVE_S: Final = 15
CLOSING_S: Final = 3
_PIECE_BYTES: Final = 16_384

Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`request_s` is for a whole request, head and body; `head_bytes` for each run of bytes without any body in it: a
    head, what frames a chunk, trailers."""

    request_s: float = 10.0
    head_bytes: int = 32_768
    connections: int = 500


class Config(uvicorn.Config):
    """How the web process is served.

    `X-Forwarded-For` and `-Proto` are believed when the connection comes from one of `trusted_proxies`: then the client
    is the last of the forwarded addresses that is not such a proxy. (A socket for IPv6 shows IPv4 addresses mapped.)
    """

    def __init__(
        self, app: ASGIApp, *, limits: ConnectionLimits | None = None, trusted_proxies: Sequence[Network] = ()
    ) -> None:
        mapped = [
            f"::ffff:{each.network_address}/{96 + each.prefixlen}" for each in trusted_proxies if each.version == 4
        ]
        super().__init__(
            app,
            http=HttpConnection,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",  # what strangers send is no news
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=[*map(str, trusted_proxies), *mapped],
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=CLOSING_S,
        )
        self.limits = limits or ConnectionLimits()
        self.waiting: OrderedDict[HttpConnection, None] = OrderedDict()
        """Connections without a whole request, the longest so first."""


class HttpConnection(HttpToolsProtocol):
    """One connection. uvicorn makes it, the event loop and the parser call it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = config.limits
        self._waiting = config.waiting
        self._deadline: TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections and self._waiting:
            longest, _ = self._waiting.popitem(last=False)
            self.connections.discard(longest)
            longest.transport.abort()
        if len(self.connections) - len(self._waiting) > self._limits.connections:
            self.app = _only_probes(self.app)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wait_no_more()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:
            self._wait()
        for start in range(0, len(data), _PIECE_BYTES):
            if self.transport.is_closing():
                return
            piece = data[start : start + _PIECE_BYTES]
            self._head_bytes += len(piece)
            super().data_received(piece)
            if self._head_bytes > self._limits.head_bytes:
                self._cut(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._wait()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._head_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_bytes = 0
        self._wait_no_more()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        is_idle = self.cycle.response_complete and not self.transport.is_closing()
        if is_idle and self._deadline is None:
            self._waiting[self] = None

    def _wait(self) -> None:
        """From now on there is to be a whole request in time."""
        self._deadline = self.loop.call_later(self._limits.request_s, self._cut, HTTPStatus.REQUEST_TIMEOUT)
        self._waiting[self] = None
        self._waiting.move_to_end(self)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._waiting.pop(self, None)

    def _cut(self, status: HTTPStatus) -> None:
        """Hang up; with a word why, unless an answer was begun already."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        is_answered = cycle is not None and cycle.response_started and (cycle.more_body or not cycle.response_complete)
        if is_answered or self.pipeline:
            self.transport.abort()
            return
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode("ascii"))
        self.transport.close()


def _only_probes(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES:
            await app(scope, receive, send)
            return
        headers = {"Retry-After": "5", "Connection": "close"}
        refusal = problem(503, "Too busy", detail="Too many connections at once.", headers=headers)
        await refusal(scope, receive, send)

    return answer
