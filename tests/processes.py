"""What runs, read from /proc: a machine with only Python, git and make has no `ps`."""

from pathlib import Path
from typing import Final

COMMAND_LINES: Final = "for each in /proc/[0-9]*/cmdline; do tr '\\0\\n' '  ' <$each; echo; done 2>/dev/null"
"""A line of shell that prints the command line of each process."""


def parent_of(pid: str) -> str:
    """Shell for the number of the process that started the one whose number this shell gives."""
    return f"$(cut -d' ' -f4 /proc/{pid}/stat)"


def command_lines() -> list[str]:
    """The command line of each process of this machine that may be read."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())
        except OSError:  # it has ended
            continue
    return found
