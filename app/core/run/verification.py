"""What the harness saw when it ran the repository's tests, and what that proves. Never written by the model."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One run of the tests by the harness. `on` is `base`, `base with the new tests` or `head`."""

    on: str
    command: str
    exit_code: int
    seconds: float
    tail: str = ""
    timed_out: bool = False

    @property
    def passed(self) -> bool:
        return self.exit_code == 0 and not self.timed_out


class Verdict(StrEnum):
    """What the exit codes say, and nothing more."""

    PROVEN = "proven"
    """Head passes, and the new or changed tests fail on base."""
    PASSING = "passing"
    """Head passes; no changed test told base and head apart."""
    FAILING = "failing"
    """Head fails."""
    UNTESTED = "untested"
    """The repository has no tests that could be found and run."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Written by the harness from exit codes, never by the model. `tree_sha` is the git tree that was tested."""

    verdict: Verdict
    runs: tuple[SuiteRun, ...] = ()
    tree_sha: str = ""
    changed_tests: tuple[str, ...] = ()
