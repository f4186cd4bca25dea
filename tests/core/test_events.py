"""Payloads become events, or one kind of error, or nothing."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.inbound.delivery import BadDelivery
from app.core.inbound.events import (
    HANDLED,
    ChecksCompleted,
    CommentCreated,
    InstallationChanged,
    IssueLabeled,
    Label,
    Ping,
    RepositoryChanged,
    ReviewCommentCreated,
    ReviewSubmitted,
    is_ours,
    parse,
)
from tests.payloads import NAMES, Json, payload

OURS = sorted(HANDLED)


def test_a_label_is_read() -> None:
    event = parse("issues", payload("issues.labeled"))
    assert isinstance(event, IssueLabeled)
    assert (event.repository.full_name, event.issue.number) == ("acme/greeter", 12)
    assert event.label == Label(name="vibecode")
    assert (event.sender.login, event.sender.id, event.sender.is_bot) == ("ada", 1001, False)
    assert event.issue.body is not None
    assert event.issue.body.endswith("everywhere. 👋")


def test_a_comment_on_a_pull_request_is_told_from_one_on_an_issue() -> None:
    on_issue = parse("issue_comment", payload("issue_comment.created"))
    on_pull = parse("issue_comment", payload("issue_comment.created.pull_request"))
    assert isinstance(on_issue, CommentCreated)
    assert isinstance(on_pull, CommentCreated)
    assert on_issue.issue.pull_request is None
    assert on_pull.issue.pull_request is not None


@pytest.mark.parametrize("name", ["installation.created", "installation_repositories.added"])
def test_a_change_of_the_installation_is_read(name: str) -> None:
    event = parse(name.partition(".")[0], payload(name))
    assert isinstance(event, InstallationChanged)
    assert event.installation.id == 4242


def test_a_ping_is_read() -> None:
    assert isinstance(parse("ping", payload("ping")), Ping)


def test_a_review_is_read() -> None:
    event = parse("pull_request_review", payload("pull_request_review.submitted"))
    assert isinstance(event, ReviewSubmitted)
    assert (event.review.id, event.review.state) == (901, "changes_requested")
    pull = event.pull_request
    assert (pull.number, pull.state, pull.user and pull.user.is_bot) == (13, "open", True)
    assert (pull.head.ref, pull.head.repo and pull.head.repo.full_name) == (
        *("vibecode/12-the-greeting-has-a-typo", "acme/greeter"),
    )


def test_a_comment_on_a_line_is_read() -> None:
    event = parse("pull_request_review_comment", payload("pull_request_review_comment.created"))
    assert isinstance(event, ReviewCommentCreated)
    comment = event.comment
    assert (comment.id, comment.path, comment.line, comment.pull_request_review_id) == (77, "src/greet.py", 2, 901)
    assert comment.diff_hunk.startswith("@@ -1,2 +1,2 @@")


@pytest.mark.parametrize(
    "changes",
    [
        {"comment.line": None, "comment.subject_type": "file"},
        {"comment.pull_request_review_id": None},
        {"comment.user": None},
        {"pull_request.user": None},
        {"pull_request.head.repo": None},
        {"pull_request.body": None},
    ],
)
def test_what_may_be_missing_around_a_comment_on_a_line_is_no_obstacle(changes: dict[str, Json]) -> None:
    body = payload("pull_request_review_comment.created", changes)
    assert isinstance(parse("pull_request_review_comment", body), ReviewCommentCreated)


def test_the_end_of_checks_is_read() -> None:
    event = parse("check_suite", payload("check_suite.completed"))
    assert isinstance(event, ChecksCompleted)
    suite = event.check_suite
    assert (suite.id, suite.conclusion, suite.app and suite.app.slug) == (5001, "failure", "github-actions")
    assert [pull.number for pull in suite.pull_requests] == [13]
    assert parse("check_suite", payload("check_suite.completed", {"action": "requested"})) is None


@pytest.mark.parametrize("action", ["renamed", "archived", "transferred", "deleted"])
def test_what_happens_to_a_repository_is_read(action: str) -> None:
    event = parse("repository", payload("repository.renamed", {"action": action}))
    assert isinstance(event, RepositoryChanged)
    assert event.repository is not None
    assert (event.action, event.repository.full_name) == (action, "acme/greeter")


@pytest.mark.parametrize("event", ["push", "check_run", "issue", "", "issues\n", "projects_v2_item"])
def test_an_event_that_is_not_ours_is_not_even_parsed(event: str) -> None:
    assert not is_ours(event, b"\xff this is not JSON")
    assert parse(event, b"\xff this is not JSON") is None


@pytest.mark.parametrize("action", ["opened", "edited", "unlabeled", "reopened"])
def test_another_action_is_dropped_after_its_first_bytes(action: str) -> None:
    assert not is_ours("issues", f'{{"action":"{action}", and then no JSON'.encode())
    assert parse("issues", payload("issues.labeled", {"action": action})) is None


def test_the_action_may_stand_anywhere() -> None:
    document = json.loads(payload("issues.labeled"))
    action = document.pop("action")
    assert isinstance(parse("issues", json.dumps(document | {"action": action}).encode()), IssueLabeled)
    assert parse("issues", json.dumps(document | {"action": "edited"}).encode()) is None
    assert parse("issues", json.dumps(document).encode()) is None


@pytest.mark.parametrize(
    ("changes", "is_read"),
    [
        ({"issue.body": None}, True),
        ({"issue.user": None}, True),
        ({"issue.state": None}, True),
        ({"label": None}, True),
        ({"installation": None}, True),
        ({"organization": None}, True),
        ({"issue.title": "\x00"}, True),
        ({"issue.title": 5}, False),
        ({"issue": None}, False),
        ({"issue": []}, False),
        ({"issue.number": "12"}, False),
        ({"issue.number": 0}, False),
        ({"issue.number": True}, False),
        ({"issue.number": 12.5}, False),
        ({"issue.number": 10**30}, False),
        ({"issue.updated_at": "yesterday"}, False),
        ({"issue.updated_at": "2026-11-22T15:02:37"}, False),
        ({"issue.updated_at": "0001-01-01T00:00:00+14:00"}, False),
        ({"sender": None}, False),
        ({"sender.login": ""}, False),
        ({"installation.id": "4242"}, False),
        ({"repository.full_name": "acme/greeter~1"}, False),
        ({"repository.full_name": "acme/.."}, False),
        ({"repository.full_name": "../greeter"}, False),
        ({"repository.full_name": "acme/greeter\n"}, False),
        ({"repository.full_name": "acme/.github"}, True),
        ({"label": {}}, False),
    ],
)
def test_what_a_rule_needs_is_required_and_the_rest_is_not(changes: dict[str, Json], is_read: bool) -> None:
    body = payload("issues.labeled", changes)
    if is_read:
        assert isinstance(parse("issues", body), IssueLabeled)
    else:
        with pytest.raises(BadDelivery):
            parse("issues", body)


BROKEN = {
    "nothing": b"",
    "half": payload("issues.labeled")[:-1],
    "a byte order mark": b"\xef\xbb\xbf" + payload("issues.labeled"),
    "an array": b"[]",
    "null": b"null",
    "a number": b"1",
    "a form": b"payload=%7B%7D",
    "not UTF-8": b'{"action":"labeled","x":"\xff"}',
    "a lone surrogate": b'{"action":"labeled","x":"\\ud800"}',
    "a lone surrogate as key": b'{"\\udfff":1}',
    "not a number": b'{"action":"labeled","issue":NaN}',
    "more than a double": b'{"action":"labeled","issue":1e999}',
    "a number of a megabyte": b'{"action":"labeled","x":' + b"9" * 1_000_000 + b"}",
    "a bomb of brackets": b'{"action":"labeled","x":' + b"[" * 1_000_000,
    "a bomb of objects": b'{"action":"labeled","x":' + b'{"a":' * 200_000,
    "an action that is a number": b'{"action":' + b"1" * 5_000 + b"}",
    "two actions": b'{"action":"labeled","action":"opened"}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_broken_json_is_one_kind_of_error(body: bytes) -> None:
    with pytest.raises(BadDelivery) as caught:
        parse("issues", body)
    assert len(str(caught.value)) <= 300


def test_an_error_does_not_repeat_the_payload() -> None:
    with pytest.raises(BadDelivery) as caught:
        parse("issues", payload("issues.labeled", {"issue.number": "hunter2"}))
    assert str(caught.value) == ("The delivery cannot be read: issue.number: Input should be a valid integer.")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(event=st.sampled_from(OURS), body=st.binary())
def test_no_bytes_raise_anything_else(event: str, body: bytes) -> None:
    _parse_calmly(event, body)


@settings(deadline=None)
@given(st.data())
def test_no_value_in_any_place_raises_anything_else(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    document: Json = json.loads(payload(name))
    place = document
    while isinstance(place, dict) and place:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            place[key] = data.draw(JUNK)
            break
        place = place[key]
    _parse_calmly(data.draw(st.sampled_from(OURS)), json.dumps(document).encode())


def _parse_calmly(event: str, body: bytes) -> None:
    try:
        parsed = parse(event, body)
    except BadDelivery:
        return
    assert parsed is None or is_ours(event, body)
