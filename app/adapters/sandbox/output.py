"""What a command printed, kept small: beginning and end stay, the middle is counted and dropped as it arrives."""

from typing import Final

_MARKER: Final = "\n[... {} bytes left out ...]\n"
_MARKER_BYTES: Final = 48
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


class CappedOutput:
    """Takes any number of bytes in and never holds more than twice `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = b""
        self._tail = b""
        self._total = 0

    @classmethod
    def of(cls, data: bytes, limit: int) -> "CappedOutput":
        output = cls(limit)
        output.add(data)
        return output

    def add(self, data: bytes) -> None:
        """Take what was printed next."""
        self._total += len(data)
        if room := self._limit - len(self._head):
            self._head += data[:room]
            data = data[room:]
        if data and self._limit:
            self._tail = (self._tail + data[-self._limit :])[-self._limit :]

    @property
    def data(self) -> bytes:
        """The first `limit` bytes."""
        return self._head

    @property
    def cut(self) -> bool:
        return self._total > self._limit

    def text(self) -> str:
        """UTF-8 with U+FFFD for bad bytes; when cut, head, marker and tail together come from `limit` bytes at most."""
        if not self.cut:
            return self._head.decode(errors="replace")
        kept = max(self._limit - _MARKER_BYTES, 0)
        head = _without_broken_end(self._head[: kept // 2])
        tail = (self._head + self._tail)[self._limit + len(self._tail) - (kept - kept // 2) :].lstrip(_CONTINUATION)
        left_out = self._total - len(head) - len(tail)
        return head.decode(errors="replace") + _MARKER.format(left_out) + tail.decode(errors="replace")


def _without_broken_end(data: bytes) -> bytes:
    """Drop a character that the cut went through."""
    start = len(data.rstrip(_CONTINUATION)) - 1
    if start < 0 or data[start] < 0xC0 or len(data) - start > 3:
        return data
    return data[:start]
