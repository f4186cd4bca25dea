"""Payloads without what GitHub's published schemas make optional or nullable."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.payloads import payload

OPTIONAL: Final[dict[str, dict[str, list[str]]]] = json.loads(
    (Path(__file__).parent / "schemas" / "optional_fields.json").read_text("utf-8")
)
"""By event: the paths that `may_be_absent` and that `may_be_null`; `[]` stands for every item of a list."""


def without(document: Any, path: str, *, is_null: bool) -> None:
    """Take away what a path of the table leads to, in every item where it leads through a list."""
    first, _, rest = path.partition(".")
    if first == "[]":
        for item in document if isinstance(document, list) else ():
            without(item, rest, is_null=is_null)
    elif isinstance(document, dict) and first in document:
        if rest:
            without(document[first], rest, is_null=is_null)
        elif is_null:
            document[first] = None
        else:
            del document[first]


def reduced(name: str) -> Iterator[tuple[str, Any]]:
    """The payload without each field alone, with each null alone, and without all of them at once; and which."""
    document, fields = json.loads(payload(name)), OPTIONAL[name.partition(".")[0]]
    changes = [(path, False) for path in fields["may_be_absent"]] + [(path, True) for path in fields["may_be_null"]]
    together = copy.deepcopy(document)
    for path, is_null in reversed(changes):
        alone = copy.deepcopy(document)
        without(alone, path, is_null=is_null)
        without(together, path, is_null=is_null)
        yield f"{path} {'null' if is_null else 'absent'}", alone
    yield "everything optional absent", together
