"""What of a long log tells why it failed: the lines around what looks like errors, the last ones first, and its end."""

import re
from typing import Final

MAX_CHARS: Final = 8_000
GAP: Final = "[…]"
_MAX_LINE_CHARS: Final = 400
_TAIL_LINES: Final = 20
_BEFORE, _AFTER = 25, 6
_ERROR: Final = re.compile(
    r"\berror\b|\bfail(?:ed|ure|ures|s)?\b|\bexception\b|\btraceback\b|\bpanic(?:ked)?\b|\bfatal\b|\bassert(?:ion)?"
    r"|Error\b|^E  |^\s*[✗✘✖]|segmentation fault|exit code [1-9]|not ok \d",
    re.IGNORECASE,
)
_NO_ERROR: Final = re.compile(r"\b(?:0|no) (?:errors?|fail(?:ed|ures?))\b", re.IGNORECASE)


def find_evidence(log: str, *, max_chars: int = MAX_CHARS) -> str:
    """The part of a log that is worth reading, in its order, with a mark where something was left out."""
    lines = [line[:_MAX_LINE_CHARS] for line in log.rstrip().splitlines()]
    kept: set[int] = set()
    room = max_chars
    for wanted in (range(len(lines) - _TAIL_LINES, len(lines)), *_around_errors(lines)):
        room -= len(GAP) + 1
        for index in reversed(wanted):
            if index < 0 or index >= len(lines) or index in kept:
                continue
            room -= len(lines[index]) + 1
            if room < 0:
                return _put_together(lines, kept)
            kept.add(index)
    return _put_together(lines, kept)


def _around_errors(lines: list[str]) -> list[range]:
    """Where errors stand, the last first."""
    errors = [index for index, line in enumerate(lines) if _ERROR.search(line) and not _NO_ERROR.search(line)]
    return [range(index - _BEFORE, index + _AFTER) for index in reversed(errors)]


def _put_together(lines: list[str], kept: set[int]) -> str:
    parts: list[str] = []
    last = -1
    for index in sorted(kept):
        if index != last + 1:
            parts.append(GAP)
        parts.append(lines[index])
        last = index
    return "\n".join(parts)
