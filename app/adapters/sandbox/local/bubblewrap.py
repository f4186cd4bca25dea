"""The bubblewrap command line: what a command sees of the host, and whether bubblewrap works here at all.

    /usr /bin /lib …     the host's, read-only          /work/repo  /work/home  /tmp  /dev/shm   the machine's own
    /etc                 a dozen harmless files         the toolchains given by name             read-only
    /proc                this pid namespace's, read-only: with uid 0 behind the mask its switches would be the host's;
                         what it tells of the whole host is masked

Everything else of the host does not exist.
"""

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WORK_TREE: Final = "/work/repo"
HOME: Final = "/work/home"
UID: Final = "1000"
FILTER_FD: Final = 3
"""Where bubblewrap reads the filter of system calls."""

_SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC: Final = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "java-*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
)
_ETC_OWN: Final = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\nsandbox:x:{UID}:{UID}:sandbox:{HOME}:/bin/sh\n",
    "group": f"root:x:0:\nsandbox:x:{UID}:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_ISOLATION: Final = (
    *("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"),
    *("--cap-drop", "ALL", "--uid", UID, "--gid", UID, "--hostname", "sandbox"),
)
_PROC_OF_THE_HOST: Final = ("keys", "key-users", "timer_list", "sched_debug", "latency_stats")
_NO_NESTING: Final = "--disable-userns"  # since 0.8; older ones live without it
_MISSING: Final = "bubblewrap is not installed. Install it: apt-get install bubblewrap (or dnf, pacman, apk add)."
_SWITCHES: Final = {
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "AppArmor forbids unprivileged user namespaces. Allow them: sysctl"
        " kernel.apparmor_restrict_unprivileged_userns=0, or give bwrap an AppArmor profile with `userns,`.",
    ),
    "/proc/sys/kernel/unprivileged_userns_clone": (
        "0",
        "The kernel forbids unprivileged user namespaces. Allow them: sysctl kernel.unprivileged_userns_clone=1.",
    ),
    "/proc/sys/user/max_user_namespaces": (
        "0",
        "The kernel allows no user namespaces. Allow them: sysctl user.max_user_namespaces=15000.",
    ),
}
_OTHERWISE: Final = (
    "bubblewrap does not work here. In a container, start it with --security-opt seccomp=unconfined"
    " --security-opt apparmor=unconfined --security-opt systempaths=unconfined."
)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a machine's own folders are on the host. None lies within another, so none can be swapped from inside."""

    machine: Path

    @property
    def mounts(self) -> dict[str, Path]:
        return {
            WORK_TREE: self.machine / "repo",
            HOME: self.machine / "home",
            "/tmp": self.machine / "tmp",  # noqa: S108
            "/dev/shm": self.machine / "shm",  # noqa: S108
        }

    @property
    def etc(self) -> Path:
        return self.machine / "etc"

    def make(self) -> None:
        for folder in (*self.mounts.values(), self.etc):
            folder.mkdir(parents=True)
        for name, text in _ETC_OWN.items():
            (self.etc / name).write_text(text)


def system_mounts() -> tuple[Path, ...]:
    """The host's paths that every sandbox shows."""
    folders = [path for path in map(Path, _SYSTEM) if path.is_dir() and not path.is_symlink()]
    return (Path("/usr"), *folders, *(found for pattern in _ETC for found in sorted(Path("/etc").glob(pattern))))


def argv(
    folders: Folders,
    isolation: Sequence[str],
    read_only: Sequence[Path],
    *,
    masked: Iterable[Path] = (),
    is_filtered: bool,
    has_network: bool,
) -> list[str]:
    """All but the environment and the command, which follows a `--`. `isolation` is what `isolation()` found.

    `masked` are folders within what is shown that appear empty. With `is_filtered` whoever starts it opens the filter
    of system calls as `FILTER_FD`.
    """
    etc = {f"/etc/{name}": folders.etc / name for name in _ETC_OWN}
    if has_network:
        etc["/etc/resolv.conf"] = Path("/etc/resolv.conf")
    return [
        *("bwrap", *isolation, *(["--share-net"] if has_network else [])),
        *(("--seccomp", str(FILTER_FD)) if is_filtered else ()),
        *_system(),
        *_mounted("--ro-bind-try", etc),
        *_kernel(),
        *_mounted("--bind", folders.mounts),
        *_mounted("--ro-bind-try", {str(path): path for path in read_only}),
        *(part for path in masked for part in ("--tmpfs", str(path), "--remount-ro", str(path))),
        *("--remount-ro", "/dev", "--remount-ro", "/proc", "--remount-ro", "/"),
    ]


def isolation() -> tuple[str, ...]:
    """The strictest isolation that works on this host; empty when none does. Starts `bwrap`: takes some 10 ms."""
    for options in ((*_ISOLATION, _NO_NESTING), _ISOLATION):
        if _try(options) == "":
            return options
    return ()


def probe() -> str:
    """Why sandboxes cannot be isolated on this host, and what to do about it; empty when they can."""
    if not (complaint := _try(_ISOLATION)):
        return ""
    if shutil.which("bwrap") is None:
        return _MISSING
    for switch, (forbids, fix) in _SWITCHES.items():
        if Path(switch).exists() and Path(switch).read_text().strip() == forbids:
            return f"{fix} ({complaint})"
    return f"{_OTHERWISE} ({complaint})"


def can_filter(program: bytes, options: Sequence[str]) -> bool:
    """Whether system calls can be filtered here, with the options of an isolation that works. Starts `bwrap`."""
    return bool(program) and _try((*options, "--seccomp", "0"), program) == ""


def _try(options: Sequence[str], stdin: bytes = b"") -> str:
    """What bubblewrap complains of; empty when it works."""
    command = ["bwrap", *options, *_system(), *_kernel(), "--remount-ro", "/proc", "--", "true"]
    try:
        ended = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if ended.returncode == 0 else ended.stderr.decode(errors="replace").strip() or "bwrap failed"


def _system() -> Iterator[str]:
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
    yield from _mounted("--ro-bind-try", {str(path): path for path in system_mounts()})


def _kernel() -> Iterator[str]:
    yield from ("--proc", "/proc", "--dev", "/dev")
    for path in (Path("/proc", name) for name in _PROC_OF_THE_HOST):
        if path.exists():
            yield from ("--ro-bind", "/dev/null", str(path))


def _mounted(option: str, paths: Mapping[str, Path]) -> Iterator[str]:
    for inside, outside in paths.items():
        yield from (option, str(outside), inside)
