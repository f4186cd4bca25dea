"""Clone: the second fetch of a repository against the first.

Most runs are on a repository that was worked on before. The cache on the worker's side must make that nearly free, in
seconds and in bytes over the wire, which a relay before the git server counts. What the sandbox is sent is not less
the second time; it is measured beside.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from pydantic import SecretStr

from app.adapters.git.repos import GitRepos
from app.demo.github.server import DemoGitHub
from tests.bench.figure import Figure, figure

REPO: Final = "acme/large"
FILES: Final = 32
FILE_BYTES: Final = 250_000
ROUNDS: Final = 3
_CHUNK: Final = 1 << 16


class Relay:
    """Passes bytes on to a port of this machine and counts those that come back."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self.port = 0
        self._to = port

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, back))
            group.create_task(self._pass(there, writer, is_counted=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_counted: bool = False) -> None:
        while chunk := await reader.read(_CHUNK):
            self.bytes += len(chunk) if is_counted else 0
            writer.write(chunk)
            await writer.drain()
        writer.close()


async def measure() -> list[Figure]:
    seconds: dict[str, list[float]] = {"first": [], "again": [], "nothing new": [], "pack": []}
    sizes: dict[str, list[float]] = {"first": [], "again": [], "nothing new": []}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        github = await stack.enter_async_context(DemoGitHub(folder / "github", webhook_secret="unused"))
        await github.repo(REPO, files=_files())
        relay = Relay(int(github.url.rpartition(":")[2]))
        await stack.enter_async_context(relay.serving())
        token = _token(github)
        for number in range(ROUNDS):
            repos = GitRepos(folder / f"cache-{number}", url=lambda repo: f"http://127.0.0.1:{relay.port}/{repo}.git")
            for name, size in sizes.items():
                if name == "again":
                    await github.push(REPO, "main", {"README.md": f"# Round {number}\n"}, message="Change", by="acme")
                began, relay.bytes = perf_counter(), 0
                sha = await repos.fetch(1, REPO, "main", token)
                seconds[name].append(perf_counter() - began)
                size.append(relay.bytes / 1e3)
            began = perf_counter()
            async with repos.pack(1, REPO, sha):
                seconds["pack"].append(perf_counter() - began)
    return _figures(seconds, sizes)


def _figures(seconds: dict[str, list[float]], sizes: dict[str, list[float]]) -> list[Figure]:
    took = figure("first fetch", seconds["first"], "s")
    came = figure("first fetch, over the wire", sizes["first"], "kB")
    return [
        took,
        figure("second fetch, one commit is new", seconds["again"], "s", against=took),
        figure("third fetch, nothing is new", seconds["nothing new"], "s", against=took),
        figure("packed for the sandbox", seconds["pack"], "s", against=took),
        came,
        figure("second fetch, over the wire", sizes["again"], "kB", against=came),
        figure("third fetch, over the wire", sizes["nothing new"], "kB", against=came),
    ]


def _files() -> dict[str, bytes]:
    """Files that compress to half, as source code at best does not."""
    chance = random.Random(5)
    return {f"src/module_{number}.txt": chance.randbytes(FILE_BYTES // 2).hex().encode() for number in range(FILES)}


def _token(github: DemoGitHub) -> SecretStr:
    repo = github.world.repos[REPO]
    installation = github.world.installations[repo.installation_id]
    return SecretStr(github.world.mint(installation, [repo], {"contents": "read"}).value)
