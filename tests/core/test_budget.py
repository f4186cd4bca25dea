"""When a run must end, and what is said then."""

import pytest
from inline_snapshot import snapshot

from app.core.conversation import Usage
from app.core.errors import LimitReached
from app.core.policy.budget import Budget, check, wrap_up
from app.core.run.run import Cost

BUDGET = Budget(usd=2.0, minutes=30, turns=100, tokens=1_000_000)


def cost(*, usd: float = 0.0, turns: int = 0, tokens: int = 0, is_priced: bool = True) -> Cost:
    return Cost(Usage(input_tokens=tokens), usd, turns, is_priced)


def limit_reached(used: Cost, elapsed_s: float = 0.0, budget: Budget = BUDGET) -> tuple[str, str]:
    with pytest.raises(LimitReached) as caught:
        check(budget, used, elapsed_s)
    return caught.value.kind, str(caught.value)


def test_a_fresh_run_may_go_on() -> None:
    check(BUDGET, cost(), 0.0)


def test_a_run_just_below_every_limit_may_go_on() -> None:
    check(BUDGET, cost(usd=1.999, turns=99, tokens=999_999), 1799.0)


def test_dollars_that_are_used_up_end_the_run() -> None:
    assert limit_reached(cost(usd=2.0)) == snapshot(
        (
            "usd",
            "The budget is used up: $2.00 of $2.00. "
            "Finished work is kept. `/vibecode budget +2` adds two dollars and resumes.",
        )
    )


def test_minutes_that_are_used_up_end_the_run() -> None:
    assert limit_reached(cost(), 1830.0) == snapshot(
        (
            "minutes",
            "The budget is used up: 30 of 30 minutes. "
            "Finished work is kept; `/vibecode retry` resumes after the last completed step.",
        )
    )


def test_turns_that_are_used_up_end_the_run() -> None:
    assert limit_reached(cost(turns=100))[0] == "turns"


def test_tokens_stand_in_for_dollars_when_the_price_is_not_known() -> None:
    assert limit_reached(cost(tokens=1_200_000, is_priced=False)) == snapshot(
        (
            "tokens",
            "The budget is used up: 1,200,000 of 1,000,000 tokens. The model's price is unknown, so a dollar limit "
            "can't be enforced. Finished work is kept; `/vibecode retry` resumes after the last completed step.",
        )
    )


def test_known_dollars_count_even_when_some_prices_are_not_known() -> None:
    assert limit_reached(cost(usd=2.5, is_priced=False))[0] == "usd"


def test_without_a_dollar_limit_dollars_end_nothing() -> None:
    check(Budget(usd=None, minutes=30, turns=100, tokens=1_000_000), cost(usd=500.0), 0.0)


def test_a_budget_of_nothing_allows_nothing() -> None:
    assert limit_reached(cost(), budget=Budget(usd=0.0, minutes=30, turns=1, tokens=1))[0] == "usd"


def test_the_model_is_told_nothing_while_there_is_plenty() -> None:
    assert wrap_up(BUDGET, cost(usd=1.7, turns=85, tokens=850_000), 1530.0) == ""


def test_the_model_is_told_of_the_nearest_limit() -> None:
    assert wrap_up(BUDGET, cost(usd=1.75, turns=95), 0.0) == snapshot(
        "The budget is almost used up: 95 of 100 turns. Start nothing new. Get what you have into a working state, "
        "check it, and finish."
    )
