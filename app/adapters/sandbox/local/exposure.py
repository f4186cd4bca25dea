"""What the host's paths in a sandbox show of the deployment: found before the first sandbox is made.

Links are followed on both sides: what counts is where a path really leads.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from app.adapters.sandbox.local import bubblewrap
from app.adapters.sandbox.local.toolchains import Toolchains

_KEY_FILES: Final = (".env", "app.json")
"""Files that hold a deployment's keys, in whichever folder they lie; `.env.production` and the like too."""


def masks(shown: Iterable[Path], hidden: Iterable[Path]) -> Iterator[Path]:
    """The places within the shown paths, as a sandbox spells them, where a hidden folder would appear."""
    hidden = tuple(hidden)
    for path in shown:
        real = path.resolve()
        yield from (path / folder.relative_to(real) for folder in hidden if folder.is_relative_to(real))


def exposed(tools: Toolchains, protected: Mapping[Path, str], home: Path) -> str:
    """Why sandboxes with these tools must not be made, with the fix; empty when they may.

    `protected` are paths that no sandbox may show, nor anything in them, each with how to move it.
    """
    system = bubblewrap.system_mounts()
    for mount in (*system, *tools.read_only):
        real = mount.resolve()
        off_path = "" if mount in system else f", or take {mount} off PATH"
        if home.resolve().is_relative_to(real) and mount not in system:
            return f"{mount} on PATH would show this account's whole home to the agent. Take it off PATH."
        for path, fix in protected.items():
            if _meet(path.resolve(), real, tools.hidden, home.resolve()):
                return f"{path.resolve()} would be shown to the agent, as {mount} is. {fix}{off_path}."
        if mount not in system and (names := _key_files(mount)):
            return f"{real / names[0]} would be shown to the agent, as {mount} is. Move it elsewhere{off_path}."
    return ""


def _meet(path: Path, mount: Path, hidden: Iterable[Path], home: Path) -> bool:
    """Whether a mount shows a protected path, or part of it. A path that holds the home may hold tools too."""
    if any(path.is_relative_to(folder) for folder in hidden):
        return False
    return path.is_relative_to(mount) or (mount.is_relative_to(path) and not home.is_relative_to(path))


def _key_files(folder: Path) -> list[str]:
    """Those directly in a folder: deeper ones are part of a tool."""
    try:
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    except OSError:
        return []
    return [name for name in names if name in _KEY_FILES or name.startswith(".env.")]
