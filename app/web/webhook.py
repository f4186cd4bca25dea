"""`POST /webhook`: a delivery is verified, filtered, decided and stored before it is acknowledged.

    202 stored     {"job": id}                          401  not signed with our secret
    200 known      {"job": id, "duplicate": true}       400  a header is missing, or not the JSON that GitHub documents
    200 not ours   {"ignored": why}                     413  it is too large          415  the webhook sends forms
    200 a thread was closed        {"told": runs}
    200 ping       {"pong": true}                       429  its installation, person or strangers ask too much
                                                        503  the queue is away, or too many large bodies at once

GitHub takes anything but 2xx as failed
(https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries). A worker reads that in GitHub's
log within minutes and asks for the delivery again, so that 429 and 503 put off what was asked and lose nothing.

A stranger learns 401, or 413 past GitHub's own cap: what else is wrong is said only once the signature holds. How long
a request may take to arrive is the connection's matter (`server.py`), for all routes alike.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.core.errors import StoreError
from app.core.inbound import delivery, events, triggers
from app.core.inbound.access_revoked import KIND, find_renamed, find_revoked_access
from app.core.inbound.closing import KIND as CLOSED
from app.core.inbound.closing import Closing, find_closing, withdraw
from app.core.inbound.delivery import BadDelivery, BadSignature, Delivery, SignatureVerifier
from app.core.inbound.events import (
    HANDLED,
    Event,
    InstallationChanged,
    IssueClosed,
    Ping,
    PullClosed,
    RepositoryChanged,
)
from app.core.policy import repo_config
from app.core.ports.clock import Clock
from app.core.ports.queue import Queue
from app.core.ports.store import Signal, Store
from app.core.run.job import Job, Source
from app.core.run.run import Run, Status
from app.web.body import MAX_BODY_BYTES, MAX_KEPT_BYTES, Body, BodyMemory, BodyState
from app.web.limits import Buckets
from app.web.problems import problem

_log: Final = logging.getLogger(__name__)
_EVENT: Final = re.compile(r"[a-z0-9_]{1,64}")
_DELIVERY_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_COMMENTS: Final = frozenset({Source.COMMENT, Source.REVIEW, Source.REMARK})
"""What people say: counted for each person. Only people with a role can label."""
MAX_SIGNALED: Final = 100
"""Open runs, of those in progress and of those that wait, that hear of what was taken away; the others find out."""
_LINES_AT_ONCE: Final = 20
"""Of what is not signed: a line a second after that, so that strangers cannot fill the log."""


@dataclass(frozen=True, slots=True)
class _WebhookResponse:
    """What is said to GitHub, and the words for the log."""

    response: Response
    outcome: str
    job_id: str = ""


class _RejectedDelivery(Exception):
    """The delivery is not taken."""

    def __init__(self, status: int, title: str, detail: str, **headers: str) -> None:
        super().__init__(title)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = _WebhookResponse(problem(status, title, detail=detail, headers=sent), title.lower())


def routes(
    queue: Queue, store: Store, *, secrets: Sequence[SecretStr], label: str, clock: Clock, jobs_per_minute: int = 60
) -> list[Route]:
    """The webhook's route. `secrets` are one, or two while the secret is being changed.

    Each installation may ask for `jobs_per_minute`, as many at once, and each person for a sixth of that by comments
    and reviews. People without a role share another sixth and take nothing from the rest, so that they cannot use up
    what the team has. Each process counts on its own.

    Raises:
        UserError: a secret is empty.
    """
    delivery.signing_keys(secrets)
    room, lines = BodyMemory(), Buckets(rate=1, burst=_LINES_AT_ONCE)
    of_all, of_one = max(1, jobs_per_minute), max(1, jobs_per_minute // 6)
    limits = _Limits(*(Buckets(most / 60, most) for most in (of_all, of_one, of_one)))
    handler = _WebhookHandler(queue, store, label, clock, limits)

    async def receive(request: Request) -> Response:
        started = clock.monotonic()
        is_real = False
        try:
            with Body(
                SignatureVerifier(secrets), room, is_ours=request.headers.get("x-github-event") in HANDLED
            ) as body:
                await _read(request, body)
                received = _trust(request, body)
                is_real = True
                answer = await handler.answer(received)
        except _RejectedDelivery as refusal:
            answer = refusal.answer
        except ClientDisconnect:
            return Response(status_code=400)  # Cut off: there is nobody who would hear it, and nothing to tell.
        now = clock.monotonic()
        if is_real or lines.take("", now) == 0:
            _show(request, answer, seconds=now - started)
        return answer.response

    return [Route("/webhook", receive, methods=["POST"])]


async def _read(request: Request, body: Body) -> None:
    """The raw body, counted while it arrives: a claimed length may be absent."""
    async for chunk in request.stream():
        body.add(chunk)
        if body.length > MAX_BODY_BYTES:
            raise _RejectedDelivery(
                413, "Too large", f"A delivery has at most {MAX_BODY_BYTES} bytes.", connection="close"
            )


def _trust(request: Request, body: Body) -> Delivery:
    """The request as a delivery, once its signature holds."""
    headers = request.headers
    try:
        body.check(headers.get("x-hub-signature-256"))
    except BadSignature as error:
        raise _RejectedDelivery(401, "Bad signature", str(error)) from error
    delivery_id, event = headers.get("x-github-delivery", ""), headers.get("x-github-event", "")
    if not _DELIVERY_ID.fullmatch(delivery_id) or not _EVENT.fullmatch(event):
        raise _RejectedDelivery(400, "Bad headers", "X-GitHub-Event and X-GitHub-Delivery are needed.")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _RejectedDelivery(415, "Not JSON", "Choose the content type application/json in the webhook's settings.")
    if body.fate is BodyState.TOO_LARGE:
        raise _RejectedDelivery(413, "Too large", f"A delivery of this event has at most {MAX_KEPT_BYTES} bytes.")
    if body.fate is BodyState.NO_ROOM:
        raise _RejectedDelivery(503, "No room", "Too many large bodies at once; deliver this again.", retry_after="5")
    return Delivery(delivery_id, event, bytes(body.kept))


@dataclass(frozen=True, slots=True)
class _Limits:
    """How many jobs may be asked for: by each installation's members, by each person, by each installation's
    strangers."""

    members: Buckets
    persons: Buckets
    strangers: Buckets

    def take(self, job: Job, now: float, *, is_stranger: bool) -> float:
        """Count the job; 0, or the seconds to wait."""
        installation = str(job.installation_id)
        if job.source in _COMMENTS and (wait_s := self.persons.take(f"{installation} {job.sender.id}", now)):
            return wait_s
        return (self.strangers if is_stranger else self.members).take(installation, now)


@dataclass(frozen=True, slots=True)
class _WebhookHandler:
    """What is done with a delivery that is real."""

    queue: Queue
    store: Store
    label: str
    clock: Clock
    limits: _Limits

    async def answer(self, received: Delivery) -> _WebhookResponse:
        try:
            event = events.parse(received.event, received.body)
        except BadDelivery as error:
            raise _RejectedDelivery(400, "Bad delivery", str(error)) from error
        match event:
            case None:
                return _ignored(f"the event {received.event} or its action is not handled")
            case Ping():
                return _WebhookResponse(JSONResponse({"pong": True}), "pong")
            case InstallationChanged() | RepositoryChanged():
                return await self._take_away(event)
            case IssueClosed() | PullClosed():
                closing = find_closing(event)
                return _ignored("no run to end") if closing is None else await self._withdraw(closing)
        now = self.clock.now()
        job = triggers.decide(event, delivery_id=received.id, label=self.label, now=now)
        if job is None and (repo := triggers.repo_whose_file_decides(event, label=self.label, now=now)):
            own = repo_config.decode_cached(await self._recall(repo_config.config_note_name(repo)))
            label = own.label or self.label
            job = triggers.decide(event, delivery_id=received.id, label=label, now=now, bots=own.bots)
        if job is None:
            return _ignored("no trigger matches")
        return await self._put(job, is_stranger=await self._is_stranger(event, job))

    async def _is_stranger(self, event: Event, job: Job) -> bool:
        """Has the sender no role here, by what GitHub says of them and by whom a worker let in before?"""
        if job.sender.is_bot or not triggers.may_be_from_a_stranger(event):
            return False
        return not await self._recall(repo_config.member_note_name(job.installation_id, job.sender.id))

    async def _take_away(self, event: InstallationChanged | RepositoryChanged) -> _WebhookResponse:
        """Tell the open runs of what was taken from the bot."""
        if (renamed := find_renamed(event)) is not None:
            await self._note_name(*renamed)
        revoked = find_revoked_access(event)
        if revoked is None:
            about = f"installation {event.installation.id}" if isinstance(event, InstallationChanged) else "repository"
            return _ignored(f"{about}: {event.action}")
        told = 0
        try:
            for status in (Status.IN_PROGRESS, Status.QUEUED):
                for run in (await self.store.list(status=status, limit=MAX_SIGNALED)).runs:
                    if revoked.takes(run.job):
                        await self.store.signal(run.id, Signal(KIND, revoked.words))
                        told += 1
        except StoreError as error:
            raise _store_unavailable() from error
        return _WebhookResponse(JSONResponse({"told": told}), f"told {told} runs: {revoked.words}")

    async def _withdraw(self, closing: Closing) -> _WebhookResponse:
        """Tell the thread's open runs that it was closed; those that wait are ended by a worker, out of turn."""
        told = 0
        try:
            for status in (Status.IN_PROGRESS, Status.QUEUED):
                thread = self.store.runs_of(closing.repo, number=closing.number, branch=closing.branch, status=status)
                for run in [run async for run in thread if closing.ends(run)][:MAX_SIGNALED]:
                    told += 1
                    await self.store.signal(run.id, Signal(CLOSED, closing.by.login, key=closing.action))
                    if run.status is Status.QUEUED or run.wake_at is not None:
                        await self.queue.put(Run(withdraw(run, closing, self.clock.now())))
        except StoreError as error:
            raise _store_unavailable() from error
        return _WebhookResponse(JSONResponse({"told": told}), f"told {told} runs: {closing.action}")

    async def _note_name(self, before: str, now: str) -> None:
        try:
            await self.store.note(repo_config.name_of_former(now), repo_config.encode_former(before, self.clock.now()))
        except StoreError as error:
            raise _store_unavailable() from error

    async def _recall(self, name: str) -> str:
        try:
            return await self.store.recall(name)
        except StoreError as error:
            raise _store_unavailable() from error

    async def _put(self, job: Job, *, is_stranger: bool) -> _WebhookResponse:
        if wait_s := ceil(self.limits.take(job, self.clock.monotonic(), is_stranger=is_stranger)):
            whose = "users without a role here" if is_stranger else "this installation or user"
            detail = f"Too many requests from {whose}; redeliver later."
            raise _RejectedDelivery(429, "Too many requests", detail, retry_after=str(wait_s))
        try:
            is_new = await self.queue.put(Run(job=job, updated_at=self.clock.now()))
        except StoreError as error:
            raise _store_unavailable() from error
        if is_new:
            return _WebhookResponse(JSONResponse({"job": job.id}, 202), "accepted", job.id)
        return _WebhookResponse(JSONResponse({"job": job.id, "duplicate": True}), "duplicate", job.id)


def _store_unavailable() -> _RejectedDelivery:
    return _RejectedDelivery(503, "Queue unavailable", "Nothing was stored; redeliver later.", retry_after="5")


def _ignored(reason: str) -> _WebhookResponse:
    return _WebhookResponse(JSONResponse({"ignored": reason}), f"ignored: {reason}")


def _show(request: Request, answer: _WebhookResponse, *, seconds: float) -> None:
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
