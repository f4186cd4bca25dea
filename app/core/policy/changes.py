"""What a run may publish: pure rules over the changes of one commit.

`runs/stages/publish.py` obeys `inspect` before anything is written.

    inspect(changes) ─┬─ refused   odd names or modes, submodules, links that leave the tree, floods
                      ├─ held      protected paths, files with a new secret: not published, and people are told
                      └─ passed    the rest
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from app.core.errors import Refused
from app.core.policy.globs import compile_globs, match_any
from app.core.policy.protected_paths import elsewhere, fold_path, list_held
from app.core.safety.escape import code
from app.core.safety.redact import OWN, find_secrets, join_literals
from app.core.safety.secret_rules import lock_files

BRANCH_PREFIX: Final = "vibecode/"


REGULAR, EXECUTABLE, SYMLINK, ABSENT = "100644", "100755", "120000", "000000"


SUBMODULE: Final = "160000"
MODES: Final = frozenset({REGULAR, EXECUTABLE, SYMLINK, ABSENT})


@dataclass(frozen=True, slots=True)
class Change:
    """One path's new state.

    `mode` is git's: `100644`, `100755`, `120000` (content is the link's target) or `000000` (deleted). `old_mode` is
    `000000` for a new path. `path` is `/`-separated, relative to the repository's root. `old_content` is what the path
    holds on the branch, read from objects that the worker fetched or wrote itself; None when it is new there, or
    larger than a file may be: then every line counts as added. In a merge it holds both sides' contents, one after the
    other. `sha` is set for what GitHub has already: the blob's (or submodule's commit), whose content is not sent.
    `is_unstored`: Git LFS is to keep the content, and does not have it. `read_as` are other paths by which the file is
    read, through symbolic links. `clash` is the existing path that a new one is the same as where case does not count.
    """

    path: str
    mode: str
    content: bytes = b""
    old_mode: str = ABSENT
    old_content: bytes | None = None
    sha: str = ""
    is_unstored: bool = False
    read_as: tuple[str, ...] = ()
    clash: str = ""

    @property
    def is_deleted(self) -> bool:
        return self.mode == ABSENT


@dataclass(frozen=True, slots=True)
class CommitLimits:
    """The most that one commit may carry."""

    files: int = 200
    binary_files: int = 20
    file_bytes: int = 1_048_576
    total_bytes: int = 4_194_304


@dataclass(frozen=True, slots=True)
class Leak:
    """A file that would publish a secret. `line` is from 1; 0 says that it stands there in pieces, or in the name.

    `kind` is what it looks like, never the value. `path` may hold it: redact it before it is shown.
    """

    path: str
    line: int
    kind: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the gate let through, and the paths it held back: those in `leaks` for the secret they hold, in `submodules`
    and `unstored` as the bot changes no submodules and uploads nothing to Git LFS, those in `clashes` for the existing
    path that each is the same as where case does not count. `reached` names the protected path by which a held
    one is read."""

    passed: tuple[Change, ...]
    held: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()
    submodules: tuple[str, ...] = ()
    unstored: tuple[str, ...] = ()
    clashes: tuple[tuple[str, str], ...] = ()
    reached: Mapping[str, str] = field(default_factory=dict)

    @property
    def protected(self) -> tuple[str, ...]:
        """What is held back for its path."""
        others = {*(leak.path for leak in self.leaks), *self.submodules, *self.unstored}
        others |= {path for path, _ in self.clashes}
        return tuple(path for path in self.held if path not in others)


def inspect(
    changes: Sequence[Change],
    *,
    protected: Sequence[str] = (),
    request: str = "",
    samples: Sequence[str] = (),
    find_own: Callable[[str], int | None] = lambda _: None,
    caps: CommitLimits | None = None,
) -> Inspection:
    """Judge what a run wants to publish. `protected` are the repository's own patterns, `request` the words of people
    who may start runs. What `find_own` finds (the line of a value that the deployment must keep)
    holds a file back always; what only looks like a secret does where it is new, and not in files that match `samples`.

    Raises:
        Refused: something in it must never be published. The text names the path (and line), never the value.
    """
    caps = caps or CommitLimits()
    if len(changes) > caps.files:
        raise Refused(
            f"The change touches {len(changes)} files, more than {caps.files}. Add generated files to `.gitignore`, or "
            "ask for a smaller change."
        )
    for change in changes:
        _check_path(change)
    _check_names(changes)
    _check_size(changes, caps)
    names = [change.path for change in changes]
    submodules = _find_submodules(changes)
    for change in changes:
        if change.path not in submodules:
            _check_mode(change)
    unstored = tuple(change.path for change in changes if change.is_unstored and change.path not in submodules)
    every = set(list_held([*names, *(name for change in changes for name in change.read_as)], protected, request))
    held = {change.path for change in changes if change.path in every or not every.isdisjoint(change.read_as)}
    clashes = tuple((each.path, each.clash) for each in changes if each.clash and each.path not in held)
    held |= {*submodules, *unstored, *(path for path, _ in clashes)}
    leaks = _find_leaks([change for change in changes if change.path not in held], samples, find_own)
    held |= {leak.path for leak in leaks}
    passed = tuple(change for change in changes if change.path not in held)
    reached = {
        change.path: name for change in changes if change.path not in every for name in change.read_as if name in every
    }
    in_order = tuple(path for path in names if path in held)
    return Inspection(passed, in_order, leaks, submodules, unstored, clashes, reached)


