"""Stored runs: to and from JSON, in this version of the program or another; how large one may be, and how a page of
them continues.
"""

import json
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter, ValidationError

from app.core.errors import StoreError, UserError
from app.core.run.job import Job, Verb
from app.core.run.run import Run

_RUN: Final = TypeAdapter(Run)


def encode(run: Run) -> bytes:
    """The run as UTF-8 JSON, with what a newer version wrote; half a surrogate pair, as models write, becomes `?`."""
    document = {**json.loads(run.unknown or "{}"), **_RUN.dump_python(run, mode="json", exclude={"unknown"})}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def decode(document: bytes | str) -> Run:
    """Read what `encode` wrote, in this version or another.

    Raises:
        StoreError: it is no run of a version this program reads.
    """
    try:
        run = _RUN.validate_json(document)
    except ValidationError as error:
        raise StoreError(f"A stored run cannot be read: {error.error_count()} faults.") from error
    unknown = {name: value for name, value in json.loads(document).items() if name not in Run.__slots__}
    return replace(run, unknown=json.dumps(unknown)) if unknown else run


MAX_DOCUMENT_BYTES: Final = 524_288
_STARTS: Final = frozenset({Verb.START, Verb.PLAN, Verb.APPROVE, Verb.RETRY})


def pack(run: Run) -> bytes:
    """Encode a run. One that is too large loses the older half of its activities, as often as it takes.

    Raises:
        StoreError: it is too large without any.
    """
    document = encode(run)
    while len(document) > MAX_DOCUMENT_BYTES and run.activities:
        run = replace(run, activities=run.activities[(len(run.activities) + 1) // 2 :])
        document = encode(run)
    if len(document) > MAX_DOCUMENT_BYTES:
        raise StoreError(f"The run {run.id} takes {len(document):,} bytes; at most {MAX_DOCUMENT_BYTES:,} are stored.")
    return document


def thread_of(job: Job) -> tuple[str, int] | None:
    """The thread whose newest run this job's becomes; None when it starts nothing or belongs to no thread."""
    return (job.repo, job.number) if job.number is not None and job.command.verb in _STARTS else None


def scopes_of(repo: str, number: int | None, branch: str) -> tuple[str, ...]:
    """The names under which the runs of a thread and of a branch are listed. No name of a branch has a colon."""
    thread = (f"{repo}#{number}",) if number is not None else ()
    return (*thread, f"{repo}@{branch}") if branch else thread


def read_cursor(cursor: str) -> int:
    """The place in the list where the page before ended.

    Raises:
        UserError: no page gave it.
    """
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20):
        raise UserError("This cursor is not one that a page of runs gave.")
    return int(cursor)
