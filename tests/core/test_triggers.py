"""Which events become jobs."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.core.events import parse
from app.core.job import Command, Job, Mode, Person, Source, Verb
from app.core.triggers import decide
from tests.payloads import Json, payload

NOW = datetime(2026, 11, 22, 15, 3, 11, tzinfo=UTC)


def job_of(name: str, changes: dict[str, Json] | None = None, *, label: str = "vibecode") -> Job | None:
    event = parse(name.partition(".")[0], payload(name, changes))
    assert event is not None
    return decide(event, delivery_id="72d3162e", label=label, now=NOW)


def labeled(**changes: Json) -> Job | None:
    return job_of("issues.labeled", {key.replace("__", "."): value for key, value in changes.items()})


def commented(body: str, **changes: Json) -> Job | None:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return job_of("issue_comment.created", {"comment.body": body, **dotted})


def test_a_labelled_issue_is_a_job_with_the_issue_as_it_stood() -> None:
    assert labeled() == Job(
        id="acme~greeter~12~label~20261122T150237Z",
        repo="acme/greeter",
        installation_id=4242,
        source=Source.LABEL,
        sender=Person("ada", 1001),
        created_at=NOW,
        number=12,
        title="The greeting has a typo",
        body="It says `helo`.\r\n\r\n> helo, world\r\n\r\nIt should say **hello** — everywhere. 👋",
        author=Person("tim-berners", 1002),
        delivery_id="72d3162e",
        is_private=True,
        label="vibecode",
    )


def test_a_command_is_a_job_that_knows_its_comment() -> None:
    job = commented("/vibecode keep it short")
    assert job is not None
    assert (job.id, job.comment_id, job.source) == ("acme~greeter~12~comment~99", 99, Source.COMMENT)
    assert job.command == Command(Verb.START, instruction="keep it short")
    assert job.mode is Mode.AUTO


def test_a_command_on_a_pull_request_follows_up() -> None:
    job = job_of("issue_comment.created.pull_request")
    assert job is not None
    assert (job.mode, job.is_pull_request, job.number) == (Mode.FOLLOW_UP, True, 13)


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        ("/vibecode plan", Mode.PLAN),
        ("/vibecode stop", Mode.AUTO),
        ("/vibecode stpo", Mode.AUTO),
        ("/vibecode", Mode.FOLLOW_UP),
    ],
)
def test_only_a_start_follows_up(body: str, mode: Mode) -> None:
    job = job_of("issue_comment.created.pull_request", {"comment.body": body})
    assert job is not None
    assert job.mode is mode


def test_the_label_with_plan_after_it_asks_for_a_plan() -> None:
    job = labeled(label__name="vibecode:plan")
    assert job is not None
    assert (job.mode, job.command) == (Mode.PLAN, Command(Verb.PLAN))


def test_the_label_is_found_in_any_case_and_is_the_deployments() -> None:
    assert labeled(label__name="VibeCode")
    assert job_of("issues.labeled", {"label.name": "Do It"}, label="do it")
    assert job_of("issues.labeled", label="do it") is None


@pytest.mark.parametrize("name", ["bug", "vibecoder", "vibecode ", "vibecode:planned", "plan", ""])
def test_another_label_asks_for_nothing(name: str) -> None:
    assert labeled(label__name=name) is None


def test_a_label_on_a_closed_issue_asks_for_nothing() -> None:
    assert labeled(issue__state="closed") is None


def test_a_command_on_a_closed_issue_is_a_job_so_that_it_is_answered() -> None:
    assert commented("/vibecode", issue__state="closed")


def test_a_command_that_cannot_be_read_is_a_job_so_that_it_is_answered() -> None:
    job = commented("/vibecode stpo")
    assert job is not None
    assert job.command.verb is Verb.UNREADABLE
    assert "`/vibecode stop`" in job.command.problem


@pytest.mark.parametrize("body", ["Nice!", "> /vibecode", "I like /vibecode", None])
def test_a_comment_without_a_command_asks_for_nothing(body: str | None) -> None:
    assert job_of("issue_comment.created", {"comment.body": body}) is None


@pytest.mark.parametrize(
    "bot",
    [
        {"sender.type": "Bot"},
        {"sender.login": "dependabot[bot]"},
        {"sender.type": "Bot", "sender.login": "Copilot"},
    ],
)
def test_a_bot_never_triggers(bot: dict[str, Json]) -> None:
    assert job_of("issues.labeled", bot) is None
    assert job_of("issue_comment.created", bot) is None


def test_a_comment_written_by_an_app_never_triggers_even_in_a_persons_name() -> None:
    assert commented("/vibecode", comment__performed_via_github_app={"id": 1, "slug": "some-app"}) is None
    assert commented("/vibecode", comment__user={"id": 5, "login": "x", "type": "Bot"}) is None


def test_a_person_may_label_an_issue_that_an_app_opened() -> None:
    assert labeled(issue__performed_via_github_app={"id": 1}, issue__user={"id": 5, "login": "s[bot]", "type": "Bot"})


@pytest.mark.parametrize("name", ["issues.labeled", "issue_comment.created"])
def test_nothing_is_asked_without_an_installation(name: str) -> None:
    assert job_of(name, {"installation": None}) is None


@pytest.mark.parametrize("name", ["ping", "installation.created", "installation_repositories.added"])
def test_other_events_ask_for_nothing(name: str) -> None:
    assert job_of(name) is None


def test_a_redelivery_is_the_same_job() -> None:
    for name in ("issues.labeled", "issue_comment.created"):
        event = parse(name.partition(".")[0], payload(name))
        assert event is not None
        first = decide(event, delivery_id="1", label="vibecode", now=NOW)
        second = decide(event, delivery_id="2", label="vibecode", now=NOW.replace(hour=16))
        assert first is not None
        assert second is not None
        assert replace(second, delivery_id="1", created_at=NOW) == first


def test_putting_the_label_again_later_is_another_job() -> None:
    first, second = labeled(), labeled(issue__updated_at="2026-11-22T17:02:38+02:00")
    assert first is not None
    assert second is not None
    assert second.id == "acme~greeter~12~label~20261122T150238Z" != first.id


def test_the_snapshot_is_capped() -> None:
    job = labeled(issue__title="t" * 1_000, issue__body="b" * 100_000)
    assert job is not None
    assert (len(job.title), len(job.body)) == (256, 65_536)


def test_an_empty_body_and_a_deleted_author_are_no_obstacle() -> None:
    job = labeled(issue__body=None, issue__user=None)
    assert job is not None
    assert (job.body, job.author) == ("", None)
