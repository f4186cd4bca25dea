"""Runs one command on the host: output through one pipe, capped; a time limit; nothing of it left when it returns.

    worker ── bwrap ── sh (first process of the pid namespace) ── the command and all it starts
    worker ── sh (leader of its process group) ── …                  without isolation

Ending the namespace's first process ends all in it, and `bwrap` then reaps it, so that no zombie is left to an init
that may not be there.
"""

import asyncio
import ctypes
import errno
import os
import signal
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from app.adapters import seccomp
from app.adapters.sandbox.local.limits import Watch
from app.adapters.sandbox.local.paths import Paths, Stream
from app.adapters.sandbox.output import CappedOutput, Ended
from app.core.errors import SandboxError

_JOIN_SESSION_KEYRING: Final = 1
_UNAVAILABLE: Final = {errno.EPERM, errno.ENOSYS}
"""The kernel has no keyrings, or a container keeps them from this process and so from its children."""


def renew_session_keyring() -> None:
    """Give this thread, and every process that it starts from now on, a new, empty session keyring. Repeatable.

    It is called right before a process is started: nothing that can run between fork and exec is needed then.

    Raises:
        OSError: the kernel made none; EDQUOT when this user has as many keys as it may have.
    """
    try:
        number = seccomp.number_of("keyctl")
    except LookupError:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _JOIN_SESSION_KEYRING, None) < 0 and (code := ctypes.get_errno()) not in _UNAVAILABLE:
        raise OSError(code, "The kernel made no session keyring.")


_LOOK_EVERY_S: Final = 0.1
_GRACE_S: Final = 10.0
_LATE_OUTPUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class HostCommand:
    """What to run. `paths` tells what to call the host's in its output; None leaves it as it is.

    `stdin` None is the empty file; `watch` is given when the argv is bubblewrap's.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    timeout_s: float
    limit: int
    paths: Paths | None = None
    stdin: IO[bytes] | None = field(default=None, repr=False)
    watch: Watch | None = None


class _Reader(asyncio.Protocol):
    """Takes what comes out of the pipe until everybody has closed it."""

    def __init__(self, output: CappedOutput, paths: Paths | None) -> None:
        self._output = output
        self._stream = Stream(paths) if paths is not None else None
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._output.add(self._stream.add(data) if self._stream is not None else data)

    def end(self) -> None:
        """Take what was held back; nothing that comes later counts."""
        self._output.add(self._stream.rest() if self._stream is not None else b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


async def run(command: HostCommand) -> Ended:
    """Run it and wait; on cancellation, too, everything it started is dead when this returns.

    Raises:
        OSError: it could not be started.
    """
    output = CappedOutput(command.limit)
    reader = _Reader(output, command.paths)
    receiving, sending = os.pipe()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: reader, os.fdopen(receiving, "rb", buffering=0)
    )
    try:
        try:
            process = await _start(command, sending)
        finally:
            os.close(sending)
        exit_code, why = await _until_ended(process, command)
        # A process that left its group may hold the pipe open for ever; it is not waited for.
        await _within(_LATE_OUTPUT_S, reader.closed.wait())
        reader.end()
        output.add(f"\n[killed: {why}]\n".encode() if why else b"")
    finally:
        transport.close()
    return Ended(exit_code, output)


async def _start(command: HostCommand, sending: int) -> asyncio.subprocess.Process:
    renew_session_keyring()
    return await asyncio.create_subprocess_exec(
        *command.argv,
        stdin=command.stdin or asyncio.subprocess.DEVNULL,
        stdout=sending,
        stderr=sending,
        env=dict(command.env),
        cwd="/",
        start_new_session=True,
    )


async def _until_ended(process: asyncio.subprocess.Process, command: HostCommand) -> tuple[int | None, str]:
    """The exit code, None when the time ran out, and which limit was passed, if any. Kills whatever still runs."""
    why = ""
    try:
        async with asyncio.timeout(command.timeout_s):
            if command.watch is not None:
                why = await _watched(process, command.watch)
            else:
                await process.wait()
    except TimeoutError:
        return None, ""
    finally:
        _end(process, command)
        if not await _within(_GRACE_S, process.wait()):
            raise SandboxError("A command of the sandbox cannot be killed. Look for a hanging disk on the host.")
    code = await process.wait()
    return (128 - code if code < 0 else code), why


async def _watched(process: asyncio.subprocess.Process, watch: Watch) -> str:
    """Wait for the end, or for the limit that calls for it."""
    waiting = asyncio.ensure_future(process.wait())
    try:
        while not (await asyncio.wait({waiting}, timeout=_LOOK_EVERY_S))[0]:
            for first in _children(process.pid):
                if why := await asyncio.to_thread(watch.look, first):
                    return why
    finally:
        waiting.cancel()
    return ""


async def _within(seconds: float, what: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await what
    except TimeoutError:
        return False
    return True


def _end(process: asyncio.subprocess.Process, command: HostCommand) -> None:
    """Kill all that runs. A process group outlives its leader, a namespace does not."""
    with suppress(ProcessLookupError):
        if command.watch is None:
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            for pid in _children(process.pid) or [process.pid]:
                _kill_first(pid)


def _kill_first(pid: int) -> None:
    """Kill a namespace's first process. It takes all others with it, but only once it gets its turn on the processor,
    and behind a fork bomb that may take minutes in which the bomb grows: so, where that is allowed, it goes ahead."""
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]
    except OSError:
        return []


def kill_marked(mark: str) -> None:
    """Kill, whoever started them, all processes of this user that hold the environment entry `NAME=value`."""
    for _ in range(10):
        if not (pids := _marked(mark.encode())):
            return
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark: bytes) -> list[int]:
    """The marked processes and, before each, the first process of the namespace it watches over."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found += [*_children(int(entry.name)), int(entry.name)]
    return found
