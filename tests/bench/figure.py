"""One line of the result, and how samples become one.

A figure stands beside another of the same run, since only their ratio says anything on a machine that is not this one.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

P99_FROM = 100
"""With fewer samples than this the 99th percentile is one sample's luck: lowest and highest are said instead."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is to the figure named `against`; `verdict` says whether a budget holds, and is empty without one."""

    name: str
    median: float
    unit: str
    spread: str = ""
    ratio: float | None = None
    against: str = ""
    verdict: str = ""


def figure(
    name: str, samples: Sequence[float], unit: str, *, against: Figure | None = None, budget: float | None = None
) -> Figure:
    """The median of `samples`, how far they lie apart, and what that is beside another figure or a budget."""
    median = statistics.median(samples)
    ratio = median / against.median if against is not None and against.median else None
    verdict = "" if budget is None else f"{'within' if median <= budget else 'over'} {show(budget)} {unit}"
    return Figure(name, median, unit, _spread(samples), ratio, against.name if against else "", verdict)


def _spread(samples: Sequence[float]) -> str:
    if len(samples) >= P99_FROM:
        return f"p99 {show(statistics.quantiles(samples, n=100)[98])}"
    return f"{show(min(samples))} … {show(max(samples))}" if len(samples) > 1 else ""


def show(number: float) -> str:
    """Three digits, more do not mean anything."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
