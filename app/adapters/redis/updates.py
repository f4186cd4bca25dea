"""Who follows a run in this process, and the one subscription that tells them it was saved."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.adapters.redis import keys

_LISTEN_S: Final = 5.0
_AGAIN_S: Final = 0.5

log = logging.getLogger(__name__)


class RunUpdates:
    """Listens while anybody follows, with one connection however many do.

    What is said while the connection is away is lost; everybody is woken when it is back, and must look for themselves.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def of(self, job_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the run may have changed. The follower clears it."""
        event = asyncio.Event()
        self._followers.setdefault(job_id, set()).add(event)
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())
        try:
            yield event
        finally:
            self._followers[job_id].discard(event)
            if not self._followers[job_id]:
                del self._followers[job_id]
            if not self._followers:
                await self._stop()

    async def _stop(self) -> None:
        listener, self._listener = self._listener, None
        while listener is not None and not listener.done():
            listener.cancel()  # more than once: see `connection.asking`
            await asyncio.wait({listener}, timeout=0.1)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(keys.SAVED)
                    while True:
                        self._tell(await subscription.get_message(timeout=_LISTEN_S))
            except (RedisError, OSError) as error:
                log.info("Redis is away from those who follow: %s", error)
                await asyncio.sleep(_AGAIN_S)

    def _tell(self, message: dict[str, object] | None) -> None:
        match message:
            case {"type": "subscribe"}:
                events = [event for events in self._followers.values() for event in events]
            case {"type": "message", "data": bytes(job_id)}:
                events = list(self._followers.get(job_id.decode(), ()))
            case _:
                events = []
        for event in events:
            event.set()
