"""Limits over all processes of a local machine together, which rlimits cannot give: they count each process alone.

The kernel's own answer is a cgroup (`cgroup`), but its tree is read-only in most containers, and it knows no disks. So
the worker looks a few times a second: cheap counters first, exact ones only when those look too high. What slips
through between two looks is bounded by the rlimits, and the out-of-memory killer takes a sandbox before all others.
"""

import itertools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
GIB: Final = 1 << 30
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_FREE_FLOOR_BYTES: Final = 256 * MIB


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """What one machine may use. `memory_bytes` and `processes` are over all its processes, `disk_*` over its files."""

    memory_bytes: int
    processes: int
    file_bytes: int
    disk_bytes: int
    disk_files: int = 1_000_000

    @property
    def hard_memory_bytes(self) -> int:
        """Where the kernel steps in, which says less about why."""
        return self.memory_bytes * 5 // 4

    @property
    def threads(self) -> int:
        """What the kernel counts as processes."""
        return self.processes * 8


class Watch:
    """Looks after one machine; keeps what it knows of the disk from one command to the next."""

    def __init__(self, limits: MachineLimits, folder: Path) -> None:
        self._limits = limits
        self._folder = folder
        self._free = os.statvfs(folder)

    def look(self, first_pid: int) -> str:
        """Why the processes under the pid namespace's first one must end; empty when they may go on."""
        try:
            return self._processes(Path(f"/proc/{first_pid}/root/proc")) or self._disk()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return ""  # it has just ended, or is only just starting

    def _processes(self, proc: Path) -> str:
        with os.scandir(proc) as entries:  # not to its end: a fork bomb adds to it faster than it can be read
            running = (entry.name for entry in entries if entry.name.isdigit())
            pids = list(itertools.islice(running, self._limits.processes + 1))
        if len(pids) > self._limits.processes:
            return f"more than {self._limits.processes} processes"
        resident = sum(_resident_bytes(proc / pid) for pid in pids)
        if resident > self._limits.memory_bytes < sum(_owned_bytes(proc / pid) for pid in pids):
            return f"more than {self._limits.memory_bytes // MIB} MiB of memory"
        return ""

    def _disk(self) -> str:
        """The filesystem's free space is looked at; only when it shrank a good deal are the machine's files counted."""
        now = os.statvfs(self._folder)
        if now.f_bavail * now.f_frsize < _FREE_FLOOR_BYTES:
            return "the host's disk is nearly full"
        taken = (self._free.f_bavail - now.f_bavail) * now.f_frsize
        files = self._free.f_ffree - now.f_ffree
        if taken < self._limits.disk_bytes // 8 and files < self._limits.disk_files // 8:
            return ""
        self._free = now
        if _measured(self._folder, "-sk") * 1024 > self._limits.disk_bytes:
            return f"more than {self._limits.disk_bytes // MIB} MiB of files"
        if _measured(self._folder, "-s", "--inodes") > self._limits.disk_files:
            return f"more than {self._limits.disk_files} files"
        return ""


def _resident_bytes(process: Path) -> int:
    try:
        return int((process / "statm").read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _owned_bytes(process: Path) -> int:
    """Anonymous and shared memory, each page counted once over all who map it; files mapped for reading are free."""
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return _resident_bytes(process)
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def _measured(folder: Path, *options: str) -> int:
    """`du`, since it copes with trees nested deeper than a path may be long."""
    found = subprocess.run(["du", *options, "--", folder], capture_output=True, check=False, timeout=60)
    return int(found.stdout.split()[0]) if found.stdout else 0
