"""What every endpoint hears and says: bodies that are small, JSON that is compact, answers with an ETag."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.web.api.views import Document

B = TypeVar("B", bound=BaseModel)

MAX_BODY_BYTES: Final = 65_536
BODY_TIMEOUT_S: Final = 10.0
_KEPT: Final = ("ETag", "Cache-Control", "Vary")


def encode(document: Document) -> str:
    """Compact JSON on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def as_json(document: Document, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The document as an answer."""
    return Response(encode(document).encode(), status, headers, "application/json")


def tagged(request: Request, answer: Response) -> Response:
    """The answer with a strong ETag, or 304 when the caller has it already."""
    tag = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"'
    answer.headers.update({"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"})
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers={name: answer.headers[name] for name in _KEPT})
    return answer


async def read_body(request: Request) -> bytes:
    """The body, when it is small and comes in time.

    Raises:
        HTTPException: 400, 408 or 413.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
    except TimeoutError as error:
        raise HTTPException(408, f"The body did not arrive within {BODY_TIMEOUT_S:g} s.") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The connection was closed before the body was here.") from error
    return bytes(body)


async def read_json(request: Request, kind: type[B]) -> B:
    """The body as what an endpoint takes.

    Raises:
        HTTPException: 400, 408, 413, or 422 with what is wrong where.
    """
    try:
        return kind.model_validate_json(await read_body(request))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in error.errors())
        raise HTTPException(422, "; ".join(faults)) from error
