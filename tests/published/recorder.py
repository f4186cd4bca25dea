"""Listens to an embedded GitHub: every exchange, as bytes."""

import json
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.published import Exchange, faults, graphql_faults

REST = "/api/v3"
GRAPHQL = "/api/graphql"


class Recorder:
    """ASGI middleware that keeps what goes through the API. What a fault cut short is left out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.exchanges: list[Exchange] = []

    def faults(self) -> list[str]:
        """In what the exchanges are not as published, each once."""
        return sorted({fault for each in self.exchanges for fault in _faults(each)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, answer, status, headers = bytearray(), bytearray(), 0, Headers()

        async def hear() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], Headers(raw=message["headers"])
            answer.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, hear, say)
        path = (scope.get("raw_path") or scope["path"].encode()).decode().partition("?")[0]
        if path.startswith("/api/") and status and len(answer) >= int(headers.get("content-length", 0)):
            query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
            self.exchanges.append(
                Exchange(
                    scope["method"],
                    path.removeprefix(REST),
                    query,
                    bytes(body),
                    status,
                    bytes(answer),
                    dict(Headers(scope=scope)),
                    dict(headers),
                )
            )


def _faults(exchange: Exchange) -> list[str]:
    if exchange.path != GRAPHQL:
        return faults(exchange)
    return graphql_faults(json.loads(exchange.body), json.loads(exchange.answer)) if exchange.status == 200 else []
