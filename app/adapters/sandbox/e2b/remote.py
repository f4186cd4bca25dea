"""A command in a machine that is reached over a stream: what is started there around it, and how its report is read.

Around it goes `supervisor.py`, in the machine's own Python. Where there is none, a shell program does the same with a
PID namespace (util-linux's `unshare`), and where that is not allowed, either, it finds what a command has started by a
mark in its environment: `sudo` and `env -i` then hide processes from it. Both are started as root and run the command
as the machine's default user. They come in the environment, so that neither source nor request show in `ps`.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.adapters.sandbox.output import CappedOutput, Ended

MAX_REQUEST_BYTES: Final = 120_000
"""The kernel takes 128 KiB in one argument or variable, and the whole request goes as one."""

MAX_STDIN_BYTES: Final = 60_000
"""What goes along with a request. A pipe holds it, and encoded it fits into one."""

BEGUN: Final = b"This command was begun before."
"""What a supervisor complains when its request was sent twice; the first is ended then."""

_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py").read_text()
_PYTHON: Final = (
    "import os; own = dict(os.environ); program = own.pop('VIBECODER_PROGRAM'); asked = own.pop('VIBECODER_REQUEST');"
    " exec(compile(program, 'supervisor', 'exec')); main(asked, own)"
)

PROBE: Final = (
    "python3 -I -S -c 'import base64, ctypes, fcntl, json, select, sys, termios; sys.exit(sys.version_info < (3, 7))'"
)
"""The shell command that tells whether the machine's Python can run the supervisor."""

_SHELL: Final = """token=$1 limit=$2 seconds=$3 leaves=$4 uid=$5 gid=$6 groups=$7
shift 7
find /dev/shm -maxdepth 1 -name '.vibecoder-*' -mmin +10 -delete 2>/dev/null
claim=/dev/shm/.vibecoder-$token
if ! (set -C; echo $$ >"$claim") 2>/dev/null && [ -e "$claim" ]; then
  kill "$(cat "$claim")" 2>/dev/null
  echo 'This command was begun before.' >&2
  exit 1
fi
folder=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) && mkfifo "$folder/out" "$folder/more" || exit 125
sweep() {
  for round in 1 2 3 4 5; do
    found=$(grep -lsxz "VIBECODER_MARK=$token" /proc/[0-9]*/environ | tr -dc '0-9\\n')
    [ -n "$found" ] || break
    kill -9 $found 2>/dev/null
  done
}
end() {
  kill -9 "$command" "$clock" 2>/dev/null
  sweep
}
unset VIBECODER_PROGRAM
: >"$folder/head" >"$folder/tail" >"$folder/count"
[ "$(id -u)" != 0 ] || set -- setpriv --reuid="$uid" --regid="$gid" --groups="$groups" "$@"
if [ "$leaves" = 0 ] && unshare --pid --fork --kill-child --mount-proc true 2>/dev/null; then
  set -- unshare --pid --fork --kill-child --mount-proc sh -c '"$@"; exit $?' sh "$@"
fi
wc -c <"$folder/more" >"$folder/count" 2>/dev/null &
counter=$!
{
  head -c "$limit" >"$folder/head"
  tee "$folder/more" | tail -c $((limit / 2)) >"$folder/tail"
} <"$folder/out" >/dev/null 2>&1 &
reader=$!
trap 'end; rm -rf "$folder"; exit 1' TERM
VIBECODER_MARK=$token "$@" >"$folder/out" 2>&1 </dev/null &
command=$!
{ sleep "$seconds"; : >"$folder/late"; kill -9 "$command"; } >/dev/null 2>&1 &
clock=$!
wait "$command" 2>/dev/null
code=$?
kill "$clock" 2>/dev/null
if [ -e "$folder/late" ]; then
  code=timeout leaves=0
fi
if [ "$leaves" = 0 ]; then
  sweep
  wait "$reader" "$counter"
else  # what reads lives on for the daemons: without a reader, printing would end them
  for round in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 "$reader" 2>/dev/null || kill -0 "$counter" 2>/dev/null || break
    sleep 0.05
  done
fi
size() { wc -c <"$1" | tr -d ' '; }
head=$(size "$folder/head") tail=$(size "$folder/tail") more=$(cat "$folder/count")
printf '\\n%s %s %s %s %s\\n' "$token" "$code" "$((head + ${more:-0}))" "$head" "$tail"
head -c "$head" "$folder/head"
head -c "$tail" "$folder/tail"
rm -rf "$folder"
"""


@dataclass(frozen=True, slots=True)
class CommandReport:
    """The machine's default user, and whether the machine's Python can run the supervisor."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    env: Mapping[str, str]
    has_python: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A command to run. `leaves_daemons`: what it leaves running in the background is not ended with it."""

    argv: Sequence[str]
    env: Mapping[str, str]
    timeout_s: float
    limit: int
    stdin: bytes = b""
    leaves_daemons: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What to start in a machine. `user` None is its default user."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


def supervised(request: Request, account: CommandReport, token: str) -> Program | None:
    """The program that runs a request and reports it under `token`; None when it is too long."""
    env = {**account.env, **request.env}
    asked = json.dumps(
        {
            "argv": request.argv,
            "env": env,
            "timeout_s": request.timeout_s,
            "limit": request.limit,
            "stdin": base64.b64encode(request.stdin).decode(),
            "leaves_daemons": request.leaves_daemons,
            "uid": account.uid,
            "gid": account.gid,
            "groups": account.groups,
            "token": token,
        },
        ensure_ascii=False,
    )
    asked = asked.encode(errors="backslashreplace").decode()  # a lone surrogate as JSON writes it
    if len(asked.encode()) > MAX_REQUEST_BYTES:
        return None
    if account.has_python:
        program = {"VIBECODER_PROGRAM": _SUPERVISOR, "VIBECODER_REQUEST": asked}
        return Program(["python3", "-I", "-S", "-c", _PYTHON], program, "root")
    return _in_shell(request, account, env, token)


def _in_shell(request: Request, account: CommandReport, env: Mapping[str, str], token: str) -> Program:
    groups = ",".join(map(str, account.groups))
    options = [token, str(request.limit), str(request.timeout_s), str(int(request.leaves_daemons))]
    user = [str(account.uid), str(account.gid), groups]
    argv = ["env", *(f"{name}={value}" for name, value in env.items()), *request.argv]
    line = ["sh", "-c", 'eval "$VIBECODER_PROGRAM"', "sh", *options, *user, *argv]
    return Program(line, {"VIBECODER_PROGRAM": _SHELL}, "root")


def report(printed: bytes, token: str, limit: int) -> Ended | None:
    """How the command ended; None when its supervisor did not come to its end."""
    try:
        begin = printed.index(f"\n{token} ".encode()) + 1
        end = printed.index(b"\n", begin)
        code, total, head, tail = printed[begin:end].decode("ascii").split(" ")[1:]
        first, last = printed[end + 1 :][: int(head)], printed[end + 1 + int(head) :][: int(tail)]
        if (len(first), len(last)) != (int(head), int(tail)):
            return None
        output = CappedOutput.joined(limit, first, last, int(total) - int(head))
        return Ended(None if code == "timeout" else int(code), output)
    except ValueError:
        return None
