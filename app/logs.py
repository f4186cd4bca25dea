"""Logs: one JSON object a line on standard error, with what is bound to the task, redacted.

    {"at": "2026-11-22T15:02:37.114Z", "level": "info", "logger": "app.runs.runner", "message": "began", "job_id": …}

Whatever a call passes in `extra={…}` becomes keys of the object.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, TextIO

_BOUND: ContextVar[dict[str, object]] = ContextVar("_BOUND", default={})  # noqa: B039 -- never mutated, only replaced
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


@contextmanager
def bind(**ids: object) -> Iterator[None]:
    """Add `ids` to every line logged inside, in this task and those it starts."""
    token = _BOUND.set({**_BOUND.get(), **ids})
    try:
        yield
    finally:
        _BOUND.reset(token)


class JSONFormatter(logging.Formatter):
    """Formats a record as one line of JSON, every string in it redacted."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, object] = {"at": at, "level": record.levelname.lower(), "logger": record.name}
        line["message"] = record.getMessage()
        line |= _BOUND.get()
        line |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: self._clean(value) for key, value in line.items()}, ensure_ascii=False)

    def _clean(self, value: object) -> object:
        """Redact each value before JSON escapes what is in it."""
        match value:
            case None | bool() | int() | float():
                return value
            case dict():
                return {self._redact(str(key)): self._clean(inner) for key, inner in value.items()}
            case list() | tuple() | set():
                return [self._clean(inner) for inner in value]
            case _:
                return self._redact(str(value))


def configure(level: str, redact: Callable[[str], str], stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (standard error) as JSON. Call once, in an entry program."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JSONFormatter(redact))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
    for chatty in ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "hishel", "e2b", "arq", "asyncio", "h2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
