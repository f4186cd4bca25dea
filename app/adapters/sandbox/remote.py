"""A command in a machine that is reached over a stream: wrapped there, so that little crosses, and read back here.

The wrapper prints four lines whatever the command does: the first bytes and the last bytes it printed (base64), how
many there were beyond the first, and the exit code. All it started carries a mark in its environment and is killed by
it. Needs a POSIX shell and coreutils in the machine.
"""

import base64
import binascii
import shlex
from collections.abc import Sequence
from typing import Final

from app.adapters.sandbox import script
from app.adapters.sandbox.output import CappedOutput, Ended

MAX_COMMAND_BYTES: Final = 120_000
"""The kernel takes 128 KiB in one argument, and the whole wrapper goes as one."""

_SWEEP: Final = """for round in 1 2 3 4 5; do
  found=$(grep -lsxz "VIBECODER_EXEC=$token" /proc/[0-9]*/environ | tr -dc '0-9\\n')
  [ -n "$found" ] || break
  kill -9 $found 2>/dev/null
done
"""

_RUN: Final = f"""token=$1 head=$2 tail=$3
shift 3
folder=$(mktemp -d) && mkfifo "$folder/out" "$folder/more" || exit 125
wc -c <"$folder/more" >"$folder/count" &
counter=$!
{{
  head -c "$head" | base64 | tr -d '\\n'; echo
  tee "$folder/more" | tail -c "$tail" | base64 | tr -d '\\n'; echo
}} <"$folder/out" &
reader=$!
VIBECODER_EXEC=$token "$@" >"$folder/out" 2>&1 </dev/null
code=$?
{_SWEEP}
wait "$reader" "$counter"
cat "$folder/count"
rm -rf "$folder"
echo "$code"
"""


def wrapped(argv: Sequence[str], token: str, limit: int) -> str:
    """The shell line that runs `argv` and reports it."""
    return shlex.join(script.sh(_RUN, token, str(limit), str(limit // 2), *argv))


def sweep(token: str) -> str:
    """The shell line that kills all that `token`'s command has started."""
    return shlex.join(script.sh(f"token=$1\n{_SWEEP}", token))


def report(printed: str, limit: int) -> Ended | None:
    """How the command ended; None when the wrapper did not come to its end. A login shell may print before it."""
    try:
        head, tail, more, code = printed.splitlines()[-4:]
        first, last = base64.b64decode(head, validate=True), base64.b64decode(tail, validate=True)
        return Ended(int(code), CappedOutput.joined(limit, first, last, int(more)))
    except (ValueError, binascii.Error):
        return None
