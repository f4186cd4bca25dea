"""What a check finds, as values."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias


class State(StrEnum):
    """How a check ended, the worst last."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be, and what to do about it. A warning stops nothing from working."""

    what: str
    fix: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `found` is what is well, in a few words; `skipped_for` is why it was not looked at."""

    check: str
    found: str = ""
    troubles: tuple[Trouble, ...] = ()
    skipped_for: str = ""
    seconds: float = 0.0

    @property
    def state(self) -> State:
        if self.skipped_for:
            return State.SKIPPED
        if any(not trouble.is_warning for trouble in self.troubles):
            return State.FAILED
        return State.WARNING if self.troubles else State.OK

    def redacted(self, redact: Callable[[str], str]) -> "Finding":
        """The same with every secret masked."""
        troubles = tuple(replace(each, what=redact(each.what), fix=redact(each.fix)) for each in self.troubles)
        return replace(self, found=redact(self.found), troubles=troubles, skipped_for=redact(self.skipped_for))

    def document(self) -> dict[str, object]:
        """The finding for machines."""
        return {
            "check": self.check,
            "state": self.state,
            "found": self.found,
            "troubles": [{"what": each.what, "fix": each.fix, "is_warning": each.is_warning} for each in self.troubles],
            "skipped_for": self.skipped_for,
            "seconds": round(self.seconds, 2),
        }


class Skip(Exception):
    """Raised by a check that cannot be made; the text says why."""


Look: TypeAlias = Callable[[], Awaitable[tuple[str, list[Trouble]]]]
"""A check: gives what is well and what is not. May raise `Skip`, or any `VibecoderError` as its trouble."""
