"""`POST /webhook`: a delivery is verified, filtered, decided and stored before it is acknowledged.

    202 stored     {"job": id}                          401  not signed with our secret
    200 known      {"job": id, "duplicate": true}       400  a header is missing, or not the JSON that GitHub documents
    200 not ours   {"ignored": why}                     408  the body took too long      413  it is too large
    200 ping       {"pong": true}                       415  the webhook sends forms     503  the queue is away

GitHub drops a delivery after 10 s and takes anything but 2xx as failed, to be asked for again later
(https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries).
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.core import delivery, events, triggers
from app.core.delivery import BadDelivery, BadSignature, Delivery
from app.core.errors import StoreError
from app.core.events import InstallationChanged, Ping
from app.core.ports import Clock
from app.core.records import Queue
from app.core.run import Run
from app.web.problems import problem

MAX_BODY_BYTES: Final = 25 * 1024 * 1024
"""GitHub's own cap (https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap)."""
BODY_TIMEOUT_S: Final = 10.0

_log: Final = logging.getLogger(__name__)
_EVENT: Final = re.compile(r"[a-z0-9_]{1,64}")
_DELIVERY_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is said to GitHub, and the words for the log."""

    response: Response
    outcome: str
    job_id: str = ""


class _Refusal(Exception):
    """The delivery is not taken."""

    def __init__(self, status: int, title: str, detail: str, **headers: str) -> None:
        super().__init__(title)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = _Answer(problem(status, title, detail=detail, headers=sent), title.lower())


def routes(
    queue: Queue,
    *,
    secrets: Sequence[SecretStr],
    label: str,
    clock: Clock,
    max_body_bytes: int = MAX_BODY_BYTES,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> list[Route]:
    """The webhook's route. `secrets` are one, or two while the secret is being changed.

    Raises:
        UserError: a secret is empty.
    """
    delivery.keys(secrets)

    async def receive(request: Request) -> Response:
        started = clock.monotonic()
        try:
            body = await _read(request, max_body_bytes, body_timeout_s)
            received = _trust(request, body, secrets)
            answer = await _answer(received, queue, label=label, clock=clock)
        except _Refusal as refusal:
            answer = refusal.answer
        _show(request, answer, seconds=clock.monotonic() - started)
        return answer.response

    return [Route("/webhook", receive, methods=["POST"])]


async def _read(request: Request, max_bytes: int, timeout_s: float) -> bytes:
    """The raw body, counted while it arrives: a claimed length may be absent or a lie."""
    chunks: list[bytes] = []
    length = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                length += len(chunk)
                if length > max_bytes:
                    raise _Refusal(413, "Too large", f"A delivery has at most {max_bytes} bytes.", connection="close")
                chunks.append(chunk)
    except TimeoutError as error:
        raise _Refusal(408, "Too slow", f"The body took more than {timeout_s:g} s.", connection="close") from error
    except ClientDisconnect as error:
        raise _Refusal(400, "Cut off", "The connection was closed before the end of the body.") from error
    return b"".join(chunks)


def _trust(request: Request, body: bytes, secrets: Sequence[SecretStr]) -> Delivery:
    """The request as a delivery, once its signature holds; nothing is looked at before."""
    headers = request.headers
    try:
        delivery.verify(body, headers.get("x-hub-signature-256"), secrets)
    except BadSignature as error:
        raise _Refusal(401, "Bad signature", str(error)) from error
    delivery_id, event = headers.get("x-github-delivery", ""), headers.get("x-github-event", "")
    if not _DELIVERY_ID.fullmatch(delivery_id) or not _EVENT.fullmatch(event):
        raise _Refusal(400, "Bad headers", "X-GitHub-Event and X-GitHub-Delivery are needed.")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refusal(415, "Not JSON", "Choose the content type application/json in the webhook's settings.")
    return Delivery(delivery_id, event, body)


async def _answer(received: Delivery, queue: Queue, *, label: str, clock: Clock) -> _Answer:
    try:
        event = events.parse(received.event, received.body)
    except BadDelivery as error:
        raise _Refusal(400, "Bad delivery", str(error)) from error
    match event:
        case None:
            return _ignored(f"the event {received.event} or its action is not handled")
        case Ping():
            return _Answer(JSONResponse({"pong": True}), "pong")
        case InstallationChanged():
            return _ignored(f"installation {event.installation.id}: {event.action}")
    now = clock.now()
    job = triggers.decide(event, delivery_id=received.id, label=label, now=now)
    if job is None:
        return _ignored("it asks for nothing")
    try:
        is_new = await queue.put(Run(job=job, updated_at=now))
    except StoreError as error:
        raise _Refusal(503, "Queue away", "Nothing was stored; deliver this again.", retry_after="5") from error
    if is_new:
        return _Answer(JSONResponse({"job": job.id}, 202), "accepted", job.id)
    return _Answer(JSONResponse({"job": job.id, "duplicate": True}), "duplicate", job.id)


def _ignored(reason: str) -> _Answer:
    return _Answer(JSONResponse({"ignored": reason}), f"ignored: {reason}")


def _show(request: Request, answer: _Answer, *, seconds: float) -> None:
    """One line in the log; neither a body nor a signature is in it."""
    _log.info(
        "delivery",
        extra={
            "delivery_id": request.headers.get("x-github-delivery", "")[:64],
            "event": request.headers.get("x-github-event", "")[:64],
            "outcome": answer.outcome,
            "status": answer.response.status_code,
            "job_id": answer.job_id,
            "ms": round(seconds * 1000, 1),
        },
    )
