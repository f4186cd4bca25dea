"""Which events become jobs."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.core.inbound.events import parse
from app.core.inbound.triggers import decide
from app.core.run.job import Command, DiffPosition, Job, Mode, Person, Source, Verb
from tests.payloads import Json, payload

NOW = datetime(2026, 11, 22, 15, 3, 11, tzinfo=UTC)


REVIEW = "pull_request_review.submitted"
REMARK = "pull_request_review_comment.created"
CHECKS = "check_suite.completed"
BRANCH = "vibecode/12-the-greeting-has-a-typo"
HEAD_SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"

SOMEBODY_ELSES: dict[str, dict[str, Json]] = {
    "a person's": {"pull_request.user": {"id": 1002, "login": "tim-berners", "type": "User"}},
    "from another branch": {"pull_request.head.ref": "typo"},
    "from a fork": {"pull_request.head.repo": {"full_name": "eve/greeter"}},
    "from a fork that is gone": {"pull_request.head.repo": None},
    "of nobody": {"pull_request.user": None},
}


def job_of(
    name: str, changes: dict[str, Json] | None = None, *, label: str = "vibecode", bots: tuple[str, ...] = ()
) -> Job | None:
    event = parse(name.partition(".")[0], payload(name, changes))
    assert event is not None
    return decide(event, delivery_id="72d3162e", label=label, now=NOW, bots=bots)


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
        asked_at=datetime(2026, 11, 22, 15, 2, 37, tzinfo=UTC),
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


@pytest.mark.parametrize("name", ["issues.labeled", "issue_comment.created", REVIEW, REMARK, CHECKS])
def test_nothing_is_asked_without_an_installation(name: str) -> None:
    assert job_of(name, {"installation": None}) is None


@pytest.mark.parametrize(
    "name", ["ping", "installation.created", "installation_repositories.added", "repository.renamed"]
)
def test_other_events_ask_for_nothing(name: str) -> None:
    assert job_of(name) is None


def test_a_redelivery_is_the_same_job() -> None:
    for name in ("issues.labeled", "issue_comment.created", REVIEW, REMARK, CHECKS):
        event = parse(name.partition(".")[0], payload(name))
        assert event is not None
        first = decide(event, delivery_id="1", label="vibecode", now=NOW)
        second = decide(event, delivery_id="2", label="vibecode", now=NOW.replace(hour=16))
        assert first is not None
        assert second is not None
        assert replace(second, delivery_id="1", created_at=NOW) == first


def test_a_request_is_of_githubs_moment_however_late_its_delivery_comes() -> None:
    comment = commented("/vibecode")
    assert comment is not None
    assert comment.moment == datetime(2026, 11, 22, 15, 3, 10, tzinfo=UTC)
    assert replace(comment, created_at=datetime(2026, 11, 25, tzinfo=UTC)).moment == comment.moment
    ahead = replace(comment, created_at=comment.moment - timedelta(minutes=1))
    assert ahead.moment == ahead.created_at, "GitHub's clock is ahead of ours"


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


# -------------------------------------------------------------------------------------- reviews, remarks, failed checks


def test_a_review_that_requests_changes_is_a_job() -> None:
    assert job_of(REVIEW) == Job(
        id="acme~greeter~13~review~901",
        repo="acme/greeter",
        installation_id=4242,
        source=Source.REVIEW,
        sender=Person("ada", 1001),
        created_at=NOW,
        command=Command(Verb.START, instruction="Nearly there.\r\n\r\nPlease greet with the first name only."),
        mode=Mode.FOLLOW_UP,
        number=13,
        is_pull_request=True,
        title="Fix the typo in the greeting",
        body="Closes #12",
        author=Person("vibecoder[bot]", 3003, is_bot=True),
        asked_at=datetime(2026, 11, 22, 15, 10, 31, tzinfo=UTC),
        delivery_id="72d3162e",
        is_private=True,
        branch=BRANCH,
        head_sha=HEAD_SHA,
        review_id=901,
        is_addressed=False,
    )


def test_a_review_whose_comments_say_it_all_is_a_job_too() -> None:
    job = job_of(REVIEW, {"review.body": None})
    assert job is not None
    assert job.command == Command(Verb.START)


@pytest.mark.parametrize("state", ["approved", "commented", "dismissed"])
def test_another_review_asks_for_nothing_unless_it_commands(state: str) -> None:
    assert job_of(REVIEW, {"review.state": state}) is None
    job = job_of(REVIEW, {"review.state": state, "review.body": "Fine.\n/vibecode stop"})
    assert job is not None
    assert (job.command.verb, job.mode, job.source) == (Verb.STOP, Mode.AUTO, Source.REVIEW)


def test_a_comment_on_a_line_is_a_job_that_knows_its_place() -> None:
    job = job_of(REMARK)
    assert job is not None
    assert (job.id, job.source, job.mode) == ("acme~greeter~13~remark~77", Source.REMARK, Mode.FOLLOW_UP)
    assert (job.comment_id, job.review_id) == (77, 901)
    assert job.command == Command(Verb.START, instruction="Use an f-string here.")
    assert job.place is not None
    assert (job.place.path, job.place.line) == ("src/greet.py", 2)
    assert job.place.hunk.endswith('+    return "hello, " + name')


def test_a_comment_on_a_whole_file_has_a_place_without_a_line() -> None:
    job = job_of(REMARK, {"comment.line": None, "comment.diff_hunk": "@@" + "x" * 10_000})
    assert job is not None
    assert job.place == DiffPosition("src/greet.py", None, "x" * 4_096)


def test_a_comment_on_a_line_may_command() -> None:
    job = job_of(REMARK, {"comment.body": "/vibecode use an f-string"})
    assert job is not None
    assert job.command == Command(Verb.START, instruction="use an f-string")


@pytest.mark.parametrize("body", ["", " \r\n", None])
def test_a_comment_without_words_asks_for_nothing(body: str | None) -> None:
    assert job_of(REMARK, {"comment.body": body}) is None


@pytest.mark.parametrize("changes", SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES)
def test_reviewing_somebody_elses_pull_request_asks_for_nothing(changes: dict[str, Json]) -> None:
    assert job_of(REMARK, changes) is None
    assert job_of(REVIEW, changes) is None


@pytest.mark.parametrize("changes", SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES)
def test_a_command_in_a_review_of_it_is_a_job_so_that_it_is_answered(changes: dict[str, Json]) -> None:
    for name, key in ((REMARK, "comment.body"), (REVIEW, "review.body")):
        job = job_of(name, {**changes, key: "/vibecode mend it"})
        assert job is not None
        assert job.command == Command(Verb.START, instruction="mend it")


def test_a_review_of_a_closed_pull_request_is_a_job_that_knows_it() -> None:
    for name in (REVIEW, REMARK):
        job = job_of(name, {"pull_request.state": "closed"})
        assert job is not None
        assert not job.is_open


BY_A_BOT: dict[str, Json] = {"id": 5, "login": "Linter[bot]", "type": "Bot"}


@pytest.mark.parametrize(
    ("name", "said"),
    [("issue_comment.created", "comment"), (REVIEW, "review"), (REMARK, "comment")],
)
def test_only_a_bot_that_is_named_is_heard(name: str, said: str) -> None:
    by_a_bot: dict[str, Json] = {"sender": BY_A_BOT, f"{said}.user": BY_A_BOT}
    assert job_of(name, by_a_bot) is None
    assert job_of(name, by_a_bot, bots=("another[bot]",)) is None
    job = job_of(name, by_a_bot, bots=("linter[bot]",))
    assert job is not None
    assert job.sender == Person("Linter[bot]", 5, is_bot=True)


@pytest.mark.parametrize(("name", "said"), [(REVIEW, "review"), (REMARK, "comment")])
def test_a_bot_that_is_named_speaks_for_nobody_else(name: str, said: str) -> None:
    assert job_of(name, {"sender": BY_A_BOT}, bots=("linter[bot]",)) is None
    assert job_of(name, {f"{said}.user": BY_A_BOT}, bots=("linter[bot]",)) is None


def test_checks_that_failed_on_our_pull_request_are_a_job() -> None:
    assert job_of(CHECKS) == Job(
        id="acme~greeter~13~checks~5001",
        repo="acme/greeter",
        installation_id=4242,
        source=Source.CHECKS,
        sender=Person("vibecoder[bot]", 3003, is_bot=True),
        created_at=NOW,
        mode=Mode.FIX_CI,
        number=13,
        is_pull_request=True,
        delivery_id="72d3162e",
        is_private=True,
        branch=BRANCH,
        head_sha=HEAD_SHA,
    )


@pytest.mark.parametrize("conclusion", ["success", "neutral", "skipped", None])
def test_checks_that_ended_in_another_way_ask_for_nothing(conclusion: str | None) -> None:
    assert job_of(CHECKS, {"check_suite.conclusion": conclusion}) is None


@pytest.mark.parametrize("conclusion", ["timed_out", "cancelled", "action_required", "stale", "startup_failure"])
def test_checks_that_failed_in_another_way_are_a_job(conclusion: str) -> None:
    assert job_of(CHECKS, {"check_suite.conclusion": conclusion})


def test_checks_before_there_is_a_pull_request_are_a_job_without_a_number() -> None:
    job = job_of(CHECKS, {"check_suite.pull_requests": []})
    assert job is not None
    assert (job.id, job.number, job.is_pull_request) == ("acme~greeter~checks~5001", None, False)
    assert (job.branch, job.head_sha) == (BRANCH, HEAD_SHA)


def test_a_pull_request_of_another_repository_is_not_ours() -> None:
    suite = json.loads(payload(CHECKS))["check_suite"]["pull_requests"][0]
    theirs, forked = copy.deepcopy(suite), copy.deepcopy(suite)
    theirs["base"]["repo"]["id"], theirs["number"] = 99_001, 4
    forked["head"]["repo"]["id"], forked["number"] = 99_002, 5
    job = job_of(CHECKS, {"check_suite.pull_requests": [theirs, forked, suite]})
    assert job is not None
    assert job.number == 13
    job = job_of(CHECKS, {"check_suite.pull_requests": [theirs, forked]})
    assert job is not None
    assert job.number is None


def test_a_failed_status_of_our_branchs_head_is_a_job() -> None:
    assert job_of("status") == Job(
        id="acme~greeter~checks~status6001",
        repo="acme/greeter",
        installation_id=4242,
        source=Source.CHECKS,
        sender=Person("vibecoder[bot]", 3003, is_bot=True),
        created_at=NOW,
        mode=Mode.FIX_CI,
        delivery_id="72d3162e",
        is_private=True,
        branch=BRANCH,
        head_sha=HEAD_SHA,
    )
    assert job_of("status", {"state": "error"})


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "pending"},
        {"state": "success"},
        {"branches": []},
        {"branches": [{"name": "main", "commit": {"sha": HEAD_SHA}}]},
        {"branches": [{"name": BRANCH, "commit": {"sha": "0" * 40}}]},
        {"installation": None},
    ],
)
def test_other_statuses_ask_for_nothing(changes: dict[str, Json]) -> None:
    assert job_of("status", changes) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"check_suite.head_branch": "main"},
        {"check_suite.head_branch": None},
    ],
)
def test_checks_elsewhere_ask_for_nothing(changes: dict[str, Json]) -> None:
    assert job_of(CHECKS, changes) is None
