"""How we talk to Redis: bounded connections, bounded waiting, and one error in our own words.

redis-py waits for ever by default. Here a frozen or absent Redis is a `StoreError` within 3 s, whatever the cause, and
one that is restarted in between is not noticed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final, TypeAlias, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.core.errors import StoreError, UserError

ANSWER_S: Final = 2.5
SOCKET_S: Final = 1.2
HEALTH_CHECK_S: Final = 15

Argument: TypeAlias = str | bytes | int | float
T = TypeVar("T")


def open_redis(url: str, *, max_connections: int = 32) -> Redis:
    """A client for `url`: `redis://`, `rediss://`, `unix://`, or the path of a unix socket. Connects at first use.

    Names and passwords in the URL are percent-decoded. When all connections are busy, callers wait for one. A lost
    connection is made again and the command repeated, which everything in `queue` and `store` allows.

    Raises:
        UserError: the URL cannot be read.
    """
    retry = RedisRetry(ExponentialBackoff(cap=0.4, base=0.05), 5)
    pool = open_pool(url, max_connections=max_connections, socket_s=SOCKET_S, retry=retry)
    return Redis.from_pool(pool)


class RedisRetry(Retry):
    """redis-py's retry, except that a wrong password, to redis-py a lost connection, is not tried again."""

    async def call_with_retry(self, do: Callable[[], Awaitable[T]], fail: Callable[[RedisError], Any]) -> T:
        async def once() -> T:
            try:
                return await do()
            except AuthenticationError as error:
                raise NoPermissionError(str(error)) from error

        return await super().call_with_retry(once, fail)


def open_pool(url: str, *, max_connections: int, socket_s: float, retry: RedisRetry) -> BlockingConnectionPool:
    """A pool that waits when exhausted and repeats what a lost connection interrupted, as `retry` says."""
    try:
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            f"unix://{url}" if url.startswith("/") else url,
            max_connections=max_connections,
            timeout=2,
            socket_timeout=socket_s,
            socket_connect_timeout=SOCKET_S,
            health_check_interval=HEALTH_CHECK_S,
            retry=retry,
            retry_on_error=[RedisConnectionError, BusyLoadingError, OSError],
        )
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError) as error:
        raise UserError(f"The address of Redis cannot be read: {error}") from error
    return pool


async def ask(redis: Redis, *command: Argument) -> Any:
    """Put one command to Redis. Its answer is as redis-py decodes it: bytes, numbers, lists."""
    client: Any = redis
    async with asking():
        return await client.execute_command(*command)


def read_script(*names: str) -> str:
    """A script of `lua/`, put together from these files."""
    folder = files("app.adapters.redis").joinpath("scripts")
    return "\n".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)


class Script:
    """A script of `lua/`, run by its digest and sent again to a Redis that has forgotten it."""

    def __init__(self, redis: Redis, *names: str) -> None:
        self._run = redis.register_script(read_script(*names))

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        async with asking():
            return await self._run(keys, arguments)


@asynccontextmanager
async def asking() -> AsyncIterator[None]:
    """Give Redis `ANSWER_S` in all, and say what went wrong as a `StoreError`."""
    task = asyncio.current_task()
    let_timeouts_expire()
    cancellations = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except (RedisError, OSError) as error:
        raise StoreError(explain(error)) from error
    if task and task.cancelling() > cancellations:
        # redis-py writes under asyncio.wait_for, which loses cancellations before Python 3.12:
        # https://github.com/python/cpython/issues/86296
        raise asyncio.CancelledError


def let_timeouts_expire() -> None:
    """Call this before asking Redis while a cancelled task cleans up.

    Before Python 3.11.3 `asyncio.timeout` ends as CancelledError, not as TimeoutError, in a task that was cancelled
    before, and redis-py asks with a timeout of 0 whether a connection has something to read:
    https://github.com/python/cpython/issues/102780
    """
    task = asyncio.current_task()
    while sys.version_info < (3, 11, 3) and task is not None and task.cancelling():
        task.uncancel()


def explain(error: Exception) -> str:
    """One sentence on what is wrong with Redis and what helps."""
    match error:
        case TimeoutError() | RedisTimeoutError():
            return "Redis does not answer in time."
        case OutOfMemoryError():
            return "Redis is full: raise its maxmemory or keep runs for fewer days."
        case ReadOnlyError():
            return "Redis is a read-only replica: use the address of the primary."
        case AuthenticationError() | NoPermissionError() | RedisConnectionError(__cause__=NoPermissionError()):
            return f"Redis refuses our name or password: {error}."
        case BusyLoadingError():
            return "Redis is still loading its data."
        case ResponseError() if str(error).startswith("MISCONF"):
            return "Redis cannot write to its disk and therefore takes nothing more."
        case RedisConnectionError() | OSError():
            return f"Redis is away: {error}"
        case _:
            return f"Redis refused a command: {error}"
