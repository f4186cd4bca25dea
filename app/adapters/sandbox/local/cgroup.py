"""Hard limits over all of a machine's processes together, by the kernel, on hosts whose cgroup tree may be written.

Most containers' may not; then there is nothing here, and `watch` looks instead. Both generations are known: one tree
for all controllers (v2), one tree each (v1).
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.adapters.sandbox.local.limits import MachineLimits

_TREE: Final = Path("/sys/fs/cgroup")
_CONTROLLERS: Final = ("memory", "pids")
_MEMORY: Final = ("memory.max", "memory.limit_in_bytes")


def make(name: str, limits: MachineLimits) -> tuple[Path, ...]:
    """The files a process writes its pid to in order to be limited; empty when the tree may not be written.

    Repeatable. See https://docs.kernel.org/admin-guide/cgroup-v2.html.
    """
    joined = []
    for group, settings in _groups(name, limits):
        with suppress(OSError):
            if "memory.max" in settings:
                (group.parent / "cgroup.subtree_control").write_text("+memory +pids")
            group.mkdir(exist_ok=True)
            for file, value in settings.items():
                (group / file).write_text(str(value))
            joined.append(group / "cgroup.procs")
    return tuple(joined)


def bounds_memory(joined: Iterable[Path]) -> bool:
    """Whether whoever writes its pid to these is limited in its memory."""
    return any((file.parent / name).exists() for file in joined for name in _MEMORY)


def remove(name: str) -> None:
    """Undo `make`, once no process is left. Repeatable."""
    for group, _ in _groups(name, MachineLimits(0, 0, 0, 0)):
        with suppress(OSError):
            group.rmdir()


def _groups(name: str, limits: MachineLimits) -> Iterator[tuple[Path, dict[str, int]]]:
    """Below the cgroups this process is in: where the machine's would be, and what they would be set to."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        group = _TREE / controllers / path.lstrip("/") / name
        if controllers == "memory":
            yield group, {"memory.limit_in_bytes": limits.hard_memory_bytes}
        elif controllers == "pids":
            yield group, {"pids.max": limits.threads}
        elif not controllers and _has_controllers(group.parent):
            yield group, {"memory.max": limits.hard_memory_bytes, "pids.max": limits.threads}


def _has_controllers(parent: Path) -> bool:
    try:
        found = (parent / "cgroup.controllers").read_text().split()
    except OSError:
        return False
    return set(_CONTROLLERS) <= set(found)
