"""The values that this process must keep to itself, found in text in whatever way they are written there.

Text is flattened first: what is no ASCII letter or digit is dropped, and letters are made small. That undoes
separators of every kind (quotes, `+`, line breaks, `%`, `\\x`), so that one search finds a value as it is, split over
lines, or in pieces. Encodings are searched for as what they become once flattened.

A value that was cut at its ends is found by any 16 of its characters; one of plain words by three quarters of them,
for a few words may stand in any text. What everybody knows of a value does not count: the headers of keys and tokens.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from pydantic import SecretStr

from app.core.safety.secret_rules import is_sample

MIN_CHARS: Final = 8
"""A shorter value is not looked for: it would stand in ordinary words."""
_MIN_FLAT: Final = 16
_MIN_ENCODED: Final = 12
_MIN_DISTINCT: Final = 6
_SHARE_OF_WORDS: Final = 0.75
_SAMPLES: Final = 3
"""How many lines of a long value (a private key) are looked for in encodings; each is, as it is."""
_SMALL: Final = bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256))
_DROPPED: Final = bytes(each for each in range(256) if not chr(each).isalnum() or each > 127)
_KEPT: Final = re.compile("[A-Za-z0-9]")

_PEM_EDGE: Final = re.compile(r"-----(?:BEGIN|END)[A-Z0-9 ]*-----")
_LINE_END: Final = re.compile(r"[\r\n]|\\[rn]")
_PEM_LINE_CHARS: Final = 64
"""Of a key's first line every character may be the same in all keys of its kind."""
_PUBLIC_START: Final = re.compile(
    r"(?:gh[a-z]_\d+_)?eyJ[\w-]+\.(?:eyJ)?[\w-]+\."  # a JSON Web Token, up to its signature
    r"|github_pat_11[A-Z0-9]{9}"
    r"|(?:(?:[a-z]{2,6}\d{0,2}|\d{4,})[-_])+"
)


