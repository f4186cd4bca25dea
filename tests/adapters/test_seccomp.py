"""A filter does to a real process what its rules say."""

import errno
import platform
import subprocess
import sys

import pytest

from app.adapters.seccomp import ALLOW, SeccompRule, compile_filter

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"}, reason="seccomp tables are for Linux"
)

_PROGRAM = """
import errno, os, socket
from app.adapters.seccomp import ALLOW, SeccompRule, compile_filter, confine_this_process, fail_with

rules = [
    SeccompRule("keyctl", fail_with()),
    SeccompRule("socket", ALLOW, argument=0, equal_to=socket.AF_UNIX),
    SeccompRule("socket", fail_with(errno.EAFNOSUPPORT)),
]
confine_this_process(compile_filter(rules, default=ALLOW))

def outcome(call):
    try:
        call()
    except OSError as error:
        return error.errno
    return 0

import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def keyctl():
    if libc.syscall({"x86_64": 250, "aarch64": 219}[os.uname().machine], 0, -3, 0, 0, 0) == -1:
        raise OSError(ctypes.get_errno(), "")

print(outcome(keyctl), outcome(lambda: socket.socket(socket.AF_UNIX).close()),
      outcome(lambda: socket.socket(socket.AF_INET).close()), os.getpid() > 0)
"""


def test_rules_hold_by_call_and_by_argument() -> None:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    assert ended.stdout.split() == [str(errno.EPERM), "0", str(errno.EAFNOSUPPORT), "True"], ended.stderr


def test_a_call_without_a_number_is_refused_at_once() -> None:
    with pytest.raises(KeyError):
        compile_filter([SeccompRule("no_such_call", ALLOW)], default=ALLOW)
