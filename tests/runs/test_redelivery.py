"""Deliveries that did not arrive: which are asked for again, when, and that none is passed over."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from app.adapters.memory import MemoryStore
from app.core.errors import GitHubError
from app.core.inbound.delivery import DeliveryAttempt, LogPage
from app.core.ports.bundle import Ports
from app.runs.background.redelivery import (
    EVERY,
    MAX_ASKED,
    MAX_ATTEMPTS,
    MAX_PENDING,
    PAGES_AT_ONCE,
    REFUSED_WAITS,
    request_redeliveries,
)

AT = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
PAGE = 100


class Records(MemoryStore):
    """As long as these tests take, a claim would not end."""

    async def claim(self, name: str, *, ttl_s: float, holder: str = "") -> bool:
        return True


@dataclass
class GitHubLog:
    """The clock, and GitHub's log of attempts: what is asked for is attempted at once, and answered `status`."""

    at: datetime = AT
    lines: list[DeliveryAttempt] = field(default_factory=list)
    status: int = 202
    asked: list[str] = field(default_factory=list)
    pages_read: int = 0
    breaks_at_page: int = 0

    def now(self) -> datetime:
        return self.at

    def log(self, guid: str, status: int, *, event: str = "issues", again: bool = False) -> None:
        moment = self.at - timedelta(seconds=1)
        self.lines.append(
            DeliveryAttempt(len(self.lines) + 1, guid, event, "labeled", moment, status, is_redelivery=again)
        )

    async def delivery_log(self, cursor: str = "") -> LogPage:
        self.pages_read += 1
        if self.pages_read == self.breaks_at_page:
            raise GitHubError("It is away.", status=502)
        below = int(cursor) if cursor else len(self.lines) + 1
        shown = [line for line in reversed(self.lines) if line.id < below]
        return LogPage(tuple(shown[:PAGE]), str(shown[PAGE - 1].id) if len(shown) > PAGE else "")

    async def redeliver(self, attempt_id: int) -> None:
        guid = self.lines[attempt_id - 1].guid
        self.asked.append(guid)
        self.log(guid, self.status, again=True)

    def ports(self, store: Records) -> Ports:
        return cast("Ports", _Ports(self, self, store))


@dataclass
class _Ports:
    clock: Any
    github: Any
    store: Any


async def rounds(github: GitHubLog, store: Records, count: int, *, apart: timedelta = timedelta(seconds=10)) -> None:
    for _ in range(count):
        await request_redeliveries(github.ports(store), is_due=False)
        github.at += apart


async def test_what_failed_is_asked_for_until_it_arrives() -> None:
    github, store = GitHubLog(), Records()
    for guid, status in [("a", 0), ("b", 503), ("c", 202), ("push", 502)]:
        github.log(guid, status, event="push" if guid == "push" else "issues")
    await rounds(github, store, 4, apart=EVERY)
    assert github.asked == ["a", "b"]


async def test_what_arrived_at_another_attempt_is_not_asked_for() -> None:
    github, store = GitHubLog(), Records()
    github.log("a", 502)
    github.log("a", 202, again=True)
    await rounds(github, store, 4, apart=EVERY)
    assert github.asked == []


async def test_what_was_asked_too_often_waits_for_what_failed_otherwise() -> None:
    github, store = GitHubLog(), Records()
    for number in range(MAX_ASKED):
        github.log(f"flood {number}", 429)
    github.log("late", 503)
    await rounds(github, store, 1)
    assert github.asked[0] == "late"
    assert len(github.asked) == MAX_ASKED


async def test_no_line_is_passed_over_however_long_the_log_is() -> None:
    github, store = GitHubLog(), Records()
    github.log("the oldest", 502)
    for number in range(3 * PAGES_AT_ONCE * PAGE):
        github.log(f"fine {number}", 202)
    await rounds(github, store, 1)
    assert github.asked == []
    github.log("the newest", 502)
    await rounds(github, store, 4)
    assert github.asked == ["the oldest"]
    await rounds(github, store, 2, apart=EVERY)
    assert github.asked == ["the oldest", "the newest"]


async def test_a_reading_that_breaks_off_goes_on_where_it_was() -> None:
    github, store = GitHubLog(breaks_at_page=5), Records()
    github.log("the oldest", 502)
    for number in range(10 * PAGE):
        github.log(f"fine {number}", 202)
    with pytest.raises(GitHubError):
        await rounds(github, store, 1)
    await rounds(github, store, 1)
    assert github.asked == ["the oldest"]
    assert github.pages_read == 12


async def test_what_is_refused_for_its_settings_is_asked_for_a_few_times() -> None:
    for status in (400, 401, 413, 415):
        github, store = GitHubLog(status=status), Records()
        github.log("a", status)
        await rounds(github, store, 48 * 12, apart=EVERY)
        assert len(github.asked) == 1 + len(REFUSED_WAITS)


async def test_what_never_arrives_is_given_up() -> None:
    github, store = GitHubLog(status=500), Records()
    github.log("a", 500)
    await rounds(github, store, 12 * MAX_ATTEMPTS, apart=EVERY / 2)
    assert len(github.asked) == MAX_ATTEMPTS


async def test_settings_that_were_put_right_let_everything_in() -> None:
    github, store = GitHubLog(status=401), Records()
    for number in range(MAX_PENDING + 500):
        github.log(f"{number}", 401)
    await rounds(github, store, 70)
    github.status = 202
    await rounds(github, store, 26 * 60, apart=timedelta(minutes=1))
    arrived = {line.guid for line in github.lines if line.arrived}
    assert len(arrived) == MAX_PENDING + 500


async def test_a_place_that_github_forgot_is_looked_for_anew() -> None:
    github, store = GitHubLog(breaks_at_page=3), Records()
    github.log("the oldest", 502)
    for number in range(5 * PAGE):
        github.log(f"fine {number}", 202)

    ports = github.ports(store)
    first = github.delivery_log

    async def forgetful(cursor: str = "") -> LogPage:
        try:
            return await first(cursor)
        except GitHubError as error:
            raise GitHubError("Invalid cursor", status=422) from error

    cast("Any", github).delivery_log = forgetful
    await request_redeliveries(ports)
    assert github.asked == ["the oldest"]
