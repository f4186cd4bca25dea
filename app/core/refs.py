"""Names of git branches: https://git-scm.com/docs/git-check-ref-format."""

import re
from typing import Final

MAX_BYTES: Final = 244
"""What is left of a file name's 255 bytes when git writes the ref beside its lock."""
_FORBIDDEN: Final = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|\A[-./]|[./]\Z|\A(?:@|HEAD)\Z|\A\Z"
)


def is_branch(name: str) -> bool:
    """Whether git takes this as a branch's name; not `@` and `HEAD`, which mean where git stands."""
    return len(name.encode(errors="replace")) <= MAX_BYTES and not _FORBIDDEN.search(name)
