"""Which lines of a comment are its writer's own words, and neither quote, code nor HTML comment.

One pass over GitHub's Markdown (https://github.github.com/gfm/), not a parser: linear in the length of a text that any
stranger can write. It jumps from construct to construct:

    quote `>`            to the end of its line (what follows without `>` was typed by the writer: it counts)
    fence ``` or ~~~     to its closing fence, or the end of the text
    `code`               to the next run of as many backticks in the same paragraph; none: plain text
    <!-- -->, <pre> …    to its end; none: the end of the text when it opened a line, plain text otherwise
    \\x                   over the escaped character
    / at a line's start  found
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

_MARKERS: Final = r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]{1,4})"
_ELEMENTS: Final = r"(?:pre|code|blockquote)\b"
_HIDING: Final = rf"<(?:!--|{_ELEMENTS})"

_TOKEN: Final = re.compile(
    rf"""
      (?P<indent>^[ ]{{0,3}}{_MARKERS}*)(?P<fence>`{{3,}}(?=[^`\n]*$)|~{{3,}})
    | (?P<quote>^[ ]{{0,3}}>)
    | ^[ ]{{0,3}}(?P<slash>/)
    | (?P<opens_line>^[ ]{{0,3}})?(?P<html>{_HIDING})
    | (?P<escape>\\.)
    | (?P<ticks>`+)
    """,
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)
_LINE: Final = re.compile(r"^(?P<indent>[ ]*)(?:(?P<fence>`{3,}|~{3,})[ \t]*$|(?=\S))", re.MULTILINE)
_PARAGRAPH_BREAK: Final = re.compile(
    rf"""
      ^[ \t]*$
    | ^[ ]{{0,3}}(?:
          > | (?={_HIDING}) | `{{3,}}[^`\n]*$ | ~{{3,}}
        | \#{{1,6}}[ \t].*$ | (?:[-*+]|1[.)])[ \t]+(?=\S)
        | =+[ \t]*$ | -+[ \t]*$ | ([*_-])[ \t]*(?:\1[ \t]*){{2,}}$
      )
    """,
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)
_HTML: Final = re.compile(_HIDING, re.IGNORECASE)
_TICKS: Final = re.compile(r"`+")
_TAG: Final = re.compile(rf"<(/?)({_ELEMENTS})", re.IGNORECASE)


def slash_lines(text: str) -> Iterator[int]:
    """Where lines open with `/` in the writer's own words: positions of the slash, in order.

    Lines end with `\\n`. Up to three spaces may stand before the slash; four would be code.
    """
    scan = _Scan(text)
    position = 0
    while token := _TOKEN.search(text, position):
        if token["slash"] and token.start() >= scan.hidden_until:
            yield token.start("slash")
        position = scan.skip(token)


def code_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where a reader sees code: start and end of each fenced block and each inline span, in order.

    Code in quotes, indented code and `<pre>` are not among them.
    """
    scan = _Scan(text)
    position = 0
    while token := _TOKEN.search(text, position):
        position = scan.skip(token)
        if token["fence"] or (token["ticks"] and position > token.end()):
            yield token.start(), position


class _Scan:
    """What has to be found once, so that no construct looks through the rest of the text again."""

    def __init__(self, text: str) -> None:
        self.hidden_until = 0
        self._text = text
        self._ticks: defaultdict[int, list[int]] = defaultdict(list)
        for run in _TICKS.finditer(text):
            self._ticks[len(run[0])].append(run.start())
        breaks = [position for found in _PARAGRAPH_BREAK.finditer(text) for position in found.span()]
        self._paragraph_ends = [*breaks, len(text) + 1]
        self._element_ends = element_ends(_TAG.finditer(text))
        self._last_comment_end = text.rfind("-->")

    def skip(self, token: re.Match[str]) -> int:
        """Where to go on after this construct."""
        if token["fence"]:
            return self._after_fence(token)
        if token["quote"]:
            return self._line_end(token.end())
        if token["html"]:
            return self._after_html(token)
        if token["ticks"]:
            return self._after_code(token)
        return token.end()

    def _paragraph_end(self, position: int) -> int:
        return self._paragraph_ends[bisect_left(self._paragraph_ends, position)]

    def _line_end(self, position: int) -> int:
        end = self._text.find("\n", position)
        return len(self._text) if end < 0 else end

    def _after_fence(self, token: re.Match[str]) -> int:
        """https://github.github.com/gfm/#fenced-code-blocks. One in a list ends with its item, too."""
        column = len(token["indent"]) if token["indent"].strip() else 0
        for line in _LINE.finditer(self._text, self._line_end(token.end())):
            if len(line["indent"]) < column:
                return line.start()
            if (line["fence"] or "").startswith(token["fence"]) and len(line["indent"]) <= column + 3:
                return line.end()
        return len(self._text)

    def _after_code(self, token: re.Match[str]) -> int:
        """https://github.github.com/gfm/#code-spans"""
        length = len(token["ticks"])
        runs = self._ticks.get(length, [])
        closing = bisect_left(runs, token.end())
        is_closed = closing < len(runs) and runs[closing] < self._paragraph_end(token.end())
        return runs[closing] + length if is_closed else token.end()

    def _after_html(self, token: re.Match[str]) -> int:
        end = self._html_end(token.start("html"))
        if token["opens_line"] is None:
            return self._after_inline_html(token.end(), end)
        while end is not None:  # the line on which such a block ends is HTML to its end, and may open another
            line_end = self._line_end(end)
            another = _HTML.search(self._text, end, line_end)
            if another is None:
                return line_end
            end = self._html_end(another.start())
        return len(self._text)

    def _after_inline_html(self, start: int, end: int | None) -> int:
        if end is None:
            return start
        if end <= self._paragraph_end(start):
            return end
        self.hidden_until = max(self.hidden_until, end)  # GitHub would show it, but its writer meant to hide it
        return start

    def _html_end(self, start: int) -> int | None:
        if not self._text.startswith("<!--", start):
            return self._element_ends.get(start)
        is_closed = self._last_comment_end >= start + 2
        return self._text.index("-->", start + 2) + 3 if is_closed else None


def element_ends(tags: Iterable[re.Match[str]]) -> dict[int, int]:
    """Where each opening tag starts -> where the tag that closes it ends; unclosed ones are not there.

    `tags` are matches in the order of the text: group 1 is `/` in a closing tag, group 2 the element's name.
    """
    ends: dict[int, int] = {}
    opened: defaultdict[str, list[int]] = defaultdict(list)
    for tag in tags:
        name = tag[2].lower()
        if not tag[1]:
            opened[name].append(tag.start())
        elif opened[name]:
            ends[opened[name].pop()] = tag.end()
    return ends
