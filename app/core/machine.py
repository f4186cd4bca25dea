"""What goes in and out of a sandbox, as values: how a command ended, where a machine may connect, which there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended. `output` is stdout and stderr interleaved; `cut` is True when its middle was left out.

    `exit_code` is 128 + n when signal n ended it.
    """

    exit_code: int
    output: str
    seconds: float
    cut: bool = False


class CommandTimeout(TimeoutError):
    """A command ran past its time; all it started is dead. `output` is what it had printed, capped alike."""

    def __init__(self, seconds: float, output: str) -> None:
        super().__init__(f"The command did not end within {seconds:g} s.")
        self.output = output


@dataclass(frozen=True, slots=True)
class Network:
    """Where a sandbox may connect: everywhere, to `hosts` only, or (neither) nowhere."""

    is_open: bool = False
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A machine that exists. `metadata` is what `create` was given."""

    id: str
    metadata: Mapping[str, str]
    created_at: datetime
