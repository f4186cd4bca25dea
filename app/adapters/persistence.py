"""Whether a Redis keeps what it is given: on disk, and when its memory is full."""

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.adapters.connection import ask
from app.core.errors import StoreError


async def check_persistence(redis: Redis) -> tuple[str, ...]:
    """What is to be mended in how this Redis is set up, one sentence each; empty when all is well. Repeatable.

    INFO tells all but when snapshots are taken, which CONFIG may be forbidden to tell, as with managed servers.

    Raises:
        StoreError: Redis is away.
    """
    about = {**await ask(redis, "INFO", "persistence"), **await ask(redis, "INFO", "memory")}
    faults: tuple[str, ...] = ()
    if not about.get("aof_enabled"):
        faults = (_say_what_is_lost(await _snapshots(redis)),)
    policy = about.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        faults = (*faults, f"Redis may throw runs away when it is full ({policy}). Set `maxmemory-policy noeviction`.")
    return faults


def _say_what_is_lost(snapshots: str | None) -> str:
    match snapshots:
        case "":
            return "Redis keeps nothing on disk: a restart of it loses every run and job. Set `appendonly yes`."
        case None:
            return "Redis keeps no append-only file: a crash of it may lose runs and jobs. Set `appendonly yes`."
        case _:
            when = f"`save {snapshots}`"
            return f"Redis writes to disk now and then ({when}): a crash loses what came since. Set `appendonly yes`."


async def _snapshots(redis: Redis) -> str | None:
    """The `save` setting, None when Redis will not say."""
    try:
        _, points = await ask(redis, "CONFIG", "GET", "save")
    except StoreError as error:
        if isinstance(error.__cause__, ResponseError):
            return None
        raise
    return str(points.decode())
