"""Every key in Redis on one page. Nothing is kept without an expiry or a bound.

    key                              type    holds                                     ends
    vibecoder:seen:<id>              string  this id was put                           7 days
    vibecoder:run:<id>               hash    document, status, attempt (the fence),    keep_days after the last save
                                             worker (who took it last), listed (under
                                             which status and branch); for the line:
                                             thread, repo, installation, works (0: it
                                             is only answered); superseded_by
    vibecoder:lease:<id>             string  the attempt that holds the run            its ttl (30 s), unless renewed
    vibecoder:signals:<id>           list    words left for the run in progress            1 day; the newest 100
    vibecoder:said:<id>              list    the task in progress and a digest of what     2 days after the last turn,
                                             was said in it, then its messages         or at completion
    vibecoder:latest:<repo>#<n>      string  the thread's newest run that started      keep_days
    vibecoder:runs:<scope>:<status>  zset    ids by the microsecond they were put      keep_days, entries and all
    vibecoder:indexed:<repo>         string  runs that older versions stored are       keep_days; an hour when there
                                             listed by thread and branch               were any
    vibecoder:open                   zset    ids of runs that are not completed        at completion, or keep_days
    vibecoder:begun                  set     ids of runs of work that were taken and   when they leave the queue
                                             are not over
    vibecoder:workers                hash    worker: the second of its last report,    30 s after the last report
                                             and why it takes no runs
    vibecoder:served                 zset    installations by the millisecond in which  entries after 1 day
                                             a run of theirs was taken
    vibecoder:bell                   list    one ring per job queued                   the newest 100
    vibecoder:claim:<name>           string  who does this now                         its ttl
    vibecoder:agreed:<name>          string  the text that was said first              its ttl
    vibecoder:count:<scope>          set     ids of the runs counted there             its ttl
    vibecoder:note:<name>            string  a short text                              30 days after it was written
    vibecoder:note:lead <thread>     string  id of the run of work admitted last       30 days after it was written
    vibecoder:note:thumb <id>        string  1: the reaction approves nothing          30 days after it was written
    vibecoder:queue-notice:<id>      string  the comment that shows its position, JSON 30 days after it was written
    vibecoder:turns:<scope>          zset    writes by the microsecond of their turn   an hour after the last
    vibecoder:spent:<scope>          hash    dollars by run id, set aside or spent     3 days after the last change
    vibecoder:due                    zset    ids of runs by the second from which on   when they are looked at for the
                                             they are to be looked at                  last time; the first 10,000
    vibecoder:saved                  channel id of the run just saved                  is not kept

    arq:queue                        zset    ids by the millisecond from which on      entries when the job ends
                                             they may start, running ones included
    arq:job:<id>                     string  the call as JSON                          7 days after it may start, or
                                                                                       when the job ends
    arq:in-progress:<id>             string  a token of the worker that started it     its time-out, or its end
    arq:retry:<id>                   string  how often it was started                  25 h, or when the job ends
    arq:queue:health-check           string  a worker's last sign of life              16 s
    arq:abort                        zset    unused; cleared for a job put again
    arq:result:<id>                          never written (keep_result=0)

In `runs`, a scope is a repository (`owner/name`), a thread (`owner/name#12`) or a branch (`owner/name@branch`). An
empty scope or status stands for all of them: each run is in four to eight of these lists at a time.
The names of arq's keys are arq's (`arq.constants`), spelled out so that the web process need not import arq.
"""

from typing import Final

from app.core.ports.queue import ConcurrencyLimits

RUN: Final = "vibecoder:run:"
LEASE: Final = "vibecoder:lease:"
RUNS: Final = "vibecoder:runs:"
OPEN: Final = "vibecoder:open"
BEGUN: Final = "vibecoder:begun"
SERVED: Final = "vibecoder:served"
WORKERS: Final = "vibecoder:workers"
WAKE_UP: Final = "vibecoder:bell"
SAVED: Final = "vibecoder:saved"
DUE: Final = "vibecoder:due"

ARQ_QUEUE: Final = "arq:queue"
ARQ_JOB: Final = "arq:job:"
ARQ_IN_PROGRESS: Final = "arq:in-progress:"
ARQ_RETRY: Final = "arq:retry:"
ARQ_ABORT: Final = "arq:abort"

DAY_S: Final = 86_400
SEEN_S: Final = 7 * DAY_S
JOB_S: Final = 7 * DAY_S
CONVERSATION_S: Final = 2 * DAY_S
SPENT_S: Final = 3 * DAY_S
NOTE_S: Final = 30 * DAY_S
INDEXED_S: Final = 3_600
WORKER_S: Final = 30
MAX_SIGNALS: Final = 100
MAX_DUE: Final = 10_000
SCHEDULE: Final = (ARQ_QUEUE, BEGUN, SERVED)
"""The keys of `schedule.lua`."""


def schedule_arguments(caps: ConcurrencyLimits) -> tuple[str | int, ...]:
    """The first arguments of `schedule.lua`."""
    return ARQ_IN_PROGRESS, RUN, caps.per_repo, caps.per_installation, caps.sandboxes


def seen(job_id: str) -> str:
    return f"vibecoder:seen:{job_id}"


def run(job_id: str) -> str:
    return RUN + job_id


def lease(job_id: str) -> str:
    return LEASE + job_id


def signals(job_id: str) -> str:
    return f"vibecoder:signals:{job_id}"


def conversation(job_id: str) -> str:
    return f"vibecoder:said:{job_id}"


def agreement(name: str) -> str:
    return f"vibecoder:agreed:{name}"


def claim(name: str) -> str:
    return f"vibecoder:claim:{name}"


def spent(scope: str) -> str:
    return f"vibecoder:spent:{scope}"


def count(scope: str) -> str:
    return f"vibecoder:count:{scope}"


def turns(scope: str) -> str:
    return f"vibecoder:turns:{scope}"


def note(name: str) -> str:
    return f"vibecoder:note:{name}"


def lead(thread: str) -> str:
    return note(f"lead {thread}")


def reaction(reaction_id: int) -> str:
    return note(f"thumb {reaction_id}")


def queue_notice(job_id: str) -> str:
    return f"vibecoder:queue-notice:{job_id}"


def latest(repo: str, number: int) -> str:
    return f"vibecoder:latest:{repo}#{number}"


def runs(scope: str = "", status: str = "") -> str:
    return f"{RUNS}{scope}:{status}"


def indexed(repo: str) -> str:
    return f"vibecoder:indexed:{repo}"
