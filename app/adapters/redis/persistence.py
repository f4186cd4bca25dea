"""Whether a Redis keeps what it is given: on disk, and when its memory is full."""

import secrets

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.adapters.redis import keys
from app.adapters.redis.connection import ask
from app.core.errors import StoreError


async def try_out(redis: Redis) -> str:
    """Write a word, read it back and remove it; gives the server's name and version. Repeatable.

    Raises:
        StoreError: Redis is away, or does not take or keep it.
    """
    key, word = keys.claim(f"doctor {secrets.token_hex(8)}"), secrets.token_hex(8)
    await ask(redis, "SET", key, word, "EX", 60)
    try:
        if await ask(redis, "GET", key) != word.encode():
            raise StoreError("Redis does not give back what was written. Is it a cluster, or a proxy?")
    finally:
        await ask(redis, "DEL", key)
    about = await ask(redis, "INFO", "server")
    if "valkey_version" in about:
        return f"Valkey {about['valkey_version']}"
    return f"Redis {about.get('redis_version', 'of unknown version')}"


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
