"""The embedded Redis, started, shared, killed and started again."""

import asyncio
import os
import resource
import signal
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.adapters.redis.connection import ask, open_redis
from app.adapters.redis.embedded import EmbeddedRedis
from app.core.errors import StoreError, UserError

ENTER_AND_STAY = """
import asyncio, sys
from pathlib import Path
from app.adapters.redis.embedded import EmbeddedRedis

async def main():
    async with EmbeddedRedis(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@asynccontextmanager
async def client(server: EmbeddedRedis) -> AsyncIterator[Any]:
    async with Redis.from_url(server.url, socket_timeout=5) as redis:
        yield redis


def client_of(folder: Path) -> Any:
    return Redis(unix_socket_path=str(folder / "redis.sock"), socket_timeout=5)


@asynccontextmanager
async def another_process(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A process that has the folder entered, and the server it uses."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENTER_AND_STAY, str(folder), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        try:
            yield process, int(await process.stdout.readline())
        finally:
            await process.communicate(b"")


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not yet cleared away by its parent does not."""
    try:
        return " Z " not in proc(pid, "stat")
    except FileNotFoundError:
        return False


def proc(pid: int, file: str) -> str:
    return Path(f"/proc/{pid}/{file}").read_text("utf-8")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_what_was_written_is_there_the_next_time(tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        async with EmbeddedRedis(tmp_path) as server, client(server) as redis:
            assert await redis.incr("times") == expected
        assert not is_alive(server.pid)


async def test_it_is_for_this_user_alone_and_for_nobody_on_the_network(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "redis") as server, client(server) as redis:
        assert mode(tmp_path / "redis") == 0o700
        assert mode(Path(server.url.removeprefix("unix://"))) == 0o700
        assert (await redis.config_get("port"))["port"] == "0"


async def test_it_lives_in_a_session_of_its_own_and_sees_no_secret(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        assert os.getsid(server.pid) == server.pid
        assert proc(server.pid, "environ") == ""


async def test_it_never_evicts_and_always_keeps_a_file(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path, max_memory="64mb") as server, client(server) as redis:
        assert await redis.config_get("maxmemory*") == {
            **await redis.config_get("maxmemory*"),
            "maxmemory": str(64 * 1024 * 1024),
            "maxmemory-policy": "noeviction",
        }
        assert await redis.config_get("append*") == {
            **await redis.config_get("append*"),
            "appendonly": "yes",
            "appendfsync": "always",
        }


async def test_a_folder_is_shared_and_the_last_one_ends_the_server(tmp_path: Path) -> None:
    first, second = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    async with second:
        async with first:
            assert first.pid == second.pid
        async with client(second) as redis:
            assert await redis.ping()
    assert not is_alive(second.pid)


async def test_five_that_enter_at_once_share_one_server(tmp_path: Path) -> None:
    servers = [EmbeddedRedis(tmp_path) for _ in range(5)]
    async with asyncio.TaskGroup() as together:
        for server in servers:
            together.create_task(server.__aenter__())

    assert len({server.pid for server in servers}) == 1

    for server in servers:
        assert is_alive(server.pid)
        await server.__aexit__(None, None, None)
    assert not is_alive(servers[0].pid)


async def test_another_process_shares_it_and_may_end_it(tmp_path: Path) -> None:
    async with another_process(tmp_path) as (_, pid):
        async with EmbeddedRedis(tmp_path) as server:
            assert server.pid == pid
        assert is_alive(pid)
    assert not is_alive(pid)


async def test_a_server_whose_users_were_all_killed_ends_and_keeps_its_data(tmp_path: Path) -> None:
    async with another_process(tmp_path) as (process, pid):
        async with client_of(tmp_path) as redis:
            await redis.set("kept", "yes")
        process.kill()
    async with asyncio.timeout(20):
        while is_alive(pid):  # noqa: ASYNC110 -- nobody tells of it
            await asyncio.sleep(0.02)

    async with EmbeddedRedis(tmp_path) as server, client(server) as redis:
        assert server.pid != pid
        assert await redis.get("kept") == b"yes"


async def test_a_server_lives_on_while_one_of_its_users_does(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        async with another_process(tmp_path) as (process, pid):
            process.kill()
            await process.wait()
        async with client(server) as redis:
            assert await redis.ping()
        assert server.pid == pid


async def test_a_killed_server_leaves_a_clean_exit_and_its_data(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server, client(server) as redis:
        await redis.set("kept", "yes")
        await redis.execute_command("WAITAOF", 1, 0, 5_000)
        os.kill(server.pid, signal.SIGKILL)
    assert not is_alive(server.pid)

    async with EmbeddedRedis(tmp_path) as server, client(server) as redis:
        assert await redis.get("kept") == b"yes"


async def started_again(server: EmbeddedRedis, killed: int) -> float:
    """How many seconds it takes until another process than the killed one answers."""
    began = time.monotonic()
    async with asyncio.timeout(10), client(server) as redis:
        while True:
            with suppress(RedisError, OSError):
                if (await redis.info("server"))["process_id"] != killed:
                    return time.monotonic() - began
            await asyncio.sleep(0.01)


async def test_a_killed_server_is_started_again_with_all_that_it_acknowledged(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        for round_ in range(1, 4):
            async with client(server) as redis:
                for _ in range(100):
                    await redis.rpush("acknowledged", "x")
                killed = server.pid
                os.kill(killed, signal.SIGKILL)
            assert await started_again(server, killed) < 3
            async with client(server) as redis:
                assert await redis.llen("acknowledged") == 100 * round_
    assert not is_alive(server.pid)


async def test_a_full_disk_loses_nothing_and_needs_nobody(tmp_path: Path) -> None:
    """The server gives up at the first write that fails, as it syncs always; it is restarted until one succeeds."""
    async with another_process(tmp_path) as (user, pid), open_redis(f"{tmp_path}/redis.sock") as redis:
        await redis.set("kept", "x" * 100_000)
        limit_files([user.pid, pid], 100_000)
        for _ in range(3):
            with pytest.raises(StoreError):
                await ask(redis, "SET", "refused", "y" * 10)
        limit_files([user.pid, *running(tmp_path)], resource.RLIM_INFINITY)
        async with asyncio.timeout(20):
            while not await accepts(redis):
                limit_files(running(tmp_path), resource.RLIM_INFINITY)
        assert await redis.strlen("kept") == 100_000


def limit_files(pids: list[int], size: int) -> None:
    """Have no file of these processes grow beyond this, as on a full disk; what they start inherits it."""
    for pid in pids:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def running(folder: Path) -> list[int]:
    """The server's process, if there is one."""
    with suppress(FileNotFoundError):
        return [int(pid) for pid in (folder / "redis.pid").read_text("utf-8").split()]
    return []


async def accepts(redis: Any) -> bool:
    with suppress(StoreError):
        return await ask(redis, "SET", "accepted", "z") is not None
    return False


async def test_one_of_many_starts_a_killed_server_again(tmp_path: Path) -> None:
    async with another_process(tmp_path) as (_, killed), EmbeddedRedis(tmp_path) as one, EmbeddedRedis(tmp_path) as two:
        os.kill(killed, signal.SIGKILL)
        await started_again(one, killed)
        async with client(one) as redis:
            pid = (await redis.info("server"))["process_id"]

        assert one.pid == two.pid == pid
        assert list_servers(tmp_path) == [pid]
    assert list_servers(tmp_path) == []


async def test_a_server_that_was_started_again_ends_with_the_last_of_its_users(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as stays:
        async with another_process(tmp_path) as (_, killed):
            os.kill(killed, signal.SIGKILL)
            await started_again(stays, killed)
        now = stays.pid
        assert is_alive(now)
    assert not is_alive(now)
    assert list_servers(tmp_path) == []


def list_servers(folder: Path) -> list[int]:
    """The servers that have this folder as theirs."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [number for number in numbers if f"unixsocket:{folder}/" in command_line(number)]


def command_line(pid: int) -> str:
    try:
        return proc(pid, "cmdline")
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def test_a_server_that_cannot_start_again_is_tried_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
    async with EmbeddedRedis(tmp_path, again_s=0.05) as server:
        whole = manifest.read_text()
        manifest.write_text("nonsense\n")
        killed = server.pid
        with caplog.at_level("ERROR"):
            os.kill(killed, signal.SIGKILL)
            async with asyncio.timeout(10), client(server) as redis:
                while "The embedded Redis has stopped: " not in caplog.text:
                    with suppress(RedisError, OSError):
                        await redis.ping()
                    await asyncio.sleep(0.01)
        manifest.write_text(whole)
        await started_again(server, killed)


async def test_a_path_too_long_for_a_socket_is_worked_around(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    async with EmbeddedRedis(deep) as server, EmbeddedRedis(deep) as other, client(other) as redis:
        socket = Path(server.url.removeprefix("unix://"))
        assert socket.parent.parent == Path(tempfile.gettempdir())
        assert mode(socket.parent) == 0o700
        assert server.pid == other.pid
        assert await redis.ping()
    assert not socket.parent.exists()
    assert (deep / "appendonlydir").is_dir()


async def test_a_path_with_odd_characters_is_reached(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "a ?#%41") as server, client(server) as redis:
        assert await redis.ping()


async def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match="cannot use"):
        await EmbeddedRedis(tmp_path / "file" / "redis").__aenter__()


async def test_damaged_data_is_an_error_with_the_servers_own_words(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path):
        pass
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")

    with pytest.raises(StoreError, match=r"(?s)embedded Redis in .* Its log ends: .*manifest"):
        await EmbeddedRedis(tmp_path).__aenter__()


async def test_an_option_that_the_server_refuses_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"(?s)did not start. Its log ends: .*much"):
        await EmbeddedRedis(tmp_path, max_memory="much").__aenter__()


async def test_a_frozen_server_is_an_error_that_names_its_process(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreError, match=rf"process {server.pid}\) does not answer"):
                await EmbeddedRedis(tmp_path).__aenter__()
        finally:
            os.kill(server.pid, signal.SIGCONT)
