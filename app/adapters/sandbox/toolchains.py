"""Which of the user's own tools a local sandbox shows, read-only, so that a repository builds as it does by hand.

Never a whole home, and never a folder where a tool keeps its credentials beside its programs.
"""

import sys
from collections.abc import Iterator, Sequence
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


def host_toolchains(environ_path: str, home: Path) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """The PATH of a sandbox and the paths to show read-only, from the user's own PATH and home.

    The interpreter this program runs on comes last on PATH, so that a repository's `python` is the user's, not ours.
    """
    ours = str(Path(sys.prefix, "bin"))
    entries = [entry for entry in environ_path.split(":") if Path(entry).is_absolute() and _may_show(Path(entry), home)]
    path = dict.fromkeys([*(entry for entry in entries if entry != ours), *SYSTEM_PATH, ours])
    shown = [
        *(_root(Path(entry), home) for entry in entries),
        *(home / manager / part for manager, parts in _MANAGERS.items() for part in parts),
        *(Path(prefix) for prefix in (sys.base_prefix, sys.prefix) if _may_show(Path(prefix), home)),
    ]
    return tuple(path), tuple(_outermost(found for found in shown if found.exists()))


def manager_homes(read_only: Sequence[Path]) -> dict[str, str]:
    """The environment that tells version managers among the shown paths where they live."""
    owners = (owner for path in read_only for owner in (path, *path.parents))
    return {_HOMES[owner.name]: str(owner) for owner in owners if owner.name in _HOMES}


def _may_show(path: Path, home: Path) -> bool:
    """Whether a path is neither the home nor above it."""
    return path != Path("/") and path != home and path not in home.parents


def _root(entry: Path, home: Path) -> Path:
    """The tree a `bin` belongs to, where it holds programs only: outside the home."""
    root = entry.parent
    is_tree = entry.name == "bin" and len(root.parts) > 2 and home not in entry.parents and _may_show(root, home)
    return root if is_tree else entry


def _outermost(paths: Iterator[Path]) -> Iterator[Path]:
    """Without the system, which is there already, and without what lies within another path."""
    kept = {Path("/usr"), Path("/bin"), Path("/sbin"), Path("/lib"), Path("/lib64")}
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if kept.isdisjoint((path, *path.parents)):
            kept.add(path)
            yield path
