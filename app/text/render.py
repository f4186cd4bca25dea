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
_ALIVE: Final = re.compile(
    r"""
      @(?=[\w-])                          # a mention
    | <(?=[!/?a-zA-Z])                    # HTML
    | &(?=\#|\w+;)                        # an entity, which may stand for any of the others
    | !(?=\[) | \](?=[(:])                # an image, a link, what a link is defined as
    | :(?=//) | \bwww(?=\.)               # an address
    | \#(?=\d) | \bGH-(?=\d)             # another issue, or one that this would close
    """,
    re.VERBOSE | re.IGNORECASE,
)
_HEADING: Final = re.compile(
    r"^(?=(?:[ \t>*+-]|[0-9]{1,9}[.)])*+#{1,6}(?:\s|$)|[ \t>]*+(?:=+|-+)[ \t]*$)", re.MULTILINE
)
"""Where a line would become a heading, or make one of the line before it."""


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
    """Words from outside, made harmless in Markdown: no mention, HTML, image, link, heading or reference to an issue,
    closing or not, comes alive.

    https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
    """
    return _ALIVE.sub(rf"\g<0>{_GAP}", _HEADING.sub(_GAP, text))


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
