"""Templates to text. Each is Jinja with StrictUndefined and opens with a comment: purpose and typed variables.

Only pages (`page/…`) are escaped as HTML; the rest is Markdown or plain words, where what comes from outside goes
through the filter `calm`.
"""

import re
from datetime import datetime
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

_GAP: Final = "\N{ZERO WIDTH SPACE}"
_CLOSES: Final = re.compile(
    r"\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?)(:?\s+)(?=(?:[\w.-]+/[\w.-]+)?#\d|https?://)", re.IGNORECASE
)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app.text", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        autoescape=lambda name: name is not None and name.startswith("page/"),  # noqa: S701
    )
    environment.filters |= {"money": money, "calm": calm, "duration": duration, "fence": fence}
    return environment


def render(template: str, **variables: object) -> str:
    """Render `templates/<template>`; a missing variable is an error, a superfluous one is not."""
    return _environment().get_template(template).render(**variables).strip() + "\n"


def calm(text: str) -> str:
    """Words from outside, made harmless in Markdown: no mention, image, HTML or closing keyword takes effect.

    https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue
    """
    text = re.sub(r"@(?=[\w-])", f"@{_GAP}", text)
    text = re.sub(r"<(?=[!/?a-zA-Z])", f"<{_GAP}", text)
    text = text.replace("![", f"!{_GAP}[")
    return _CLOSES.sub(rf"\1\2{_GAP}", text)


def money(usd: float) -> str:
    """Dollars, with as many digits as a small sum needs."""
    return f"${usd:.2f}" if usd >= 0.01 or usd == 0 else f"${usd:.4f}"


def duration(start: datetime | None, end: datetime | None) -> str:
    """How long it took, in words; empty when it has not begun or ended."""
    if start is None or end is None:
        return ""
    seconds = max(0, round((end - start).total_seconds()))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min {seconds % 60} s"


def fence(text: str) -> str:
    """A code block that the text cannot end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}\n{text.strip()}\n{ticks}"
