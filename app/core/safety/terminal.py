"""What programs print for a terminal, as plain text."""

import re
from typing import Final

_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]?"  # control sequences: colours, the cursor
    r"|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # operating system commands: titles, links
    r"|[ -/]*[0-~])?"  # the others, such as the choice of a character set
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def plain(output: str) -> str:
    """Output as a terminal shows it in the end: no escape sequences (ECMA-48), nothing that was overwritten after a
    carriage return, no control characters but tabs and newlines."""
    lines = _ESCAPES.sub("", output).split("\n")
    return _CONTROLS.sub("", "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines))
