from datetime import UTC, datetime, timedelta

from app.core.delivery import DeliveryAttempt
from app.runs.recover import MAX_ATTEMPTS, find_lost

AT = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


def attempt(number: int, guid: str, status_code: int, event: str = "issues") -> DeliveryAttempt:
    return DeliveryAttempt(number, guid, event, "labeled", AT + timedelta(seconds=number), status_code)


def test_what_failed_and_was_not_made_good_is_lost() -> None:
    attempts = [attempt(1, "a", 0), attempt(2, "b", 503), attempt(3, "a", 502), attempt(4, "b", 202)]
    assert [found.id for found in find_lost(attempts)] == [3]


def test_the_oldest_is_asked_for_first() -> None:
    assert [found.guid for found in find_lost([attempt(2, "b", 0), attempt(1, "a", 0)])] == ["a", "b"]


def test_what_was_asked_too_often_waits_for_what_failed_otherwise() -> None:
    attempts = [attempt(1, "flood", 429), attempt(2, "late", 503)]
    assert [found.guid for found in find_lost(attempts)] == ["late", "flood"]


def test_events_that_are_not_ours_are_left_alone() -> None:
    assert find_lost([attempt(1, "a", 0, event="push")]) == []


def test_a_delivery_that_never_succeeds_is_let_go() -> None:
    assert find_lost([attempt(number, "a", 500) for number in range(MAX_ATTEMPTS)]) == []
