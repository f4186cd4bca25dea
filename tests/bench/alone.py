"""Runs one benchmark in a process of its own, so that none carries another's memory."""

import asyncio
import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from typing import Final

from tests.bench.figure import Figure

LIMIT_S: Final = 60.0


def measure_alone(name: str) -> "Future[list[Figure]]":
    """The figures of the benchmark `name`, or what went wrong; both are there when this returns."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measure, name)


def _measure(name: str) -> list[Figure]:
    async def limited() -> list[Figure]:
        async with asyncio.timeout(LIMIT_S):
            figures: list[Figure] = await import_module(f"tests.bench.{name}").measure()
            return figures

    return asyncio.run(limited())
