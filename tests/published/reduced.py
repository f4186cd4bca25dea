"""An embedded GitHub that answers no more than is published as required, and null wherever that may be."""

import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.published import OPERATIONS, Json, definition, disagreements, find_operation
from tests.published.recorder import REST


class Reduced:
    """ASGI middleware. With `has_nulls`, what is required and may be null is null. Names in `kept` stay as they are."""

    def __init__(self, app: ASGIApp, *, has_nulls: bool = False, kept: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._has_nulls = has_nulls
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = (scope.get("raw_path") or scope["path"].encode()).decode()
        key = find_operation(scope["method"], path.removeprefix(REST)) if path.startswith(REST) else ""
        if not key:
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def hold(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            said = self._reduce(key, start["status"], bytes(body))
            headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
            # A dropped connection promises a body that does not come.
            length = [] if start["status"] in {204, 304} else [(b"content-length", str(max(len(said), 1)).encode())]
            await send({**start, "headers": [*headers, *length]})
            await send({"type": "http.response.body", "body": said})

        await self._app(scope, receive, hold)

    def _reduce(self, key: str, status: int, body: bytes) -> bytes:
        schema = OPERATIONS[key]["answers"].get(str(status))
        if not body or schema is None or status >= 300:
            return body
        return json.dumps(self._least(schema, json.loads(body))).encode()

    def _least(self, schema: Json, value: Any) -> Any:
        if isinstance(value, list):
            return [self._least(definition(schema).get("items", {}), each) for each in value]
        if not isinstance(value, dict):
            return value
        properties, required = _shape(schema, value)
        if not required:
            return value
        return {
            name: None
            if self._has_nulls and name not in self._kept and not disagreements("rest", properties[name], None)
            else self._least(properties[name], each)
            for name, each in value.items()
            if name in properties and (name in required or name in self._kept)
        }


def _shape(schema: Json, value: Json) -> tuple[Json, set[str]]:
    """The properties and the required names of the alternative that fits."""
    schema = definition(schema)
    properties, required = dict(schema.get("properties", {})), set(schema.get("required", ()))
    parts = list(schema.get("allOf", ()))
    for word in ("anyOf", "oneOf"):
        fitting = (each for each in schema.get(word, ()) if not disagreements("rest", each, value))
        parts += [part for part in [next(fitting, None)] if part is not None]
    for part in parts:
        more, needed = _shape(part, value)
        properties |= more
        required |= needed
    return properties, required
