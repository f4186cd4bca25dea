"""Sandboxes on this host, each a folder and, for every command, a fresh set of namespaces made by bubblewrap.

Commands cannot reach the host's files, processes, network or credentials; the kernel is shared. What one machine may
use is in `LocalSandboxes`. A list of allowed hosts cannot be enforced here: such a network stays closed.
"""

import asyncio
import errno
import logging
import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import IO, Final

from app.adapters.sandbox import script
from app.adapters.sandbox.local import bubblewrap, cgroup, exposure, machine, process, syscalls, toolchains
from app.adapters.sandbox.local.limits import GIB, MachineLimits, Watch
from app.adapters.sandbox.local.machine import MARK, Machine
from app.adapters.sandbox.local.paths import Paths
from app.adapters.sandbox.local.toolchains import Toolchains
from app.adapters.sandbox.output import CappedOutput, Ended
from app.core.errors import SandboxError
from app.core.ports.sandbox import ExecResult, Network, SandboxInfo

log = logging.getLogger(__name__)

_USED_UP: Final = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EDQUOT}
"""The host has no more to give just now."""
_FILE_TIMEOUT_S: Final = 60.0
_UPLOAD_TIMEOUT_S: Final = 600.0
_MESSAGE_BYTES: Final = 2_000
_OPEN_FILES: Final = 4_096
NO_FILTER: Final = (
    "System calls of local sandboxes are not filtered on this machine: that needs x86_64 or aarch64, and a kernel with"
    " seccomp filters. Namespaces alone separate sandboxes from the host."
)
_HOST_PATH: Final = ":".join(toolchains.SYSTEM_PATH)
_NPROC: Final = "ulimit -u {0} 2>/dev/null || ulimit -p {0} 2>/dev/null"
_OUTSIDE: Final = f"""exec {bubblewrap.FILTER_FD}<"$1" || exit 126
shift
{{ echo 1000 >/proc/self/oom_score_adj; }} 2>/dev/null
while [ "$1" != -- ]; do
  {{ echo $$ >"$1"; }} 2>/dev/null
  shift
done
shift
exec "$@"
"""
"""Around bubblewrap: open the filter of system calls; be the first to go when the host's memory runs out; enter the
cgroups named before the `--`."""


