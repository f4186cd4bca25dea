"""The gate: pure rules over what a run wants to publish. `runs/publish.py` obeys them before anything is written."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """A person's role on a repository, weakest first (GitHub's `role_name`, https://docs.github.com/en/rest/collaborators)."""

    NONE = "none"
    READ = "read"
    TRIAGE = "triage"
    WRITE = "write"
    MAINTAIN = "maintain"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Change:
    """One path's new state. `mode` is git's: `100644`, `100755`, `120000` (content is the link's target), or `000000`: deleted.

    `old_mode` is `000000` for a new path. `path` is `/`-separated, relative to the repository's root.
    """

    path: str
    mode: str
    content: bytes = b""
    old_mode: str = "000000"

    @property
    def is_deleted(self) -> bool:
        return self.mode == "000000"
