"""Whether the worker's disk has room for work: bytes and inodes, as the kernel tells them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MIB: Final = 1 << 20
MIN_FREE_INODES: Final = 10_000
"""A checkout and its environment have some thousand files."""
OF_BEGUN: Final = 0.25
"""The part of both that must be left for a run to go on: less than for one to begin."""


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """The file system of `folder`, and how many MiB must be free there; 0: it is not looked at."""

    folder: Path
    min_free_mib: int

    def why_none_to_begin(self) -> str:
        """Why no run may begin here; empty when one may."""
        return self._why_none(1.0)

    def why_none_to_go_on(self) -> str:
        """Why those that have begun have to wait; empty when they may go on."""
        return self._why_none(OF_BEGUN)

    def _why_none(self, part: float) -> str:
        if not self.min_free_mib:
            return ""
        try:
            found = os.statvfs(self.folder)
        except OSError as error:
            return f"The worker's data folder cannot be used: {error.strerror}."
        free_mib = found.f_bavail * found.f_frsize // _MIB
        if free_mib < self.min_free_mib * part:
            return f"The worker's disk is full: {free_mib:,} MiB are free, {self.min_free_mib:,} are needed."
        # Some file systems have no fixed number of inodes, and say 0 of 0.
        if found.f_files and found.f_favail < MIN_FREE_INODES * part:
            return f"The worker's disk is full: it has room for {found.f_favail:,} files more."
        return ""
