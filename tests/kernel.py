"""Small programs for a sandbox that ask its kernel for things, by the numbers of this architecture."""

from app.adapters import seccomp

REFUSED = (
    *("keyctl", "add_key", "request_key", "bpf", "userfaultfd", "perf_event_open", "io_uring_setup", "io_uring_enter"),
    *("mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr", "setns"),
    *("clone3", "chroot", "kexec_load", "init_module", "finit_module", "open_by_handle_at", "swapon", "syslog", "acct"),
)
"""Calls that no sandbox may make."""

FAMILIES = range(46)
"""All address families that <linux/socket.h> knows."""

_START = """import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    given = libc.syscall(number, *arguments)
    return given, errno.errorcode.get(ctypes.get_errno(), "")
"""


def refusals() -> str:
    """Prints `NAME ERROR` for every call of `REFUSED`, and for the refused uses of calls that are allowed."""
    calls = [(name, number, ()) for name in REFUSED if (number := seccomp.number_of(name)) is not None]
    uses = {
        "unshare user": ("unshare", (0x10000000,)),
        "unshare mount": ("unshare", (0x00020000,)),
        "clone user": ("clone", (0x10000000 | 17,)),
        "type into the terminal": ("ioctl", (1, 0x5412)),
        "executable data": ("personality", (0x0400000,)),
    }
    more = [(name, seccomp.number_of(call), arguments) for name, (call, arguments) in uses.items()]
    return f"""{_START}
import os
for name, number, arguments in {[*calls, *more]!r}:
    given, error = call(number, *(*arguments, 0, 0, 0, 0, 0)[:6])
    if name.startswith("clone") and given == 0:
        os._exit(0)
    print(name, error or "DONE", sep=": ")
"""


def families() -> str:
    """Prints the number of every address family for which there is a socket."""
    return f"""import socket
for family in {list(FAMILIES)!r}:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        for protocol in (0, 1, 2):
            try: socket.socket(family, kind, protocol).close()
            except OSError: continue
            print(family, protocol if family == 16 else "any")
"""


def keys(description: str) -> str:
    """Prints `FOUND` and what a key holds that one of this process's keyrings leads to; else `nothing`."""
    keyctl, add_key = seccomp.number_of("keyctl"), seccomp.number_of("add_key")
    return f"""{_START}
buffer = ctypes.create_string_buffer(100)
for ring in (-1, -2, -3, -4, -5):
    key, _ = call({keyctl}, 10, ring, b"user", {description.encode()!r}, 0)
    if key > 0:
        call({keyctl}, 11, key, buffer, 100)
        print("FOUND", buffer.value)
        break
else:
    print("nothing")
call({add_key}, b"user", {description.encode()!r}, b"left behind", 11, -3)
"""
