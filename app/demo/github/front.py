"""What every request passes first: the log of requests, the faults that were ordered, GitHub's common headers."""

import base64
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final, TypedDict

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_LOGGED: Final = 10_000
_LIMIT: Final = 5_000
_NO_AGENT: Final = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header."
_KINDS: Final = {"ghs_": "installation", "ghu_": "user"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered, or dropped (`status` 0). `token`: `app`, `installation`, `user` or `none`."""

    method: str
    path: str
    query: str
    status: int
    token: str


class FaultOptions(TypedDict, total=False):
    """How to fail. `status` 0 drops the connection; `hangs`: no answer comes until the client gives up.

    Not `before`: the request is carried out, and its answer lost.
    """

    status: int
    headers: Mapping[str, str]
    json: object
    times: int
    before: bool
    hangs: bool


@dataclass(slots=True)
class Fault:
    """An ordered failure of the requests whose method and path match; `times` counts down."""

    method: str
    path: re.Pattern[str]
    status: int = 502
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    times: int = 1
    before: bool = True
    hangs: bool = False

    def hits(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in {"*", method} and self.path.search(path) is not None

    def response(self) -> Response:
        body = {"message": "Server Error"} if self.json is None else self.json
        return Response(json.dumps(body), self.status, dict(self.headers), "application/json; charset=utf-8")


def token_kind(authorization: str) -> str:
    """What kind of credential a header carries, by its looks."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        value = base64.b64decode(value + "==").decode(errors="replace").partition(":")[2]
    return "app" if value.count(".") == 2 else _KINDS.get(value[:4], "none")


class Front:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: deque[Request] = deque(maxlen=MAX_LOGGED)
        self.faults: list[Fault] = []
        self.ahead_s = 0.0
        self._used = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path, status = scope["method"], scope["path"], 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if path.startswith("/api/"):
                    self._put_headers(MutableHeaders(scope=message), scope.get("rate_limit", {}))
            await send(message)

        try:
            if not await self._serve(scope, receive, watched):
                await _drop(send)
        finally:
            kind = token_kind(Headers(scope=scope).get("authorization", ""))
            self.requests.append(Request(method, path, scope["query_string"].decode(), status, kind))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer, or return False: the connection is to be dropped."""
        if scope["path"].startswith("/api/") and not Headers(scope=scope).get("user-agent"):
            await Response(_NO_AGENT, 403, media_type="text/plain")(scope, receive, send)
            return True
        fault = next((fault for fault in self.faults if fault.hits(scope["method"], scope["path"])), None)
        if fault is None:
            await self._app(scope, receive, send)
            return True
        fault.times -= 1
        if not fault.before:
            await self._app(scope, receive, _swallow)
        if fault.hangs:
            while (await receive())["type"] != "http.disconnect":
                pass
            return False
        if fault.status:
            await fault.response()(scope, receive, send)
        return fault.status != 0

    def _put_headers(self, headers: MutableHeaders, rate_limit: Mapping[str, str]) -> None:
        self._used = self._used % _LIMIT + 1
        moment = time.time() + self.ahead_s
        common = {
            "date": formatdate(moment, usegmt=True),
            "x-github-request-id": ":".join(secrets.token_hex(2).upper() for _ in range(5)),
            "x-github-media-type": "github.v3; format=json",
            "x-github-enterprise-version": "3.19.0",
            "x-ratelimit-limit": str(_LIMIT),
            "x-ratelimit-remaining": str(_LIMIT - self._used),
            "x-ratelimit-used": str(self._used),
            "x-ratelimit-reset": str(int(moment) // 3_600 * 3_600 + 3_600),
            "x-ratelimit-resource": "core",
        }
        for name, value in (common | dict(rate_limit)).items():
            headers.setdefault(name, value)


async def _swallow(_: Message) -> None:
    """Take an answer that nobody gets."""


async def _drop(send: Send) -> None:
    """Make the server cut the connection: it promises a body, and none comes."""
    headers = [(b"content-length", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 502, "headers": headers})
