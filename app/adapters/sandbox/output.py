"""What a command printed, kept small: beginning and end stay, the middle is counted and dropped as it arrives."""

from dataclasses import dataclass
from typing import Final

from app.core.ports.sandbox import CommandTimeout, ExecResult

_MARKER: Final = "[... {} bytes left out ...]\n"
_MARKER_BYTES: Final = 48
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


class CappedOutput:
    """Takes any number of bytes in and holds `limit` of them, and half as many of those at the end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = b""
        self._tail = b""
        self._total = 0

    @classmethod
    def of(cls, limit: int, data: bytes) -> "CappedOutput":
        """Output that was all `data`."""
        output = cls(limit)
        output.add(data)
        return output

    @classmethod
    def joined(cls, limit: int, head: bytes, tail: bytes, more: int) -> "CappedOutput":
        """What was capped elsewhere: the first `limit` bytes and, of `more` behind them, the last half as many."""
        output = cls.of(limit, head)
        output._tail = tail
        output._total += more
        return output

    def add(self, data: bytes) -> None:
        """Take what was printed next."""
        self._total += len(data)
        if room := self._limit - len(self._head):
            self._head += data[:room]
            data = data[room:]
        if data and (kept := self._limit // 2):
            self._tail = (self._tail + data[-kept:])[-kept:]

    @property
    def data(self) -> bytes:
        """The first `limit` bytes."""
        return self._head

    @property
    def cut(self) -> bool:
        return self._total > self._limit

    def text(self) -> str:
        """UTF-8 with U+FFFD for bad bytes; when cut, head, marker and tail together come from `limit` bytes at most.

        The cuts are at ends of lines, unless a line is too long for that.
        """
        if not self.cut:
            return self._head.decode(errors="replace")
        kept = max(self._limit - _MARKER_BYTES, 0)
        head = _without_broken_end(_whole_lines(self._head[: kept // 2]))
        tail = (self._head + self._tail)[self._limit + len(self._tail) - (kept - kept // 2) :].lstrip(_CONTINUATION)
        if 0 < (start := tail.find(b"\n") + 1) <= len(tail) // 2:
            tail = tail[start:]
        marker = _MARKER.format(self._total - len(head) - len(tail))
        between = "" if head.endswith(b"\n") else "\n"
        return head.decode(errors="replace") + between + marker + tail.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. `exit_code` is 128 + n for signal n; None when its time ran out."""

    exit_code: int | None
    output: CappedOutput

    def result(self, *, timeout_s: float, seconds: float) -> ExecResult:
        """The same in the port's words.

        Raises:
            CommandTimeout: its time ran out.
        """
        text = self.output.text()
        if self.exit_code is None:
            raise CommandTimeout(timeout_s, text)
        return ExecResult(self.exit_code, text, seconds, self.output.cut)


def _whole_lines(data: bytes) -> bytes:
    """Drop the line that the cut went through, unless it is most of what there is."""
    end = data.rfind(b"\n") + 1
    return data[:end] if end > len(data) // 2 else data


def _without_broken_end(data: bytes) -> bytes:
    """Drop a character that the cut went through."""
    start = len(data.rstrip(_CONTINUATION)) - 1
    if start < 0 or data[start] < 0xC0 or len(data) - start > 3:
        return data
    return data[:start]
