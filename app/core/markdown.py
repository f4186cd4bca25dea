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
from collections.abc import Iterator
from typing import Final

_MARKERS: Final = r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]{1,4})"
_ELEMENTS: Final = r"(?:pre|code|blockquote)\b"

_TOKEN: Final = re.compile(
    rf"""
      (?P<indent>^[ ]{{0,3}}{_MARKERS}*)(?P<fence>`{{3,}}(?=[^`\n]*$)|~{{3,}})
    | (?P<quote>^[ ]{{0,3}}>)
    | ^[ ]{{0,3}}(?P<slash>/)
    | (?P<opens_line>^[ ]{{0,3}})?(?P<html><(?:!--|{_ELEMENTS}))
    | (?P<escape>\\.)
    | (?P<ticks>`+)
    """,
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)
_CLOSING_FENCE: Final = re.compile(r"^([ ]*)(`{3,}|~{3,})[ \t]*$", re.MULTILINE)
_PARAGRAPH_END: Final = re.compile(
    rf"^(?:[ \t]*$|[ ]{{0,3}}(?:>|\#{{1,6}}[ \t]|{_MARKERS}|`{{3,}}[^`\n]*$|~{{3,}}|<!--|<{_ELEMENTS}))",
    re.MULTILINE | re.IGNORECASE,
)
_TICKS: Final = re.compile(r"`+")
_TAG: Final = re.compile(rf"<(/?)({_ELEMENTS})", re.IGNORECASE)


def slash_lines(text: str) -> Iterator[int]:
    """Where lines open with `/` in the writer's own words: positions of the slash, in order.

    Lines end with `\\n`. Up to three spaces may stand before the slash; four would be code.
    """
    scan = _Scan(text)
    position = 0
    while token := _TOKEN.search(text, position):
        if token["slash"]:
            yield token.start("slash")
        position = scan.skip(token)


class _Scan:
    """What has to be found once, so that no construct looks through the rest of the text again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ticks: defaultdict[int, list[int]] = defaultdict(list)
        for run in _TICKS.finditer(text):
            self._ticks[len(run[0])].append(run.start())
        self._paragraph_ends = [end.start() for end in _PARAGRAPH_END.finditer(text)] + [len(text) + 1]
        self._element_ends = _element_ends(text)
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

    def _line_end(self, position: int) -> int:
        end = self._text.find("\n", position)
        return len(self._text) if end < 0 else end

    def _after_fence(self, token: re.Match[str]) -> int:
        fence = token["fence"]
        most_indent = 3 + (len(token["indent"]) if token["indent"].strip() else 0)
        for closing in _CLOSING_FENCE.finditer(self._text, token.end()):
            if len(closing[1]) <= most_indent and closing[2].startswith(fence):
                return closing.end()
        return len(self._text)

    def _after_code(self, token: re.Match[str]) -> int:
        """https://github.github.com/gfm/#code-spans"""
        length = len(token["ticks"])
        runs = self._ticks.get(length, [])
        closing = bisect_left(runs, token.end())
        paragraph_end = self._paragraph_ends[bisect_left(self._paragraph_ends, token.end())]
        is_closed = closing < len(runs) and runs[closing] < paragraph_end
        return runs[closing] + length if is_closed else token.end()

    def _after_html(self, token: re.Match[str]) -> int:
        end = self._html_end(token)
        if end is not None:
            return self._line_end(end) if token["opens_line"] is not None else end
        return len(self._text) if token["opens_line"] is not None else token.end()

    def _html_end(self, token: re.Match[str]) -> int | None:
        start = token.start("html")
        if token["html"] != "<!--":
            return self._element_ends.get(start)
        is_closed = self._last_comment_end >= start + 2
        return self._text.index("-->", start + 2) + 3 if is_closed else None


def _element_ends(text: str) -> dict[int, int]:
    """Each element's opening tag -> the end of the tag that closes it; unclosed ones are not there."""
    ends: dict[int, int] = {}
    opened: defaultdict[str, list[int]] = defaultdict(list)
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            opened[name].append(tag.start())
        elif opened[name]:
            ends[opened[name].pop()] = tag.end()
    return ends