def _find_submodules(changes: Sequence[Change]) -> tuple[str, ...]:
    """The submodules that are changed, and what is put in their place."""
    were = {change.path for change in changes if change.old_mode == SUBMODULE}
    if not were:
        return ()
    return tuple(
        change.path
        for change in changes
        if change.path in were or any(str(folder) in were for folder in PurePosixPath(change.path).parents)
    )


def _check_names(changes: Sequence[Change]) -> None:
    """Refuse new files that others' file systems take for another one of this change."""
    there: dict[str, Change] = {}
    for change in changes:
        if not change.is_deleted:
            other = there.setdefault(fold_path(change.path), change)
            if other is not change and ABSENT in (other.old_mode, change.old_mode):
                raise Refused(
                    f"{code(other.path)} and {code(change.path)} are the same file on case-insensitive file systems."
                )


def _check_size(changes: Sequence[Change], caps: CommitLimits) -> None:
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
        or any(part == ".." or _is_gits_own(elsewhere(part)) for part in parts)
        or not path.isprintable()
        or "\N{REPLACEMENT CHARACTER}" in path
    )
    if is_odd:
        raise Refused(f"Paths like {code(ascii(path))} are not published.")


def _is_gits_own(part: str) -> bool:
    return part == ".git" or part.startswith("git~")


def _shown(change: Change) -> str:
    """The path as code that it cannot end."""
    return code(change.path)


def _check_mode(change: Change) -> None:
    if change.mode not in MODES:
        raise Refused(f"{_shown(change)} has mode {change.mode}, which is not published.")
    if change.mode == SYMLINK:
        target = change.content.decode("utf-8", "replace")
        depth = 0
        for part in (*PurePosixPath(change.path).parent.parts, *PurePosixPath(target).parts):
            depth += -1 if part == ".." else 1
            if depth < 0 or target.startswith("/"):
                raise Refused(
                    f"The symbolic link {_shown(change)} points outside the repository, so it is not published."
                )
        if any(_is_gits_own(elsewhere(part)) for part in PurePosixPath(target).parts):
            raise Refused(f"The symbolic link {_shown(change)} points into `.git`, so it is not published.")


def _find_leaks(
    changes: Sequence[Change], samples: Sequence[str], find_own: Callable[[str], int | None]
) -> tuple[Leak, ...]:
    """The first new secret of each file. New is a value that no changed or deleted file held before: an edited line
    may keep the value it had, and a file may be renamed."""
    before = "\n".join(
        part for each in changes if each.old_mode != ABSENT for part in (each.path, _text(each.old_content))
    )
    old = f"{before}\n{join_literals(before)}"
    of_samples = compile_globs(tuple(samples))
    leaks = []
    for change in changes:
        if change.is_deleted:
            continue
        text = _text(change.content)
        line = find_own(text)
        if line is None and change.old_mode == ABSENT and find_own(change.path) is not None:
            line = 0
        if line is not None:
            leaks.append(Leak(change.path, line, OWN))
        elif not match_any(of_samples, change.path) and (leak := _find_leak(change, text, old)):
            leaks.append(leak)
    return tuple(leaks)


def _find_leak(change: Change, text: str, old: str) -> Leak | None:
    if change.old_mode == ABSENT:
        for found in find_secrets(change.path):
            if found.value not in old:
                return Leak(change.path, 0, f"{found.kind} (in its name)")
    is_lock_file = lock_files().search(change.path) is not None
    fresh = (found for found in find_secrets(text, is_lock_file=is_lock_file) if found.value not in old)
    first = next(fresh, None)
    if first is None:
        return None
    return Leak(change.path, first.line, first.kind if first.line else f"{first.kind} (in pieces)")


def _text(content: bytes | None) -> str:
    """Without NULs, which hide nothing: text in UTF-16 is full of them."""
    return (content or b"").replace(b"\0", b"").decode("utf-8", "replace")
