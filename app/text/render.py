"""Templates to text. Each is Jinja with StrictUndefined and opens with a comment: purpose and typed variables.

What a template writes itself is as it stands; every value is escaped for where it lands, by the folder's rule:

    page/                    HTML escaping
    comment/, pull_request/  `inline` of `app.core.safety.escape`, unless a filter says where else the value lands
    prompt/                  none: `app.text.prompt` prepares what the model reads
"""

import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from app.core.safety import escape


class Escaped(str):
    """Text that is ready for the place it lands in. Only filters make it."""

    __slots__ = ()


def _finalize(value: object) -> object:
    return value if isinstance(value, Escaped | int | float) else escape.inline(str(value))


def _escaping(function: Callable[..., str]) -> Callable[..., Escaped]:
    return lambda *args: Escaped(function(*args))


@cache
def _environment(folder: str) -> Environment:
    is_markdown = folder in {"comment", "pull_request"}
    environment = Environment(
        loader=PackageLoader("app.text", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        autoescape=folder == "page",  # noqa: S701 -- the rest by `finalize`
        finalize=_finalize if is_markdown else None,
    )
    made = {name: _escaping(function) for name, function in FILTERS.items()} if is_markdown else {}
    environment.filters |= {
        "money": format_usd,
        "spent": format_spent,
        "duration": format_duration,
        "last_lines": escape.last_lines,
        **made,
    }
    return environment


def render(template: str, **variables: object) -> str:
    """Render `templates/<template>`; a missing variable is an error, a superfluous one is not."""
    return _environment(template.partition("/")[0]).get_template(template).render(**variables).strip() + "\n"


def format_usd(usd: float) -> str:
    """Dollars, with as many digits as a small sum needs."""
    return f"${usd:.2f}" if usd >= 0.01 or usd == 0 else f"${usd:.4f}"


def format_spent(usd: float, is_priced: bool, budget_usd: float = 0.0) -> str:
    """What was spent, of how much: in dollars only as far as prices are known."""
    if not is_priced:
        return f"at least {format_usd(usd)} (price not known)" if usd else "price not known"
    return f"{format_usd(usd)} of {format_usd(budget_usd)}" if budget_usd else format_usd(usd)


def clock_time(now: datetime, at: datetime) -> str:
    """A moment to come, to the minute and never too early, in UTC; with its date where that is not today's."""
    at = (at + timedelta(minutes=1) - timedelta(microseconds=1)).astimezone(UTC)
    return f"{at:%H:%M} UTC" if at.date() == now.astimezone(UTC).date() else f"{at.day} {at:%B %H:%M} UTC"


def format_duration(start: datetime | None, end: datetime | None) -> str:
    """How long it took, in words; empty when it has not begun or ended."""
    if start is None or end is None:
        return ""
    seconds = max(0, round((end - start).total_seconds()))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min {seconds % 60} s"


def _code(value: str) -> str:
    """A code span, by way of `inline`, which knows what even a code span must not show its source of."""
    return escape.inline(escape.code(value))


def _codes(values: Iterable[str]) -> str:
    return escape.inline(escape.codes(values))


def _sha(sha: str) -> str:
    """The start of a commit's, which GitHub makes a link."""
    return sha[:7] if re.fullmatch("[0-9a-f]+", sha) else escape.inline(sha[:7])


def _message(text: str, references: Collection[int]) -> str:
    """Our own sentences, with `code` around values when they were put together. `references` stay links."""
    return escape.block(text, has_tables=True, references=references)


FILTERS: Final[dict[str, Callable[..., str]]] = {
    "block": escape.block,
    "cell": escape.cell,
    "code": _code,
    "codes": _codes,
    "fence": escape.fenced,
    "html": lambda text: escape.in_html(" ".join(text.split())),
    "line": escape.inline,
    "message": _message,
    "ours": str,
    "sha": _sha,
    "url": lambda url: quote(url, safe=":/?&=%~+,@"),
}
"""Where a value lands. `ours` is for what this package rendered; nothing else."""
