"""Answers and refusals in GitHub's words."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

DOCS: Final = "https://docs.github.com/rest"
MAX_BODY_BYTES: Final = 48 * 1024 * 1024
_Item = TypeVar("_Item")


class Refusal(Exception):
    """An error answer: `{"message", "documentation_url", "errors"?, "status"}`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[object] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        body: dict[str, Any] = {"message": self.message, "documentation_url": DOCS, "status": str(self.status)}
        if self.errors:
            body["errors"] = self.errors
        return JSONResponse(body, self.status, headers=self.headers)


def not_found() -> Refusal:
    return Refusal(404, "Not Found")


def invalid(resource: str, field: str, code: str = "invalid", message: str = "") -> Refusal:
    """A well-formed request that cannot be: 422 with the field and one of GitHub's codes."""
    fault = {"resource": resource, "field": field, "code": code, **({"message": message} if message else {})}
    return Refusal(422, "Validation Failed", errors=[fault])


def reply(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(data, status, headers=dict(headers or {}))


async def parse_body(request: Request) -> dict[str, Any]:
    """The request's JSON object; empty when there is no body."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refusal(400, "Problems parsing JSON") from error
    if not isinstance(body, dict):
        raise Refusal(400, "Body should be a JSON object")
    return body


def page(request: Request, items: Sequence[_Item]) -> tuple[Sequence[_Item], dict[str, str]]:
    """The page of `items` that was asked for, and the `Link` header that leads to the others.

    By number, as documented, or by what a link says: links are opaque, as they are on GitHub for more and more lists.
    """
    size = min(max(_number(request, "per_page", 30), 1), 100)
    number = _opened(request.query_params["after"]) if "after" in request.query_params else 0
    number = number or max(_number(request, "page", 1), 1)
    last = max(-(-len(items) // size), 1)
    targets = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    links = []
    for rel, target in targets.items():
        if (rel in {"prev", "first"} and number == 1) or (rel in {"next", "last"} and number >= last):
            continue
        asked = {name: value for name, value in request.query_params.items() if name != "page"}
        query = urlencode({**asked, "per_page": size, "after": _sealed(target)})
        links.append(f'<{request.url.replace(query=query)}>; rel="{rel}"')
    return items[(number - 1) * size : number * size], {"link": ", ".join(links)} if links else {}


def _sealed(number: int) -> str:
    return base64.urlsafe_b64encode(f"cursor:v2:{number}".encode()).decode()


def _opened(cursor: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("cursor:v2:"))
    except ValueError as error:
        raise Refusal(422, "The cursor is not valid.") from error


def _number(request: Request, name: str, otherwise: int) -> int:
    try:
        return int(request.query_params.get(name, otherwise))
    except ValueError:
        return otherwise