class OwnSecrets:
    """Finds known values. Built once, then cheap: linear time, about a tenth of a millisecond for a kilobyte."""

    def __init__(self, secrets: Iterable[SecretStr]) -> None:
        plain: set[str] = set()
        self._whole: set[bytes] = set()
        self._windows: dict[int, _Windows] = {}
        for secret in secrets:
            value = secret.get_secret_value()
            lines = [line for line in value.splitlines() if len(line) >= MIN_CHARS]
            plain.update(line for line in lines if not _PEM_EDGE.fullmatch(line.strip()))
            pieces = list(_pieces(value))
            for number, piece in enumerate(reversed(pieces)):
                self._learn(piece, has_encodings=number % max(len(pieces) // _SAMPLES, 1) == 0)
        self._plain = tuple(sorted(plain, key=len, reverse=True))

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where they stand, whole or in part; the spans may overlap."""
        for value in self._plain:
            if value in text:
                yield from (match.span() for match in re.finditer(re.escape(value), text))
        flat = _flatten(text)
        found = [*self._find_whole(flat), *(span for each in self._windows.values() for span in each.find(flat))]
        if found:
            places = [match.start() for match in _KEPT.finditer(text)]
            yield from ((places[start], places[end - 1] + 1) for start, end in found)

    def _find_whole(self, flat: bytes) -> Iterator[tuple[int, int]]:
        for needle in self._whole:
            if needle in flat:
                yield from (match.span() for match in re.finditer(needle, flat))

    def _learn(self, piece: str, *, has_encodings: bool) -> None:
        flat = _flatten(piece)
        starts = range(max(len(flat) - _MIN_FLAT + 1, 0))
        telling = sum(_is_telling(flat[start : start + _MIN_FLAT]) for start in starts)
        share = _SHARE_OF_WORDS if 2 * telling < len(starts) else 0.0
        for text in _spellings(piece) if has_encodings else (piece,):
            needle = _flatten(text)
            width = max(_MIN_FLAT, int(len(needle) * share))
            windows = {needle[start : start + width] for start in range(len(needle) - width + 1)}
            public = {each for each in windows if not (_is_telling(each) or (share and _is_varied(each)))}
            self._keep(needle, windows - public)
            if (public or not windows) and len(needle) >= (_MIN_FLAT if text == piece else _MIN_ENCODED):
                self._keep_whole(needle)
        chars = max(_MIN_FLAT, int(len(piece) * share))
        for text, chars_each, step in _encodings(piece) if has_encodings else ():
            needle = _flatten(text)
            width = int(chars * chars_each)
            windows = {needle[start : start + width] for start in range(0, len(needle) - width + 1, step)}
            self._keep(needle, windows)
            if not windows and len(needle) >= _MIN_ENCODED:
                self._keep_whole(needle)

    def _keep(self, needle: bytes, windows: set[bytes]) -> None:
        """The windows, all of one length, forwards and backwards."""
        if windows:
            length = len(next(iter(windows)))
            kept = self._windows.setdefault(length, _Windows(length))
            kept.add(needle, windows)
            kept.add(needle[::-1], {each[::-1] for each in windows})

    def _keep_whole(self, needle: bytes) -> None:
        self._whole |= {needle, needle[::-1]}


@lru_cache(4)
def own_secrets(secrets: tuple[SecretStr, ...]) -> OwnSecrets:
    """Those of these values, which take some ten milliseconds to learn."""
    return OwnSecrets(secrets)


@dataclass(frozen=True, slots=True)
class _Windows:
    """Texts of one length, found by their halves: wherever one stands, one of its halves (at any offset within it)
    begins at a multiple of the stride, so that only these places are looked at."""

    length: int
    windows: set[bytes] = field(default_factory=set)
    halves: set[bytes] = field(default_factory=set)

    def add(self, needle: bytes, windows: set[bytes]) -> None:
        half = self.length // 2
        self.windows.update(windows)
        self.halves.update(needle[start : start + half] for start in range(len(needle) - half + 1))

    def find(self, flat: bytes) -> Iterator[tuple[int, int]]:
        length, half, halves = self.length, self.length // 2, self.halves
        for at in range(0, len(flat) - half + 1, length - half + 1):
            if flat[at : at + half] in halves:
                for start in range(max(at + half - length, 0), at + 1):
                    if flat[start : start + length] in self.windows:
                        yield start, start + length


def _pieces(value: str) -> Iterator[str]:
    """A value's lines, without what is public of them."""
    bare = _PEM_EDGE.sub("", value)
    lines = [line for line in _LINE_END.split(bare) if line.strip()]
    if bare != value and lines:
        lines[0] = lines[0][_PEM_LINE_CHARS:]
    for line in lines:
        public = _PUBLIC_START.match(line)
        rest = line[public.end() :] if public else line
        piece = rest if len(_flatten(rest)) >= _MIN_FLAT and re.search(r"\d", rest) else line
        if len(piece) >= MIN_CHARS:
            yield piece


def _is_varied(window: bytes) -> bool:
    return len(set(window)) >= _MIN_DISTINCT and not is_sample(window.decode("ascii"))


def _is_telling(window: bytes) -> bool:
    """Nobody else would write it: plain words have no digits."""
    return any(48 <= char <= 57 for char in window) and _is_varied(window)


def _flatten(text: str) -> bytes:
    return text.encode("utf-8", "replace").translate(_SMALL, _DROPPED)


def _spellings(value: str) -> Iterator[str]:
    """The value, also with only its special characters written otherwise."""
    yield from dict.fromkeys((value, quote(value, safe=""), json.dumps(value), html.escape(value)))


def _encodings(value: str) -> Iterator[tuple[str, float, int]]:
    """Ways to write a value that keep it readable by a machine, apart from separators and capitals; with at least how
    many letters and digits whole characters of it take, each, and how many of them one begins after another."""
    raw = value.encode()
    yield raw.hex(), 2, 2
    yield "".join(f"x{byte:02x}" for byte in raw), 3, 3
    yield "".join(f"0x{byte:02x}" for byte in raw), 4, 4
    yield "".join(f"u{ord(char):04x}" for char in value), 5, 5
    yield "".join(str(byte) for byte in raw), 2, 1
    for shift in range(5):
        # A character of base32 holds 5 bits, one of base64 6: only those that hold nothing of the neighbours are the
        # value's own.
        encoded = base64.b32encode(b"\0" * shift + raw).decode()
        yield encoded[-(-shift * 8 // 5) : (shift + len(raw)) * 8 // 5], 1.5, 1
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        yield encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6], 1.125, 1
