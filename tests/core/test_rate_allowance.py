"""How much of an installation's rate limit the sweep may use."""

import pytest

from app.core.policy.rate_allowance import RESERVE, SHARE, Allowance

LIMIT, RESETS_AT = 5_000, 10_000


def answered(
    allowance: Allowance, times: int, *, remaining: int = LIMIT, is_free: bool = False, at: int = RESETS_AT
) -> None:
    for _ in range(times):
        allowance.note(limit=LIMIT, remaining=remaining, resets_at=at, is_free=is_free)


def test_a_share_of_the_hour_may_be_used() -> None:
    allowance = Allowance()
    answered(allowance, int(LIMIT * SHARE) - 1)
    assert allowance.wait_s(9_000) == 0
    answered(allowance, 1)
    assert allowance.wait_s(9_000) == 1_000


def test_what_github_does_not_count_is_free() -> None:
    allowance = Allowance()
    answered(allowance, LIMIT, is_free=True)
    assert allowance.wait_s(9_000) == 0


def test_the_next_hour_begins_anew() -> None:
    allowance = Allowance()
    answered(allowance, LIMIT)
    answered(allowance, 1, at=RESETS_AT + 3_600)
    assert allowance.used == 1
    assert allowance.wait_s(RESETS_AT + 1) == 0


@pytest.mark.parametrize(("remaining", "waits"), [(int(LIMIT * RESERVE), False), (int(LIMIT * RESERVE) - 1, True)])
def test_where_work_has_used_much_the_sweep_waits(remaining: int, waits: bool) -> None:
    allowance = Allowance()
    answered(allowance, 1, remaining=remaining)
    assert (allowance.wait_s(9_000) > 0) is waits


def test_without_a_limit_nothing_waits() -> None:
    assert Allowance(used=10**6).wait_s(9_000) == 0
