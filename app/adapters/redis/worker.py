"""The worker's half of the queue: arq's worker, woken by a list that it blocks on, not by polling, and not killed by an
outage.

It claims and finishes jobs with Lua scripts. What time it is, Redis says: a machine whose clock is wrong
starts nothing late and nothing early. The mark on a job in progress names who took it, so that a worker which slept
through its lease cannot take a job off the queue that was put again meanwhile.

All that is overridden of arq is here, and was written against `ARQ_VERSION`. A test tells when arq's side changes:

    _poll_iteration  arq polls by the clock, takes jobs by the machine's time and dies when Redis is away
    finish_job       arq's own writes results, and drops a job that was put again meanwhile
    handle_sig       also stops the picking of jobs
    close            arq's own cancels jobs without waiting until they are handed back
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import ceil
from signal import SIGTERM, Signals
from typing import Any, Final
from uuid import uuid4

from arq.connections import ArqRedis
from arq.worker import Retry, Worker, func
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from app.adapters.redis import keys
from app.adapters.redis.connection import (
    ANSWER_S,
    Argument,
    RedisRetry,
    explain,
    let_timeouts_expire,
    open_pool,
    read_script,
)
from app.core.errors import RetryLater, StoreError
from app.core.ports.queue import ConcurrencyLimits

ARQ_VERSION: Final = "0.28.0"
IDLE_S: Final = 0.5
"""How long a worker listens for the wake-up list before it looks for itself."""
AGAIN_S: Final = 1.0
"""How long a worker waits when Redis is away, and a job whose run could not be read."""
MAX_CONTROL_JOBS: Final = 4
"""How many commands that are only answered a worker takes beside its runs."""
REPORT_S: Final = 5.0
"""How often a worker reports its state, changes apart."""
HAND_BACK_S: Final = 20.0
"""How long jobs may take to put their things in order once they are told to end."""

log = logging.getLogger(__name__)


class QueueWorker(Worker):
    """Polls, then blocks on the wake-up list that `put` rings, so that work starts within milliseconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._finishing: set[asyncio.Future[None]] = set()
        self._marks: dict[str, str] = {}
        self._after_ms: dict[str, int] = {}
        self._to_work: set[str] = set()
        self._aside_of_thread: set[str] = set()
        self._asides: set[str] = set()
        self.caps = ConcurrencyLimits()
        """How many may be at work over all workers; to be set before it serves, the same for all."""
        self.why_no_room: Callable[[], str] = str
        """Why no run may begin on this machine, empty when one may; to be set before it serves."""
        self._no_room = ""
        self.name = uuid4().hex
        """What it is called where workers are listed; to be set before it serves."""
        self._reported = ("", -REPORT_S)
        self._report = self.pool.register_script(read_script("report"))
        self._take = self.pool.register_script(read_script("schedule", "take"))
        self._finish = self.pool.register_script(read_script("finish"))

    async def serve(self) -> None:
        """Work until stopped, cancelled, or told so by a signal; then hand back what is not done, and close.

        What is handed back stays in the queue, and any worker may take it up at once.
        """
        self.main_task = working = self.loop.create_task(self.main())
        try:
            await asyncio.wait({working})
        finally:
            await self.close()
        if not working.cancelled():
            working.result()

    def stop(self) -> None:
        """Start no more jobs; let those in progress end within the drain time, then hand them back. `serve` returns."""
        if self._job_completion_wait:
            self.handle_sig_wait_for_completion(SIGTERM)
        else:
            self.handle_sig(SIGTERM)

    def handle_sig(self, signum: Signals) -> None:
        self.allow_pick_jobs = False
        super().handle_sig(signum)

    async def close(self) -> None:
        """End every job now and hand it back. Repeatable."""
        if self._pool is None:
            return
        self.allow_pick_jobs = False
        for task in await self._end({task for task in (self.main_task, *self.tasks.values()) if task is not None}):
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("A job could not be handed back: %s", error)
        if self._finishing:
            await asyncio.wait(self._finishing, timeout=ANSWER_S)
        let_timeouts_expire()
        redis: Any = self.pool
        with suppress(RedisError, OSError):
            async with asyncio.timeout(ANSWER_S):
                await redis.delete(self.health_check_key)
                await redis.hdel(keys.WORKERS, self.name)
        await self.pool.aclose(close_connection_pool=True)
        self._pool = None

    async def _end(self, ending: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
        """Cancel what was not told yet, later what goes on all the same; gives those that ended. Another cancellation
        at once would break off what a job puts in order."""
        left = ending
        for is_told in (False, True):
            for task in left:
                if is_told or not task.cancelling():
                    task.cancel()
            if left:
                _, left = await asyncio.wait(left, timeout=HAND_BACK_S / 2)
        return ending - left

    async def _poll_iteration(self) -> None:
        try:
            self._clear_away()
            self._look_for_room()
            await self._report_state()
            if self.allow_pick_jobs:
                await self._take_jobs()
            await self.heart_beat()
            if not self.allow_pick_jobs and not self.tasks:
                raise asyncio.CancelledError  # a cancellation can get lost: see `connection.asking`
            await self._listen()
        except (RedisError, OSError) as error:
            log.warning("The worker resumes when Redis is back: %s", explain(error))
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        """Wait for the wake-up list; a worker that may take no job leaves the ring to others and waits for a job to
        end."""
        if self.allow_pick_jobs and self._room > 0:
            redis: Any = self.pool
            await redis.execute_command("BLPOP", keys.WAKE_UP, IDLE_S)
        elif self._no_room:
            await asyncio.sleep(IDLE_S)
        elif self.tasks:
            await asyncio.wait(self.tasks.values(), timeout=IDLE_S / 2, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(IDLE_S / 10)

    async def _take_jobs(self) -> None:
        """Start what may start, except jobs in progress here: arq would lose hold of the first of two with one id."""
        mark, lasts_ms = uuid4().hex, ceil(self.in_progress_timeout_s * 1000)
        about: list[Argument] = [self._room, MAX_CONTROL_JOBS - len(self._asides), lasts_ms, mark]
        taken = await self._take(keys.SCHEDULE, [*keys.schedule_arguments(self.caps), *about, *self.tasks])
        for job_id, score, works in zip(taken[::3], taken[1::3], taken[2::3], strict=True):
            if works == b"0":
                self._asides.add(job_id.decode())
            self._start(job_id.decode(), int(score), mark)

    @property
    def _room(self) -> int:
        """How many runs of work may start here now."""
        return 0 if self._no_room else self.max_jobs - (self.job_counter - len(self._asides))

    def _look_for_room(self) -> None:
        """Take no runs while the machine has no room for them: others may have, and this one goes on once it has."""
        no_room = self.why_no_room()
        if no_room and not self._no_room:
            log.error("Out of disk space: this worker accepts no new runs. %s", no_room)
        elif self._no_room and not no_room:
            log.warning("This worker accepts runs again: disk space is available.")
        self._no_room = no_room

    async def _report_state(self) -> None:
        """Report that this worker is running and why it takes no runs, now and then and as soon as that changes."""
        said, at = self._reported
        now = self.loop.time()
        if bool(said) != bool(self._no_room) or now - at >= REPORT_S:
            await self._report([keys.WORKERS], [self.name, self._no_room, keys.WORKER_S])
            self._reported = (self._no_room, now)

    def _start(self, job_id: str, score: int, mark: str) -> None:
        self._marks[job_id] = mark
        self.job_counter += 1
        self.tasks[job_id] = task = self.loop.create_task(self.run_job(job_id, score))
        task.add_done_callback(lambda _: self._let_go(job_id))

    def _let_go(self, job_id: str) -> None:
        self.job_counter -= 1
        self._asides.discard(job_id)
        self._marks.pop(job_id, None)
        self._after_ms.pop(job_id, None)
        self._to_work.discard(job_id)
        self._aside_of_thread.discard(job_id)

    def _clear_away(self) -> None:
        for job_id, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[job_id]
                task.result()

    def later(self, job_id: str, after_s: float, *, works: bool = False, yields_thread: bool = False) -> Retry:
        """What a job in progress raises to start again after so many seconds; in line from then on if it `works`. Who
        steps aside holds its thread no more."""
        if works:
            self._to_work.add(job_id)
        self._after_ms[job_id] = max(1, ceil(after_s * 1000))
        if yields_thread:
            self._aside_of_thread.add(job_id)
        return Retry()

    async def finish_job(self, job_id: str, finish: bool, *_: Any) -> None:
        """Finish a job: it has ended, may start again at once, or later. Nothing happens when it was put again.

        arq shields this from the job's cancellation, so `close` has to wait for it.
        """
        of_job = (prefix + job_id for prefix in (keys.ARQ_JOB, keys.ARQ_IN_PROGRESS, keys.ARQ_RETRY, keys.RUN))
        at = [self.queue_name, *of_job, keys.WAKE_UP, keys.BEGUN]
        after_ms, works = self._after_ms.get(job_id, 0), int(job_id in self._to_work)
        lives_s, is_aside = keys.JOB_S + after_ms // 1000, int(job_id in self._aside_of_thread)
        about: list[Argument] = [job_id, self._marks.get(job_id, ""), int(finish), after_ms, lives_s, works, is_aside]
        finishing = asyncio.ensure_future(self._finish(at, about))
        self._finishing.add(finishing)
        finishing.add_done_callback(self._finishing.discard)
        await finishing


def open_queue_worker(
    url: str,
    carry_out: Callable[[str], Awaitable[None]],
    *,
    max_jobs: int,
    job_timeout_s: int = 6 * 3600,
    drain_s: int = 0,
    handle_signals: bool = True,
) -> QueueWorker:
    """A worker over the Redis at `url` that awaits `carry_out(job_id)` for up to `max_jobs` runs at a time.

    `carry_out` is cancelled on the way out and must then leave the run fit to be taken up. When it raises `StoreError`
    the job is tried again; whatever else it raises ends the job. The same id may come twice. Call it in a running loop.
    """

    async def call(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        (job_id,) = args
        try:
            await carry_out(job_id)
        except RetryLater as wait:
            raise at_work.later(job_id, wait.delay_s, works=wait.works, yields_thread=wait.yields_thread) from wait
        except StoreError as error:
            log.warning("%s is tried again: %s", job_id, error)
            raise at_work.later(job_id, AGAIN_S) from error

    retry = RedisRetry(ExponentialBackoff(cap=1, base=0.1), 60)
    pool = open_pool(url, max_connections=max_jobs + MAX_CONTROL_JOBS + 8, socket_s=10 * IDLE_S, retry=retry)
    at_work = QueueWorker(
        [func(call, name="carry_out")],
        redis_pool=ArqRedis(pool, default_queue_name=keys.ARQ_QUEUE),
        queue_name=keys.ARQ_QUEUE,
        max_jobs=max_jobs,
        job_timeout=job_timeout_s,
        job_completion_wait=drain_s,
        handle_signals=handle_signals,
        poll_delay=0,  # `_listen` waits instead
        keep_result=0,
        max_tries=1_000,
        health_check_interval=15,
        job_serializer=_serialize,
        job_deserializer=json.loads,
        log_results=False,
    )
    return at_work


def _serialize(call: dict[str, Any]) -> bytes:
    return json.dumps(call).encode()
