"""A machine's folders have the same paths in everything that is said of it, wherever on the host they lie.

    <root>/local-…/{repo,home,tmp,shm,etc}     /work/repo  /work/home  /tmp  /dev/shm  /etc

Under bubblewrap they really lie there, and the kernel alone tells the host's paths (`/proc/self/mountinfo`, where
they start at the file system's own root, so that any number of leading folders may be missing). Without isolation
commands see the host's paths: then they are translated both ways.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from app.adapters.sandbox.local.bubblewrap import HOME, WORK_TREE

_INSIDE: Final = {b"repo": WORK_TREE, b"home": HOME, b"tmp": "/tmp", b"shm": "/dev/shm", b"etc": "/etc"}  # noqa: S108
_ELSE: Final = b"/work"
_STARTS: Final = r"(?:(?<![\w./-])|(?<=\B-[A-Za-z]))"
"""Where a path may start: not within another one, but behind an option's letter (`-I/work/repo`)."""


class Paths:
    """The paths of one machine, by its folder on the host. `is_host` tells whether commands see the host's."""

    def __init__(self, folder: Path, *, is_host: bool) -> None:
        self._folder = folder
        self._is_host = is_host
        self._mark = b"/" + bytes(Path(folder.name))
        spellings = {bytes(folder), _escaped(bytes(folder)), bytes(folder.resolve()), _escaped(bytes(folder.resolve()))}
        self.longest = max(map(len, spellings)) + len(b"/repo") + 1
        places = b"|".join(map(_any_end_of, sorted(spellings)))
        self._pattern = re.compile(rb"(?:%s)(?:/(repo|home|tmp|shm|etc)(?![\w.-]))?(?![\w-])" % places)

    def shown(self, data: bytes) -> bytes:
        """What is printed, with the paths as they are inside."""
        return self._pattern.sub(_inside, data) if self._mark in data else data

    def shown_text(self, text: str) -> str:
        """The same for text."""
        return self.shown(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def shown_file(self, data: bytes) -> bytes:
        """The same for a file's bytes. What is no text is left alone: a pack would be damaged."""
        if self._mark not in data:
            return data
        try:
            data.decode()
        except UnicodeDecodeError:
            return data
        return self.shown(data)

    def real(self, text: str) -> str:
        """An argument or a path of a command, as this machine needs it."""
        if not self._is_host:
            return text
        for place, name in ((WORK_TREE, "repo"), (HOME, "home")):
            path = str(self._folder / name).replace("\\", "\\\\")
            text = re.sub(rf"{_STARTS}{place}(?![\w-])", path, text)
        return text

    def real_all(self, env: Mapping[str, str]) -> dict[str, str]:
        """An environment, as this machine needs it."""
        return {name: self.real(value) for name, value in env.items()}

    def ends(self, data: bytes) -> int:
        """Up to where printed bytes are certain, though more may follow: behind that a path may have begun."""
        certain = data.find(b"/", max(len(data) - self.longest, 0))
        if certain < 0:
            return len(data)
        spanning = (found.end() for found in self._pattern.finditer(data) if found.start() < certain < found.end())
        return next(spanning, certain) if self._mark in data else certain


class Stream:
    """Shows what is printed bit by bit, also where a path comes in two parts."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._held = b""

    def add(self, data: bytes) -> bytes:
        """What can be shown by now."""
        data = self._held + data
        end = self._paths.ends(data)
        self._held = data[end:]
        return self._paths.shown(data[:end])

    def rest(self) -> bytes:
        """What is left at the end."""
        held, self._held = self._held, b""
        return self._paths.shown(held)


def _any_end_of(folder: bytes) -> bytes:
    """A pattern for the folder's path without any number of its first parts, the longest first."""
    *parents, name = folder.strip(b"/").split(b"/")
    pattern = b""
    for parent in parents:
        pattern = rb"(?:%s/%s)?" % (pattern, re.escape(parent))
    return pattern + b"/" + re.escape(name)


def _escaped(path: bytes) -> bytes:
    """As the kernel writes paths in its tables. https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html"""
    return re.sub(rb"[ \t\n\\]", lambda found: b"\\%03o" % ord(found[0]), path)


def _inside(found: re.Match[bytes]) -> bytes:
    return _INSIDE[found[1]].encode() if found[1] else _ELSE