@dataclass
class LocalSandboxes:
    """The provider. `root` holds the machines; `tools` are the host's that they show (`host_toolchains`).

    `isolation=False` runs everything as this user on this host, with nothing but the caps: for code one trusts.
    `share_network` lets an open network be the host's own, loopback included; without it there is none.
    """

    root: Path
    isolation: bool = True
    tools: Toolchains = field(default_factory=Toolchains)
    share_network: bool = False
    memory_bytes: int = 2 * GIB
    max_processes: int = 256
    max_file_bytes: int = GIB
    max_disk_bytes: int = 10 * GIB
    _options: tuple[str, ...] = field(default=(), init=False, repr=False)
    _filter: bytes = field(default=b"", init=False, repr=False)

    @staticmethod
    def probe() -> str:
        """Why this host cannot isolate, and the fix; empty when it can. Blocks some 10 ms."""
        return bubblewrap.probe()

    @staticmethod
    def why_unfiltered() -> str:
        """What is missing when system calls cannot be filtered on this host; empty when they can. Blocks some 30 ms."""
        options = bubblewrap.isolation()
        return "" if not options or bubblewrap.can_filter(syscalls.program(), options) else NO_FILTER

    async def create(self, *, key: str, metadata: Mapping[str, str], timeout_s: float) -> "LocalSandbox":
        """See `SandboxProvider.create`. A second call with a living machine's key gives that machine."""
        if not self.isolation:
            log.warning("Commands will run WITHOUT isolation on this host, as this user: %s", self.root)
        await self._prepare()
        made = await asyncio.to_thread(machine.create, self.root, key, metadata, timeout_s)
        return await self.reconnect(made.id)

    async def _prepare(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.isolation or self._options:
            return
        self._options = await asyncio.to_thread(bubblewrap.isolation)
        if not self._options:
            raise SandboxError(await asyncio.to_thread(bubblewrap.probe))
        program = syscalls.program()
        if await asyncio.to_thread(bubblewrap.can_filter, program, self._options):
            self._filter = program
        else:
            log.warning("%s", NO_FILTER)
        if not self.share_network:
            log.info("Local sandboxes have no network; sharing the host's must be allowed explicitly.")

    async def reconnect(self, sandbox_id: str) -> "LocalSandbox":
        """See `SandboxProvider.reconnect`."""
        await self._prepare()
        found = machine.find(self.root, sandbox_id)
        found.load()
        found.keep_filter(self._filter)
        return LocalSandbox(self, found, self._options, is_filtered=bool(self._filter))

    async def list(self) -> tuple[SandboxInfo, ...]:
        """See `SandboxProvider.list`. Destroys machines whose time is over."""
        living = await asyncio.to_thread(machine.living, self.root)
        return tuple(SandboxInfo(found.id, record.metadata, record.created_at) for found, record in living)

    async def kill(self, sandbox_id: str) -> bool:
        """See `SandboxProvider.kill`."""
        found = machine.find(self.root, sandbox_id)
        if not found.folder.exists():
            return False
        await asyncio.to_thread(found.destroy)
        return True

    @property
    def limits(self) -> MachineLimits:
        return MachineLimits(self.memory_bytes, self.max_processes, self.max_file_bytes, self.max_disk_bytes)


class LocalSandbox:
    """One machine. Made by `LocalSandboxes`."""

    work_tree: str = bubblewrap.WORK_TREE

    def __init__(self, provider: LocalSandboxes, made: Machine, options: Sequence[str], *, is_filtered: bool) -> None:
        self.id = made.id
        self._provider = provider
        self._machine = made
        self._options = options
        self._is_filtered = is_filtered
        self._paths = Paths(made.folder, is_host=not options)
        self._watch = Watch(provider.limits, made.folder) if options else None
        self._cgroups = cgroup.make(made.cgroup, provider.limits) if options else ()

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
        max_output_bytes: int = 32_768,
        leaves_daemons: bool = False,
    ) -> ExecResult:
        """See `Sandbox.exec`. Leaves no daemon; what a limit stopped ends with 137 and a last line that names it."""
        if refused := script.refusal(argv, cwd, *(env or {}).values()):
            return refused
        started = monotonic()
        called = script.sh(script.CALL, self._absolute(cwd), *map(self._paths.real, argv))
        ended = await self._run(called, self._paths.real_all(env or {}), timeout_s=timeout_s, limit=max_output_bytes)
        return ended.result(timeout_s=timeout_s, seconds=monotonic() - started)

    async def read(self, path: str, *, max_bytes: int = 1_048_576) -> bytes:
        """See `Sandbox.read`."""
        if script.refusal([path]):
            raise FileNotFoundError(script.NO_SUCH_NAME)
        ended = await self._file(script.sh(script.READ, self._absolute(path), str(max_bytes)), limit=max_bytes)
        if ended.exit_code != 0:
            raise script.not_read(path, ended.exit_code, self._paths.shown_text(ended.output.text()))
        return self._paths.shown_file(ended.output.data)

    async def write(self, path: str, data: bytes) -> None:
        """See `Sandbox.write`. Raises OSError when the path is a folder, a pipe or read-only."""
        if script.refusal([path]):
            raise OSError(script.NO_SUCH_NAME)
        with _spooled(data) as stdin:
            ended = await self._file(script.sh(script.WRITE, self._absolute(path)), stdin=stdin)
        if ended.exit_code != 0:
            raise OSError(f"{path} cannot be written. {self._paths.shown_text(ended.output.text().strip())}")

    async def upload(self, tar: Path, to: str) -> None:
        """See `Sandbox.upload`."""
        with _opened(tar) as stdin:
            unpack = script.sh(script.UNPACK, self._absolute(to))
            ended = await self._file(unpack, stdin=stdin, timeout_s=_UPLOAD_TIMEOUT_S)
        if ended.exit_code != 0:
            raise SandboxError(
                f"The upload to {to} cannot be unpacked. {self._paths.shown_text(ended.output.text().strip())}"
            )

    async def set_network(self, network: Network) -> None:
        """See `Sandbox.set_network`."""
        if network.hosts:
            log.warning("A local sandbox cannot tell hosts apart: its network stays closed.")
        self._machine.save(replace(self._machine.load(), network=network))

    async def keep_alive(self, seconds: float) -> None:
        """See `Sandbox.keep_alive`."""
        self._machine.keep_until(datetime.now(UTC) + timedelta(seconds=seconds))

    async def close(self) -> None:
        """See `Sandbox.close`."""
        await asyncio.to_thread(self._machine.destroy)

    def _absolute(self, path: str) -> str:
        return self._paths.real(posixpath.join(self.work_tree, path))

    async def _file(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | None = None,
        timeout_s: float = _FILE_TIMEOUT_S,
        limit: int = _MESSAGE_BYTES,
    ) -> Ended:
        """Run one of our own programs, for which running out of time means that the machine is no good."""
        ended = await self._run(argv, None, stdin=stdin, timeout_s=timeout_s, limit=limit)
        if ended.exit_code is None:
            raise SandboxError(f"The sandbox did not read or write a file within {timeout_s:g} s.", is_passing=True)
        return ended

    async def _run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        *,
        timeout_s: float,
        limit: int,
        stdin: IO[bytes] | None = None,
    ) -> Ended:
        """Run a command. Without `env` it is one of our own programs, whose output may be a file: it stays as it is."""
        network = self._machine.load().network
        soft = "-S" if cgroup.bounds_memory(self._cgroups) else ""
        limited = script.sh(_limited(self._provider.limits, soft, has_own_users=bool(self._options)), *argv)
        mark = {MARK: self._machine.mark}
        inside = {**self._environment(), **(env or {})}
        paths = None if env is None else self._paths
        if self._watch is None:
            command = process.HostCommand(limited, inside | mark, timeout_s, limit, paths, stdin)
        else:
            isolated = self._isolated(inside, has_network=network.is_open and self._provider.share_network)
            outer = script.sh(_OUTSIDE, *map(str, (self._machine.filter, *self._cgroups)), "--", *isolated, *limited)
            environ = {"PATH": _HOST_PATH} | mark
            command = process.HostCommand(outer, environ, timeout_s, limit, paths, stdin, self._watch)
        try:
            return await process.run(command)
        except OSError as error:
            if error.errno == errno.E2BIG:
                return Ended(script.CANNOT_RUN, CappedOutput.of(limit, script.TOO_LONG))
            is_passing = error.errno in _USED_UP
            why = f"The sandbox cannot start a command: {self._paths.shown_text(str(error))}"
            raise SandboxError(why, is_passing=is_passing) from error

    def _isolated(self, env: Mapping[str, str], *, has_network: bool) -> list[str]:
        tools = self._provider.tools
        masked = exposure.masks((*bubblewrap.system_mounts(), *tools.read_only), tools.hidden)
        folders, read_only = self._machine.folders, tools.read_only
        bwrap = bubblewrap.argv(
            folders, self._options, read_only, masked=masked, is_filtered=self._is_filtered, has_network=has_network
        )
        return [*bwrap, *(part for name, value in env.items() for part in ("--setenv", name, value)), "--"]

    def _environment(self) -> dict[str, str]:
        homes = toolchains.manager_homes(self._provider.tools.read_only)
        home = self._paths.real(bubblewrap.HOME)
        return {**script.ENVIRONMENT, **homes, "HOME": home, "PATH": ":".join(self._provider.tools.path)}


def _limited(limits: MachineLimits, soft: str, *, has_own_users: bool) -> str:
    """Set the limits of each process alone, then run the command as a child: the namespace's first process must not be
    the command itself, which signals would then pass by, and needs more of the processor, to be able to end the rest.
    `-u` is bash's name for `-p`; `-f` counts 512 bytes. `soft` is `-S` where a cgroup bounds memory: a command may then
    lift `-d` for itself, as AddressSanitizer's reservations need, which are not memory."""
    return f"""ulimit -c 0
ulimit -n {_OPEN_FILES} 2>/dev/null
ulimit -f {limits.file_bytes // 512}
ulimit {soft} -d {limits.memory_bytes // 1024}
{_NPROC.format(limits.threads) if has_own_users else ""}
nice -n 10 "$@"
exit $?
"""


def _spooled(data: bytes) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(data)
    file.seek(0)
    return file


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")
