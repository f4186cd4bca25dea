"""A fault: what is done to a world at work, and in which world. Modules of faults register theirs here."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.faults.world import World

FAULTS: Final[dict[str, "Fault"]] = {}

Inject = Callable[[World], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`inject` asks for the work, waits for the moment and does the damage; what must hold then is in `truth`.

    `is_direct`: Redis is reached without a tap, on its own socket. `serves`: one process, `vibecoder serve`.
    `waits`: most of its time nothing happens, as a lease has to end. `limit_s` bounds the whole fault, on an idle
    machine.
    """

    name: str
    inject: Inject
    workers: int = 1
    is_direct: bool = False
    serves: bool = False
    waits: bool = False
    limit_s: float = 100.0
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """What it does, in a line."""
        inject = self.inject.func if isinstance(self.inject, partial) else self.inject
        return (inject.__doc__ or "").partition("\n")[0]


def add(fault: Fault) -> None:
    """Register a fault.

    Raises:
        ValueError: there is one of that name.
    """
    if fault.name in FAULTS:
        raise ValueError(f"There are two faults named {fault.name}.")
    FAULTS[fault.name] = fault
