"""Patterns in the syntax of `.gitignore`, matched in bounded time: a repository's file may hold any, and so may a path.

A regular expression for `*a*a*a*b` tries every way to share a path out among its stars. Here each star takes as little
as it can, which is enough, and `**` is followed folder by folder. https://git-scm.com/docs/gitignore#_pattern_format
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

_TOKEN: Final = re.compile(r"\*+|\?|\[[!^]?\]?(?:\\.|[^\]\\])*\]|\\?.", re.DOTALL)
_ANY_FOLDERS: Final = "**"


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern, part by part; None is `**`."""

    parts: tuple[re.Pattern[str] | None, ...]
    is_negated: bool
    is_folder: bool

    def ends(self, path: Sequence[str]) -> set[int]:
        """How many of the path's first parts it matches. The path is split at `/`."""
        reached = {0}
        for part in self.parts:
            if not reached:
                break
            if part is None:
                reached = set(range(min(reached), len(path) + 1))
            else:
                reached = {at + 1 for at in reached if at < len(path) and part.match(path[at])}
        if self.parts[-1] is None and reached:  # what is inside, and not the folder itself
            reached.discard(min(reached))
        return reached - {len(path)} if self.is_folder else reached


Globs = tuple[Glob, ...]


def match_any(globs: Globs, path: str) -> bool:
    """Do they match the path or a folder that it is in? Of several that match the same, the last decides."""
    parts = path.split("/")
    found = [(glob.is_negated, glob.ends(parts)) for glob in globs]
    for end in range(1, len(parts) + 1):
        said = [is_negated for is_negated, ends in found if end in ends]
        if said and not said[-1]:
            return True
    return False


@lru_cache(64)
def compile_globs(patterns: tuple[str, ...]) -> Globs:
    """The patterns, without those that can match nothing. Neighbours that are names at any depth become one."""
    globs = [glob for each in patterns if (glob := _try_to_compile(each)) is not None]
    joined: list[Glob] = []
    for is_name, group in groupby(globs, key=_is_name):
        some = list(group)
        joined += [_join(some)] if is_name else some
    return tuple(joined)


def compile_glob(pattern: str) -> Glob:
    """One pattern.

    Raises:
        ValueError: it can match nothing. The text says why, without a full stop.
    """
    pattern = pattern if pattern.endswith("\\ ") else pattern.rstrip()
    is_negated = pattern.startswith("!")
    pattern = pattern.removeprefix("!") if is_negated else pattern
    if not pattern.strip("/"):
        raise ValueError("it is empty")
    if pattern.startswith("#"):
        raise ValueError("it is a comment; write `\\#` for a name that begins with `#`")
    words = pattern.strip("/").split("/")
    if not {"", ".", ".."}.isdisjoint(words):
        raise ValueError("paths are written from the repository's root, without `.`, `..` or empty parts")
    if len(words) == 1 and not pattern.startswith("/") and words != [_ANY_FOLDERS]:
        words.insert(0, _ANY_FOLDERS)
    parts = tuple(None if word == _ANY_FOLDERS else _compile_part(word) for word in words)
    return Glob(parts, is_negated, is_folder=pattern.endswith("/"))


def _is_name(glob: Glob) -> bool:
    return len(glob.parts) == 2 and glob.parts[0] is None and not (glob.is_negated or glob.is_folder)


def _join(names: Sequence[Glob]) -> Glob:
    patterns = [part.pattern for name in names for part in name.parts if part is not None]
    return Glob((None, re.compile("|".join(patterns), re.DOTALL)), is_negated=False, is_folder=False)


def _try_to_compile(pattern: str) -> Glob | None:
    try:
        return compile_glob(pattern)
    except ValueError:
        return None


def _compile_part(word: str) -> re.Pattern[str]:
    for found in _TOKEN.finditer(word):
        if found[0] in {"[", "[]", "[!]", "[^]"}:
            raise ValueError("a `[` has no `]` in the same part of the path; write `\\[` for the character itself")
        if found[0] == "\\":
            raise ValueError("it has a `\\` with nothing after it")
        if len(found[0]) > 2 and "[:" in found[0]:
            raise ValueError("classes such as `[:alpha:]` are not supported")
    try:
        return re.compile(_translate(word), re.DOTALL)
    except re.error as error:
        raise ValueError(f"it has a {error.msg}") from error


def _translate(word: str) -> str:
    """A regular expression for one part. A star but the last is never tried again once what follows it is found."""
    chunks = [""]
    for found in _TOKEN.finditer(word):
        symbol = found[0]
        if symbol.startswith("*"):
            chunks.append("")
        elif symbol == "?":
            chunks[-1] += "."
        elif len(symbol) > 2 and symbol.startswith("["):
            inner = symbol[1:-1]
            is_not = inner[0] in "!^"
            inner = re.sub(r"\\(.)|([\[&~|]|^\])", _escape_in_class, inner[1:] if is_not else inner)
            chunks[-1] += f"[{'^' if is_not else ''}{inner}]"
        else:
            chunks[-1] += re.escape(symbol[-1])
    first, *others = chunks
    if not others:
        return rf"{first}\Z"
    *middle, last = others
    return rf"{first}{''.join(f'(?>.*?{each})' for each in middle)}.*{last}\Z"


def _escape_in_class(found: re.Match[str]) -> str:
    return re.escape(found[1] or found[2])
