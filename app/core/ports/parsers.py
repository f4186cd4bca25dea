"""Parsers of hostile text, as a port."""

from typing import Protocol

from pydantic import JsonValue

from app.core.parsed import SyntaxFault, YamlFile


class Parsers(Protocol):
    """Reads text that may be hostile, in a process that holds no secret and can reach nothing.

    All is repeatable, and never blocks the caller's event loop. Every method raises `ParserStopped` where a text
    crashes its parser or passes the limits of time, memory and size.
    """

    async def syntax_faults(self, path: str, data: bytes) -> tuple[SyntaxFault, ...] | None:
        """The first syntax faults of a file, in order; None when it cannot be judged: another language, a template, a
        file of more than 512 KiB. The language is told by the path."""

    async def load_yaml(self, data: bytes) -> YamlFile:
        """A YAML document without anchors, aliases, merge keys and tags of its own; at most 64 KiB, 16 levels deep.

        Raises:
            ParseError: it is none; names the line where it can.
        """

    async def matches(self, pattern: str, data: bytes) -> bool:
        """Whether a regular expression is found in a text.

        Raises:
            ParseError: it is none that Python reads.
        """

    async def load_json(self, data: bytes) -> JsonValue:
        """A JSON document of at most 1 MiB, 100 levels deep.

        Raises:
            ParseError: it is none.
        """
