"""The least that a web server in Python can do, as a yardstick: a Starlette route that only returns 202.

It is served the way `app.commands.web` serves: uvicorn on uvloop, without an access log. `python -m tests.bench.bare
PORT`
"""

import asyncio
import logging
import socket
import sys

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def _accept(request: Request) -> Response:
    return Response(status_code=202)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        logging.getLogger(__name__).warning("bare is ready")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/webhook", _accept, methods=["POST"])])
    config = uvicorn.Config(app, port=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Server(config).serve())
