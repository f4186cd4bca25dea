"""The queue over arq's keys: one script writes the run and queues its job, in one round trip and all or nothing.

arq's own `enqueue_job` takes three round trips, stamps jobs with the producer's clock and forgets ids when a job ends.
The worker's half is in `worker`, so that the web process imports no arq.
"""

import json
from dataclasses import replace
from math import ceil

from redis.asyncio import Redis

from app.adapters.redis import keys
from app.adapters.redis.connection import Script, ask
from app.core.ports.queue import ConcurrencyLimits, Waiting, WaitReason, WorkerState
from app.core.run.codec import pack, thread_of
from app.core.run.run import Run


class ArqQueue:
    """`ports.Queue` over Redis. Runs are kept for `keep_days`."""

    def __init__(self, redis: Redis, *, keep_days: int = 90, caps: ConcurrencyLimits | None = None) -> None:
        self._redis = redis
        self._caps = caps or ConcurrencyLimits()
        self._keep_s = keep_days * keys.DAY_S
        self._put = Script(redis, "lists", "put")
        self._put_again = Script(redis, "put_again")
        self._depth = Script(redis, "depth")
        self._waiting = Script(redis, "schedule", "waiting")

    async def put(self, run: Run) -> bool:
        job, thread = run.job, thread_of(run.job)
        latest = keys.latest(*thread) if thread else ""
        ours = (keys.seen(job.id), keys.run(job.id), keys.OPEN, latest)
        arqs = (keys.ARQ_JOB + job.id, keys.ARQ_QUEUE, keys.WAKE_UP)
        about = (job.id, pack(run), str(run.status), job.repo, keys.RUNS)
        lives = (self._keep_s, keys.SEEN_S, keys.JOB_S)
        scopes = (job.thread, job.installation_id, int(job.works), run.branch)
        return bool(await self._put([*ours, *arqs], [*about, *lives, _call(job.id), *scopes]))

    async def put_again(self, job_id: str, *, after_s: float = 0.0) -> None:
        """See `ports.Queue`. When a job may start is told by Redis' clock alone, here and where workers take it."""
        arqs = (keys.ARQ_JOB + job_id, keys.ARQ_QUEUE, keys.WAKE_UP)
        in_the_way = (keys.ARQ_IN_PROGRESS + job_id, keys.ARQ_RETRY + job_id, keys.ARQ_ABORT)
        job_s, after_ms = keys.JOB_S + ceil(after_s), max(0, ceil(after_s * 1000))
        await self._put_again([keys.run(job_id), *arqs, *in_the_way], [job_id, job_s, after_ms, _call(job_id)])

    async def depth(self) -> int:
        return int(await self._depth([keys.ARQ_QUEUE], [keys.ARQ_IN_PROGRESS]))

    async def workers(self) -> tuple[WorkerState, ...]:
        states = await ask(self._redis, "HGETALL", keys.WORKERS)
        return tuple(
            WorkerState(name.decode(), state.decode().partition(" ")[2]) for name, state in sorted(states.items())
        )

    async def waiting(self) -> tuple[Waiting, ...]:
        words = await self._waiting(keys.SCHEDULE, keys.schedule_arguments(self._caps))
        waiting = tuple(
            Waiting(
                job_id.decode(), int(position), WaitReason(reason.decode()), int(at_work), int(ms) / 1000, begun == b"1"
            )
            for job_id, reason, at_work, position, ms, begun in zip(*[iter(words)] * 6, strict=True)
        )
        if not any(each.reason is WaitReason.WORKERS for each in waiting):
            return waiting
        workers = await self.workers()
        if not workers or not all(worker.no_room for worker in workers):
            return waiting
        return tuple(
            replace(each, reason=WaitReason.DISK) if each.reason is WaitReason.WORKERS else each for each in waiting
        )


def _call(job_id: str) -> str:
    """What arq reads under `arq:job:<id>`, up to the time it was enqueued, which the script adds."""
    return json.dumps({"t": None, "f": "carry_out", "a": [job_id], "k": {}})[:-1] + ', "et": '
