"""What a platform asks: does the process live, can it work, and how much of everything is there."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.core.errors import StoreError
from app.core.ports.queue import Queue
from app.core.ports.store import Store
from app.web.auth import Access
from app.web.problems import problem

READY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """`/healthz` touches nothing, `/readyz` asks the store, `/metrics` is the operator's, as Prometheus reads it."""

    queue: Queue
    store: Store
    access: Access
    open_streams: Callable[[], int]

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.live, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(READY_S):
                await self.store.ping()
        except (StoreError, TimeoutError):
            return problem(503, "Not ready", detail="The store does not respond.", headers={"Retry-After": "5"})
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        self.access.operator(request)
        workers = await self.queue.workers()
        gauges = {
            "vibecoder_workers": ("Workers that are running.", len(workers)),
            "vibecoder_workers_disk_full": (
                "Workers that take no runs because their disk is full.",
                sum(bool(worker.no_room) for worker in workers),
            ),
            "vibecoder_queue_depth": ("Jobs that wait for a worker.", await self.queue.depth()),
            "vibecoder_open_streams": ("Open event streams of this process.", self.open_streams()),
        }
        lines = [
            f"# HELP {name} {words}\n# TYPE {name} gauge\n{name} {value}\n" for name, (words, value) in gauges.items()
        ]
        return PlainTextResponse("".join(lines), media_type="text/plain; version=0.0.4")
