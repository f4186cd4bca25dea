"""Sandboxes, as a port, with what goes in and out of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended. `output` is stdout and stderr interleaved; `cut` is True when its middle was left out.

    `exit_code` is 128 + n when signal n ended it.
    """

    exit_code: int
    output: str
    seconds: float
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """Where a sandbox may connect: everywhere, to `hosts` only, or (neither) nowhere."""

    is_open: bool = False
    hosts: tuple[str, ...] = ()


class Sandbox(Protocol):
    """One isolated machine with one work tree. Paths are relative to the work tree or absolute inside the machine.

    Every method raises `SandboxGone` when the machine does not exist any more, and `SandboxError` when it cannot be
    reached after the adapter's own retries.
    """

    id: str
    work_tree: str
    """Absolute path of the work tree inside the machine; exists and is empty when the machine is new."""

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
        """Run `argv` without a shell and wait for it, not for what it started in the background. That ends with it,
        unless `leaves_daemons` says that it is to live on; on this host, where no process outlives its command, it
        ends all the same.

        A command that fails, or does not exist (127), is an `ExecResult`, not an exception. Output is UTF-8 with
        U+FFFD for bad bytes, cut in the middle at its source, so that a flood costs the worker nothing.

        Raises:
            CommandTimeout: it ran past `timeout_s`; all it started is dead.
        """

    async def read(self, path: str, *, max_bytes: int = 1_048_576) -> bytes:
        """The file's first `max_bytes`. Repeatable.

        Raises:
            FileNotFoundError: there is no such file, or it is not a regular file.
            OSError: it cannot be read; the message says why.
        """

    async def write(self, path: str, data: bytes) -> None:
        """Write a file, making its folders. Keeps an existing file's mode. Repeatable.

        Raises:
            OSError: there is a folder, a device or a read-only file at `path`.
        """

    async def upload(self, tar: Path, to: str) -> None:
        """Unpack a tar of the host into a folder of the machine. Repeatable."""

    async def set_network(self, network: Network) -> None:
        """From now on allow only this. New machines are open (set-up needs the network). Repeatable."""

    async def keep_alive(self, seconds: float) -> None:
        """Let the machine live at least this much longer. Repeatable."""

    async def close(self) -> None:
        """Destroy the machine and all that is on it. Repeatable; never raises for a machine that is gone."""


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A machine that exists. `metadata` is what `create` was given."""

    id: str
    metadata: Mapping[str, str]
    created_at: datetime


class SandboxProvider(Protocol):
    """Makes machines. Every method raises `SandboxError`."""

    async def create(self, *, key: str, metadata: Mapping[str, str], timeout_s: float) -> Sandbox:
        """A new machine that lives `timeout_s` unless kept alive. Repeatable with the same `key`."""

    async def reconnect(self, sandbox_id: str) -> Sandbox:
        """The living machine of that id.

        Raises:
            SandboxGone: there is none.
        """

    async def list(self) -> tuple[SandboxInfo, ...]:
        """All living machines that this program made, oldest first. Repeatable."""

    async def kill(self, sandbox_id: str) -> bool:
        """Destroy a machine by id; False when there was none. Repeatable."""


class CommandTimeout(TimeoutError):
    """A command ran past its time; all it started is dead. `output` is what it had printed, capped alike."""

    def __init__(self, seconds: float, output: str) -> None:
        super().__init__(f"The command did not end within {seconds:g} s.")
        self.output = output
