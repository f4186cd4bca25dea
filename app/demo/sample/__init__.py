"""The sample repository of the demo: `durations`, a small library with a small real bug, and the issue about it.

Its files end in `.txt` here, so that nothing takes them for this project's own.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class SampleIssue:
    title: str
    body: str
    label: str


def sample_files() -> dict[str, bytes]:
    """The repository's files by path."""
    return dict(_walk(files("app.demo.sample") / "files", ""))


def sample_issue() -> SampleIssue:
    """The issue a user wrote about the bug, and the label that asks for its mending."""
    words = tomllib.loads((files("app.demo.sample") / "issue.toml").read_text(encoding="utf-8"))
    return SampleIssue(words["title"], words["body"].strip(), words["label"])


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _walk(item, f"{prefix}{item.name}/")
        else:
            found.append((prefix + item.name.removesuffix(".txt"), item.read_bytes()))
    return sorted(found)
