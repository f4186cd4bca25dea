"""A local machine as it lies on disk, so that any worker process, also a later one, can find, use and destroy it.

<root>/<id>/machine.json      what `Record` holds; never seen from inside
<root>/<id>/seccomp.bpf       the filter of system calls; empty where there is none
<root>/<id>/{repo,home,tmp,shm,etc}
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from app.adapters.sandbox.local import cgroup
from app.adapters.sandbox.local.bubblewrap import Folders
from app.adapters.sandbox.local.process import kill_marked
from app.core.errors import SandboxError, SandboxGone
from app.core.ports.sandbox import Network

MARK: Final = "VIBECODER_SANDBOX"
_ID: Final = re.compile(r"local-[0-9a-f]{20}")
_FILE: Final = "machine.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What must be known of a machine besides its files."""

    created_at: datetime
    expires_at: datetime
    metadata: Mapping[str, str]
    network: Network = field(default_factory=lambda: Network(is_open=True))


_RECORD: Final = TypeAdapter(Record)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine's folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def folders(self) -> Folders:
        return Folders(self.folder)

    @property
    def mark(self) -> str:
        """The environment entry that its processes on the host carry."""
        return str(self.folder)

    @property
    def cgroup(self) -> str:
        """A name that no machine under another root has."""
        return f"vibecoder-{hashlib.sha256(bytes(self.folder)).hexdigest()[:16]}"

    def load(self) -> Record:
        """The record.

        Raises:
            SandboxGone: its time is over, or it was destroyed.
        """
        try:
            record = _RECORD.validate_json((self.folder / _FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise SandboxGone("The sandbox is gone. Start a new one.") from error
        if record.expires_at <= datetime.now(UTC):
            words = "The sandbox's time is over. Start a new one, or keep it alive in time."
            raise SandboxGone(words)
        return record

    def save(self, record: Record) -> None:
        """Replace the record in one move."""
        self._replace(_FILE, _RECORD.dump_json(record))

    @property
    def filter(self) -> Path:
        """The file with the filter of system calls."""
        return self.folder / "seccomp.bpf"

    def keep_filter(self, program: bytes) -> None:
        """Have commands run under this filter from now on. A machine that is gone stays so."""
        with suppress(FileNotFoundError):
            self._replace(self.filter.name, program)

    def _replace(self, name: str, data: bytes) -> None:
        new = self.folder / f"{name}.{os.getpid()}"
        new.write_bytes(data)
        new.replace(self.folder / name)

    def keep_until(self, moment: datetime) -> None:
        record = self.load()
        self.save(replace(record, expires_at=max(record.expires_at, moment)))

    def destroy(self) -> None:
        """Kill what runs in it and delete it, whatever modes, depths and names its files have. Repeatable; blocks."""
        (self.folder / _FILE).unlink(missing_ok=True)
        kill_marked(f"{MARK}={self.mark}")
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*command, "--", self.folder], capture_output=True, check=False, timeout=600)
        cgroup.remove(self.cgroup)
        if self.folder.exists():
            raise SandboxError(f"The sandbox {self.id} cannot be deleted. Delete its folder in DATA_DIR by hand.")


def create(root: Path, key: str, metadata: Mapping[str, str], timeout_s: float) -> Machine:
    """The machine of this key, new or, when it lives, as it is. Sweeps what has expired. Blocks."""
    living(root)
    machine = Machine(root / f"local-{hashlib.sha256(key.encode()).hexdigest()[:20]}")
    if (machine.folder / _FILE).exists():
        return machine
    machine.destroy()  # a creation or a destruction that did not come to its end
    now = datetime.now(UTC)
    growing = Machine(Path(tempfile.mkdtemp(dir=root, prefix=".new-")))
    growing.folders.make()
    growing.save(Record(now, now + timedelta(seconds=timeout_s), dict(metadata)))
    try:
        growing.folder.rename(machine.folder)
    except OSError:  # somebody was faster
        shutil.rmtree(growing.folder)
    return machine


def find(root: Path, machine_id: str) -> Machine:
    """The machine of an id, which may or may not exist.

    Raises:
        SandboxError: no machine could have this id.
    """
    if not _ID.fullmatch(machine_id):
        raise SandboxError(f"{machine_id!r} is no local sandbox.")
    return Machine(root / machine_id)


def living(root: Path) -> list[tuple[Machine, Record]]:
    """All machines that live, oldest first. Destroys those whose time is over. Blocks."""
    return sorted(_living(root), key=lambda pair: pair[1].created_at)


def _living(root: Path) -> Iterator[tuple[Machine, Record]]:
    for folder in root.glob("local-*"):
        machine = Machine(folder)
        try:
            yield machine, machine.load()
        except SandboxError:
            machine.destroy()
