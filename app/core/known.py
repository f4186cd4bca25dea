"""What the web process knows of a repository's file: a worker that read it leaves a note in the store.

So a label or a bot that only the file names is heard without a call to GitHub. The worker asks the file itself again.
"""

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True, slots=True)
class Known:
    """`label` is the file's own, empty where it names none; `bots` are the logins that may ask as people do."""

    label: str = ""
    bots: tuple[str, ...] = ()


_KNOWN = TypeAdapter(Known)


def name_of(repo: str) -> str:
    """The name of the note, in `Store.note` and `Store.recall`."""
    return f"file {repo}"


def encode(known: Known) -> str:
    return _KNOWN.dump_json(known).decode()


def decode(note: str) -> Known:
    """Read a note; one that is empty, or that another version wrote, says nothing."""
    try:
        return _KNOWN.validate_json(note)
    except ValidationError:
        return Known()
