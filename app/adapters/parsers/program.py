"""The program that reads hostile text: started by `confined.py` with nothing in its environment, and never imported.

It is the only one that loads tree-sitter, and it reads nothing itself. For each request it forks a process that takes
away from itself whatever it does not need to compute, reads that one text, answers and ends. So a text that crashes or
takes over its process has taken over nothing: no key, file, socket or other process, nor anybody's next request.

    worker ── control socket ──▶ this program ── fork ──▶ one process for each request
       └───────── the request's own socket, handed over the control socket ─────────┘

    request   u32 length of the header │ header (JSON: "parser", "arguments") │ the text's bytes │ end of stream
    answer    JSON: {"value": …} or {"problem": …, "line": …}, with "is_filtered" │ end of stream

No answer means that the text crashed the parser or passed a limit.

**Another parser** is one function, `(data: bytes, **arguments)`, that gives what JSON can say (or dataclasses) and
raises `ParseError` for a text that it refuses; its line in `PARSERS`; a method in `confined.py` and in the `Parsers`
port. It must have loaded all its modules and files before `serve` is called: afterwards no file can be opened.
"""

import ast
import codecs
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from app.adapters.parsers import documents, syntax
from app.adapters.seccomp import ALLOW, SeccompRule, compile_filter, confine_this_process, fail_with
from app.core.errors import ParseError

PARSERS: Final[Mapping[str, Callable[..., object]]] = {
    "syntax_faults": syntax.check,
    "load_yaml": documents.load_yaml,
    "load_json": documents.load_json,
    "matches": documents.matches,
}

CPU_S: Final = 3
WALL_S: Final = 20.0
MAX_MEMORY_BYTES: Final = 512 * 1024 * 1024
MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
HEADER: Final = struct.Struct("!I")
_CHUNK_BYTES: Final = 65_536
_REAP_EVERY_S: Final = 0.5
_PROT_EXEC: Final = 4
_SET_DUMPABLE: Final = 4  # prctl's, <linux/prctl.h>
_NEEDED: Final = (
    *("read", "write", "close", "exit", "exit_group", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack"),
    *("mmap", "mprotect", "munmap", "mremap", "madvise", "brk", "futex", "getrandom", "clock_gettime", "sched_yield"),
)


def main() -> None:
    """Load the parsers, then serve the control socket that is standard input."""
    syntax.preload()
    for encoding in ("utf-8-sig", "latin-1", "cp1252", "ascii"):  # a Python file may name its own
        codecs.lookup(encoding)
    ast.parse("")
    gc.freeze()
    with socket.socket(fileno=0) as control:
        serve(control, _program())


def _program() -> bytes | None:
    """The seccomp filter, None for an architecture that there is no table for."""
    rules = [SeccompRule(call, fail_with(), argument=2, any_of=_PROT_EXEC) for call in ("mmap", "mprotect")]
    try:
        return compile_filter([*rules, *(SeccompRule(call, ALLOW) for call in _NEEDED)], default=fail_with())
    except LookupError:
        return None


def serve(control: socket.socket, program: bytes | None) -> None:
    """Fork a process for each socket that comes, until the control socket is closed; kill those that take too long."""
    deadlines: dict[int, float] = {}
    while True:
        ready, _, _ = select.select([control], [], [], _REAP_EVERY_S if deadlines else None)
        _reap(deadlines)
        if not ready:
            continue
        message, handed, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            break
        for connection in handed:
            with suppress(OSError):  # no room for a process: the request goes without an answer
                if not (pid := os.fork()):
                    _answer_and_exit(connection, program)
                deadlines[pid] = time.monotonic() + WALL_S
            os.close(connection)
    for pid in deadlines:
        os.kill(pid, signal.SIGKILL)


def _reap(deadlines: dict[int, float]) -> None:
    for pid, deadline in list(deadlines.items()):
        if os.waitpid(pid, os.WNOHANG)[0]:
            del deadlines[pid]
        elif time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)


def _answer_and_exit(connection: int, program: bytes | None) -> None:
    """In a process of its own. Whatever goes wrong, it ends here, without an answer."""
    code = 1
    try:
        os.dup2(connection, 0)
        os.closerange(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        is_filtered = confine(program)
        _write({**_parse(_read()), "is_filtered": is_filtered})
        code = 0
    finally:
        os._exit(code)


def confine(program: bytes | None) -> bool:
    """Take everything from this process but its memory, its time and the files it has open; is it filtered, too?"""
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        *((each, 0) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)),
        *((each, 0) for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)),
    ):
        resource.setrlimit(what, (most, most))
    if program is None:
        return False
    try:
        confine_this_process(program)
    except OSError:
        return False
    return True


def _read() -> bytes:
    """The whole request."""
    chunks, size = [], 0
    while chunk := os.read(0, _CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_REQUEST_BYTES:
            sys.exit("too large")
    return b"".join(chunks)


def _parse(request: bytes) -> Mapping[str, object]:
    (length,) = HEADER.unpack_from(request)
    data = request[HEADER.size + length :]
    asked = json.loads(request[HEADER.size : HEADER.size + length])
    try:
        return {"value": PARSERS[asked["parser"]](data=data, **asked["arguments"])}
    except ParseError as error:
        return {"problem": str(error), "line": error.line}


def _write(answer: Mapping[str, object]) -> None:
    written = json.dumps(answer, ensure_ascii=False, allow_nan=False, default=asdict).encode("utf-8", "replace")
    if len(written) > MAX_ANSWER_BYTES:
        sys.exit("too large")
    while written:
        written = written[os.write(0, written) :]
