"""The gate: pure rules over who may ask and over what a run wants to publish.

`runs/runner.py` asks `admit` before a run begins; `runs/publish.py` obeys `inspect` before anything is written.

    inspect(changes) ─┬─ refused   odd names or modes, submodules, links that leave the tree, floods, secrets
                      ├─ held      protected paths: not published, and people are told
                      └─ passed    the rest
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from pathspec import GitIgnoreSpec

from app.core.errors import Refused
from app.core.escape import code
from app.core.redact import find_secret, find_secrets
from app.core.secret_rules import lock_files

BRANCH_PREFIX: Final = "vibecode/"
REGULAR, EXECUTABLE, SYMLINK, ABSENT = "100644", "100755", "120000", "000000"
MODES: Final = frozenset({REGULAR, EXECUTABLE, SYMLINK, ABSENT})
ALWAYS_PROTECTED: Final = (
    "/.github",
    "CODEOWNERS",
    ".gitattributes",
    ".gitmodules",
    *("AGENTS.md", "AGENTS.override.md", "CLAUDE.md", "CLAUDE.local.md", "GEMINI.md", ".mcp.json"),
    *("/.claude", "/.codex", "/.cursor", "/.gemini", ".cursorrules", ".windsurfrules", ".clinerules"),
)
"""Held back whatever the repository's file says, in the syntax of `.gitignore`: what runs or instructs elsewhere."""


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
    `000000` for a new path. `path` is `/`-separated, relative to the repository's root. `old_content` is what the path
    holds on the branch, read from objects that the worker fetched or wrote itself; None when it is new there, or
    larger than a file may be: then every line counts as added. In a merge it holds both sides' contents, one after the
    other. `sha` is set for what GitHub has already: the blob's (or submodule's commit), whose content is not sent.
    """

    path: str
    mode: str
    content: bytes = b""
    old_mode: str = ABSENT
    old_content: bytes | None = None
    sha: str = ""

    @property
    def is_deleted(self) -> bool:
        return self.mode == ABSENT


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that one commit may carry."""

    files: int = 200
    binary_files: int = 20
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
        raise Refused(
            f"{code('@' + login)} has the role {code(role)} here, and I work for people with one of: {wanted}. One of "
            "them can put the label on or comment `/vibecode`. `roles` and `people` in `.github/vibecode.yml` change "
            "who may."
        )


def inspect(changes: Sequence[Change], *, protected: Sequence[str] = (), caps: Caps | None = None) -> Inspection:
    """Judge what a run wants to publish.

    Raises:
        Refused: something in it must never be published. The text names the path (and line), never the value.
    """
    caps = caps or Caps()
    if len(changes) > caps.files:
        raise Refused(
            f"The change touches {len(changes)} files, more than {caps.files}. Generated files are better left to "
            "`.gitignore`; ask for a smaller change."
        )
    for change in changes:
        _check_path(change)
    _check_size(changes, caps)
    for change in changes:
        _check_mode(change)
        _check_secrets(change)
    held = list_held([change.path for change in changes], protected=protected)
    return Inspection(tuple(change for change in changes if change.path not in held), tuple(held))


def list_held(paths: Sequence[str], *, protected: Sequence[str] = ()) -> list[str]:
    """Which of these paths are protected, by whatever name they would be the same file elsewhere; in order. A file or
    link that would take the place of a folder with such paths in it is one of them."""
    # Apart, so that no `!pattern` of the repository's own lifts what always holds.
    specs = [GitIgnoreSpec.from_lines(map(_fold, patterns)) for patterns in (ALWAYS_PROTECTED, protected)]
    held = {path for path in paths if any(spec.match_file(name) for spec in specs for name in _names(path))}
    return [path for path in paths if path in held or any(other.startswith(f"{path}/") for other in held)]


def _names(path: str) -> tuple[str, str]:
    """The path as every file system reads it, and something below it: protected may be what is in a folder."""
    name = "/".join(_elsewhere(part) for part in path.split("/"))
    return name, f"{name}/x"


def _elsewhere(part: str) -> str:
    """A name as file systems read it that ignore case, composition, and dots, blanks or a stream at its end."""
    folded = _fold(part)
    return folded.partition(":")[0].rstrip(" .") or folded


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _check_size(changes: Sequence[Change], caps: Caps) -> None:
    for change in changes:
        if len(change.content) > caps.file_bytes:
            raise Refused(f"{_shown(change)} has {len(change.content):,} bytes, more than {caps.file_bytes:,}.")
    total = sum(len(change.content) for change in changes)
    if total > caps.total_bytes:
        raise Refused(f"The change has {total:,} bytes in all, more than {caps.total_bytes:,}.")
    binary = sum(b"\0" in change.content[:8_192] for change in changes)
    if binary > caps.binary_files:
        raise Refused(f"The change has {binary} binary files, more than {caps.binary_files}; ask for a smaller change.")


def _check_path(change: Change) -> None:
    path = change.path
    parts = PurePosixPath(path).parts
    is_odd = (
        not parts
        or path.startswith("/")
        or str(PurePosixPath(path)) != path
        or "\\" in path
        or any(part == ".." or _is_gits_own(_elsewhere(part)) for part in parts)
        or not path.isprintable()
        or "\N{REPLACEMENT CHARACTER}" in path
    )
    if not change.is_deleted and (name := find_secret(path)) is not None:
        raise Refused(f"A path holds what looks like {name}. Nothing was published.")
    if is_odd:
        raise Refused(f"The path {code(ascii(path))} is one I do not publish.")


def _is_gits_own(part: str) -> bool:
    return part == ".git" or part.startswith("git~")


def _shown(change: Change) -> str:
    """The path as code that it cannot end."""
    return code(change.path)


def _check_mode(change: Change) -> None:
    if change.mode not in MODES:
        raise Refused(
            f"{_shown(change)} has the mode {change.mode} (a submodule or something odd). I do not publish those."
        )
    if change.mode == SYMLINK:
        target = change.content.decode("utf-8", "replace")
        depth = 0
        for part in (*PurePosixPath(change.path).parent.parts, *PurePosixPath(target).parts):
            depth += -1 if part == ".." else 1
            if depth < 0 or target.startswith("/"):
                raise Refused(f"The link {_shown(change)} leads out of the repository. I do not publish such links.")
        if any(_is_gits_own(_elsewhere(part)) for part in PurePosixPath(target).parts):
            raise Refused(f"The link {_shown(change)} leads to git's own files. I do not publish such links.")


def _check_secrets(change: Change) -> None:
    """Look through the text, and through what stands in it once the pieces of literals are put together. NULs hide
    nothing: text in UTF-16 is full of them."""
    text = change.content.replace(b"\0", b"").decode("utf-8", "replace")
    for found in find_secrets(text, is_lock_file=lock_files().search(change.path) is not None):
        where = f", line {found.line} holds" if found.line else " holds, in pieces,"
        raise Refused(f"{_shown(change)}{where} what looks like {found.kind}. Nothing was published.")
