"""Pull requests, their review threads and their checks, as values.

https://docs.github.com/en/rest/pulls, https://docs.github.com/en/rest/checks/runs
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from app.core.run.job import Person

FAILED: Final = frozenset({"failure", "timed_out"})
"""Conclusions of a check that ask for work."""


HALTED: Final = frozenset({"startup_failure", "cancelled", "stale", "action_required"})
"""Conclusions of a check suite that did not run to its end. No change to the code helps: people are told."""


FAILED_STATES: Final = frozenset({"failure", "error"})
"""States of a commit status that ask for work."""


STATUS_APP: Final = "commit status"
"""`Check.app` of a commit status."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as it stands. `head` and `base` are branches; `is_fork`: its branch is another repository's.

    `is_mergeable` is None while GitHub has not found out. `is_ours` says that this App opened it.
    """

    number: int
    title: str
    body: str
    url: str
    head: str
    head_sha: str
    base: str
    author: Person | None = None
    is_open: bool = True
    is_merged: bool = False
    is_draft: bool = False
    is_fork: bool = False
    is_ours: bool = False
    is_mergeable: bool | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check run or commit status on a commit. `conclusion` is empty while it runs; `text` is what it says itself,
    plain, capped.

    `app` is the slug of the App that made it (`github-actions`), or `STATUS_APP`. `ended_at` is not always told.
    """

    id: int
    name: str
    app: str
    conclusion: str = ""
    url: str = ""
    text: str = ""
    ended_at: datetime | None = None

    @property
    def is_failed(self) -> bool:
        return self.conclusion in FAILED


@dataclass(frozen=True, slots=True)
class CheckSuiteState:
    """The checks of one App on a commit, as a whole. `conclusion` is empty until all have ended."""

    app_name: str
    conclusion: str = ""

    @property
    def is_halted(self) -> bool:
        return self.conclusion in HALTED


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found out about checks that failed. `findings` are sentences for people, in order.

    `failed` are those that are still to be looked into; `asked` are the ids of those among them that were asked, at
    `asked_at`, to run again. `seen` are the ids of all failed checks that were looked at.
    """

    failed: tuple[Check, ...] = ()
    asked: tuple[int, ...] = ()
    asked_at: datetime | None = None
    findings: tuple[str, ...] = ()
    seen: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ThumbsUp:
    """A reaction of a person or bot to one of our comments. `id` is GitHub's, unique among reactions."""

    id: int
    person: Person
    is_bot: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IssueText:
    """What an issue says now."""

    title: str
    body: str
    is_open: bool
    author: Person | None = None
    is_locked: bool = False


class MergeResult(StrEnum):
    """How the attempt to merge base into a branch ended."""

    MERGED = "merged"
    NOTHING = "nothing"
    """The branch has all of it already."""
    CONFLICT = "conflict"
