"""The values that this process must keep to itself, found in text in whatever way they are written there.

Text is flattened first: what is no ASCII letter or digit is dropped, and letters are made small. That undoes
separators of every kind (quotes, `+`, line breaks, `%`, `\\x`), so that one search finds a value as it is, split over
lines, or in pieces. Encodings are searched for as what they become once flattened.
"""

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from pydantic import SecretStr

MIN_CHARS: Final = 8
"""A shorter value is not looked for: it would stand in ordinary words."""
_MIN_FLAT: Final = 16
_MIN_ENCODED: Final = 12
_SAMPLES: Final = 3
"""How many lines of a long value (a private key) are looked for in pieces and in encodings; each is, as it is."""
_SMALL: Final = bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256))
_DROPPED: Final = bytes(each for each in range(256) if not chr(each).isalnum() or each > 127)


class OwnSecrets:
    """Finds known values. Built once, then cheap: a kilobyte takes some ten microseconds."""

    def __init__(self, secrets: Iterable[SecretStr]) -> None:
        plain: set[str] = set()
        flat: set[bytes] = set()
        for secret in secrets:
            lines = [line for line in secret.get_secret_value().splitlines() if len(line) >= MIN_CHARS]
            plain.update(lines)
            bodies = [line for line in lines if "-----" not in line]
            for line in bodies[:: max(len(bodies) // _SAMPLES, 1)]:
                flat.update(each for each in [_flatten(line)] if len(each) >= _MIN_FLAT)
                flat.update(each for each in map(_flatten, _encodings(line)) if len(each) >= _MIN_ENCODED)
        self._plain = tuple(sorted(plain, key=len, reverse=True))
        self._flat = tuple(sorted(flat, key=len))
        self._lengths = tuple(map(len, self._flat))

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where they stand; the spans may overlap."""
        for value in self._plain:
            if value in text:
                yield from (match.span() for match in re.finditer(re.escape(value), text))
        flat = _flatten(text)
        short_enough = self._flat[: bisect_right(self._lengths, len(flat))]
        for needle in [needle for needle in short_enough if needle in flat]:
            spread = re.compile("[^A-Za-z0-9]*".join(needle.decode("ascii")), re.IGNORECASE | re.ASCII)
            yield from (match.span() for match in spread.finditer(text))


def _flatten(text: str) -> bytes:
    return text.encode("utf-8", "replace").translate(_SMALL, _DROPPED)


def _encodings(value: str) -> Iterator[str]:
    """Ways to write a value that keep it readable by a machine, apart from separators and capitals."""
    raw = value.encode()
    yield value[::-1]
    yield raw.hex()
    yield raw.hex()[::-1]
    yield quote(value, safe="")
    yield json.dumps(value)
    yield html.escape(value)
    yield "".join(f"x{byte:02x}" for byte in raw)
    yield "".join(f"0x{byte:02x}" for byte in raw)
    yield "".join(f"u{ord(char):04x}" for char in value)
    yield "".join(str(byte) for byte in raw)
    yield base64.b32encode(raw).decode()[: len(raw) * 8 // 5]
    for shift in range(3):
        # A character of base64 holds 6 bits: only those that hold nothing of the neighbours are the value's own.
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        yield encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
    yield base64.b64encode(raw).decode()[: len(raw) * 8 // 6][::-1]
