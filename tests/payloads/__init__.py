"""Deliveries as GitHub sends them, written for these tests, with many of the keys that nobody reads."""

import copy
import hashlib
import hmac
import json
from pathlib import Path
from typing import Final, TypeAlias

SECRET: Final = "correct horse battery staple"

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_FOLDER: Final = Path(__file__).parent
NAMES: Final = tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))
"""`<event>.<action>[.<kind>]`"""


def payload(name: str, changes: dict[str, Json] | None = None) -> bytes:
    """A payload as bytes. `changes` are by dotted path: `{"issue.state": "closed"}`."""
    document: Json = json.loads((_FOLDER / f"{name}.json").read_bytes())
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = document
        for parent in parents:
            assert isinstance(place, dict)
            place = place[parent]
        assert isinstance(place, dict)
        place[last] = copy.deepcopy(value)
    return json.dumps(document, separators=(",", ":")).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def headers(event: str, body: bytes, *, delivery_id: str = "72d3162e-cc78-11e3-81ab-4c9367dc0958") -> dict[str, str]:
    """A delivery's headers, signed."""
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Delivery": delivery_id,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "292430182",
        "X-GitHub-Hook-Installation-Target-ID": "812345",
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature-256": signature(body),
    }
