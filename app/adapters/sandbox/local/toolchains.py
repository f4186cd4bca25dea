"""Which of the host's tools a local sandbox shows, read-only, so that a repository builds as it does by hand.

Never a whole home, never a folder where a tool keeps its credentials beside its programs, and nothing of the
environment that this program runs on: of a tree around a `bin` folder only the parts that a toolchain consists of.
"""

import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYSTEM_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

_MANAGERS: Final = {
    ".asdf": ("bin", "lib", "libexec", "shims", "installs", "plugins", ".tool-versions"),
    ".bun": ("bin",),
    ".cargo": ("bin",),
    ".deno": ("bin",),
    ".local": ("bin", "share/uv/python", "share/uv/tools", "share/pipx/venvs", "share/mise/installs", "share/fnm"),
    ".nvm": ("versions",),
    ".pyenv": ("shims", "bin", "libexec", "versions", "plugins", "version"),
    ".rbenv": ("shims", "bin", "libexec", "versions", "plugins", "version"),
    ".rustup": ("toolchains", "settings.toml", "update-hashes"),
    ".sdkman": ("candidates",),
    ".volta": ("bin", "tools"),
    "go": ("bin",),
    "miniconda3": (".",),
    "sdk": (".",),
}
"""What a version manager's shims need, by its folder in the home."""

_HOMES: Final = {".asdf": "ASDF_DATA_DIR", ".rustup": "RUSTUP_HOME", ".volta": "VOLTA_HOME"}
"""Managers that look for themselves under $HOME, which in a sandbox is another one."""

_TREE: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libexec", "share", "include", "jre")
_MORE_OF_A_TREE: Final = {
    "pkg/tool": ("VERSION", "go.env", "pkg", "src"),  # Go
    "lib/modules": ("conf", "jmods", "legal", "release"),  # Java
    "boot": ("boot", "conf/logging"),  # Maven
}
"""What belongs to a toolchain besides, where this path in it exists."""


@dataclass(frozen=True, slots=True)
class Toolchains:
    """`path` is a sandbox's PATH. `read_only` are the paths to show, except what lies in one of `hidden`."""

    path: tuple[str, ...] = SYSTEM_PATH
    read_only: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()


def host_toolchains(environ_path: str, home: Path) -> Toolchains:
    """What a sandbox shows, from the user's own PATH and home. Folders of PATH that cannot be used are left out.

    Where PATH has no `python3`, the interpreter that this program's environment was made from is shown.
    """
    own = _own_environment()
    entries = [entry for entry in environ_path.split(":") if _is_usable(entry, home) and not _is_within(entry, own)]
    shown = [
        *(part for entry in entries for part in _parts(Path(entry), home)),
        *(home / manager / part for manager, parts in _MANAGERS.items() for part in parts),
    ]
    path = [*entries, *SYSTEM_PATH]
    base = Path(sys.base_prefix)
    if shutil.which("python3", path=":".join(path)) is None and _may_show(base, home):
        path.append(str(base / "bin"))
        shown.append(base)
    spelled = (each for path in shown if os.access(path, os.R_OK) for each in (path, path.resolve()))
    return Toolchains(tuple(dict.fromkeys(path)), tuple(_outermost(spelled)), own)


def manager_homes(read_only: Sequence[Path]) -> dict[str, str]:
    """The environment that tells version managers among the shown paths where they live."""
    owners = (owner for path in read_only for owner in (path, *path.parents))
    return {_HOMES[owner.name]: str(owner) for owner in owners if owner.name in _HOMES}


def _own_environment() -> tuple[Path, ...]:
    """The virtual environment (Python's or conda's) that this program is installed in; empty when it is in none."""
    prefix = Path(sys.prefix)
    is_conda = prefix.parent.name == "envs" and (prefix / "conda-meta").is_dir()
    return (prefix.resolve(),) if sys.prefix != sys.base_prefix or is_conda else ()


def _is_usable(entry: str, home: Path) -> bool:
    """Whether it is a folder that this user may read, that nobody else may fill, and that holds no home."""
    try:
        real = Path(os.path.realpath(entry, strict=True))
        mode = real.stat().st_mode
    except OSError:
        return False
    is_readable = stat.S_ISDIR(mode) and os.access(real, os.R_OK | os.X_OK)
    is_ours = not mode & stat.S_IWOTH and _may_show(Path(entry), home) and _may_show(real, home)
    return Path(entry).is_absolute() and is_readable and is_ours


def _is_within(entry: str, folders: Iterable[Path]) -> bool:
    return any(Path(entry).resolve().is_relative_to(folder) for folder in folders)


def _may_show(path: Path, home: Path) -> bool:
    """Whether a path is neither the home nor above it."""
    return path != Path("/") and not any(each.is_relative_to(path) for each in (home, home.resolve()))


def _parts(entry: Path, home: Path) -> Iterator[Path]:
    """A folder of PATH and, for a `bin` outside the home, the parts of the toolchain that it belongs to."""
    yield entry
    root = entry.parent
    if entry.name == "bin" and len(root.parts) > 2 and not entry.is_relative_to(home) and _may_show(root, home):
        more = [part for mark, parts in _MORE_OF_A_TREE.items() if os.access(root / mark, os.R_OK) for part in parts]
        yield from (root / part for part in (*_TREE, *more))


def _outermost(paths: Iterable[Path]) -> Iterator[Path]:
    """Without the system, which is there already, and without what lies within another path."""
    kept = {Path("/usr"), Path("/bin"), Path("/sbin"), Path("/lib"), Path("/lib64")}
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if kept.isdisjoint((path, *path.parents)):
            kept.add(path)
            yield path
