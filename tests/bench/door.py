"""The door: what a delivery costs that is ignored, accepted, or a duplicate.

GitHub hangs up after 10 s and sends in bursts, most of them not for us: the door must cost little more than the web
server itself, and nothing in Redis for what is not ours. Each kind is sent to `vibecoder web` over kept connections,
turn by turn with a route that only returns 202, so that whatever else the machine does hits all alike.
"""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from redis.asyncio import Redis

from app.adapters.redis.embedded import EmbeddedRedis
from app.demo.loopback import free_port
from tests.bench.delivery import command, ignored_comment, ignored_event, open_door
from tests.bench.figure import Figure, figure
from tests.bench.load import Load, send
from tests.bench.program import running

ROUNDS: Final = 6
REQUESTS: Final = 150
AT_ONCE: Final = 8
_DUPLICATE: Final = command()[1]


@dataclass(slots=True)
class Kind:
    """A kind of delivery; what is expected of it and what came of it."""

    name: str
    status: int
    make: Callable[[], bytes]
    is_bare: bool = False
    alone: list[Load] = field(default_factory=list)
    together: list[Load] = field(default_factory=list)
    commands: Counter[str] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        return sum(len(load.ms) for load in (*self.alone, *self.together))


def _kinds() -> list[Kind]:
    return [
        Kind("a bare 202", 202, ignored_comment, is_bare=True),
        Kind("another event, ignored", 200, ignored_event),
        Kind("another comment, ignored", 200, ignored_comment),
        Kind("a command, accepted", 202, lambda: command()[1]),
        Kind("the same again, duplicate", 200, lambda: _DUPLICATE),
    ]


async def measure() -> list[Figure]:
    kinds = _kinds()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        redis_url = (await stack.enter_async_context(EmbeddedRedis(folder / "redis"))).url
        redis: Redis = await stack.enter_async_context(Redis.from_url(redis_url))
        door, _ = await stack.enter_async_context(open_door(folder, redis_url))
        bare = await stack.enter_async_context(_bare(folder))
        for is_warm in [False] + [True] * ROUNDS:
            for kind in kinds:
                await _send(kind, bare if kind.is_bare else door, redis, is_warm=is_warm)
    return [*_latencies(kinds), *_rates(kinds), *(_commands(kind) for kind in kinds if not kind.is_bare)]


@asynccontextmanager
async def _bare(folder: Path) -> AsyncIterator[int]:
    port = free_port()
    argv = (sys.executable, "-m", "tests.bench.bare", str(port))
    async with running(folder / "bare.log", *argv, ready="bare is ready", environ={}):
        yield port


async def _send(kind: Kind, port: int, redis: Redis, *, is_warm: bool) -> None:
    before = await _calls(redis)
    alone = await send(port, [kind.make() for _ in range(REQUESTS)], connections=1)
    together = await send(port, [kind.make() for _ in range(2 * REQUESTS)], connections=AT_ONCE)
    statuses = alone.statuses + together.statuses
    if not is_warm:
        return
    if set(statuses) != {kind.status}:
        raise RuntimeError(f"{kind.name} was answered {dict(statuses)}.")
    kind.alone.append(alone)
    kind.together.append(together)
    kind.commands += await _calls(redis) - before


async def _calls(redis: Redis) -> Counter[str]:
    """How often each command was called so far, in scripts too, but for the asking of this."""
    stats = await redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): about["calls"] for name, about in stats.items()}
    return Counter({name: count for name, count in calls.items() if name != "info"})


def _latencies(kinds: list[Kind]) -> list[Figure]:
    figures: list[Figure] = []
    for kind in kinds:
        samples = [ms for load in kind.alone for ms in load.ms]
        figures.append(figure(kind.name, samples, "ms", against=figures[0] if figures else None))
    return figures


def _rates(kinds: list[Kind]) -> list[Figure]:
    figures: list[Figure] = []
    for kind in kinds:
        samples = [load.per_second for load in kind.together]
        name = f"{kind.name}, {AT_ONCE} at once"
        figures.append(figure(name, samples, "/s", against=figures[0] if figures else None))
    return figures


def _commands(kind: Kind) -> Figure:
    total, scripts = kind.commands.total() / kind.sent, kind.commands["evalsha"] / kind.sent
    detail = f"{scripts:.3g} asked, the rest inside the script" if total else "none"
    verdict = ("within 0" if total == 0 else "over 0") if "ignored" in kind.name else ""
    return Figure(f"Redis commands for {kind.name}", total, "", detail, verdict=verdict)
