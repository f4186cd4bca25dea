"""A session keyring for each command of a sandbox: namespaces do not separate the kernel's keyrings.

See keyctl(2), KEYCTL_JOIN_SESSION_KEYRING, and session-keyring(7).
"""

import ctypes
import errno
from typing import Final

from app.adapters import seccomp

_JOIN_SESSION_KEYRING: Final = 1
_UNAVAILABLE: Final = {errno.EPERM, errno.ENOSYS}
"""The kernel has no keyrings, or a container keeps them from this process and so from its children."""


def renew_session_keyring() -> None:
    """Give this thread, and every process that it starts from now on, a new, empty session keyring. Repeatable.

    It is called right before a process is started: nothing that can run between fork and exec is needed then.

    Raises:
        OSError: the kernel made none; EDQUOT when this user has as many keys as it may have.
    """
    try:
        number = seccomp.number_of("keyctl")
    except LookupError:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _JOIN_SESSION_KEYRING, None) < 0 and (code := ctypes.get_errno()) not in _UNAVAILABLE:
        raise OSError(code, "The kernel made no session keyring.")
