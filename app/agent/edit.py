"""Replaces a passage of a text, exactly once, and helps when the passage is not there.

Line endings are the file's: a passage written with `\\n` matches `\\r\\n`, and what replaces it gets the file's.
"""

import re
from difflib import SequenceMatcher, get_close_matches
from typing import Final

NEAR_MISSES: Final = 3
_MAX_LINES: Final = 8_000
_MAX_LINE_CHARS: Final = 300
_MAX_SHOWN_LINES: Final = 20
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
    matches = list(re.finditer(re.escape(old).replace("\\\n", "\r?\n"), text))
    if not matches:
        raise NoEdit(_not_found(text.replace("\r\n", "\n"), old))
    if len(matches) > 1 and not everywhere:
        raise NoEdit(_not_unique(text, [match.start() for match in matches]))
    written = in_style_of(text, new)
    parts, end = [], 0
    for match in matches:
        parts += [text[end : match.start()], written]
        end = match.end()
    return "".join([*parts, text[end:]])


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
    bare, sought = ["".join(line.split()) for line in lines], ["".join(line.split()) for line in wanted]
    span = len(sought)
    return [start for start in range(len(bare) - span + 1) if bare[start : start + span] == sought][:NEAR_MISSES]


def _alike(lines: list[str], wanted: list[str]) -> list[int]:
    """Where passages begin that look like the wanted one, best first; found by its longest line."""
    anchor = max(range(len(wanted)), key=lambda index: len(wanted[index].strip()))
    sought = wanted[anchor].strip()[:_MAX_LINE_CHARS]
    places: dict[str, list[int]] = {}
    for index, line in enumerate(lines[:_MAX_LINES]):
        if len(line) <= _MAX_LINE_CHARS:
            places.setdefault(line.strip(), []).append(index)
    close = get_close_matches(sought, places, n=NEAR_MISSES, cutoff=0.6)
    starts = {max(0, index - anchor) for line in close for index in places[line][:NEAR_MISSES]}

    def likeness(start: int) -> float:
        return SequenceMatcher(None, "\n".join(wanted), "\n".join(lines[start : start + len(wanted)])).quick_ratio()

    return sorted(starts, key=likeness, reverse=True)[:NEAR_MISSES]


def _show(lines: list[str], starts: list[int], wanted: list[str]) -> str:
    span = min(len(wanted), _MAX_SHOWN_LINES)
    return "\n…\n".join(number(lines[start : start + span], start + 1) for start in starts)


def number(lines: list[str], first: int) -> str:
    """Lines with their numbers before them, as `read` shows them."""
    return "\n".join(f"{index:>6}\t{line}" for index, line in enumerate(lines, first))
