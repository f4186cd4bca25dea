"""The web process: GitHub's webhook, the status API and the pages."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette

from app import wiring
from app.core.errors import UserError
from app.settings import Settings
from app.web.server import Config
from app.wiring import Records

log = logging.getLogger(__name__)

UNREAD_S: Final = 20
"""How long somebody may leave unread what was answered."""


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: whoever serves says when it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_web(settings: Settings, records: Records) -> AsyncIterator[tuple[str, "asyncio.Task[None]"]]:
    """Serve until the block ends; gives the address that was bound and the task that serves.

    The App's private key stays out of what is served, also where a worker is in the same process.

    Raises:
        UserError: the address cannot be bound, or no webhook secret is set.
    """
    is_closing = asyncio.Event()
    with closing(listen(settings.host, settings.port)) as listener:
        async with (
            wiring.open_web(settings.without_private_key(), records, is_closing=is_closing.is_set) as app,
            serve_app(app, listener, settings) as (url, serving),
        ):
            try:
                yield url, serving
            finally:
                is_closing.set()


@asynccontextmanager
async def serve_app(
    app: Starlette, listener: socket.socket, settings: Settings
) -> AsyncIterator[tuple[str, "asyncio.Task[None]"]]:
    """Serve an application on a bound socket until the block ends; what is being answered then is answered."""
    server = Server(Config(app, trusted_proxies=settings.trusted_proxies))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    ready = asyncio.create_task(server.is_ready.wait())
    await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
    host, port = listener.getsockname()[:2]
    log.info("web is ready", extra={"host": host, "port": port})
    try:
        yield f"http://{host}:{port}", serving
    finally:
        server.should_exit = True
        ready.cancel()
        await asyncio.wait({serving})


def listen(host: str, port: int) -> socket.socket:
    """Bind the address.

    Raises:
        UserError: it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # A socket without its protocol named costs 40 ms for each answer on a kept connection.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; each connection has it from the listener
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1000)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(f"Cannot listen on {host}:{port}: {error.strerror}. Set HOST or PORT.") from error
    return listener
