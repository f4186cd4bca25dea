"""Which closings end which runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.core.inbound.closing import Closing, find_closing
from app.core.inbound.events import IssueClosed, PullClosed, parse
from app.core.run.job import Command, Job, Person, Source, Verb
from app.core.run.run import Conclusion, OpenedPullRequest, Run
from tests.payloads import Json, payload

AT = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
ADA = Person("ada", 1001)
BRANCH = "vibecode/12-the-greeting-has-a-typo"


def found(name: str, changes: dict[str, Json] | None = None) -> Closing | None:
    event = parse(name.partition(".")[0], payload(name, changes))
    assert isinstance(event, IssueClosed | PullClosed)
    return find_closing(event)


def test_a_closed_issue_is_read() -> None:
    assert found("issues.closed") == Closing("acme/greeter", 12, ADA, "closed", AT)


@pytest.mark.parametrize("action", ["deleted", "transferred"])
def test_so_is_one_that_is_gone(action: str) -> None:
    closing = found("issues.closed", {"action": action})
    assert closing is not None
    assert closing.action == action


def test_a_closed_pull_request_is_read() -> None:
    assert found("pull_request.closed") == Closing("acme/greeter", 13, ADA, "closed", AT, BRANCH)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("pull_request.closed", {"pull_request.merged_at": "2026-11-22T15:30:00Z", "pull_request.merged": True}),
        ("pull_request.closed", {"pull_request.head.ref": "fix"}),
        ("pull_request.closed", {"pull_request.head.repo": None}),
        ("pull_request.closed", {"pull_request.head.repo.full_name": "mallory/greeter"}),
        ("pull_request.closed", {"sender.type": "Bot"}),
        ("pull_request.closed", {"installation": None}),
        ("issues.closed", {"sender.login": "stale[bot]"}),
        ("issues.closed", {"issue.pull_request": {}}),
    ],
)
def test_merges_bots_and_others_branches_end_nothing(name: str, changes: dict[str, Json]) -> None:
    assert found(name, changes) is None


RUN = Run(Job("x", "acme/greeter", 1, Source.LABEL, ADA, AT - timedelta(minutes=1), number=12))
ISSUE = Closing("acme/greeter", 12, ADA, "closed", AT)
PULL = Closing("acme/greeter", 13, ADA, "closed", AT, BRANCH)
MADE = OpenedPullRequest(13, "https://github.com/acme/greeter/pull/13", "f" * 40)


@pytest.mark.parametrize(
    ("closing", "run", "is_ended"),
    [
        (ISSUE, RUN, True),
        (replace(ISSUE, number=1), RUN, False),
        (replace(ISSUE, repo="acme/other"), RUN, False),
        (ISSUE, replace(RUN, conclusion=Conclusion.SUCCESS), False),
        (ISSUE, replace(RUN, job=replace(RUN.job, created_at=AT + timedelta(minutes=1))), False),
        (ISSUE, replace(RUN, job=replace(RUN.job, command=Command(Verb.STOP))), False),
        (ISSUE, replace(RUN, pull_request=MADE), False),  # a merge closes the issue, too
        (PULL, replace(RUN, pull_request=MADE), True),
        (PULL, replace(RUN, job=replace(RUN.job, number=13, is_pull_request=True)), True),
        (PULL, replace(RUN, branch=BRANCH), True),
        (PULL, RUN, False),
    ],
)
def test_a_closing_ends_the_open_runs_of_its_thread(closing: Closing, run: Run, is_ended: bool) -> None:
    assert closing.ends(run) is is_ended
