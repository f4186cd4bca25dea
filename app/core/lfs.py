"""Git LFS: which files are pointers to contents that are kept elsewhere.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

import re
from typing import Final

MAX_PATTERNS: Final = 40
_POINTER: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"(?:ext-[0-9]-[^ \n]+ [^\n]+\n)*oid sha256:[0-9a-f]{64}\nsize [0-9]{1,18}\n"
)


def is_pointer(content: bytes) -> bool:
    """Is it the pointer that git keeps in the place of a file?"""
    return len(content) < 1024 and _POINTER.fullmatch(content) is not None


def read_patterns(attributes: str) -> tuple[str, ...]:
    """The patterns that a `.gitattributes` has kept in Git LFS, the first `MAX_PATTERNS`, as they are written there.

    A macro, `[attr]large filter=lfs`, counts where a pattern uses it.
    """
    patterns, filtered = [], {"filter=lfs"}
    for line in attributes.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#") or filtered.isdisjoint(words[1:]):
            continue
        if words[0].startswith("[attr]"):
            filtered.add(words[0].removeprefix("[attr]"))
        else:
            patterns.append(words[0])
    return tuple(patterns[:MAX_PATTERNS])
