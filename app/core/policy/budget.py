"""A run's budget: dollars, minutes, turns and tokens, held between turns."""

from dataclasses import dataclass
from typing import Final

from app.core.errors import LimitReached
from app.core.run.run import Cost

WRAP_UP_AT: Final = 0.85
RAISED: Final = "The budget was increased. There is no need to wrap up early: complete the task as given."


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may use, over all its attempts. `usd` None holds no dollars."""

    usd: float | None
    minutes: float
    turns: int
    tokens: int


@dataclass(frozen=True, slots=True)
class _Limit:
    kind: str
    used: float
    most: float
    words: str

    @property
    def share(self) -> float:
        return self.used / self.most if self.most > 0 else float("inf")


def check(budget: Budget, cost: Cost, elapsed_s: float, *, next_usd: float = 0.0) -> None:
    """Let the next turn begin, or not. `next_usd` is what it is expected to cost: set aside before it is spent.

    Dollars count what is known: where the model's price is not, tokens are what holds.

    Raises:
        LimitReached: a limit is used up; the message says which, what was used, and how to go on.
    """
    for limit in _limits(budget, cost, elapsed_s):
        expected = next_usd if limit.kind == "usd" else 0.0
        if limit.used >= limit.most or limit.used + expected > limit.most:
            raise LimitReached(limit.kind, f"The budget is used up: {limit.words}. {_way_on(limit.kind, cost)}")


def wrap_up(budget: Budget, cost: Cost, elapsed_s: float) -> str:
    """Words for the model when more than 85 % of a limit is used, naming the nearest; else empty."""
    nearest = max(_limits(budget, cost, elapsed_s), key=lambda limit: limit.share)
    if nearest.share <= WRAP_UP_AT:
        return ""
    return (
        f"The budget is almost used up: {nearest.words}. Start nothing new. Get what you have into a working state, "
        "check it, and finish."
    )


def _limits(budget: Budget, cost: Cost, elapsed_s: float) -> tuple[_Limit, ...]:
    minutes, tokens = elapsed_s / 60, cost.usage.total_tokens
    limits = (
        _Limit("minutes", minutes, budget.minutes, f"{minutes:.0f} of {budget.minutes:g} minutes"),
        _Limit("turns", cost.turns, budget.turns, f"{cost.turns} of {budget.turns} turns"),
        _Limit("tokens", tokens, budget.tokens, f"{tokens:,} of {budget.tokens:,} tokens"),
    )
    if budget.usd is None:
        return limits
    return (_Limit("usd", cost.usd, budget.usd, f"${cost.usd:.2f} of ${budget.usd:.2f}"), *limits)


def _way_on(kind: str, cost: Cost) -> str:
    if kind == "usd":
        return "Finished work is kept. `/vibecode budget +2` adds two dollars and resumes."
    unpriced = "" if cost.is_priced else "The model's price is unknown, so a dollar limit can't be enforced. "
    return f"{unpriced}Finished work is kept; `/vibecode retry` resumes after the last completed step."
