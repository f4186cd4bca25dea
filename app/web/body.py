"""A delivery's body while it arrives: sealed as it passes, kept only where there is a use for it.

    an event that is not ours   sealed, never kept
    up to 64 KiB                kept; most deliveries have 8 to 30 kB
    up to 2 MiB                 kept as long as there is room, which all requests of the process share
    up to 25 MiB                sealed, kept no longer
    more                        read no further

So strangers can make this program count and hash, but not hold, what they send.
"""

from enum import StrEnum
from types import TracebackType
from typing import Final, Self

from app.core.inbound.delivery import SignatureVerifier

MAX_BODY_BYTES: Final = 25 * 1024 * 1024
"""GitHub's own cap (https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap)."""
MAX_KEPT_BYTES: Final = 2 * 1024 * 1024
"""More than any delivery of ours needs: an issue's text and a comment's have at most 65,536 characters each, which JSON
writes in at most 12 bytes (two escaped surrogates), and what GitHub tells beside them is some 100 kB at most."""
SMALL_BYTES: Final = 64 * 1024
ROOM_BYTES: Final = 16 * 1024 * 1024


class BodyState(StrEnum):
    """What became of a body."""

    KEPT = "kept"
    NOT_OURS = "not ours"
    TOO_LARGE = "too large"
    NO_ROOM = "no room"


class BodyMemory:
    """What the bodies that are not small may take at once, over all requests of the process."""

    def __init__(self, free_bytes: int = ROOM_BYTES) -> None:
        self.free_bytes = free_bytes


class Body:
    """One body. Enter it, so that its room is given back."""

    def __init__(self, verifier: SignatureVerifier, room: BodyMemory, *, is_ours: bool) -> None:
        self.kept = bytearray()
        self.length = 0
        self.fate = BodyState.KEPT if is_ours else BodyState.NOT_OURS
        self._verifier = verifier
        self._room = room
        self._taken_bytes = 0

    def add(self, part: bytes) -> None:
        """Take what came next."""
        self.length += len(part)
        self._verifier.add(part)
        if self.fate is not BodyState.KEPT:
            return
        needed_bytes = max(0, self.length - SMALL_BYTES) - self._taken_bytes
        if self.length > MAX_KEPT_BYTES:
            self._drop(BodyState.TOO_LARGE)
        elif needed_bytes > self._room.free_bytes:
            self._drop(BodyState.NO_ROOM)
        else:
            self._take(needed_bytes)
            self.kept += part

    def check(self, signature: str | None) -> None:
        """Check the signature of all that came.

        Raises:
            BadSignature: absent, malformed or wrong.
        """
        self._verifier.check(signature)

    def _take(self, count: int) -> None:
        self._room.free_bytes -= count
        self._taken_bytes += count

    def _drop(self, fate: BodyState) -> None:
        self.fate, self.kept = fate, bytearray()
        self._take(-self._taken_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._take(-self._taken_bytes)
