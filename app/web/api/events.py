"""A run as it happens, by server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    event: activity    one line of the timeline; `id:` is its `seq`
    event: progress    each time the run was saved; the document of `/progress`
    event: done        once, at the end; the document of `/result`. The stream ends after it: do not connect again.

`Last-Event-ID` (or `?after=`, for a page that already shows some) leaves out the activities up to that `seq`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.core.errors import StoreError
from app.core.ports.store import Store
from app.core.run.job import canonical_id
from app.core.run.run import Run, Status
from app.web.api.http import encode
from app.web.api.runs import load
from app.web.api.views import Document, Documents
from app.web.auth import Access
from app.web.problems import problem

MAX_STREAM_S: Final = 3600.0
"""Longer than any run should take; whoever still listens connects again, and is asked again who they are."""

_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(slots=True)
class Events:
    """The open streams of this process: at most `limit`. They end within `pulse_s` once `is_closing` says so."""

    store: Store
    access: Access
    documents: Documents
    is_closing: Callable[[], bool] = bool
    limit: int = 200
    heartbeat_s: float = 15.0
    pulse_s: float = 1.0
    open: int = 0

    def route(self) -> Route:
        return Route("/api/jobs/{job_id:path}/events", self.follow, methods=["GET"])

    async def follow(self, request: Request) -> Response:
        name = canonical_id(request.path_params["job_id"])
        await self.access.reader(request, name)
        await load(self.store, name)
        if request.method == "HEAD":
            return Response(headers=_HEADERS, media_type="text/event-stream")
        if self.open >= self.limit:
            detail = "Poll /progress instead, or try again later."
            return problem(503, "Too many open streams", detail=detail, headers={"Retry-After": "10"})
        after = request.headers.get("last-event-id") or request.query_params.get("after", "")
        return _Stream(self, name, int(after) if after.isdecimal() and len(after) < 10 else 0)


class _Stream(Response):
    """The answer that goes on. A client that went away is noticed within a pulse."""

    media_type = "text/event-stream"

    def __init__(self, events: Events, name: str, after: int) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._name = name
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self._events.open += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    if chunk:
                        await send({"type": "http.response.body", "body": chunk.encode(), "more_body": True})
                    if self._events.is_closing() or await request.is_disconnected():
                        break
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._events.open -= 1

    async def _chunks(self) -> AsyncGenerator[str, None]:
        """What to send next; empty at each pulse at which there is nothing."""
        now = asyncio.get_running_loop().time
        sent_at = started_at = now()
        yield "retry: 3000\n\n"
        async with aclosing(_pulsed(self._events.store.follow(self._name), self._events.pulse_s)) as runs:
            async for run in runs:
                if run is not None:
                    yield self._frames(run)
                    sent_at = now()
                elif now() - sent_at >= self._events.heartbeat_s:
                    yield ": still here\n\n"
                    sent_at = now()
                else:
                    yield ""
                if (run is not None and run.status is Status.COMPLETED) or now() - started_at > MAX_STREAM_S:
                    return

    def _frames(self, run: Run) -> str:
        documents = self._events.documents
        frames = []
        for activity in run.activities:
            if activity.seq > self._after:
                self._after = activity.seq
                frames.append(_frame("activity", self._after, documents.show_activity(activity, run)))
        frames.append(_frame("progress", self._after, documents.show_progress(run)))
        if run.status is Status.COMPLETED:
            frames.append(_frame("done", self._after, documents.show_result(run)))
        return "".join(frames)


def _frame(event: str, seq: int, document: Document) -> str:
    return f"event: {event}\nid: {seq}\ndata: {encode(document)}\n\n"


async def _pulsed(runs: AsyncIterator[Run], pulse_s: float) -> AsyncGenerator[Run | None, None]:
    """Each run as it comes, and None after every `pulse_s` in which none came. Ends when the store fails."""
    coming = asyncio.ensure_future(anext(runs))
    try:
        while True:
            await asyncio.wait({coming}, timeout=pulse_s)
            if not coming.done():
                yield None
                continue
            try:
                run = coming.result()
            except (StopAsyncIteration, StoreError):
                return
            yield run
            coming = asyncio.ensure_future(anext(runs))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        if isinstance(runs, AsyncGenerator):
            await runs.aclose()
