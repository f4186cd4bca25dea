"""The run as the JSON document that is stored, in this version of the program or another."""

import json
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter, ValidationError

from app.core.errors import StoreError
from app.core.run import Run

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
