"""The gate: pure rules over who may ask and over what a run wants to publish.

`runs/runner.py` asks `admit` before a run begins; `runs/publish.py` obeys `inspect` before anything is written.

    inspect(changes) ─┬─ refused   odd names or modes, submodules, links that leave the tree, floods, secrets
                      ├─ held      protected paths: not published, and people are told
                      └─ passed    the rest
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from pathspec import GitIgnoreSpec

from app.core.errors import Refused
from app.core.redact import find_secret

BRANCH_PREFIX: Final = "vibecode/"
REGULAR, EXECUTABLE, SYMLINK, ABSENT = "100644", "100755", "120000", "000000"
MODES: Final = frozenset({REGULAR, EXECUTABLE, SYMLINK, ABSENT})
ALWAYS_PROTECTED: Final = (
    ".github/**",
    "CODEOWNERS",
    "docs/CODEOWNERS",
    ".gitattributes",
    ".gitmodules",
    "AGENTS.md",
    "CLAUDE.md",
)
"""Held back whatever the repository's file says, in the syntax of `.gitignore`."""


class Role(StrEnum):
    """A person's role on a repository, weakest first.

    GitHub's `role_name`: https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
    """

    NONE = "none"
    READ = "read"
    TRIAGE = "triage"
    WRITE = "write"
    MAINTAIN = "maintain"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Change:
    """One path's new state.

    `mode` is git's: `100644`, `100755`, `120000` (content is the link's target) or `000000` (deleted). `old_mode` is
    `000000` for a new path. `path` is `/`-separated, relative to the repository's root.
    """

    path: str
    mode: str
    content: bytes = b""
    old_mode: str = ABSENT

    @property
    def is_deleted(self) -> bool:
        return self.mode == ABSENT


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that one commit may carry."""

    files: int = 200
    file_bytes: int = 1_048_576
    total_bytes: int = 4_194_304


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the gate let through, and the paths it held back."""

    passed: tuple[Change, ...]
    held: tuple[str, ...] = ()


def admit(login: str, role: Role, roles: Sequence[str]) -> None:
    """May a person of this role have the bot work here?

    Raises:
        Refused: no; the text says who may.
    """
    if role not in roles:
        wanted = ", ".join(roles)
        raise Refused(f"@{login} has the role `{role}` here, and I work for people with one of: {wanted}.")


def inspect(changes: Sequence[Change], *, protected: Sequence[str] = (), caps: Caps | None = None) -> Inspection:
    """Judge what a run wants to publish.

    Raises:
        Refused: something in it must never be published. The text names the path (and line), never the value.
    """
    _check_size(changes, caps or Caps())
    for change in changes:
        _check_path(change.path)
        _check_mode(change)
        _check_secrets(change)
    spec = GitIgnoreSpec.from_lines([*ALWAYS_PROTECTED, *protected])
    held = tuple(change.path for change in changes if spec.match_file(change.path))
    return Inspection(tuple(change for change in changes if change.path not in held), held)


def _check_size(changes: Sequence[Change], caps: Caps) -> None:
    if len(changes) > caps.files:
        raise Refused(
            f"The change touches {len(changes)} files, more than {caps.files}. Generated files are better left to "
            "`.gitignore`; ask for a smaller change."
        )
    for change in changes:
        if len(change.content) > caps.file_bytes:
            raise Refused(f"`{change.path}` has {len(change.content):,} bytes, more than {caps.file_bytes:,}.")
    total = sum(len(change.content) for change in changes)
    if total > caps.total_bytes:
        raise Refused(f"The change has {total:,} bytes in all, more than {caps.total_bytes:,}.")


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    is_odd = (
        not parts
        or path.startswith("/")
        or str(PurePosixPath(path)) != path
        or "\\" in path
        or any(part == ".." or part.lower() == ".git" or part.lower().startswith("git~") for part in parts)
        or not path.isprintable()
        or "\N{REPLACEMENT CHARACTER}" in path
    )
    if is_odd:
        raise Refused(f"The path {path!a} is one I do not publish.")


def _check_mode(change: Change) -> None:
    if change.mode not in MODES:
        raise Refused(
            f"`{change.path}` has the mode {change.mode} (a submodule or something odd). I do not publish those."
        )
    if change.mode == SYMLINK:
        target = change.content.decode("utf-8", "replace")
        depth = 0
        for part in (*PurePosixPath(change.path).parent.parts, *PurePosixPath(target).parts):
            depth += -1 if part == ".." else 1
            if depth < 0 or target.startswith("/"):
                raise Refused(f"The link `{change.path}` leads out of the repository. I do not publish such links.")


def _check_secrets(change: Change) -> None:
    if b"\0" in change.content[:8_192]:
        return
    for number, line in enumerate(change.content.decode("utf-8", "replace").splitlines(), start=1):
        name = find_secret(line)
        if name is not None:
            raise Refused(f"`{change.path}`, line {number} holds what looks like {name}. Nothing was published.")
