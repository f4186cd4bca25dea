"""Runs one command inside a machine, ends everything that it started, and reports how it ended.

This file's text is sent along with every command and runs in the machine's own Python (3.7 or later, standard library
only), as root where that is possible, with the command as the machine's default user:

    guard ── supervisor ── the command and all it starts

Both are subreapers: whatever loses its parent becomes their child, so a new session, an empty environment, `sudo` or a
double fork hide nothing from them. When one of the two is killed, the other ends the command.

The report is one line on standard output, which the command never has open
(the request's token, exit code, bytes printed, bytes of head and of tail), followed by head and tail.
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import json
import os
import select
import signal
import termios
import time
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
CHUNK_BYTES = 65536
END_S = 4.0
CLAIMS = "/dev/shm/.vibecoder-"  # noqa: S108 - in the machine, and the rest cannot be guessed
CLAIM_S = 600.0
BEGUN = "This command was begun before."


class Output:
    """The first `limit` bytes of what came, the last half as many of the rest, and how many there were."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.limit - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > self.limit + CHUNK_BYTES:
            self.shorten()

    def shorten(self) -> None:
        del self.tail[: max(len(self.tail) - self.limit // 2, 0)]


def main(asked: str, own: dict[str, str]) -> None:
    """Carry out a request (JSON), with what it says about the environment added to `own`."""
    request = json.loads(asked)
    signal.signal(signal.SIGTERM, stop)
    prepare()
    claim(request["token"])
    guard = os.getpid()
    supervisor = os.fork()
    if supervisor == 0:
        prepare()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != guard:
            stop()
        supervise(request, own)
    _, status = os.waitpid(supervisor, 0)
    if status:
        end_all()


def claim(token: str) -> None:
    """Be the first with this request, or end the one that was, and say so: who sent it again lost sight of it."""
    path = f"{CLAIMS}{token}"
    forget_old_claims(os.path.dirname(path))
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, str(os.getpid()).encode())
        os.close(file)
    except FileExistsError:
        with open(path, encoding="ascii") as first:
            pid = first.read()
        if pid:
            send({int(pid)}, signal.SIGTERM)
        raise SystemExit(BEGUN) from None
    except OSError:  # without such a folder, or with it full, nothing is claimed
        return


def forget_old_claims(folder: str) -> None:
    try:
        old = [entry for entry in os.scandir(folder) if entry.path.startswith(CLAIMS)]
    except OSError:
        return
    for entry in old:
        try:
            if entry.stat().st_mtime < time.time() - CLAIM_S:
                os.unlink(entry.path)
        except OSError:
            continue


def prepare() -> None:
    """Adopt orphans; let no other process of this user look into this one."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def stop(*_: object) -> NoReturn:
    end_all()
    os._exit(1)


def supervise(request: dict[str, Any], own: dict[str, str]) -> NoReturn:
    output = Output(request["limit"])
    receiving, sending = os.pipe()
    command = os.fork()
    if command == 0:
        start(request, own, sending)
    os.close(sending)
    code = wait(command, receiving, output, request["timeout_s"])
    is_timeout = code < 0
    if is_timeout or not request["leaves_daemons"]:
        end_all()
    is_open = drain(receiving, output)
    report(request["token"], "timeout" if is_timeout else str(code), output)
    if is_open and request["leaves_daemons"] and not is_timeout:
        discard(receiving)
    os._exit(0)


def start(request: dict[str, Any], own: dict[str, str], sending: int) -> NoReturn:
    """Become the command. What fails here ends with 126, as in a shell."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setsid()
        os.dup2(standard_input(base64.b64decode(request["stdin"])), 0)
        os.dup2(sending, 1)
        os.dup2(sending, 2)
        os.closerange(3, 256)
        if os.geteuid() == 0:
            os.setgroups(request["groups"])
            os.setgid(request["gid"])
            os.setuid(request["uid"])
        env = {**own, **request["env"]}
        os.chdir(env["HOME"] if os.path.isdir(env["HOME"]) else "/")
        os.execvpe(request["argv"][0], request["argv"], env)
    except (OSError, ValueError) as error:
        os.write(2, f"{error}\n".encode(errors="replace"))
    finally:
        os._exit(126)


def standard_input(data: bytes) -> int:
    """A file to read `data` from, which is less than a pipe holds."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    receiving, sending = os.pipe()
    os.write(sending, data)
    os.close(sending)
    return receiving


def wait(command: int, receiving: int, output: Output, timeout_s: float) -> int:
    """The command's exit code, -1 when its time ran out. Its end counts, not that of its output."""
    deadline = time.monotonic() + timeout_s
    waking, waker = os.pipe()
    os.set_blocking(waking, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    sources = [receiving, waking]
    while True:
        ended = reap()
        if command in ended:
            return ended[command]
        left = deadline - time.monotonic()
        if left <= 0:
            return -1
        ready = select.select(sources, [], [], left)[0]
        if waking in ready:
            os.read(waking, CHUNK_BYTES)
        if receiving in ready:
            data = os.read(receiving, CHUNK_BYTES)
            output.add(data)
            if not data:
                sources.remove(receiving)


def reap() -> dict[int, int]:
    """The exit codes of the children that have ended; 128 + n for signal n."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def end_all() -> None:
    """Kill all descendants. They are stopped first: what is stopped starts nothing more."""
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        stopped: set[int] = set()
        while True:
            new = descendants() - stopped
            if not new or time.monotonic() > deadline:
                break
            send(new, signal.SIGSTOP)
            stopped |= new
        if not stopped:
            return
        send(stopped, signal.SIGKILL)
        time.sleep(0.002)
        reap()


def send(pids: set[int], what: int) -> None:
    others = []
    for pid in pids:
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            pass
        except PermissionError:
            others.append(str(pid))
    if others and what == signal.SIGKILL:
        sudo = ["sudo", "-n", "kill", "-9", *others]
        os.waitpid(os.posix_spawnp(sudo[0], sudo, {"PATH": os.defpath}), 0)


def descendants() -> set[int]:
    """All processes below this one that have not ended."""
    children: dict[int, list[int]] = {}
    ended = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rsplit(b")", 1)[1].split()[:2]
            except OSError:
                continue
            children.setdefault(int(parent), []).append(int(name))
            if state in (b"Z", b"X"):
                ended.add(int(name))
    found: set[int] = set()
    below = children.get(os.getpid(), [])
    while below:
        found.update(below)
        below = [child for pid in below for child in children.get(pid, [])]
    return found - ended


def drain(receiving: int, output: Output) -> bool:
    """Take what was printed and not read yet; whether somebody may still print."""
    os.set_blocking(receiving, False)
    while True:
        try:
            data = os.read(receiving, CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        output.add(data)


def report(token: str, code: str, output: Output) -> None:
    """Write the report, and wait until it was read: a daemon may close the pipe once this process has ended."""
    output.shorten()
    line = f"\n{token} {code} {output.total} {len(output.head)} {len(output.tail)}\n"
    data = memoryview(line.encode() + output.head + output.tail)
    while data:
        data = data[os.write(1, data) :]
    deadline = time.monotonic() + END_S
    unread = bytearray(4)
    while time.monotonic() < deadline:
        fcntl.ioctl(1, termios.FIONREAD, unread)
        if not any(unread):
            return
        time.sleep(0.001)


def discard(receiving: int) -> None:
    """Leave a process behind that reads what daemons print: without a reader, printing would end them."""
    os.set_blocking(receiving, True)
    if os.fork() == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(receiving, 0)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.setsid()
        os.execvp("cat", ["cat"])
