"""What the parsers behind the `Parsers` port give back."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the parser process has no need of pydantic
    from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class SyntaxFault:
    """A syntax error of a file. `line` and `column` count from 1; `source` is that line, stripped."""

    line: int
    column: int
    message: str
    source: str = ""

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


def introduced(
    before: tuple[SyntaxFault, ...] | None, after: tuple[SyntaxFault, ...] | None
) -> tuple[SyntaxFault, ...]:
    """The faults of `after` that `before` has not, wherever in the file they moved to."""
    known = Counter((fault.message, fault.source) for fault in before or ())
    new = []
    for fault in after or ():
        key = (fault.message, fault.source)
        if known[key]:
            known[key] -= 1
        else:
            new.append(fault)
    return tuple(new)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A YAML document: its data (None for an empty one), and the line on which each value begins.

    `lines` maps a path such as `/budget/usd` or `/roles/0` to a line, from 1; the whole document is the empty path.
    """

    data: "JsonValue"
    lines: Mapping[str, int]

    def line_of(self, path: tuple[int | str, ...]) -> int:
        """The line on which the place begins, as deep as the file goes."""
        for depth in range(len(path), -1, -1):
            line = self.lines.get("".join(f"/{part}" for part in path[:depth]))
            if line is not None:
                return line
        return 1
