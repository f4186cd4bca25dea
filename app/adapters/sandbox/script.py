"""The few shell programs that run inside a machine, the same ones in every kind of sandbox.

Reading and writing inside the machine, not on the host, is what confines paths: whatever link or pipe hostile code has
planted, it leads nowhere but into the machine.
"""

from collections.abc import Sequence
from typing import Final

from app.core.ports.sandbox import ExecResult

NOT_A_FILE: Final = 44
"""How `READ` and `WRITE` say that the path is taken by something that is no regular file, or by nothing."""

CANNOT_RUN: Final = 126

ENVIRONMENT: Final = {"LANG": "C.UTF-8", "TERM": "dumb", "PYTHONDONTWRITEBYTECODE": "1"}
"""What every command gets beside HOME and PATH: what a person's own shell has, for a test suite may do other things
where `CI` is set. Python takes stale bytecode for current when a file was edited within the second to the same size, so
it writes none, on base as on head."""

TOO_LONG: Final = b"The command's arguments are too long."

CALL: Final = """cd -- "$1" || exit 126
shift
exec "$@"
"""
"""cwd, argv: `exec` never takes a shell's builtin for the program; 127 and 126 are the shell's own answers."""

READ: Final = f"""[ -f "$1" ] || exit {NOT_A_FILE}
exec head -c "$2" "$1"
"""
"""path, bytes."""

WRITE: Final = f"""[ -f "$1" ] || [ ! -e "$1" ] || exit {NOT_A_FILE}
folder=${{1%/*}}
mkdir -p -- "${{folder:-/}}" && exec cat > "$1"
"""
"""path; the bytes come on standard input."""

UNPACK: Final = """mkdir -p -- "$1" && exec tar -xf - --no-same-owner -C "$1"
"""
"""folder; the tar comes on standard input."""

FED: Final = """landed=$1
shift
"$@" <"$landed"
code=$?
rm -f -- "$landed"
exit "$code"
"""
"""file, argv: the file becomes standard input and is gone afterwards."""


def sh(program: str, *arguments: str) -> list[str]:
    """The argv that runs a program of this module."""
    return ["sh", "-c", program, "sh", *arguments]


NO_SUCH_NAME: Final = "No file can have this name: it has NUL characters or is no valid Unicode."


def not_read(path: str, exit_code: int | None, output: str) -> OSError:
    """What `Sandbox.read` raises for `READ`'s exit code: there is no such file, or reading it failed."""
    if exit_code == NOT_A_FILE:
        return FileNotFoundError(f"{path} is no file.")
    return OSError(f"{path} cannot be read. {output.strip()[-500:]}")


def refusal(argv: Sequence[str], *others: str) -> ExecResult | None:
    """The result of a command that no machine could even start; None when it may be tried. `others` are what it is
    started with: its folder, the values of its environment."""
    if not argv or not argv[0]:
        return ExecResult(127, "There is no command.", 0.0)
    try:
        has_nul = b"\0" in "".join((*argv, *others)).encode()
    except UnicodeEncodeError:
        return ExecResult(CANNOT_RUN, "A command must be valid Unicode.", 0.0)
    return ExecResult(CANNOT_RUN, "A command cannot hold NUL characters.", 0.0) if has_nul else None
