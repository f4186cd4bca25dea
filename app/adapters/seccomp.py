"""Seccomp filters as bytes, for bubblewrap's `--seccomp FD` and for processes that confine themselves.

A filter is a classic BPF program: it reads `struct seccomp_data` (number, architecture, arguments) and returns what the
kernel does with the call. https://docs.kernel.org/userspace-api/seccomp_filter.html

    wrong architecture, or x32's numbers ─▶ kill      first rule that matches ─▶ its action      none ─▶ the default
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT: Final = 0x40000000
_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    # name: x86_64, aarch64 (None: there is no such call)
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, None),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "ioctl": (16, 29),
    "mremap": (25, 216),
    "sched_yield": (24, 124),
    "madvise": (28, 233),
    "getpid": (39, 172),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "clone": (56, 220),
    "clone3": (435, 435),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "gettid": (186, 178),
    "futex": (202, 98),
    "getrandom": (318, 278),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "ppoll": (271, 73),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "getrusage": (98, 165),
    "tgkill": (234, 131),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "personality": (135, 92),
    "uselib": (134, None),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vmsplice": (278, 75),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "open_tree_attr": (467, 467),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "quotactl_fd": (443, 443),
}


@dataclass(frozen=True, slots=True)
class SeccompRule:
    """What happens with a system call.

    With `argument` (0 to 5) the rule holds only when that argument's lower 32 bits are `equal_to`, or have one of the
    bits `any_of`. A rule for a call that this architecture lacks is left out.
    """

    call: str
    action: int
    argument: int | None = None
    equal_to: int | None = None
    any_of: int | None = None


def fail_with(number: int = errno.EPERM) -> int:
    """The action that makes a call fail with this `errno`."""
    return _ERRNO | (number & 0xFFFF)


def number_of(call: str) -> int | None:
    """The call's number on this machine; None where there is no such call.

    Raises:
        LookupError: no table for this architecture, or for the call.
    """
    _ = _AUDIT[machine := platform.machine()]
    return _NUMBERS[call][list(_AUDIT).index(machine)]


def compile_filter(rules: Sequence[SeccompRule], *, default: int) -> bytes:
    """The program for this machine's architecture; the first rule that matches decides.

    Raises:
        LookupError: no table for this architecture (x86_64 and aarch64 have one), or for a call.
    """
    machine = platform.machine()
    program = [
        _statement(_LOAD_WORD, _ARCHITECTURE_AT),
        _jump(_JUMP_EQUAL, _AUDIT[machine], 1, 0),
        _statement(_RETURN, KILL),
        _statement(_LOAD_WORD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [_jump(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _statement(_RETURN, KILL)]
    for rule in rules:
        if (number := number_of(rule.call)) is not None:
            program += _compiled(rule, number)
    return b"".join([*program, _statement(_RETURN, default)])


def confine_this_process(program: bytes) -> None:
    """Hold this process, all its threads and children to come to a filter, for ever.

    Raises:
        OSError: the kernel refused it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    count = len(program) // 8
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", count, ctypes.addressof(buffer))
    set_no_new_privileges, set_seccomp, mode_filter = 38, 22, 2  # <linux/prctl.h>
    if libc.prctl(set_no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, mode_filter, header, 0, 0):
        raise OSError(ctypes.get_errno(), "The kernel refused the seccomp filter.")


def _compiled(rule: SeccompRule, number: int) -> list[bytes]:
    """The number is in the accumulator before and, where the rule does not match, after."""
    if rule.argument is None:
        return [_jump(_JUMP_EQUAL, number, 0, 1), _statement(_RETURN, rule.action)]
    is_any = rule.any_of is not None
    code, value = (_JUMP_ANY_BIT, rule.any_of) if is_any else (_JUMP_EQUAL, rule.equal_to)
    return [
        _jump(_JUMP_EQUAL, number, 0, 4),
        _statement(_LOAD_WORD, _ARGUMENTS_AT + 8 * rule.argument),
        _jump(code, value or 0, 0, 1),
        _statement(_RETURN, rule.action),
        _statement(_LOAD_WORD, _NUMBER_AT),
    ]


def _statement(code: int, value: int) -> bytes:
    return struct.pack("HBBI", code, 0, 0, value)


def _jump(code: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
