"""What the web process knows of a repository's file and its members: a worker that asked leaves a note in the store.

So a label or a bot that only the file names is heard without a call to GitHub, a member is not limited as a stranger
is, and the status API knows who may. The worker asks GitHub itself again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

DEFAULT_ROLES: Final = ("write", "maintain", "admin")


@dataclass(frozen=True, slots=True)
class Known:
    """`label` is the file's own, empty where it names none; `bots`, `roles` and `people` say who may."""

    label: str = ""
    bots: tuple[str, ...] = ()
    roles: tuple[str, ...] = DEFAULT_ROLES
    people: tuple[str, ...] = ()


_KNOWN = TypeAdapter(Known)


def name_of(repo: str) -> str:
    """The name of the note, in `Store.note` and `Store.recall`."""
    return f"file {repo}"


def name_of_member(installation_id: int, account_id: int) -> str:
    """The name of the note that a worker leaves once somebody was let in, for those whom GitHub's payloads call
    strangers: members in private, and those whom only the file names."""
    return f"member {installation_id} {account_id}"


def name_of_former(repo: str) -> str:
    """The name of the note on what a renamed repository was called before: its runs are listed under that name."""
    return f"former name {repo}"


def encode_former(name: str, until: datetime) -> str:
    return f"{name} {until.isoformat()}"


def decode_former(note: str) -> tuple[str, datetime] | None:
    """What a repository was called before, and until when."""
    name, _, until = note.partition(" ")
    return (name, datetime.fromisoformat(until)) if until else None


def encode(known: Known) -> str:
    return _KNOWN.dump_json(known).decode()


def decode(note: str) -> Known:
    """Read a note; one that is empty, or that another version wrote, says nothing."""
    try:
        return _KNOWN.validate_json(note)
    except ValidationError:
        return Known()
