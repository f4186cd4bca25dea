"""Replaces a passage of a text, exactly once, and helps when the passage is not there.

Line endings are the file's: a passage written with `\\n` matches `\\r\\n`, and what replaces it gets the file's.
"""

import re
from bisect import bisect_left
from difflib import SequenceMatcher, get_close_matches
from heapq import nlargest
from typing import Final

NEAR_MISSES: Final = 3
_MAX_LINES: Final = 8_000
_MAX_LINE_CHARS: Final = 300
_MAX_SHOWN_LINES: Final = 20
_MAX_COMPARED: Final = 50
_MAX_PASSAGE_CHARS: Final = 20_000
_MIN_LIKENESS: Final = 0.6
_LINE_NUMBER: Final = re.compile(r"^ *\d+(\t|→|: )")


class NoEdit(ValueError):
    """The edit cannot be made as asked. The text is for the model and says what would work."""


def replace(text: str, old: str, new: str, *, everywhere: bool = False) -> str:
    """Put `new` where `old` stands.

    Raises:
        NoEdit: `old` is not there, is there more than once (and not `everywhere`), or nothing would change.
    """
    old, new = (passage.replace("\r\n", "\n") for passage in (old, new))
    if not old:
        raise NoEdit("`old` is empty. To make a file or replace all of it, use `write`.")
    if old == new:
        raise NoEdit("`old` and `new` are the same: nothing would change.")
    places = _find(text, old)
    if not places:
        raise NoEdit(_not_found(text.replace("\r\n", "\n"), old))
    if len(places) > 1 and not everywhere:
        raise NoEdit(_not_unique(text, [start for start, _ in places]))
    written = in_style_of(text, new)
    parts, done = [], 0
    for start, end in places:
        parts += [text[done:start], written]
        done = end
    return "".join([*parts, text[done:]])


def _find(text: str, old: str) -> list[tuple[int, int]]:
    """Where `old` stands, from and to, in the text as it is. Takes time linear in both, whatever they are."""
    bare = text.replace("\r\n", "\n")
    starts, start = [], bare.find(old)
    while start >= 0:
        starts.append(start)
        start = bare.find(old, start + len(old))
    if len(bare) == len(text):
        return [(start, start + len(old)) for start in starts]
    newlines, position = [], -1  # where, in `bare`, a `\r` was taken out
    for line in text.split("\r\n")[:-1]:
        position += len(line) + 1
        newlines.append(position)
    return [
        (start + bisect_left(newlines, start), start + len(old) + bisect_left(newlines, start + len(old)))
        for start in starts
    ]


def in_style_of(text: str, new: str) -> str:
    """`new`, with the line endings that prevail in `text`."""
    is_crlf = text.count("\r\n") * 2 > text.count("\n")
    return new.replace("\r\n", "\n").replace("\n", "\r\n") if is_crlf else new


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _not_unique(text: str, offsets: list[int]) -> str:
    lines = ", ".join(str(line_of(text, offset)) for offset in offsets[:10])
    return (
        f"`old` is there {len(offsets)} times (lines {lines}{' …' if len(offsets) > 10 else ''}). "
        "Add lines around it until it is unique, or set `replace_all`."
    )


def _not_found(text: str, old: str) -> str:
    lines, wanted = text.split("\n"), old.strip("\n").split("\n")
    if all(_LINE_NUMBER.match(line) for line in wanted if line):
        return "`old` is not in the file: it begins with line numbers. Leave out what `read` puts before each line."
    starts = _same_but_for_spaces(lines, wanted)
    if starts:
        return f"`old` is not in the file as written, only with other white space:\n{_show(lines, starts, wanted)}"
    starts = _alike(lines, wanted)
    if starts:
        return f"`old` is not in the file. What comes nearest:\n{_show(lines, starts, wanted)}"
    return "`old` is not in the file, nor anything like it. `read` the file again: it may have changed."


def _same_but_for_spaces(lines: list[str], wanted: list[str]) -> list[int]:
    bare, sought = (f"\n{_without_spaces(text)}\n" for text in (lines, wanted))
    starts: list[int] = []
    start = bare.find(sought)
    while start >= 0 and len(starts) < NEAR_MISSES:
        starts.append(bare.count("\n", 0, start))
        start = bare.find(sought, start + 1)
    return starts


def _without_spaces(lines: list[str]) -> str:
    return "\n".join("".join(line.split()) for line in lines)


def _alike(lines: list[str], wanted: list[str]) -> list[int]:
    """Where passages begin that look like the wanted one, best first; found by its longest line."""
    anchor = max(range(len(wanted)), key=lambda index: len(wanted[index].strip()))
    sought = wanted[anchor].strip()[:_MAX_LINE_CHARS]
    places: dict[str, list[int]] = {}
    for index, line in enumerate(lines[:_MAX_LINES]):
        if len(line) <= _MAX_LINE_CHARS:
            places.setdefault(line.strip(), []).append(index)
    matcher = SequenceMatcher(b=sought)

    def looks_alike(line: str) -> float:
        matcher.set_seq1(line)
        return matcher.quick_ratio() if matcher.real_quick_ratio() >= _MIN_LIKENESS else 0.0

    # The true ratio costs up to some 10 ms a line, so only the best by the quick one are asked for it.
    likely = nlargest(_MAX_COMPARED, places, key=looks_alike)
    close = get_close_matches(sought, likely, n=NEAR_MISSES, cutoff=_MIN_LIKENESS)
    starts = {max(0, index - anchor) for line in close for index in places[line][:NEAR_MISSES]}
    passage = "\n".join(wanted)[:_MAX_PASSAGE_CHARS]

    def likeness(start: int) -> float:
        found = "\n".join(lines[start : start + len(wanted)])[:_MAX_PASSAGE_CHARS]
        return SequenceMatcher(None, passage, found).quick_ratio()

    return sorted(starts, key=likeness, reverse=True)[:NEAR_MISSES]


def _show(lines: list[str], starts: list[int], wanted: list[str]) -> str:
    span = min(len(wanted), _MAX_SHOWN_LINES)
    return "\n…\n".join(number(lines[start : start + span], start + 1) for start in starts)


def number(lines: list[str], first: int) -> str:
    """Lines with their numbers before them, as `read` shows them."""
    return "\n".join(f"{index:>6}\t{line}" for index, line in enumerate(lines, first))
