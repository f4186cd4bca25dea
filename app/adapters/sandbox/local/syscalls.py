"""Which system calls a local sandbox refuses: those that reach what namespaces do not separate, or much of the kernel.

Tracing stays possible, since debuggers and leak checkers live by it: the pid namespace bounds whom it can reach.
"""

import errno
from typing import Final

from app.adapters.seccomp import ALLOW, SeccompRule, compile_filter, fail_with

_REFUSED: Final = (
    *("keyctl", "add_key", "request_key", "bpf", "perf_event_open"),
    *("mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "mount_setattr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "setns", "open_by_handle_at", "fanotify_init"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "swapon", "swapoff"),
    *("acct", "syslog", "quotactl", "quotactl_fd", "lookup_dcookie", "uselib", "modify_ldt", "iopl", "ioperm"),
)
_ABSENT: Final = (
    *("clone3", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "statmount", "listmount"),
)
"""Refused as if the kernel were too old for them, for which programs have another way."""

_NEW_NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of <linux/sched.h>."""
_NEW_TIME: Final = 0x80
_TERMINAL_INPUT: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX of <asm/ioctls.h>: type into the terminal of whoever started this."""
_PERSONALITIES: Final = (0x0, 0x0008, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)
"""Linux, 32 bits, an old version's name, a fixed address space (debuggers), and the question which one it is."""
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_ANY: Final = 0xFFFFFFFF


def program() -> bytes:
    """The filter for bubblewrap's `--seccomp`; empty where this architecture has no table."""
    no_family = fail_with(errno.EAFNOSUPPORT)
    rules = [
        *(SeccompRule(call, fail_with()) for call in _REFUSED),
        *(SeccompRule(call, fail_with(errno.ENOSYS)) for call in _ABSENT),
        SeccompRule("clone", fail_with(), argument=0, any_of=_NEW_NAMESPACES),
        SeccompRule("unshare", fail_with(), argument=0, any_of=_NEW_NAMESPACES | _NEW_TIME),
        *(SeccompRule("ioctl", fail_with(), argument=1, equal_to=request) for request in _TERMINAL_INPUT),
        *(SeccompRule("personality", ALLOW, argument=0, equal_to=each) for each in _PERSONALITIES),
        SeccompRule("personality", fail_with()),
        *(SeccompRule("socket", ALLOW, argument=0, equal_to=family) for family in (_UNIX, _INET, _INET6)),
        SeccompRule("socket", no_family, argument=2, any_of=_ANY),
        SeccompRule(
            "socket", ALLOW, argument=0, equal_to=_NETLINK
        ),  # the protocol is 0 here, NETLINK_ROUTE: lists interfaces
        SeccompRule("socket", no_family),
        SeccompRule("socketpair", ALLOW, argument=0, equal_to=_UNIX),
        SeccompRule("socketpair", no_family),
    ]
    try:
        return compile_filter(rules, default=ALLOW)
    except LookupError:
        return b""
